//! File operations that the whole store uses.

use crate::error::{Context, StoreError};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use std::{
    fs::{self, File, Metadata, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

/// Removes a tree whatever the modes of its folders, and without following links. A tree that is
/// not there is success.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let remove = || match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match remove() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path);
            match remove() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        }
        other => other,
    }
}

/// Makes every folder below `path` one that its owner can empty. What fails shows at removal.
fn open_up(path: &Path) {
    let Ok(found) = fs::symlink_metadata(path) else { return };
    if !found.is_dir() {
        return;
    }
    if found.mode() & 0o700 != 0o700 {
        let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|it| it.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Marks a file or folder as used now, by the clock of its file system.
pub(crate) fn touch(path: &Path) -> rustix::io::Result<()> {
    let now = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
    };
    rustix::fs::utimensat(CWD, path, &now, AtFlags::SYMLINK_NOFOLLOW)
}

/// When a file was last touched, comparable with every other file of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Touched {
    pub(crate) seconds: i64,
    nanos: i64,
}

impl Touched {
    pub(crate) fn of(found: &Metadata) -> Touched {
        Touched { seconds: found.mtime(), nanos: found.mtime_nsec() }
    }

    pub(crate) fn at(path: &Path) -> Option<Touched> {
        fs::symlink_metadata(path).ok().map(|found| Touched::of(&found))
    }

    /// Whole seconds since 1970.
    pub(crate) fn unix(self) -> u64 {
        u64::try_from(self.seconds).unwrap_or(0)
    }
}

/// Makes a folder and those above it.
pub(crate) fn make_dir(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).context("create", path)
}

/// Writes a whole file, at a path that nobody else uses. It may be cut short by a crash of the machine
/// even after it was renamed: those who read it must see that.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = File::create_new(path).context("create", path)?;
    let written = file.write_all(bytes);
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written.context("write", path)
}

/// Renames, making the parent of `to` where it is missing.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = to.parent() {
                make_dir(parent)?;
            }
            fs::rename(from, to).context("rename", from)
        }
        other => other.context("rename", from),
    }
}

/// The names in a folder, sorted; none where it is missing.
pub(crate) fn names(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.flatten().filter_map(|it| it.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Bytes that a tree takes on disk. What cannot be read counts nothing.
pub(crate) fn disk_usage(path: &Path) -> u64 {
    let Ok(found) = fs::symlink_metadata(path) else { return 0 };
    // Of several names of one file each takes its share.
    let own = found.blocks() * 512 / found.nlink().max(1);
    if !found.is_dir() {
        return own;
    }
    let Ok(entries) = fs::read_dir(path) else { return found.blocks() * 512 };
    found.blocks() * 512 + entries.flatten().map(|it| disk_usage(&it.path())).sum::<u64>()
}
