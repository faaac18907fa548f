//! Sources that are not of the context, as they were fetched.

use super::{
    CopyError,
    filter::Filter,
    select::{Picked, Selection},
    source::{Found, Origin, SourceTree, is_directory},
};
use std::{collections::BTreeMap, sync::Arc};
use strake_context::Context;
use strake_layer::{Entry, Kind};
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
    let found = Found {
        entry: Entry {
            path: name.clone(),
            kind: Kind::File { size: *size },
            mode: HTTP_MODE,
            uid: 0,
            gid: 0,
            mtime: *mtime,
            xattrs: BTreeMap::new(),
        },
        content: None,
        origin: match size {
            0 => Origin::Nothing,
            _ => Origin::Path(Arc::new(path.clone())),
        },
        group: None,
        on_disk: None,
    };
    Picked {
        name: name.clone(),
        base: name.clone(),
        entries: vec![found],
        archive: None,
        fresh: false,
        pinned: Some(format!("{digest} of {mtime}")),
    }
}

/// A folder whose content is not known yet.
fn empty(commit: &Commit) -> Picked {
    let Commit { id, reference: _, tag } = commit;
    let found = Found {
        entry: Entry {
            path: Vec::new(),
            kind: Kind::Directory { opaque: false },
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: BTreeMap::new(),
        },
        content: None,
        origin: Origin::Nothing,
        group: None,
        on_disk: None,
    };
    Picked {
        name: Vec::new(),
        base: Vec::new(),
        entries: vec![found],
        archive: None,
        fresh: true,
        // A tag stays in a repository that is kept.
        pinned: Some(tag.as_ref().map_or_else(|| id.clone(), |tag| format!("{id} by {tag}"))),
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
