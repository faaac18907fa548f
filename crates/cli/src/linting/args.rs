//! What can be typed behind `strake lint` and `strake rules`.

use clap::Args;
use std::path::PathBuf;

/// Below the options of `strake lint`.
pub(crate) const LINT_HELP: &str = "\
Comments: `# hadolint ignore=RULE`, `# hadolint global ignore=`, `# hadolint stage ignore=`,
`# check=skip=RULE`, and the same with `strake` in place of `hadolint`.
Settings: `[lint]` of strake.toml and .hadolint.yaml, here or above; what is typed comes first.
Exit code: 0 nothing at or above --fail-on, 1 something, 2 a wrong call or an unreadable file.

Examples:
  strake lint
  strake lint --fix --diff services/api/Dockerfile
  strake lint --format sarif > lint.sarif
  strake lint --select DL --ignore DL3008 - < Dockerfile";

/// `strake lint`.
#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// Dockerfiles, compose or bake files, folders to search, or `-` for standard input
    /// [default: this folder]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Build context of the files [default: what compose and bake files say, or the folder that has
    /// what COPY names]
    #[arg(long, value_name = "DIR")]
    pub(crate) context: Option<PathBuf>,
    /// Builder the files are for: strake, buildkit, kaniko or buildah [default: strake]
    #[arg(long, value_name = "BUILDER")]
    pub(crate) target_builder: Option<String>,
    /// Mend what can be mended without changing what is built
    #[arg(long)]
    pub(crate) fix: bool,
    /// With --fix: also mend what may change the image
    #[arg(long)]
    pub(crate) unsafe_fixes: bool,
    /// Show what --fix would change, and change nothing
    #[arg(long)]
    pub(crate) diff: bool,
    /// human, short, json, sarif, github, gitlab, checkstyle, junit, hadolint-json or hadolint-tty
    /// [default: human]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Run these rules only: names, aliases such as DL3008, the beginning of one, a group, or all
    #[arg(long, value_name = "RULE,..", value_delimiter = ',')]
    pub(crate) select: Vec<String>,
    /// Run these rules besides those that run by themselves
    #[arg(long, value_name = "RULE,..", value_delimiter = ',')]
    pub(crate) extend_select: Vec<String>,
    /// Do not run these rules
    #[arg(long, value_name = "RULE,..", value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// Level of a rule: error, warning, info or style; may be repeated
    #[arg(long, value_name = "RULE=LEVEL")]
    pub(crate) severity: Vec<String>,
    /// Mildest level that makes the exit code 1, or never [default: warning]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) fail_on: Option<String>,
    /// Leave out what this file lists; see --write-baseline
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Write what is found now to this file, for --baseline
    #[arg(long, value_name = "FILE")]
    pub(crate) write_baseline: Option<PathBuf>,
    /// Sort by the time that findings cost a week, as Git and the store tell
    #[arg(long)]
    pub(crate) cost: bool,
    /// Settings to read instead of looking for them
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Name of what comes on standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) stdin_name: String,
    /// Whether ShellCheck reads the scripts of RUN: auto (where it is on PATH), never or always
    /// [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub(crate) shellcheck: Option<String>,
    /// Look at nothing but the files themselves: no context, no Git, no store
    #[arg(long)]
    pub(crate) no_evidence: bool,
    /// Where the store is.
    #[command(flatten)]
    pub(crate) store: crate::args::StoreArgs,
}

/// `strake rules`.
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// Rule or alias to explain [default: list all]
    #[arg(value_name = "RULE")]
    pub(crate) rule: Option<String>,
    /// How the list is written: text, json or markdown
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json", "markdown"], hide_possible_values = true)]
    pub(crate) format: String,
}

/// `strake explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Exit with 1 if a step was built again
    #[arg(long)]
    pub(crate) fail_on_miss: bool,
    /// How it is written: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"], hide_possible_values = true)]
    pub(crate) format: String,
    /// Where the store is.
    #[command(flatten)]
    pub(crate) store: crate::args::StoreArgs,
}

/// `strake context`.
#[derive(Debug, Args)]
pub(crate) struct ContextArgs {
    /// The folder
    #[arg(value_name = "CONTEXT", default_value = ".")]
    pub(crate) context: PathBuf,
    /// Dockerfile whose ignore file counts [default: CONTEXT/Dockerfile]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// List every path with the line that decides
    #[arg(long)]
    pub(crate) list: bool,
    /// Say of these paths whether they are sent, and why
    #[arg(long, value_name = "PATH")]
    pub(crate) why: Vec<String>,
    /// Write the ignore file that is suggested to standard output
    #[arg(long)]
    pub(crate) suggest: bool,
    /// How it is written: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"], hide_possible_values = true)]
    pub(crate) format: String,
}
