//! Unpacked layers, ready to be stacked.
//!
//! Their files are too many to be made durable one by one. Each snapshot is named after the boot of the
//! machine in which it was made; in another one it is compared with the layer's index first, once, for
//! a crash leaves files short.

use crate::{
    Store,
    error::{Context, StoreError},
    files::{make_dir, names, remove_tree, touch},
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

/// Stands for the boot where there is no /proc. What it names is compared each time.
const UNTOLD: &str = "untold";

impl Store {
    /// The unpacked layer in this form, if it is there. It counts as used now.
    pub fn snapshot(&self, form: &str, diff_id: &DiffId) -> Option<PathBuf> {
        let holder = self.snapshot_path(form, diff_id);
        let _shared = self.share().ok()?;
        // The holder is touched, not the snapshot itself: that one's time is the root folder's.
        touch(&holder).ok()?;
        let now = holder.join(self.boot());
        let is_told = self.boot() != UNTOLD;
        if is_told && now.is_dir() {
            return Some(now);
        }
        if let Ok([earlier]) = <[String; 1]>::try_from(names(&holder)) {
            let found = holder.join(&earlier);
            if self.is_whole(diff_id, &found) {
                // Who is not told the boot leaves the name to those who are.
                if !is_told || earlier == UNTOLD {
                    return Some(found);
                }
                // Another build may be quicker.
                if move_dir(&found, &now).is_ok() || now.is_dir() {
                    return Some(now);
                }
            }
        }
        // Where it cannot be removed, it is no hit all the same.
        let _ = self.remove_snapshot(form, diff_id);
        None
    }

    /// What the kernel calls this boot of the machine.
    fn boot(&self) -> &str {
        self.boot.get_or_init(|| {
            let told = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            if told.trim().is_empty() { UNTOLD.to_owned() } else { told.trim().to_owned() }
        })
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
        move_dir(dir, &fresh.join(self.boot())).context("rename", dir)?;
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
        Ok(holder.join(self.boot()))
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
