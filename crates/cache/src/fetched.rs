//! What was fetched from elsewhere: files of web servers, and copies of Git repositories.

use crate::{
    Store,
    error::{Context, StoreError},
    files::{make_dir, touch},
    record,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use strake_oci::Digest;

/// A file of a web server as it was last seen, and what it can be asked for again with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedFile {
    /// The address, without credentials.
    pub url: String,
    /// The content, a blob.
    pub digest: Digest,
    /// `ETag`, as the server wrote it.
    pub etag: Option<String>,
    /// `Last-Modified`, as the server wrote it.
    pub last_modified: Option<String>,
}

impl Store {
    /// What is known of the file at `url`, if its content is still there.
    pub fn fetched_file(&self, url: &str) -> Option<FetchedFile> {
        let path = self.fetched_path(url);
        let found: FetchedFile = record::read(&path)?;
        let _ = touch(&path);
        (found.url == url && self.blob(&found.digest).is_some()).then_some(found)
    }

    /// Notes what was fetched; the content is in the store already.
    pub fn insert_fetched_file(&self, file: &FetchedFile) -> Result<(), StoreError> {
        record::write(self, &self.fetched_path(&file.url), file)
    }

    /// The folder for the objects of a Git repository, made where it is missing. Whoever writes to it
    /// holds the lock `git NAME`.
    pub fn repository(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.path("git").join(Digest::of(name.as_bytes()).hex());
        let _shared = self.share()?;
        make_dir(&path)?;
        touch(&path).context("touch", &path)?;
        Ok(path)
    }

    fn fetched_path(&self, url: &str) -> PathBuf {
        self.path("fetched").join(Digest::of(url.as_bytes()).hex())
    }
}
