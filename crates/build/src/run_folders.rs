//! Folders that RUNs work in. Making and removing some for each would take longer than the mounts.

use crate::StepError;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use strake_cache::{Store, TempDir};

/// Folders that a RUN has left as empty as it found them.
#[derive(Debug, Default)]
pub(crate) struct RunFolders {
    free: Mutex<Vec<TempDir>>,
    given: AtomicUsize,
}

/// Where the root is, or the folders of its overlay.
pub(crate) fn root(folder: &TempDir) -> PathBuf {
    folder.path().join("root")
}

/// What overlays have left, until the end of the build: ext4 without a journal makes new files the slower
/// the more were removed shortly before.
fn used(folder: &TempDir) -> PathBuf {
    folder.path().join("used")
}

/// Where the sandbox makes what it needs.
pub(crate) fn scratch(folder: &TempDir) -> PathBuf {
    folder.path().join("scratch")
}

impl RunFolders {
    /// A folder with an empty `root` and an empty `scratch`.
    pub(crate) fn take(&self, store: &Store) -> Result<TempDir, StepError> {
        if let Some(folder) = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(folder);
        }
        let folder = store.temp_dir("run")?;
        fs_err::create_dir(root(&folder))?;
        fs_err::create_dir(scratch(&folder))?;
        fs_err::create_dir(used(&folder))?;
        Ok(folder)
    }

    /// Takes a folder back, unless something is left in it: then it is removed.
    pub(crate) fn give(&self, folder: TempDir) {
        // A new one for each overlay: the kernel may hold the last one a little longer.
        let number = self.given.fetch_add(1, Ordering::Relaxed).to_string();
        let _absent = fs::rename(root(&folder).join("work"), used(&folder).join(number));
        let is_empty = |path: &Path| fs::read_dir(path).is_ok_and(|mut it| it.next().is_none());
        let has_three = fs::read_dir(folder.path()).is_ok_and(|it| it.count() == 3);
        if has_three && is_empty(&root(&folder)) && is_empty(&scratch(&folder)) {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
        }
    }
}
