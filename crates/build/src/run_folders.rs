//! Folders that RUNs work in. Making and removing some for each would take longer than the mounts.

use crate::StepError;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use strake_cache::{Store, TempDir};

/// Folders that a RUN has left as empty as it found them.
#[derive(Debug, Default)]
pub(crate) struct RunFolders(Mutex<Vec<TempDir>>);

/// Where the root is, or the folders of its overlay.
pub(crate) fn root(folder: &TempDir) -> PathBuf {
    folder.path().join("root")
}

/// Where the sandbox makes what it needs.
pub(crate) fn scratch(folder: &TempDir) -> PathBuf {
    folder.path().join("scratch")
}

impl RunFolders {
    /// A folder with an empty `root` and an empty `scratch`.
    pub(crate) fn take(&self, store: &Store) -> Result<TempDir, StepError> {
        if let Some(folder) = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(folder);
        }
        let folder = store.temp_dir("run")?;
        fs_err::create_dir(root(&folder))?;
        fs_err::create_dir(scratch(&folder))?;
        Ok(folder)
    }

    /// Takes a folder back, unless something is left in it: then it is removed.
    pub(crate) fn give(&self, folder: TempDir) {
        // A new one for each overlay: the kernel may hold the last one a little longer.
        let _absent = fs::remove_dir(root(&folder).join("work"));
        let is_empty = |path: &Path| fs::read_dir(path).is_ok_and(|mut it| it.next().is_none());
        let has_two = fs::read_dir(folder.path()).is_ok_and(|it| it.count() == 2);
        if has_two && is_empty(&root(&folder)) && is_empty(&scratch(&folder)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
        }
    }
}
