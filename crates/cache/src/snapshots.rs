//! Unpacked layers, ready to be stacked.
//!
//! Their files are too many to be made durable one by one. Each snapshot says in which boot of the
//! machine it was made; in another one it is compared with the layer's index first, once, for a crash
//! leaves files short.

use crate::{
    Store,
    error::{Context, StoreError},
    files::{make_dir, remove_tree, touch},
};
use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};
use strake_layer::Kind;
use strake_oci::DiffId;

impl Store {
    /// The unpacked layer in this form, if it is there. It counts as used now.
    pub fn snapshot(&self, form: &str, diff_id: &DiffId) -> Option<PathBuf> {
        let holder = self.snapshot_path(form, diff_id);
        let _shared = self.share().ok()?;
        // The holder is touched, not the snapshot itself: that one's time is the root folder's.
        touch(&holder).ok()?;
        if fs::read(holder.join("boot")).ok() == boot() {
            return Some(holder.join("fs"));
        }
        if self.is_whole(diff_id, &holder.join("fs")) && self.mark(&holder).is_ok() {
            return Some(holder.join("fs"));
        }
        // Where it cannot be removed, it is no hit all the same.
        let _ = self.remove_snapshot(form, diff_id);
        None
    }

    /// Whether every regular file is there at its full length.
    fn is_whole(&self, diff_id: &DiffId, dir: &Path) -> bool {
        let Ok(Some(index)) = self.index(diff_id) else { return false };
        index.entries.iter().all(|it| match it.entry.kind {
            Kind::File { size } => {
                let path = dir.join(OsStr::from_bytes(&it.entry.path));
                fs::symlink_metadata(path).is_ok_and(|it| it.len() == size)
            }
            _ => true,
        })
    }

    /// Notes that the snapshot was made, or found whole, in this boot.
    fn mark(&self, holder: &Path) -> Result<(), StoreError> {
        let fresh = self.temp_path("boot");
        fs::write(&fresh, boot().unwrap_or_default()).context("write", &fresh)?;
        fs::rename(&fresh, holder.join("boot")).context("rename", &fresh)
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
        self.mark(&fresh)?;
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

/// What the kernel calls this boot of the machine.
fn boot() -> Option<Vec<u8>> {
    fs::read("/proc/sys/kernel/random/boot_id").ok()
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
