//! The bare repository in the store that holds what was fetched of a remote.

use super::{Commit, program::Git};
use crate::RemoteError;
use std::path::{Path, PathBuf};
use strake_cache::Store;
use strake_plan::GitSource;

/// The bare repository, with the commit in it.
pub(super) fn fetched(
    git: &Git,
    store: &Store,
    source: &GitSource,
    commit: &Commit,
) -> Result<PathBuf, RemoteError> {
    let repository = store.repository(&git.remote)?;
    if !repository.join("HEAD").is_file() {
        let sha256 = commit.id.len() == 64;
        let format = if sha256 { "--object-format=sha256" } else { "--object-format=sha1" };
        git.local(&repository).run(&["init", "--quiet", "--bare", "--template=", format, "."])?;
    }
    // What a build that was killed left behind; the lock of this repository is ours.
    let _ = fs_err::remove_file(repository.join("shallow.lock"));
    let kept = kept(commit);
    let object = format!("{}^{{commit}}", commit.object());
    let is_there = || git.local(&repository).succeeds(&["cat-file", "-e", &object]);
    if !is_there()? {
        one(git, &repository, commit)?;
    }
    if !is_there()? {
        all(git, &repository)?;
    }
    if !is_there()? {
        let GitSource { reference, .. } = source;
        let reference = reference.clone().unwrap_or_else(|| commit.id.clone());
        return Err(RemoteError::NoReference { remote: git.shown(), reference });
    }
    git.local(&repository).run(&["update-ref", &kept, commit.object()])?;
    Ok(repository)
}

/// The name that keeps a commit, and its tag, and that they are fetched on by.
pub(super) fn kept(commit: &Commit) -> String {
    format!("refs/strake/{}", commit.object())
}

/// Asks for the commit alone: by its reference, which every server allows, or by its digits. That it
/// does not come is found out by the caller.
fn one(git: &Git, repository: &Path, commit: &Commit) -> Result<(), RemoteError> {
    let fetch = |what: &str| {
        let args = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--force"];
        let into = format!("+{what}:refs/strake/last");
        for depth in [&["--depth=1"][..], &[]] {
            let done = git
                .talking(repository)
                .run(&[&args[..], depth, &["--", &git.remote, &into]].concat());
            match done {
                // Servers of the plain sort have no shallow copies.
                Err(RemoteError::Git { why, .. })
                    if !depth.is_empty() && (why.contains("shallow") || why.contains("dumb")) => {}
                other => return other.map(drop),
            }
        }
        Ok(())
    };
    match &commit.reference {
        Some(reference) => fetch(reference),
        None => match fetch(&commit.id) {
            // A server may refuse to give out what it has no name for.
            Err(RemoteError::Git { .. }) => Ok(()),
            other => other,
        },
    }
}

/// Fetches all branches and tags with their history, where the commit will be.
fn all(git: &Git, repository: &Path) -> Result<(), RemoteError> {
    let mut args = vec!["fetch", "--quiet", "--no-write-fetch-head", "--force"];
    if repository.join("shallow").is_file() {
        args.push("--unshallow");
    }
    let refs = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
    args.extend(["--", git.remote.as_str()].iter().chain(&refs));
    git.talking(repository).run(&args).map(drop)
}
