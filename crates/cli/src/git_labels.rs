//! `BUILDX_GIT_LABELS`: labels that tell the commit of the context, as buildx adds them
//! ([reference](https://docs.docker.com/build/building/variables/#buildx_git_labels)).

use crate::{environment, failure::Failure};
use std::{
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

const REVISION: &str = "org.opencontainers.image.revision";
const SOURCE: &str = "org.opencontainers.image.source";
const ENTRYPOINT: &str = "com.docker.image.source.entrypoint";

/// What the variables ask for, where they do: labels that win over those of `--label`, as in buildx.
///
/// `context` is a folder of this machine; a folder without a commit has none.
pub(crate) fn of(context: &Path, file: Option<&Path>) -> Result<Vec<(String, String)>, Failure> {
    let wanted = environment::text(environment::BUILDX_GIT_LABELS).unwrap_or_default();
    if wanted != "full" && !is_true(&wanted) {
        return Ok(Vec::new());
    }
    let folder = absolute(context)?;
    if git(&folder, &["rev-parse", "--is-inside-work-tree"])?.as_deref() != Some("true") {
        if folder.join(".git").exists() {
            return Err(Failure::new(format!("git cannot read {}", folder.display()))
                .hint("try `git status` there, or leave out BUILDX_GIT_LABELS"));
        }
        return Ok(Vec::new());
    }
    let mut labels = Vec::new();
    if let Some(mut commit) = git(&folder, &["rev-parse", "--verify", "-q", "HEAD"])? {
        let check = environment::text(environment::BUILDX_GIT_CHECK_DIRTY).unwrap_or_default();
        if is_true(&check) && git(&folder, &["status", "--porcelain", "--ignored"])?.is_some() {
            commit += "-dirty";
        }
        labels.push((REVISION.to_owned(), commit));
    }
    let mut remote = git(&folder, &["remote", "get-url", "origin"])?;
    if remote.is_none() {
        remote = git(&folder, &["remote", "get-url", "upstream"])?;
    }
    labels.extend(remote.map(|it| (SOURCE.to_owned(), without_login(&it))));
    if let Some(root) = git(&folder, &["rev-parse", "--show-toplevel"])? {
        let file = match file {
            Some(file) => absolute(file)?,
            None => folder.join("Dockerfile"),
        };
        let within = file.strip_prefix(root).ok().map(|it| it.to_string_lossy().into_owned());
        labels.extend(within.map(|it| (ENTRYPOINT.to_owned(), it)));
    }
    Ok(labels)
}

/// The words that Go takes as true.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// The first line that git writes; nothing where it fails or has nothing to say.
fn git(folder: &Path, args: &[&str]) -> Result<Option<String>, Failure> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "log.showSignature=false"]).args(args);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().map_err(|error| {
        let name = environment::BUILDX_GIT_LABELS;
        Failure::new(format!("{name} needs the program git: {error}"))
            .hint("install git, or leave the variable out")
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().filter(|it| output.status.success() && !it.is_empty());
    Ok(line.map(str::to_owned))
}

/// Absolute and without `.` and `..`, links unread.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let mut clean = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    Ok(clean)
}

/// An address without the name and the password that it may have.
fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |it| it.1);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::without_login;

    #[test]
    fn a_label_has_no_password() {
        let url = without_login("https://user:pa@ss@example.com:8/r.git?a@b");
        assert_eq!(url, "https://example.com:8/r.git?a@b");
        assert_eq!(without_login("git@example.com:r.git"), "git@example.com:r.git");
    }
}
