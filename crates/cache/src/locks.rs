//! Named locks across processes and threads.

use crate::{
    Store,
    error::{Context, StoreError},
};
use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};
use strake_oci::Digest;

/// A lock that is held until this is dropped.
///
/// flock(2) locks belong to the open file, so two threads that lock one name exclude each other as
/// two processes do; and the kernel releases them when a process dies.
#[derive(Debug)]
pub struct Guard {
    _file: File,
    path: PathBuf,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Still locked: who waits for this file sees that it is not the named one any more.
        let _ = fs::remove_file(&self.path);
    }
}

impl Store {
    /// Takes the lock `name`, waiting for whoever has it.
    pub fn lock(&self, name: &str) -> Result<Guard, StoreError> {
        let path = self.lock_path(name);
        loop {
            let file = open(&path)?;
            file.lock().context("lock", &path)?;
            if is_at(&file, &path) {
                return Ok(Guard { _file: file, path });
            }
        }
    }

    /// Takes the lock `name`, or nothing where somebody has it.
    pub fn try_lock(&self, name: &str) -> Result<Option<Guard>, StoreError> {
        let path = self.lock_path(name);
        loop {
            let file = open(&path)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(Some(Guard { _file: file, path })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error).context("lock", &path),
            }
        }
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.path("locks").join(Digest::of(name.as_bytes()).hex())
    }
}

/// Opens a lock file, making it where it is missing.
pub(crate) fn open(path: &Path) -> Result<File, StoreError> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).context("open", path)
}

/// Opens a lock file that is there.
pub(crate) fn open_existing(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// Whether the path still names this file.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
