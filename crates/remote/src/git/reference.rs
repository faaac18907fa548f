//! Which commit a reference is.

use super::program::Git;
use crate::RemoteError;
use std::path::Path;
use strake_plan::GitSource;

/// A commit of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// All of its digits.
    pub id: String,
    /// The full name of the reference that it was found by, e.g. `refs/heads/main`.
    pub reference: Option<String>,
    /// The annotated tag that the reference is, an object of its own.
    pub tag: Option<String>,
}

impl Commit {
    /// What the reference is: the tag, or the commit itself.
    pub(super) fn object(&self) -> &str {
        self.tag.as_deref().unwrap_or(&self.id)
    }
}

/// A line of `git ls-remote`.
struct Line<'a> {
    id: &'a str,
    name: &'a str,
}

pub(super) fn resolve(git: &Git, source: &GitSource) -> Result<Commit, RemoteError> {
    let GitSource { remote: _, reference, checksum, fetch_by_commit, .. } = source;
    let given = if *fetch_by_commit { checksum } else { reference };
    let checked = |commit: Commit| match checksum {
        Some(start) if !commit.id.starts_with(start) && !commit.object().starts_with(start) => {
            Err(RemoteError::WrongCommit {
                remote: git.shown(),
                reference: reference.clone().unwrap_or_else(|| "HEAD".to_owned()),
                expected: start.clone(),
                got: commit.id,
            })
        }
        _ => Ok(commit),
    };
    if let Some(id) = given.as_deref().filter(|it| is_commit(it)) {
        return checked(Commit { id: id.to_owned(), reference: None, tag: None });
    }
    let Some(reference) = reference else {
        let printed = listed(git, &["--symref", "--", &git.remote, "HEAD"])?;
        return checked(head(git, &printed)?);
    };
    let peeled = format!("{reference}^{{}}");
    let printed = listed(git, &["--", &git.remote, reference, &peeled])?;
    let lines: Vec<Line<'_>> = lines(&printed).collect();
    for name in candidates(reference) {
        let find = |name: &str| lines.iter().find(|line| line.name == name).map(|line| line.id);
        let Some(id) = find(&name) else { continue };
        // An annotated tag is an object of its own, which names the commit.
        let (commit, tag) = match find(&format!("{name}^{{}}")) {
            Some(commit) => (commit, Some(id.to_owned())),
            None => (id, None),
        };
        return checked(Commit { id: commit.to_owned(), reference: Some(name), tag });
    }
    Err(RemoteError::NoReference { remote: git.shown(), reference: reference.clone() })
}

fn listed(git: &Git, args: &[&str]) -> Result<String, RemoteError> {
    git.talking(Path::new("/")).run(&[&["ls-remote"], args].concat())
}

/// The names that a short one may stand for. As for `git checkout`, a branch comes before a tag.
fn candidates(reference: &str) -> [String; 4] {
    let below = |prefix: &str| match reference.strip_prefix(prefix) {
        Some(_) => reference.to_owned(),
        None => format!("{prefix}{reference}"),
    };
    let exact = if reference.starts_with("refs/") || reference == "HEAD" {
        reference.to_owned()
    } else {
        below("refs/heads/")
    };
    [exact, below("refs/heads/"), below("refs/tags/"), below("refs/")]
}

fn head(git: &Git, printed: &str) -> Result<Commit, RemoteError> {
    let branch = printed.lines().find_map(|line| {
        let (name, _) = line.strip_prefix("ref: ")?.split_once('\t')?;
        Some(name.to_owned())
    });
    let id = lines(printed).find(|line| line.name == "HEAD" && is_commit(line.id));
    let none = || RemoteError::NoReference { remote: git.shown(), reference: "HEAD".to_owned() };
    Ok(Commit { id: id.ok_or_else(none)?.id.to_owned(), reference: branch, tag: None })
}

fn lines(printed: &str) -> impl Iterator<Item = Line<'_>> {
    printed.lines().filter_map(|line| {
        let (id, name) = line.split_once('\t')?;
        Some(Line { id, name })
    })
}

/// Whether a text is a whole commit, of SHA-1 or SHA-256.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
}
