//! Cache mounts: folders that stay between builds.

use crate::{
    Store,
    error::{Context, StoreError},
    files::{make_dir, touch, write_whole},
    locks,
};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};
use strake_oci::Digest;
use strake_plan::CacheSharing;

/// A cache mount, held until this is dropped.
#[derive(Debug)]
pub struct CacheMount {
    /// The folder.
    pub path: PathBuf,
    /// Whether it was made just now: then mode, owner and first content are the caller's to set.
    pub is_new: bool,
    _guard: File,
}

impl Store {
    /// The cache mount `id`. `Locked` waits until nobody has it; `Private` takes another folder
    /// where somebody has the first, and a later one takes it again.
    pub fn cache_mount(&self, id: &str, sharing: CacheSharing) -> Result<CacheMount, StoreError> {
        let folder = self.mount_folder(id);
        make_dir(&folder)?;
        self.name_mount(&folder, id)?;
        match sharing {
            CacheSharing::Shared => {
                let file = locks::open(&folder.join("0.lock"))?;
                file.lock_shared().context("lock", &folder)?;
                self.hold(&folder, 0, file)
            }
            CacheSharing::Locked => {
                let file = locks::open(&folder.join("0.lock"))?;
                file.lock().context("lock", &folder)?;
                self.hold(&folder, 0, file)
            }
            CacheSharing::Private => self.first_idle(&folder),
        }
    }

    fn first_idle(&self, folder: &Path) -> Result<CacheMount, StoreError> {
        let mut number = 0;
        loop {
            let file = locks::open(&folder.join(format!("{number}.lock")))?;
            match file.try_lock() {
                Ok(()) => return self.hold(folder, number, file),
                Err(TryLockError::WouldBlock) => number += 1,
                Err(TryLockError::Error(error)) => return Err(error).context("lock", folder),
            }
        }
    }

    /// The folder under a lock that is held. Lock files are never removed, so the lock is the folder's.
    fn hold(&self, folder: &Path, number: u32, guard: File) -> Result<CacheMount, StoreError> {
        let lock = folder.join(format!("{number}.lock"));
        touch(&lock).context("touch", &lock)?;
        let path = folder.join(number.to_string());
        let is_new = match fs::create_dir(&path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error).context("create", &path),
        };
        Ok(CacheMount { path, is_new, _guard: guard })
    }

    /// Keeps the id beside the folder, for `strake du`.
    fn name_mount(&self, folder: &Path, id: &str) -> Result<(), StoreError> {
        let name = folder.join("id");
        if name.exists() {
            return Ok(());
        }
        let fresh = self.temp_path("id");
        write_whole(&fresh, id.as_bytes())?;
        File::open(&fresh).and_then(|it| it.sync_all()).context("write", &fresh)?;
        fs::rename(&fresh, &name).context("rename", &fresh)
    }

    pub(crate) fn mount_folder(&self, id: &str) -> PathBuf {
        self.path("mounts").join(Digest::of(id.as_bytes()).hex())
    }
}
