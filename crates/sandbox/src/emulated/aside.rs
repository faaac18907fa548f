//! Directories and files that are put aside while something else is in their place, and copies that
//! are thrown away.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Timespec, Timestamps};
use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat, utimensat};
use rustix::io::Errno;

use super::found::own_path;
use crate::OWNER_ATTRIBUTE;
use crate::sys::memory;

/// A directory or file that was put aside.
pub(super) struct Aside {
    is_file: bool,
    place: PathBuf,
    kept: PathBuf,
    parent: OwnedFd,
    before: Timestamps,
    after: (i64, i64),
}

impl Aside {
    /// Moves a directory away if it has something in it, and makes an empty one in its place.
    pub(super) fn put(place: &OwnedFd, kept: &Path) -> Result<Option<Self>, Errno> {
        let listed = openat(place, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let is_entry = |name: &[u8]| name != b"." && name != b"..";
        if !Dir::read_from(&listed)?.flatten().any(|it| is_entry(it.file_name().to_bytes())) {
            return Ok(None);
        }
        let make = |place: &Path| rustix::fs::mkdir(place, Mode::from_raw_mode(0o755));
        Self::exchange(place, kept, false, make).map(Some)
    }

    /// Moves a file away, and writes one with this content in its place.
    pub(super) fn put_file(place: &OwnedFd, kept: &Path, content: &[u8]) -> Result<Self, Errno> {
        let errno = |error: std::io::Error| {
            error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
        };
        Self::exchange(place, kept, true, |place| {
            fs::write(place, content)
                .and_then(|()| fs::set_permissions(place, Permissions::from_mode(0o644)))
                .map_err(errno)
        })
    }

    fn exchange(
        place: &OwnedFd,
        kept: &Path,
        is_file: bool,
        make: impl FnOnce(&Path) -> Result<(), Errno>,
    ) -> Result<Self, Errno> {
        let place = readlinkat(CWD, own_path(place)?, Vec::new())?.into_bytes();
        let place = PathBuf::from(OsString::from_vec(place));
        let parent = place.parent().ok_or(Errno::BUSY)?;
        let parent = openat(CWD, parent, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let stat = memory::fstat(parent.as_fd())?;
        let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let before = Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        };
        rustix::fs::rename(&place, kept)?;
        make(&place)?;
        let stat = memory::fstat(parent.as_fd())?;
        let after = (stat.st_mtime, stat.st_mtime_nsec);
        Ok(Self { is_file, place, kept: kept.to_owned(), parent, before, after })
    }

    /// Moves it back. Where that fails the step has changed the place, and keeps that.
    pub(super) fn put_back(self) {
        let Self { is_file, place, kept, parent, before, after } = self;
        let now = memory::fstat(parent.as_fd()).map(|it| (it.st_mtime, it.st_mtime_nsec));
        let removed = if is_file { fs::remove_file(&place) } else { fs::remove_dir(&place) };
        let back = removed.and_then(|()| fs::rename(&kept, &place));
        if back.is_ok() && now == Ok(after) {
            let _still =
                own_path(&parent).and_then(|path| utimensat(CWD, path, &before, AtFlags::empty()));
        }
    }
}

/// Copies a file or all of a directory, with modes and recorded owners.
pub(super) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if metadata.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if metadata.is_file() {
        fs::copy(from, to)?;
    } else {
        return Ok(());
    }
    let mut owner = [0; 48];
    if let Ok(length) = rustix::fs::getxattr(from, OWNER_ATTRIBUTE, &mut owner) {
        rustix::fs::setxattr(
            to,
            OWNER_ATTRIBUTE,
            &owner[..length],
            rustix::fs::XattrFlags::empty(),
        )?;
    }
    fs::set_permissions(to, Permissions::from_mode(metadata.permissions().mode()))
}

use std::fs::Permissions;
