//! Git repositories, by the `git` program: which commit a reference is, and its files in a folder.
//!
//! As BuildKit does it: the remote is asked for one commit, without its history, which is kept in a bare
//! repository of the store; files are checked out of that.

mod checkout;
mod login;
mod objects;
mod program;
mod reference;

pub use checkout::Checkout;
pub use reference::Commit;

use crate::{Remote, RemoteError, remote::once};
use program::Git;
use std::path::Path;
use strake_cache::Store;
use strake_plan::GitSource;

impl Remote {
    /// The commit that `source` is now. What it is asked for once stays for the life of this fetcher.
    pub fn commit(&self, store: &Store, source: &GitSource) -> Result<Commit, RemoteError> {
        let GitSource { remote, reference, checksum, fetch_by_commit, .. } = source;
        let asked = format!("{remote}\n{reference:?}\n{checksum:?}\n{fetch_by_commit}");
        once(&self.shared.commits, &asked, || {
            reference::resolve(&Git::new(self, store, remote)?, source)
        })
    }

    /// Puts the files of a commit into `folder`, which must not exist yet.
    pub fn checkout(
        &self,
        store: &Store,
        source: &GitSource,
        commit: &Commit,
        folder: &Path,
    ) -> Result<Checkout, RemoteError> {
        let git = Git::new(self, store, &source.remote)?;
        let _only_one = store.lock(&format!("git {}", git.remote))?;
        let objects = objects::fetched(&git, store, source, commit)?;
        checkout::checkout(&git, &objects, source, commit, folder)
    }
}
