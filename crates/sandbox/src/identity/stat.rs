//! Calls that describe a file: as the kernel answers them, but for the recorded owner.

use rustix::io::Errno;

use super::place::{Place, of_descriptor, of_path, read_path};
use super::record::{self, Node};
use super::{Answer, Call, Engine};
use crate::sys::memory;

/// AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW and AT_NO_AUTOMOUNT in a register.
fn has(flags: u64, flag: i32) -> bool {
    flags & u64::from(flag.cast_unsigned()) != 0
}

pub(super) fn answer(engine: &Engine, call: &Call) -> Option<Answer> {
    let [one, two, three, four, five, _] = call.arguments;
    let (place, to) = match call.number {
        libc::SYS_fstat => (of_descriptor(call.pid, one).ok()?, two),
        libc::SYS_newfstatat => (place(engine, call.pid, one, two, four)?, three),
        libc::SYS_statx => (place(engine, call.pid, one, two, three)?, five),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_stat => (place(engine, call.pid, CWD, one, 0)?, two),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lstat => (place(engine, call.pid, CWD, one, NO_FOLLOW)?, two),
        _ => return None,
    };
    // Most files have no record: the kernel's own answer is right.
    let (owner, node) = if engine.has_real_owners() {
        let node = record::node(&place.path, place.follow)?;
        (engine.recorded(&place)?, Some(node))
    } else {
        (engine.recorded(&place)?, record::node(&place.path, place.follow))
    };
    let written = if call.number == libc::SYS_statx {
        write_statx(call, &place, owner, node, to)
    } else {
        write_stat(call, &place, owner, node, to)
    };
    Some(written.map(|()| 0).into())
}

#[cfg(target_arch = "x86_64")]
const CWD: u64 = libc::AT_FDCWD as u64;
#[cfg(target_arch = "x86_64")]
const NO_FOLLOW: u64 = libc::AT_SYMLINK_NOFOLLOW as u64;

/// Finds what a call with a descriptor, a path and flags names.
pub(super) fn place(engine: &Engine, pid: u32, dir: u64, path: u64, flags: u64) -> Option<Place> {
    let path = if path == 0 { Vec::new() } else { read_path(pid, path).ok()? };
    if path.is_empty() {
        return if has(flags, libc::AT_EMPTY_PATH) { of_descriptor(pid, dir).ok() } else { None };
    }
    of_path(engine, pid, dir, &path, !has(flags, libc::AT_SYMLINK_NOFOLLOW)).ok()
}

fn write_stat(
    call: &Call,
    place: &Place,
    (uid, gid): (u32, u32),
    node: Option<Node>,
    to: u64,
) -> Result<(), Errno> {
    let mut stat = memory::stat(&place.path, place.flags())?;
    (stat.st_uid, stat.st_gid) = (uid, gid);
    if let Some(Node { block, major, minor }) = node {
        stat.st_mode = device_mode(stat.st_mode, block);
        stat.st_rdev = libc::makedev(major, minor);
    }
    memory::write(call.pid, to, memory::bytes_of(&stat))
}

fn write_statx(
    call: &Call,
    place: &Place,
    (uid, gid): (u32, u32),
    node: Option<Node>,
    to: u64,
) -> Result<(), Errno> {
    let sync = libc::AT_STATX_FORCE_SYNC | libc::AT_STATX_DONT_SYNC;
    let sync = (call.arguments[2] & u64::from(sync.cast_unsigned())) as i32;
    let mask = (call.arguments[3] & u64::from(u32::MAX)) as u32;
    let mut stat = memory::statx(&place.path, place.flags() | sync, mask)?;
    (stat.stx_uid, stat.stx_gid) = (uid, gid);
    if let Some(Node { block, major, minor }) = node {
        let mode = device_mode(u32::from(stat.stx_mode), block);
        stat.stx_mode = (mode & 0xffff) as u16;
        (stat.stx_rdev_major, stat.stx_rdev_minor) = (major, minor);
    }
    memory::write(call.pid, to, memory::bytes_of(&stat))
}

fn device_mode(mode: u32, block: bool) -> u32 {
    mode & !libc::S_IFMT | if block { libc::S_IFBLK } else { libc::S_IFCHR }
}
