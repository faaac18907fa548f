//! The files of a commit in a folder.

use super::{Commit, objects::kept, program::Git};
use crate::RemoteError;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use strake_plan::GitSource;

/// Files of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The folder that was asked for: the checkout's or one below it.
    pub folder: PathBuf,
    /// When the commit was made, in seconds since 1970.
    pub time: i64,
}

pub(super) fn checkout(
    git: &Git,
    objects: &Path,
    source: &GitSource,
    commit: &Commit,
    folder: &Path,
) -> Result<Checkout, RemoteError> {
    let GitSource { subdir, keep_git_dir, submodules, commit_mtime, .. } = source;
    let printed = git.local(objects).run(&["show", "-s", "--format=%ct", &commit.id])?;
    let time: i64 = printed.trim().parse().unwrap_or(0);
    let modules = format!("{}:.gitmodules", commit.id);
    let modules = *submodules && git.local(objects).succeeds(&["cat-file", "-e", &modules])?;
    let keep = *keep_git_dir && subdir.is_none();
    fs_err::create_dir(folder)?;
    if keep || modules {
        let names = names(source, commit);
        clone(git, objects, commit, &names, folder)?;
    } else {
        let index = folder.with_extension("index");
        git.local(folder)
            .env("GIT_DIR", objects)
            .env("GIT_WORK_TREE", folder)
            .env("GIT_INDEX_FILE", &index)
            .run(&["read-tree", "--reset", "-u", &commit.id])?;
        let _ = fs_err::remove_file(&index);
    }
    if modules {
        let args = ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"];
        git.talking(folder).run(&args)?;
    }
    if !keep && modules {
        forget(folder)?;
    }
    let below = below(git, folder, subdir.as_deref())?;
    tidy(&below, commit_mtime.then_some(time))?;
    Ok(Checkout { folder: below, time })
}

/// The references that Docker leaves in a kept repository: the annotated tag; or else what was asked for
/// as a branch and as a tag, whichever it was, so that `git describe --tags` finds it.
fn names(source: &GitSource, commit: &Commit) -> Vec<String> {
    let Some(found) = &commit.reference else { return Vec::new() };
    let default = found.strip_prefix("refs/heads/").unwrap_or(found);
    let written = source.reference.as_deref().unwrap_or(default);
    let tag = format!("refs/tags/{}", written.strip_prefix("refs/tags/").unwrap_or(written));
    if commit.tag.is_some() || written.starts_with("refs/tags/") {
        return vec![tag];
    }
    match written.starts_with("refs/") {
        true => vec![written.to_owned(), tag],
        false => vec![format!("refs/heads/{written}"), tag],
    }
}

/// A repository of its own in `folder`, with the one commit and `names` for it.
fn clone(
    git: &Git,
    objects: &Path,
    commit: &Commit,
    names: &[String],
    folder: &Path,
) -> Result<(), RemoteError> {
    let sha256 = commit.id.len() == 64;
    let format = if sha256 { "--object-format=sha256" } else { "--object-format=sha1" };
    git.local(folder).run(&["init", "--quiet", format, "."])?;
    // Not the plain path: git would link the store's files.
    let from = format!("file://{}", objects.display());
    let kept = kept(commit);
    let wanted: Vec<String> = match names {
        [] => vec![kept],
        names => names.iter().map(|name| format!("+{kept}:{name}")).collect(),
    };
    let mut args =
        vec!["fetch", "--quiet", "--update-head-ok", "--depth=1", "--no-tags", "--", &from];
    args.extend(wanted.iter().map(String::as_str));
    git.local(folder).run(&args)?;
    git.local(folder).run(&["checkout", "--quiet", "--force", "--detach", &commit.id])?;
    git.local(folder).run(&["remote", "add", "origin", &git.shown()])?;
    git.local(folder).run(&["reflog", "expire", "--all", "--expire=now"])?;
    let _ = fs_err::remove_file(folder.join(".git/FETCH_HEAD"));
    Ok(())
}

/// Removes `.git`, be it a folder or what points to one, here and in submodules.
fn forget(folder: &Path) -> Result<(), RemoteError> {
    for entry in fs_err::read_dir(folder)? {
        let (path, kind) = {
            let entry = entry?;
            (entry.path(), entry.file_type()?)
        };
        match (kind.is_dir(), path.file_name() == Some(".git".as_ref())) {
            (true, true) => fs_err::remove_dir_all(path)?,
            (false, true) => fs_err::remove_file(path)?,
            (true, false) => forget(&path)?,
            (false, false) => (),
        }
    }
    Ok(())
}

/// The folder within the checkout, which no link may lead out of.
fn below(git: &Git, folder: &Path, subdir: Option<&str>) -> Result<PathBuf, RemoteError> {
    let Some(subdir) = subdir else { return Ok(folder.to_owned()) };
    let missing =
        |why| RemoteError::NoFolder { remote: git.shown(), folder: subdir.to_owned(), why };
    let root = fs_err::canonicalize(folder)?;
    let found = fs_err::canonicalize(folder.join(subdir.trim_start_matches('/')))
        .map_err(|_| missing("there is none"))?;
    if !found.starts_with(&root) {
        return Err(missing("it leads out of the repository"));
    }
    if !found.is_dir() {
        return Err(missing("it is a file"));
    }
    Ok(found)
}

/// Gives all files the modes that they have under umask 022, and `time` where there is one.
fn tidy(path: &Path, time: Option<i64>) -> Result<(), RemoteError> {
    let facts = fs_err::symlink_metadata(path)?;
    if !facts.is_symlink() {
        let mode = facts.permissions().mode() & 0o7777;
        let readable = mode & 0o500;
        let wanted = mode & 0o700 | readable >> 3 | readable >> 6;
        if mode != wanted {
            fs_err::set_permissions(path, Permissions::from_mode(wanted))?;
        }
    }
    if facts.is_dir() {
        for entry in fs_err::read_dir(path)? {
            tidy(&entry?.path(), time)?;
        }
    }
    if let Some(time) = time {
        let at = Timespec { tv_sec: time, tv_nsec: 0 };
        let times = Timestamps { last_access: at, last_modification: at };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(std::io::Error::from)?;
    }
    Ok(())
}
