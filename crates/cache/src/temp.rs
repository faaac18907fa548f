//! Temporary files of one running build, on the store's file system.

use crate::{
    Store,
    error::{Context, StoreError},
    files::remove_tree,
};
use std::{
    fs, mem,
    ops::Deref,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

/// A temporary folder that is removed when this is dropped.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the folder: it lives as long as the store's lease, or until it is moved.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        mem::take(&mut self.path)
    }
}

impl Deref for TempDir {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for TempDir {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What stays behind goes with the lease.
            let _ = remove_tree(&self.path);
        }
    }
}

impl Store {
    /// Makes a folder of this store's own. `prefix` is for those who look at a running build.
    pub fn temp_dir(&self, prefix: &str) -> Result<TempDir, StoreError> {
        let path = self.temp_path(prefix);
        fs::create_dir(&path).context("create", &path)?;
        Ok(TempDir { path })
    }

    /// A path in this store's own folder that was never used before.
    pub(crate) fn temp_path(&self, prefix: &str) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.lease.temp.join(format!("{prefix}-{number}"))
    }
}
