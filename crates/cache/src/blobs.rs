//! Blobs by digest.

use crate::{
    Store,
    error::{Context, StoreError},
    files::{rename, touch, write_whole},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};
use strake_oci::Digest;

/// Blobs up to this size are hashed when they are read, which takes less than to make each durable
/// when it is written: a crash of the machine may cut them short.
pub(crate) const SMALL: u64 = 64 << 10;

/// Whether a file is what its name says.
pub(crate) fn holds(path: &Path, digest: &Digest) -> bool {
    fs::read(path).is_ok_and(|it| Digest::of(&it) == *digest)
}

impl Store {
    /// The file with these bytes, if the store has it. It counts as used now.
    pub fn blob(&self, digest: &Digest) -> Option<PathBuf> {
        let path = self.blob_path(digest);
        let _shared = self.share().ok()?;
        touch(&path).ok()?;
        let is_small = |it: &fs::Metadata| it.len() <= SMALL;
        if fs::metadata(&path).is_ok_and(|it| is_small(&it)) && !holds(&path, digest) {
            let _ = fs::remove_file(&path);
            return None;
        }
        Some(path)
    }

    /// Moves a finished file in. The caller vouches that `digest` is the file's; `file` is gone
    /// afterwards, also where the store had the blob already.
    pub fn insert_blob(&self, file: &Path, digest: &Digest) -> Result<PathBuf, StoreError> {
        if let Some(path) = self.blob(digest) {
            fs::remove_file(file).context("remove", file)?;
            return Ok(path);
        }
        let opened = File::open(file).context("read", file)?;
        if opened.metadata().context("read", file)?.len() > SMALL {
            opened.sync_all().context("write", file)?;
        }
        let path = self.blob_path(digest);
        let _shared = self.share()?;
        rename(file, &path)?;
        touch(&path).context("touch", &path)?;
        Ok(path)
    }

    /// Stores bytes as a blob.
    pub fn write_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if self.blob(&digest).is_none() {
            let fresh = self.temp_path("blob");
            write_whole(&fresh, bytes)?;
            self.insert_blob(&fresh, &digest)?;
        }
        Ok(digest)
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path("blobs/sha256").join(digest.hex())
    }
}
