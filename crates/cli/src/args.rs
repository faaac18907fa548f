//! What can be typed. Names and meanings are those of `docker buildx build`.

use crate::args_registry::{
    COPY_HELP, CopyArgs, EcrArgs, INSPECT_HELP, InspectArgs, LOGIN_HELP, LoginArgs, LogoutArgs,
    PUSH_HELP, PullArgs, PushArgs, RegistryArgs, TagArgs,
};
use crate::docker_flags::DockerFlags;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Container images from Dockerfiles: no daemon, no BuildKit, no privileges.
#[derive(Debug, Parser)]
#[command(name = "strake", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What most builds look like.
const EXAMPLES: &str = "Examples:
  strake build -t registry.example/app:1 --push .
  strake build -o type=oci,dest=app.tar .
  strake build -o type=docker,dest=- . | docker load";

/// What images are called, and how a comparison ends.
const DIFF_HELP: &str = "\
An image is an OCI layout (folder or tar) or an archive of `docker save`, with :TAG or @DIGEST where
it holds several; else a name in the store or in a registry.
Exit code: 0 alike, 1 different, 2 an image cannot be read.

Examples:
  strake diff before.tar after.tar
  strake diff --ignore /var/log --times ./layout:v1 registry.example/app:1";

/// Everything that strake does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build an image from a Dockerfile
    #[command(after_help = EXAMPLES)]
    Build(Box<BuildArgs>),
    /// Say in what two images differ: config, history, files
    #[command(after_help = DIFF_HELP)]
    Diff(DiffArgs),
    /// Push an image of the store or of a layout to registries
    #[command(after_help = PUSH_HELP)]
    Push(PushArgs),
    /// Fetch an image from a registry into the store
    Pull(PullArgs),
    /// Copy an image from one registry to another, with all that is attached to it
    #[command(after_help = COPY_HELP)]
    Copy(CopyArgs),
    /// Give an image further names
    Tag(TagArgs),
    /// Show an image's digest, config and layers
    #[command(after_help = INSPECT_HELP)]
    Inspect(InspectArgs),
    /// Keep the login to a registry
    #[command(after_help = LOGIN_HELP)]
    Login(LoginArgs),
    /// Forget the login to a registry
    Logout(LogoutArgs),
    /// Show what the store holds
    Du(DuArgs),
    /// Remove from the store what was not used lately
    Prune(PruneArgs),
    /// Say what a RUN can do on this machine
    Doctor(DoctorArgs),
    /// Say what a build would find in the store and what it would do, without doing it
    Plan(Box<BuildArgs>),
    /// Say why each step of the last build was found or built again
    Explain(crate::linting::args::ExplainArgs),
    /// Say what a build context contains, and which line of the ignore file decides about what
    Context(crate::linting::args::ContextArgs),
    /// Find what makes builds slow, large or wrong in Dockerfiles and contexts, and mend it
    #[command(after_help = crate::linting::args::LINT_HELP)]
    Lint(Box<crate::linting::args::LintArgs>),
    /// Serve an editor: findings, quick fixes and pages of rules, by the Language Server Protocol
    Lsp,
    /// List the rules of `strake lint`, or explain one
    Rules(crate::linting::args::RulesArgs),
    /// Show a Dockerfile as strake reads it: instructions, flags, words, heredocs
    #[command(after_help = PARSE_JSON)]
    Parse(ParseArgs),
}

/// What `strake parse --format json` writes.
const PARSE_JSON: &str = "JSON:
  file, escape       name of the file, escape character
  directives         name, value, line
  comments           text, line
  instructions       keyword, written (as it is), line, column, end_line (with heredocs), stage
                     (from 0, null above FROM), text (continuations joined), flags, form, words,
                     nested, heredocs, comments (those directly above), valid
    flags            name, value (null without =), line, column
    form             line: one word, all that is written; exec: a JSON array; words; pairs:
                     NAME=VALUE; old-pair: NAME VALUE; nested: see there
    words            text (nothing is expanded), line, column
    nested           behind ONBUILD and HEALTHCHECK: keyword, written, flags, form, words
    heredocs         name, expand, strip_tabs, content, line, end_line
  problems           rule, severity, message, hint, file, line, column, end_line, end_column";

/// `strake parse`.
#[derive(Debug, Args)]
pub(crate) struct ParseArgs {
    /// Dockerfile; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// text, json, or dockerfile: the same in one line an instruction
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = ParseFormat::Text, hide_possible_values = true)]
    pub(crate) format: ParseFormat,
}

/// `strake parse --format`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum ParseFormat {
    /// One paragraph an instruction.
    Text,
    /// One object; the schema stands at `strake_dockerfile::to_json`.
    Json,
    /// Comments and continuations taken away.
    Dockerfile,
}

/// Where the store is.
#[derive(Clone, Debug, Args)]
pub(crate) struct StoreArgs {
    /// Folder of the store
    /// [default: $STRAKE_STORE, $XDG_CACHE_HOME/strake, ~/.cache/strake or /var/tmp/strake-UID]
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
}

/// `strake build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// What COPY reads: a folder, a tar archive, the URL of a Git repository or of an archive, or `-` for an
    /// archive or a Dockerfile on standard input
    #[arg(value_name = "CONTEXT")]
    pub(crate) context: String,
    /// Dockerfile: a path, in a fetched context relative to it, a URL, or `-` for standard input
    /// [default: CONTEXT/Dockerfile]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Name of the image, `name[:tag]`; may be repeated
    #[arg(short = 't', long = "tag", value_name = "NAME")]
    pub(crate) tags: Vec<String>,
    /// Stage to build [default: the last one]
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// Value of an ARG; without `=VALUE` it is taken from the environment
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub(crate) build_args: Vec<String>,
    /// Further context: a folder, a Git repository, a URL, docker-image://REF or
    /// oci-layout://DIR[:TAG|@DIGEST]
    #[arg(long = "build-context", value_name = "NAME=SOURCE")]
    pub(crate) build_contexts: Vec<String>,
    /// Platforms of the image, e.g. linux/amd64,linux/arm64
    /// [default: $DOCKER_DEFAULT_PLATFORM, or this machine's]
    #[arg(long, value_name = "OS/ARCH,..")]
    pub(crate) platform: Vec<String>,
    /// Label of the image; may be repeated
    #[arg(long = "label", value_name = "NAME[=VALUE]")]
    pub(crate) labels: Vec<String>,
    /// Annotation of manifest, manifest-descriptor, index or index-descriptor; may be repeated
    #[arg(long = "annotation", value_name = "[TYPE[PLATFORM]:]KEY=VALUE")]
    pub(crate) annotations: Vec<String>,
    /// Secret for RUN --mount=type=secret
    #[arg(long = "secret", value_name = "id=ID[,src=FILE|,env=NAME]")]
    pub(crate) secrets: Vec<String>,
    /// Push the image to the registries that its names say
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set, hide_default_value = true, value_parser = switch)]
    pub(crate) push: bool,
    /// Put the image into the store (strake has no daemon to load into)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set, hide_default_value = true, value_parser = switch)]
    pub(crate) load: bool,
    /// What to write: type=oci|docker|tar|local|image|registry,dest=..; may be repeated
    #[arg(short = 'o', long = "output", value_name = "type=TYPE[,KEY=VALUE..]")]
    pub(crate) outputs: Vec<String>,
    /// Ask the registry for base images even if the store has an image of that name
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set, hide_default_value = true, value_parser = switch)]
    pub(crate) pull: bool,
    /// Use no finished step of an earlier build
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set, hide_default_value = true, value_parser = switch)]
    pub(crate) no_cache: bool,
    /// Use no finished step of these stages
    #[arg(long, value_name = "STAGE,..", value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,
    /// Network of RUN: default, host or none
    #[arg(long, value_name = "MODE", default_value = "default")]
    pub(crate) network: String,
    /// Line for /etc/hosts during RUN, `host:ip` or `host=ip`
    #[arg(long = "add-host", value_name = "HOST:IP")]
    pub(crate) add_hosts: Vec<String>,
    /// Size of /dev/shm during RUN, e.g. 64m
    #[arg(long, value_name = "SIZE")]
    pub(crate) shm_size: Option<String>,
    /// What only a RUN sees.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// How progress is shown: auto, plain, tty, quiet, none or rawjson
    /// [default: $BUILDKIT_PROGRESS, or auto]
    #[arg(long, value_name = "KIND")]
    pub(crate) progress: Option<String>,
    /// Print nothing but the image's digest
    #[arg(short = 'q', long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set, hide_default_value = true, value_parser = switch)]
    pub(crate) quiet: bool,
    /// Write the image's digest to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Write what was built, as JSON, to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// How registries are reached.
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// What is done about repositories of Amazon ECR.
    #[command(flatten)]
    pub(crate) ecr: EcrArgs,
    /// Tell instead of building: check, outline (arguments, secrets and agents of the target) or
    /// targets
    #[arg(long, value_name = "METHOD[,format=json]")]
    pub(crate) call: Option<String>,
    /// As --call=check: run BuildKit's checks
    #[arg(long)]
    pub(crate) check: bool,
    /// Say why each step was not found in the cache
    #[arg(short = 'v', short_alias = 'D', long, alias = "debug")]
    pub(crate) verbose: bool,
    /// How RUN is isolated: the best of namespaces and emulated that works here, or the one named;
    /// chroot is root's, fast, and keeps a RUN from less
    #[arg(long, value_name = "BACKEND", value_parser = ["auto", "namespaces", "chroot", "emulated"])]
    pub(crate) sandbox: Option<String>,
    /// How many threads read and compress; by default as many as there are cores. The image does not
    /// depend on it
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
    /// Map one user id only, even where /etc/subuid grants more
    #[arg(long, hide = true)]
    pub(crate) single_id: bool,
    /// Copy roots instead of using overlayfs
    #[arg(long, hide = true)]
    pub(crate) no_overlay: bool,
    /// Flags of Docker that are answered only.
    #[command(flatten)]
    pub(crate) docker: DockerFlags,
    /// Where the store is.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Flags that only a RUN sees.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Agent or keys for RUN --mount=type=ssh: `default` is the agent of $SSH_AUTH_SOCK
    #[arg(long, value_name = "ID[=SOCKET|=KEY[,KEY..]]")]
    pub(crate) ssh: Vec<String>,
    /// Limit of the processes of a RUN, e.g. nofile=1024:4096; may be repeated
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimit: Vec<String>,
    /// Memory that a RUN may take, e.g. 2g; needs control groups of one's own, as the next ones do
    #[arg(short = 'm', long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Memory and swap together, or -1 [default: twice --memory]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) memory_swap: Option<String>,
    /// Microseconds of processor time that a RUN may take in each period
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// The period [default: 100000]
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<u64>,
    /// Weight of a RUN beside other processes, 1024 being the usual one
    #[arg(short = 'c', long, value_name = "N")]
    pub(crate) cpu_shares: Option<u64>,
    /// Processors of a RUN, e.g. 0-2,7
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes of a RUN
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// What a RUN may ask for: security.insecure, device[=NAME] or network.host
    #[arg(long, value_name = "ENTITLEMENT")]
    pub(crate) allow: Vec<String>,
    /// Folder with CDI specifications for RUN --device [default: /etc/cdi and /var/run/cdi]
    #[arg(long, value_name = "DIR")]
    pub(crate) cdi_dir: Vec<PathBuf>,
}

/// `strake diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// One image
    #[arg(value_name = "A")]
    pub(crate) a: String,
    /// The other
    #[arg(value_name = "B")]
    pub(crate) b: String,
    /// How differences are shown: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"], hide_possible_values = true)]
    pub(crate) format: String,
    /// Compare the times of files, too
    #[arg(long)]
    pub(crate) times: bool,
    /// Compare layer by layer, too
    #[arg(long)]
    pub(crate) layers: bool,
    /// Leave out this place and all below it, e.g. /var/log or config.config.Env; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) ignore: Vec<String>,
    /// Which image of several platforms [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Where the store is.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `strake doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the store is.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `strake du`.
#[derive(Debug, Args)]
pub(crate) struct DuArgs {
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// List every item, not only the sums
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,
    /// Where the store is.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `strake prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Remove the least recently used until the store is no larger, e.g. 10g
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<String>,
    /// Remove what was not used for so long, e.g. 72h or 7d
    #[arg(long, value_name = "AGE")]
    pub(crate) older_than: Option<String>,
    /// Remove everything that no running build uses
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Where the store is.
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// A switch as Docker reads it.
fn switch(text: &str) -> Result<bool, String> {
    crate::output::boolean("", text).map_err(|_| "write true or false".to_owned())
}
