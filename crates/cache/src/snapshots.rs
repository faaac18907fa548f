//! Unpacked layers, ready to be stacked.

use crate::{
    Store,
    error::{Context, StoreError},
    files::{make_dir, remove_tree, touch},
};
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use strake_oci::DiffId;

impl Store {
    /// The unpacked layer in this form, if it is there. It counts as used now.
    pub fn snapshot(&self, form: &str, diff_id: &DiffId) -> Option<PathBuf> {
        let holder = self.snapshot_path(form, diff_id);
        let _shared = self.share().ok()?;
        // The holder is touched, not the snapshot itself: that one's time is the root folder's.
        touch(&holder).ok().map(|()| holder.join("fs"))
    }

    /// Moves an unpacked layer in. Where another build was quicker, its snapshot stays and `dir` is
    /// dropped.
    pub fn insert_snapshot(
        &self,
        form: &str,
        diff_id: &DiffId,
        dir: &Path,
    ) -> Result<PathBuf, StoreError> {
        let holder = self.snapshot_path(form, diff_id);
        let fresh = self.temp_dir("snapshot")?;
        move_dir(dir, &fresh.join("fs")).context("rename", dir)?;
        if let Some(parent) = holder.parent() {
            make_dir(parent)?;
        }
        let _shared = self.share()?;
        match fs::rename(fresh.path(), &holder) {
            // A folder replaces only an empty one, and a holder is never empty.
            Err(error) if is_taken(&error) => {}
            other => other.context("rename", fresh.path())?,
        }
        touch(&holder).context("touch", &holder)?;
        Ok(holder.join("fs"))
    }

    /// Forgets a snapshot that proved to be damaged.
    pub fn remove_snapshot(&self, form: &str, diff_id: &DiffId) -> Result<(), StoreError> {
        let holder = self.snapshot_path(form, diff_id);
        let claimed = self.temp_path("damaged");
        match fs::rename(&holder, &claimed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.context("rename", &holder)?,
        }
        remove_tree(&claimed).context("remove", &claimed)
    }

    pub(crate) fn snapshot_path(&self, form: &str, diff_id: &DiffId) -> PathBuf {
        self.path("snapshots").join(form).join(diff_id.0.hex())
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

/// Renames a folder, also one that its owner may not write: the kernel must change its `..`.
fn move_dir(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mode = fs::symlink_metadata(from)?.mode() & 0o7777;
            fs::set_permissions(from, Permissions::from_mode(mode | 0o200))?;
            fs::rename(from, to)?;
            fs::set_permissions(to, Permissions::from_mode(mode))
        }
        other => other,
    }
}
