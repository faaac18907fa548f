//! Calls that make, move and remove names.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, CWD as HERE, FileType, Mode, RenameFlags, linkat, mkdirat, mknodat, openat,
    readlinkat, renameat_with, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::calls::{Answered, Caller, DONE, has};
use super::found::{Found, real_mode};
use super::paths::path_of;
use crate::identity::place::parent;
use crate::identity::record::{self, Node};
use crate::sys::memory;

/// Descriptor and path of a call.
type At = (u64, u64);

/// A name in a directory.
pub(super) struct Place {
    pub(super) directory: Found,
    /// Empty for what is no name: `/`, `.`, `..`.
    pub(super) name: Vec<u8>,
    /// Whether a slash followed.
    pub(super) slashed: bool,
}

impl Place {
    pub(super) fn find(caller: &Caller<'_>, dir: u64, path: &[u8]) -> Result<Self, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let (folder, name) = parent(path).unwrap_or((path, b""));
        let directory = caller.resolve(dir, folder, true)?;
        if !directory.is(libc::S_IFDIR) {
            return Err(Errno::NOTDIR);
        }
        Ok(Self { directory, name: name.to_vec(), slashed: path.ends_with(b"/") })
    }

    fn of(caller: &Caller<'_>, (dir, path): At) -> Result<Self, Errno> {
        Self::find(caller, dir, &caller.path(path)?)
    }

    pub(super) fn folder(&self) -> Result<&OwnedFd, Errno> {
        self.directory.file.as_ref().ok_or(Errno::BADF)
    }

    /// What the symlink of this name says, if it is one.
    pub(super) fn link(&self) -> Result<Option<Vec<u8>>, Errno> {
        match readlinkat(self.folder()?, self.name.as_slice(), Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(_) => Ok(None),
        }
    }

    /// The path of the directory as its process names it.
    pub(super) fn base(&self, caller: &Caller<'_>) -> Result<Vec<u8>, Errno> {
        let path = path_of(caller.world, self.folder()?)?;
        Ok(caller.view().inside(&path).ok_or(Errno::NOENT)?.to_vec())
    }

    fn stat(&self) -> Result<libc::stat, Errno> {
        let path = [self.directory.path.as_bytes(), b"/", &self.name].concat();
        let path = CString::new(path).map_err(|_| Errno::INVAL)?;
        memory::stat(&path, libc::AT_SYMLINK_NOFOLLOW)
    }

    /// What has this name.
    fn entry(&self) -> Result<Found, Errno> {
        let flags =
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
        let file = openat(self.folder()?, self.name.as_slice(), flags, Mode::empty())?;
        Found::new(file, std::sync::Arc::clone(&self.directory.mount))
    }

    /// Who owns what the caller makes here, if it may make anything.
    pub(super) fn new_owner(&self, caller: &Caller<'_>) -> Result<(u32, u32), Errno> {
        self.directory.writable()?;
        let user = caller.credentials();
        let folder = caller.meta(&self.directory);
        caller.permit(&folder, 3)?;
        let inherits = folder.mode & libc::S_ISGID != 0;
        let gid = if inherits { folder.gid } else { user.group.file_system };
        Ok((user.user.file_system, gid))
    }

    /// Refuses to make what is there.
    fn vacant(&self) -> Result<(), Errno> {
        if self.name.is_empty() || self.stat().is_ok() { Err(Errno::EXIST) } else { Ok(()) }
    }

    /// Refuses what the caller may not take away, and places of mounts.
    fn removable(&self, caller: &Caller<'_>) -> Result<libc::stat, Errno> {
        let stat = self.stat()?;
        self.directory.writable()?;
        let folder = caller.meta(&self.directory);
        caller.permit(&folder, 3)?;
        let user = caller.credentials().user.file_system;
        if folder.mode & libc::S_ISVTX != 0 && user != 0 && user != folder.uid {
            let entry = caller.meta(&self.entry()?);
            if entry.uid != user {
                return Err(Errno::PERM);
            }
        }
        if caller.world.mounts.is_placeholder(&stat) {
            return Err(Errno::BUSY);
        }
        Ok(stat)
    }

    /// Records whose the new file is, and its mode.
    fn describe(&self, caller: &Caller<'_>, owner: (u32, u32), mode: u32) -> Result<(), Errno> {
        let entry = self.entry()?;
        let directory = entry.is(libc::S_IFDIR);
        if owner == (0, 0) && (entry.is(libc::S_IFLNK) || real_mode(mode, directory) == mode) {
            return Ok(());
        }
        entry.record(caller.world, owner, mode)
    }
}

pub(super) fn mkdir(caller: &Caller<'_>, at: At, mode: u64) -> Answered {
    let place = Place::of(caller, at)?;
    place.vacant()?;
    let owner = place.new_owner(caller)?;
    let mut mode = (mode & 0o1777) as u32 & !caller.state.umask;
    let inherits = caller.meta(&place.directory).mode & libc::S_ISGID != 0;
    if inherits {
        mode |= libc::S_ISGID;
    }
    mkdirat(place.folder()?, place.name.as_slice(), Mode::from_raw_mode(real_mode(mode, true)))?;
    place.describe(caller, owner, mode)?;
    DONE
}

pub(super) fn symlink(caller: &Caller<'_>, target: u64, at: At) -> Answered {
    let target = caller.path(target)?;
    if target.is_empty() {
        return Err(Errno::NOENT);
    }
    let place = Place::of(caller, at)?;
    place.vacant()?;
    if place.slashed {
        return Err(Errno::NOENT);
    }
    let owner = place.new_owner(caller)?;
    symlinkat(target, place.folder()?, place.name.as_slice())?;
    place.describe(caller, owner, 0o777)?;
    DONE
}

pub(super) fn mknod(caller: &Caller<'_>, at: At, mode: u64, device: u64) -> Answered {
    let place = Place::of(caller, at)?;
    place.vacant()?;
    let owner = place.new_owner(caller)?;
    let kind = (mode & u64::from(libc::S_IFMT)) as u32;
    let mode = (mode & 0o7777) as u32 & !caller.state.umask;
    let (folder, name) = (place.folder()?, place.name.as_slice());
    let real = Mode::from_raw_mode(real_mode(mode, false));
    if matches!(kind, libc::S_IFCHR | libc::S_IFBLK) {
        if caller.credentials().user.file_system != 0 {
            return Err(Errno::PERM);
        }
        mknodat(folder, name, FileType::RegularFile, real, 0)?;
        let block = kind == libc::S_IFBLK;
        let (major, minor) = (libc::major(device), libc::minor(device));
        let entry = place.entry()?;
        record::write_node(&entry.path, Node { block, major, minor })?;
        entry.record(caller.world, owner, mode)?;
        return DONE;
    }
    let kind = match FileType::from_raw_mode(kind) {
        FileType::Unknown => FileType::RegularFile,
        FileType::Directory => return Err(Errno::PERM),
        kind => kind,
    };
    mknodat(folder, name, kind, real, 0)?;
    place.describe(caller, owner, mode)?;
    DONE
}

pub(super) fn link(caller: &Caller<'_>, from: At, to: At, flags: u64) -> Answered {
    let place = Place::of(caller, to)?;
    place.vacant()?;
    place.new_owner(caller)?;
    let nofollow = !has(flags, libc::AT_SYMLINK_FOLLOW);
    let flags = flags | if nofollow { libc::AT_SYMLINK_NOFOLLOW as u64 } else { 0 };
    let found = caller.find_at(from.0, from.1, flags)?;
    if found.is(libc::S_IFDIR) {
        return Err(Errno::PERM);
    }
    let same = std::sync::Arc::ptr_eq(&found.mount, &place.directory.mount);
    if found.file.is_some() && !same && !found.is(libc::S_IFLNK) {
        return Err(Errno::XDEV);
    }
    // The path leads through a descriptor, and by that to the very file.
    linkat(HERE, &found.path, place.folder()?, place.name.as_slice(), AtFlags::SYMLINK_FOLLOW)?;
    DONE
}

pub(super) fn unlink(caller: &Caller<'_>, at: At, flags: u64) -> Answered {
    let path = caller.path(at.1)?;
    let place = Place::find(caller, at.0, &path)?;
    let directory = has(flags, libc::AT_REMOVEDIR);
    if place.name.is_empty() {
        let dot = path.ends_with(b".") && !path.ends_with(b"..");
        return Err(match (directory, dot) {
            (false, _) => Errno::ISDIR,
            (true, true) => Errno::INVAL,
            (true, false) => Errno::NOTEMPTY,
        });
    }
    let stat = place.removable(caller)?;
    if place.slashed && stat.st_mode & libc::S_IFMT != libc::S_IFDIR {
        return Err(Errno::NOTDIR);
    }
    let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    unlinkat(place.folder()?, place.name.as_slice(), flags)?;
    if directory {
        caller.world.known.forget();
    }
    DONE
}

pub(super) fn rename(caller: &Caller<'_>, from: At, to: At, flags: u64) -> Answered {
    let (from, to) = (Place::of(caller, from)?, Place::of(caller, to)?);
    if from.name.is_empty() || to.name.is_empty() {
        return Err(Errno::BUSY);
    }
    let moved = from.removable(caller)?;
    match to.removable(caller) {
        Err(Errno::NOENT) => drop(to.new_owner(caller)?),
        done => drop(done?),
    }
    if !std::sync::Arc::ptr_eq(&from.directory.mount, &to.directory.mount) {
        return Err(Errno::XDEV);
    }
    let flags = RenameFlags::from_bits_retain((flags & u64::from(u32::MAX)) as u32);
    if flags.contains(RenameFlags::WHITEOUT) {
        return Err(Errno::INVAL);
    }
    let moves_directory =
        moved.st_mode & libc::S_IFMT == libc::S_IFDIR || flags.contains(RenameFlags::EXCHANGE);
    let (one, two) = (suffixed(&from), suffixed(&to));
    renameat_with(from.folder()?, one, to.folder()?, two, flags)?;
    // Of what is no directory nothing is known, and it replaces none, unless they change places.
    if moves_directory {
        caller.world.known.forget();
    }
    DONE
}

/// With the slash that was written, which asks for a directory.
fn suffixed(place: &Place) -> Vec<u8> {
    let mut name = place.name.clone();
    if place.slashed {
        name.push(b'/');
    }
    name
}
