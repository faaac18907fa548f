//! Calls that change owners, and the attributes that hold them.

use std::ffi::CStr;

use rustix::fs::{AtFlags, CWD, Gid, Uid, chownat, listxattr, llistxattr};
use rustix::io::Errno;

use super::credentials::Credentials;
use super::place::{Place, of_descriptor, of_path, read_path};
use super::record::PREFIX;
use super::{Answer, Call, Engine, Holder, stat};
use crate::sys::memory;

const KEEP: u32 = u32::MAX;
const CWD_ARGUMENT: u64 = libc::AT_FDCWD as u64;

pub(super) fn chown(
    engine: &mut Engine,
    call: &Call,
    still_there: &dyn Fn() -> bool,
) -> Option<Answer> {
    let [one, two, three, four, five, _] = call.arguments;
    let (place, uid, gid) = match call.number {
        libc::SYS_fchown => (of_descriptor(call.pid, one).ok()?, two, three),
        libc::SYS_fchownat => (stat::place(engine, call.pid, one, two, five)?, three, four),
        number => {
            let path = read_path(call.pid, one).ok()?;
            let follow = !is_lchown(number);
            (of_path(engine, call.pid, CWD_ARGUMENT, &path, follow).ok()?, two, three)
        }
    };
    if !still_there() {
        return None;
    }
    let id = |argument: u64| (argument & u64::from(u32::MAX)) as u32;
    let credentials = engine.credentials(call.pid);
    Some(change(engine, &credentials, &place, id(uid), id(gid)).map(|()| 0).into())
}

#[cfg(target_arch = "x86_64")]
fn is_lchown(number: i64) -> bool {
    number == libc::SYS_lchown
}

#[cfg(not(target_arch = "x86_64"))]
fn is_lchown(_number: i64) -> bool {
    false
}

fn change(
    engine: &mut Engine,
    credentials: &Credentials,
    place: &Place,
    uid: u32,
    gid: u32,
) -> Result<(), Errno> {
    let old = engine.recorded(place).unwrap_or((0, 0));
    let new = (if uid == KEEP { old.0 } else { uid }, if gid == KEEP { old.1 } else { gid });
    if !may_change(credentials, old, new) {
        // A missing file is told from a forbidden one, as the kernel does.
        memory::stat(&place.path, place.flags())?;
        return Err(Errno::PERM);
    }
    // The kernel then does what else belongs to it: the time of change, setuid bits and capabilities
    // cleared, an error on a read-only file system.
    let flags = if place.follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    let real = |id: u32| if id == KEEP { None } else { Some(0) };
    let (user, group) = (real(uid).map(Uid::from_raw), real(gid).map(Gid::from_raw));
    chownat(CWD, place.path.as_c_str(), user, group, flags)?;
    if new == old {
        return Ok(());
    }
    engine.record(place, new)
}

fn may_change(credentials: &Credentials, old: (u32, u32), new: (u32, u32)) -> bool {
    if credentials.user.file_system == 0 {
        return true;
    }
    let own = credentials.user.file_system == old.0;
    own && new.0 == old.0 && (new.1 == old.1 || credentials.is_member(new.1))
}

/// Hides our attributes, so that no program copies them to a file of another owner.
pub(super) fn list_attributes(engine: &Engine, call: &Call) -> Option<Answer> {
    let [file, to, size, ..] = call.arguments;
    let place = if call.number == libc::SYS_flistxattr {
        of_descriptor(call.pid, file).ok()?
    } else {
        let path = read_path(call.pid, file).ok()?;
        let follow = call.number == libc::SYS_listxattr;
        of_path(engine, call.pid, CWD_ARGUMENT, &path, follow).ok()?
    };
    let all = names(&place.path, place.follow).ok()?;
    let shown: Vec<u8> = all
        .split_inclusive(|byte| *byte == 0)
        .filter(|name| !name.starts_with(PREFIX))
        .flatten()
        .copied()
        .collect();
    if shown.len() == all.len() {
        return None;
    }
    let length = shown.len() as u64;
    let written = match size {
        0 => Ok(()),
        size if size < length => Err(Errno::RANGE),
        _ => memory::write(call.pid, to, &shown),
    };
    Some(written.map(|()| length.cast_signed()).into())
}

fn names(path: &CStr, follow: bool) -> Result<Vec<u8>, Errno> {
    // As long as a list of names can be.
    let mut names = vec![0; 65536];
    let length = if follow { listxattr(path, &mut names) } else { llistxattr(path, &mut names) }?;
    names.truncate(length);
    Ok(names)
}
