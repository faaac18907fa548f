//! Sources that are not of the context, as they were fetched.

use super::{
    CopyError,
    filter::Filter,
    select::{Picked, Selection},
    source::{Found, Origin, SourceTree, is_directory},
};
use std::sync::Arc;
use strake_context::Context;
use strake_layer::Kind;
use strake_remote::{Commit, HttpFile};

/// Mode of a file that a web server sent, as in BuildKit.
const HTTP_MODE: u32 = 0o600;

/// A source of an ADD that was fetched.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// A file of a web server.
    File(HttpFile),
    /// A commit of a repository. Its files are only looked at when they are copied: see
    /// [`Selection::fill`].
    Commit(Commit),
}

impl Fetched {
    pub(super) fn picked(&self) -> Picked {
        match self {
            Fetched::File(file) => http(file),
            Fetched::Commit(commit) => empty(commit),
        }
    }
}

fn http(file: &HttpFile) -> Picked {
    let HttpFile { path, digest, size, name, mtime } = file;
    let origin = Origin::Path(Arc::new(path.clone()));
    let kind = Kind::File { size: *size };
    let found = Found::roots(name.clone(), kind, HTTP_MODE, *mtime, origin);
    Picked {
        pinned: Some(format!("{digest} of {mtime}")),
        ..Picked::new(name.clone(), name.clone(), vec![found])
    }
}

/// A folder whose content is not known yet.
fn empty(commit: &Commit) -> Picked {
    let Commit { id, reference: _, tag } = commit;
    let kind = Kind::Directory { opaque: false };
    let found = Found::roots(Vec::new(), kind, 0o755, 0, Origin::Nothing);
    Picked {
        fresh: true,
        // A tag stays in a repository that is kept.
        pinned: Some(tag.as_ref().map_or_else(|| id.clone(), |tag| format!("{id} by {tag}"))),
        ..Picked::new(Vec::new(), Vec::new(), vec![found])
    }
}

impl Selection {
    /// Puts the files of a checkout in the place of a commit, the first of which is number 0. They have
    /// the time `now`, where there is one.
    pub fn fill(
        &mut self,
        number: usize,
        checkout: &Context,
        excludes: &[String],
        now: Option<i64>,
    ) -> Result<(), CopyError> {
        let filter = Filter::new(None, excludes)?;
        let mut entries = filter.apply(b"", SourceTree::Context(checkout).walk(b"")?);
        for found in &mut entries {
            found.entry.mtime = now.unwrap_or(found.entry.mtime);
        }
        let is_commit =
            |it: &&mut Picked| it.pinned.is_some() && is_directory(&it.entries[0].entry);
        let mut commits = self.picked.iter_mut().filter(is_commit);
        let picked = commits.nth(number).ok_or(CopyError::NotFetched)?;
        picked.fresh = now.is_some();
        picked.entries = entries;
        Ok(())
    }
}
