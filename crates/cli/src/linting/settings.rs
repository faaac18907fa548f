//! Settings from files and from what was typed.

use super::args::LintArgs;
use crate::failure::Failure;
use std::path::{Path, PathBuf};
use strake_lint::{Level, Settings, Shellcheck, read_hadolint, read_project};

/// Files first, then what was typed.
pub(crate) fn gather(args: &LintArgs) -> Result<Settings, Failure> {
    let start = args.paths.first().filter(|it| it.as_path() != Path::new("-"));
    let start = start.cloned().unwrap_or_else(|| PathBuf::from("."));
    let from_files = match &args.config {
        Some(path) => one(path)?,
        None => nearest(&start)?,
    };
    Ok(from_files.under(typed(args)?))
}

/// The settings of the nearest files at `start` or above.
pub(crate) fn nearest(start: &Path) -> Result<Settings, Failure> {
    let start = std::path::absolute(start)?;
    let folder = if start.is_dir() { start.as_path() } else { start.parent().unwrap_or(&start) };
    let mut settings = Settings::default();
    for name in [".hadolint.yaml", ".hadolint.yml", "strake.toml"] {
        if let Some(path) = folder.ancestors().map(|it| it.join(name)).find(|it| it.is_file()) {
            settings = settings.under(one(&path)?);
        }
    }
    Ok(settings)
}

fn one(path: &Path) -> Result<Settings, Failure> {
    let text = fs_err::read_to_string(path).map_err(Failure::usage)?;
    let name = path.display().to_string();
    let yaml = path.extension().is_some_and(|it| it == "yaml" || it == "yml");
    let read = if yaml { read_hadolint(&name, &text) } else { read_project(&name, &text) };
    read.map_err(Failure::usage)
}

fn typed(args: &LintArgs) -> Result<Settings, Failure> {
    let level = |word: &str| {
        Level::read(word).ok_or_else(|| {
            Failure::usage(format!("`{word}` is not a level"))
                .hint("use error, warning, info or style")
        })
    };
    let mut settings = Settings {
        select: args.select.clone(),
        extend: args.extend_select.clone(),
        ignore: args.ignore.clone(),
        format: args.format.clone(),
        ..Settings::default()
    };
    if let Some(word) = &args.shellcheck {
        settings.shellcheck = Some(Shellcheck::read(word).ok_or_else(|| {
            Failure::usage(format!("--shellcheck {word} is not known"))
                .hint("use auto, never or always")
        })?);
    }
    for it in &args.severity {
        let Some((rule, word)) = it.split_once('=') else {
            return Err(Failure::usage(format!("--severity {it} is not RULE=LEVEL")));
        };
        settings.levels.push((rule.to_owned(), level(word)?));
    }
    match args.fail_on.as_deref() {
        Some("never" | "none") => settings.no_fail = true,
        Some(word) => settings.fail_on = Some(level(word)?),
        None => {}
    }
    Ok(settings)
}
