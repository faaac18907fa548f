//! Which files are linted: Dockerfiles by name, and those that compose and bake files name.

use super::args::LintArgs;
use super::{bake, compose, compose::Named};
use crate::{failure::Failure, say};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A file to lint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// As people are told.
    pub(crate) name: String,
    /// The text, where it is no file of its own.
    pub(crate) text: Option<String>,
    /// The context that somebody says it has.
    pub(crate) context: Option<PathBuf>,
    /// Names of other contexts that it is built with.
    pub(crate) contexts: BTreeSet<String>,
}

impl Target {
    /// A file.
    pub(crate) fn file(path: &Path, context: Option<PathBuf>) -> Target {
        let shown = path.strip_prefix(".").unwrap_or(path).display().to_string();
        Target {
            path: path.to_owned(),
            name: shown,
            text: None,
            context,
            contexts: BTreeSet::new(),
        }
    }

    /// A file that a compose or bake file names.
    pub(super) fn of(path: &Path, context: PathBuf, contexts: BTreeSet<String>) -> Target {
        let context = if context.as_os_str().is_empty() { ".".into() } else { context };
        Target { contexts, ..Target::file(path, Some(context)) }
    }

    /// A text within a compose or bake file.
    pub(super) fn inline(
        path: &Path,
        name: String,
        text: String,
        context: PathBuf,
        contexts: BTreeSet<String>,
    ) -> Target {
        Target { name, text: Some(text), ..Target::of(path, context, contexts) }
    }
}

/// Folders that hold other people's files.
const SKIPPED: &[&str] = &[".git", "node_modules", "vendor", "target", ".venv", "__pycache__"];

/// The files that were named, or are found below the folders that were.
pub(super) fn find(args: &LintArgs) -> Result<Vec<Target>, Failure> {
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { &here[..] } else { &args.paths };
    let mut found: BTreeMap<PathBuf, Target> = BTreeMap::new();
    let mut texts = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            texts.push(Target {
                path: PathBuf::from(&args.stdin_name),
                name: args.stdin_name.clone(),
                text: Some(super::stdin()?),
                context: args.context.clone(),
                contexts: BTreeSet::new(),
            });
        } else if path.is_dir() {
            walk(path, &mut found, &mut texts)?;
        } else if let Some(named) = by_build_file(path)? {
            add(named, &mut found, &mut texts);
        } else {
            let target = Target::file(path, None);
            found.insert(path.clone(), target);
        }
    }
    let mut all: Vec<Target> = found.into_values().chain(texts).collect();
    if let Some(context) = &args.context {
        all.iter_mut().for_each(|it| it.context = Some(context.clone()));
    }
    if all.is_empty() {
        let folders: Vec<String> = paths.iter().map(|it| it.display().to_string()).collect();
        return Err(Failure::usage(format!("no Dockerfile in {}", folders.join(", ")))
            .hint("looked for Dockerfile, Dockerfile.*, *.Dockerfile and Containerfile*"));
    }
    Ok(all)
}

/// Whether a file is a Dockerfile by its name.
pub(crate) fn is_dockerfile(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let ignore = lower.ends_with(".dockerignore") || lower.ends_with(".md") || lower.ends_with('~');
    let named = |stem: &str| {
        lower == stem
            || lower.strip_prefix(stem).is_some_and(|it| it.starts_with(['.', '-', '_']))
            || lower.strip_suffix(stem).is_some_and(|it| it.ends_with('.'))
    };
    !ignore && (named("dockerfile") || named("containerfile"))
}

fn walk(
    folder: &Path,
    found: &mut BTreeMap<PathBuf, Target>,
    texts: &mut Vec<Target>,
) -> Result<(), Failure> {
    let mut entries = fs_err::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs_err::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                walk(&path, found, texts)?;
            }
        } else if is_dockerfile(&name) {
            found.entry(path.clone()).or_insert_with(|| Target::file(&path, None));
        } else if let Some(named) = by_build_file(&path)? {
            add(named, found, texts);
        }
    }
    Ok(())
}

fn add(named: Named, found: &mut BTreeMap<PathBuf, Target>, texts: &mut Vec<Target>) {
    named.notes.iter().for_each(|it| say::note(it));
    for target in named.targets {
        if target.text.is_some() {
            texts.push(target);
        } else if target.path.is_file() {
            found.insert(target.path.clone(), target);
        } else {
            say::note(&format!("{}: a build names it, and it is not there", target.name));
        }
    }
}

/// The Dockerfiles that a compose or bake file names; nothing where it is neither.
fn by_build_file(path: &Path) -> Result<Option<Named>, Failure> {
    let name = path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = ["docker-compose", "compose", "docker-bake"].iter().find(|it| name.starts_with(*it));
    let Some(stem) = stem else { return Ok(None) };
    let read = || fs_err::read_to_string(path).map_err(Failure::usage);
    let kind = path.extension().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(match (*stem, kind.as_str()) {
        ("docker-bake", "hcl" | "json") => Some(bake::targets(path, &read()?)?),
        (_, "yml" | "yaml") => Some(compose::targets(path, &read()?)?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::is_dockerfile;

    #[test]
    fn names() {
        for name in
            ["Dockerfile", "dockerfile", "Dockerfile.dev", "api.Dockerfile", "Containerfile-x"]
        {
            assert!(is_dockerfile(name), "{name}");
        }
        for name in ["Dockerfile.dockerignore", "dockerfiles", "Dockerfile.md", "mydockerfile"] {
            assert!(!is_dockerfile(name), "{name}");
        }
    }
}
