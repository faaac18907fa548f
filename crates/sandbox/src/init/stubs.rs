//! Places for mounts that the tree lacks: made for the run, and gone after it.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fstat, mkdirat,
    mknodat, openat, readlinkat, statat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::fsys::find;
use crate::identity::record;
use crate::places::Kind;

/// A file or directory that was made.
#[derive(Debug)]
pub(crate) struct Stub {
    parent: OwnedFd,
    name: OsString,
    kind: Kind,
    /// Times of the parent before and after.
    before: Times,
    after: Times,
}

type Times = (Timespec, Timespec);

/// Symlinks followed at most, as the kernel does.
const MAX_LINKS: u32 = 40;

/// Makes what is missing of a path in a root, and notes it in `made`.
pub(crate) fn ensure(
    root: BorrowedFd<'_>,
    path: &Path,
    kind: Kind,
    made: &mut Vec<Stub>,
) -> Result<(), Errno> {
    ensure_within(root, path, kind, made, MAX_LINKS)
}

fn ensure_within(
    root: BorrowedFd<'_>,
    path: &Path,
    kind: Kind,
    made: &mut Vec<Stub>,
    links: u32,
) -> Result<(), Errno> {
    match find(root, path) {
        Err(Errno::NOENT) => {}
        found => return found.map(drop),
    }
    let path = normal(path);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::NOENT);
    };
    ensure_within(root, parent, Kind::Directory, made, links)?;
    let folder = find(root, parent)?;
    if let Ok(link) = readlinkat(&folder, name, Vec::new()) {
        // A symlink to nowhere: what it names is made instead.
        let links = links.checked_sub(1).ok_or(Errno::LOOP)?;
        let target = parent.join(OsStr::new(&*link.to_string_lossy()));
        return ensure_within(root, &target, kind, made, links);
    }
    made.push(make(folder, name, kind)?);
    Ok(())
}

/// Lets directories that were made stay, as those of a user.
pub(crate) fn keep(made: Vec<Stub>, uid: u32, gid: u32, recorded: bool) -> Result<(), Errno> {
    if (uid, gid) == (0, 0) {
        return Ok(());
    }
    for Stub { parent, name, .. } in made {
        if recorded {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = openat(&parent, &name, flags, Mode::empty())?;
            record::set_owner(&folder, uid, gid)?;
        } else {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            chownat(&parent, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}

/// Removes `.` and `..` from a path that is to be made.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    normal
}

fn make(parent: OwnedFd, name: &OsStr, kind: Kind) -> Result<Stub, Errno> {
    let before = times(&fstat(&parent)?);
    match kind {
        Kind::Directory => mkdirat(&parent, name, Mode::from_raw_mode(0o755))?,
        Kind::File => {
            mknodat(&parent, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)?;
        }
    }
    let after = times(&fstat(&parent)?);
    Ok(Stub { parent, name: name.to_owned(), kind, before, after })
}

fn times(stat: &Stat) -> Times {
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    (
        time(stat.st_atime, stat.st_atime_nsec.cast_signed()),
        time(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
    )
}

/// Removes stubs that are still empty, and puts back the times of their parents.
///
/// A parent that the run itself changed keeps the time of that change.
pub(crate) fn remove(made: Vec<Stub>) {
    for stub in made.into_iter().rev() {
        // What cannot be looked at any more was removed by the run.
        let _gone = remove_one(&stub);
    }
}

fn remove_one(stub: &Stub) -> Result<(), Errno> {
    let now = times(&fstat(&stub.parent)?);
    let stat = statat(&stub.parent, &stub.name, AtFlags::SYMLINK_NOFOLLOW)?;
    let flags = match (stub.kind, FileType::from_raw_mode(stat.st_mode)) {
        (Kind::Directory, FileType::Directory) => AtFlags::REMOVEDIR,
        (Kind::File, FileType::RegularFile) if stat.st_size == 0 => AtFlags::empty(),
        _ => return Ok(()),
    };
    unlinkat(&stub.parent, &stub.name, flags)?;
    let (last_access, last_modification) = if now.1 == stub.after.1 { stub.before } else { now };
    let times = Timestamps { last_access, last_modification };
    match utimensat(stub.parent.as_fd(), ".", &times, AtFlags::empty()) {
        Err(errno) if errno != Errno::NOTDIR => Err(errno),
        _ => Ok(()),
    }
}
