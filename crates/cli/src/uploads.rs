//! Uploads that are under way, kept in the store for the next process.
//!
//! A file for each, readable for its owner only: who has an upload's address may write to it. A lock beside
//! it says that somebody works at it. Registries forget uploads after some days, and so does this.

use crate::clock;
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use strake_oci::Digest;
use strake_registry::{Journal, JournalEntry};

/// Entries that nobody has touched for so long are removed.
const LIFE: i64 = 3 * 24 * 3600;

/// A folder of entries.
pub(crate) struct Uploads {
    folder: PathBuf,
}

impl Uploads {
    /// The entries of the store at `store`. Without a folder to write in nothing is remembered.
    pub(crate) fn of_store(store: &Path) -> Uploads {
        let uploads = Uploads { folder: store.join("uploads") };
        uploads.clear_up();
        uploads
    }

    fn clear_up(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let old = entry.metadata().is_ok_and(|it| clock::now() - it.mtime() > LIFE);
            if old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Journal for Uploads {
    fn claim(&self, key: &str) -> Option<Box<dyn JournalEntry>> {
        fs::create_dir_all(&self.folder).ok()?;
        let path = self.folder.join(Digest::of(key.as_bytes()).hex());
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.with_extension("lock")).ok()?;
        lock.try_lock().ok()?;
        Some(Box::new(Entry { path, _lock: lock }))
    }
}

struct Entry {
    path: PathBuf,
    _lock: File,
}

impl JournalEntry for Entry {
    fn read(&self) -> Option<String> {
        fs::read_to_string(&self.path).ok()
    }

    /// What cannot be written down costs bytes when it is needed, and nothing else.
    fn write(&self, text: &str) {
        let fresh = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options.open(&fresh).and_then(|mut it| it.write_all(text.as_bytes()));
        if written.is_ok() {
            let _ = fs::rename(&fresh, &self.path);
        }
    }

    fn clear(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.path.exists() {
            let _ = fs::remove_file(self.path.with_extension("lock"));
        }
    }
}
