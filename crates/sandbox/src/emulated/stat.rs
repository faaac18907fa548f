//! Calls that look at files.

use std::sync::atomic::Ordering;

use rustix::fs::{CWD as HERE, readlinkat};
use rustix::io::Errno;

use super::World;
use super::calls::{Answered, Caller, DONE, Reply, has};
use super::found::Found;
use crate::identity::Call;
use crate::identity::place::read_path;
use crate::sys::memory;

/// Descriptor, path and flags of a call.
pub(super) type At = (u64, u64, u64);

pub(super) fn fstat(caller: &Caller<'_>, number: u64, to: u64) -> Answered {
    write_stat(caller, &caller.opened(number)?, to)
}

pub(super) fn stat(caller: &Caller<'_>, (dir, path, flags): At, to: u64) -> Answered {
    write_stat(caller, &caller.find_at(dir, path, flags)?, to)
}

fn write_stat(caller: &Caller<'_>, found: &Found, to: u64) -> Answered {
    let meta = caller.meta(found);
    let mut stat = found.stat;
    (stat.st_uid, stat.st_gid, stat.st_mode) = (meta.uid, meta.gid, meta.mode);
    if let Some(node) = meta.node {
        stat.st_rdev = libc::makedev(node.major, node.minor);
    }
    memory::write(caller.pid, to, memory::bytes_of(&stat))?;
    DONE
}

pub(super) fn statx(caller: &Caller<'_>, (dir, path, flags): At, mask: u64, to: u64) -> Answered {
    if mask & u64::from(libc::STATX__RESERVED.cast_unsigned()) != 0 {
        return Err(Errno::INVAL);
    }
    let found = caller.find_at(dir, path, flags)?;
    let meta = caller.meta(&found);
    let mask = (mask & u64::from(u32::MAX)) as u32;
    let mut stat = memory::statx(&found.path, 0, mask)?;
    (stat.stx_uid, stat.stx_gid) = (meta.uid, meta.gid);
    stat.stx_mode = (meta.mode & 0xffff) as u16;
    if let Some(node) = meta.node {
        (stat.stx_rdev_major, stat.stx_rdev_minor) = (node.major, node.minor);
    }
    memory::write(caller.pid, to, memory::bytes_of(&stat))?;
    DONE
}

pub(super) fn access(caller: &Caller<'_>, (dir, path, flags): At, way: u64) -> Answered {
    let way = (way & u64::from(u32::MAX)) as u32;
    if way & !7 != 0 {
        return Err(Errno::INVAL);
    }
    let found = caller.find_at(dir, path, flags)?;
    let meta = caller.meta(&found);
    if way & 2 != 0 && found.mount.readonly && !found.is(libc::S_IFCHR) {
        return Err(Errno::ROFS);
    }
    let mut asking = caller.credentials().clone();
    if !has(flags, libc::AT_EACCESS) {
        asking.user.file_system = asking.user.real;
        asking.group.file_system = asking.group.real;
    }
    // Root may execute only what somebody may.
    if way & 1 != 0 && meta.is(libc::S_IFREG) && meta.mode & 0o111 == 0 {
        return Err(Errno::ACCESS);
    }
    if asking.permits(meta.owner(), meta.mode, way) { DONE } else { Err(Errno::ACCESS) }
}

/// Whether a call asks for the link of what is known to be a directory: programs that resolve paths
/// themselves ask so of each directory on the way, again and again.
pub(super) fn reads_no_link(world: &World, call: &Call) -> bool {
    let path = match call.number {
        libc::SYS_readlinkat => call.arguments[1],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_readlink => call.arguments[0],
        _ => return false,
    };
    !world.has_roots.load(Ordering::SeqCst)
        && read_path(call.pid, path).is_ok_and(|path| world.known.has(&path))
}

pub(super) fn read_link(
    caller: &Caller<'_>,
    (dir, path): (u64, u64),
    to: u64,
    size: u64,
) -> Answered {
    let found = caller.find_at(dir, path, EMPTY_NOFOLLOW)?;
    if !found.is(libc::S_IFLNK) {
        return Err(Errno::INVAL);
    }
    if size.cast_signed() <= 0 {
        return Err(Errno::INVAL);
    }
    let target = match &found.link {
        Some(link) => link.clone(),
        None => match &found.file {
            Some(file) => readlinkat(file, "", Vec::new())?.into_bytes(),
            None => readlinkat(HERE, &found.path, Vec::new())?.into_bytes(),
        },
    };
    let length = target.len().min(usize::try_from(size).unwrap_or(usize::MAX));
    memory::write(caller.pid, to, &target[..length])?;
    Ok(Reply::Value(length as i64))
}

const EMPTY_NOFOLLOW: u64 = (libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) as u64;

pub(super) fn file_system(caller: &Caller<'_>, path: u64, to: u64) -> Answered {
    let found = caller.find(super::calls::CWD, path, true)?;
    let stat = memory::statfs(&found.path)?;
    memory::write(caller.pid, to, memory::bytes_of(&stat))?;
    DONE
}
