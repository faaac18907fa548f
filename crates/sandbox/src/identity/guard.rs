//! Calls that the kernel lets its only user make, and that a virtual user may not.
//!
//! What is checked is the mode of the file itself, or of the directory that changes; whether the
//! directories on the way may be searched is not.

use rustix::io::Errno;

use super::credentials::Credentials;
use super::place::{Place, of_descriptor, of_path, parent, read_path};
use super::{Answer, Call, Engine, Holder, stat};
use crate::sys::memory;

const CWD: u64 = libc::AT_FDCWD as u64;
const WRITE_AND_SEARCH: u32 = 3;

/// Returns the error that a call deserves, or lets the kernel carry it out.
pub(super) fn answer(engine: &Engine, call: &Call) -> Option<Answer> {
    let credentials = engine.credentials(call.pid);
    if credentials.user.file_system == 0 {
        return None;
    }
    let refused = match call.number {
        libc::SYS_faccessat | libc::SYS_faccessat2 => access(engine, call, &credentials)?,
        libc::SYS_fchmod | libc::SYS_fchmodat | libc::SYS_fchmodat2 => {
            change_mode(engine, call, &credentials)?
        }
        #[cfg(target_arch = "x86_64")]
        libc::SYS_access => access(engine, call, &credentials)?,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chmod => change_mode(engine, call, &credentials)?,
        _ => {
            link(engine, call, &credentials).or_else(|| change_folders(engine, call, &credentials))
        }
    };
    refused.map(|errno| Answer::Value(Err(errno)))
}

fn access(engine: &Engine, call: &Call, credentials: &Credentials) -> Option<Option<Errno>> {
    let [one, two, three, four, ..] = call.arguments;
    let (place, way, effective) = match call.number {
        libc::SYS_faccessat => (stat::place(engine, call.pid, one, two, 0)?, three, false),
        libc::SYS_faccessat2 => {
            let effective = four & u64::from(libc::AT_EACCESS.cast_unsigned()) != 0;
            (stat::place(engine, call.pid, one, two, four)?, three, effective)
        }
        _ => (stat::place(engine, call.pid, CWD, one, 0)?, two, false),
    };
    let mut asking = credentials.clone();
    if !effective {
        asking.user.file_system = asking.user.real;
        asking.group.file_system = asking.group.real;
    }
    let mode = memory::stat(&place.path, place.flags()).ok()?.st_mode;
    if place.is_of_proc() || !matches!(mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR) {
        return None;
    }
    let owner = engine.recorded(&place).unwrap_or((0, 0));
    Some((!asking.permits(owner, mode, (way & 7) as u32)).then_some(Errno::ACCESS))
}

fn change_mode(engine: &Engine, call: &Call, credentials: &Credentials) -> Option<Option<Errno>> {
    let [one, two, _, four, ..] = call.arguments;
    let place = match call.number {
        libc::SYS_fchmod => of_descriptor(call.pid, one).ok()?,
        libc::SYS_fchmodat => stat::place(engine, call.pid, one, two, 0)?,
        libc::SYS_fchmodat2 => stat::place(engine, call.pid, one, two, four)?,
        _ => stat::place(engine, call.pid, CWD, one, 0)?,
    };
    memory::stat(&place.path, place.flags()).ok()?;
    let owner = engine.recorded(&place).unwrap_or((0, 0));
    Some((owner.0 != credentials.user.file_system).then_some(Errno::PERM))
}

/// A further name for a file of somebody else, which the kernel refuses where the file could not be
/// written to either. See proc_sys_fs(5), protected_hardlinks, which is on everywhere.
fn link(engine: &Engine, call: &Call, credentials: &Credentials) -> Option<Errno> {
    const READ_AND_WRITE: u32 = 6;
    let [one, two, _, _, five, _] = call.arguments;
    let (dir, path, flags) = match call.number {
        libc::SYS_linkat => (one, two, five),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_link => (CWD, one, 0),
        _ => return None,
    };
    // Links are followed when asked for, unlike in other calls.
    let follow = u64::from((libc::AT_SYMLINK_FOLLOW).cast_unsigned());
    let not = u64::from((libc::AT_SYMLINK_NOFOLLOW).cast_unsigned());
    let flags = if flags & follow == 0 { flags | not } else { flags };
    let file = stat::place(engine, call.pid, dir, path, flags)?;
    let mode = memory::stat(&file.path, file.flags()).ok()?.st_mode;
    let owner = engine.recorded(&file).unwrap_or((0, 0));
    let by_group = libc::S_ISGID | libc::S_IXGRP;
    let safe = mode & libc::S_IFMT == libc::S_IFREG
        && mode & libc::S_ISUID == 0
        && mode & by_group != by_group
        && credentials.permits(owner, mode, READ_AND_WRITE);
    (owner.0 != credentials.user.file_system && !safe).then_some(Errno::PERM)
}

/// Calls that add a name to a directory or take one away: each is a descriptor and a path, and
/// whether the name is taken away.
fn change_folders(engine: &Engine, call: &Call, credentials: &Credentials) -> Option<Errno> {
    let [one, two, three, four, ..] = call.arguments;
    let names: &[(u64, u64, bool)] = match call.number {
        libc::SYS_unlinkat => &[(one, two, true)],
        #[cfg(not(target_arch = "riscv64"))]
        libc::SYS_renameat => &[(one, two, true), (three, four, true)],
        libc::SYS_renameat2 => &[(one, two, true), (three, four, true)],
        libc::SYS_linkat => &[(three, four, false)],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_unlink | libc::SYS_rmdir => &[(CWD, one, true)],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename => &[(CWD, one, true), (CWD, two, true)],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_link => &[(CWD, two, false)],
        _ => return None,
    };
    names.iter().find_map(|(dir, path, taken)| {
        change_folder(engine, call.pid, (*dir, *path), *taken, credentials)
    })
}

fn change_folder(
    engine: &Engine,
    pid: u32,
    (dir, path): (u64, u64),
    taken: bool,
    credentials: &Credentials,
) -> Option<Errno> {
    let path = read_path(pid, path).ok()?;
    let (folder, _) = parent(&path)?;
    let folder = of_path(engine, pid, dir, folder, true).ok()?;
    let mode = memory::stat(&folder.path, 0).ok()?.st_mode;
    let owner = engine.recorded(&folder).unwrap_or((0, 0));
    if !credentials.permits(owner, mode, WRITE_AND_SEARCH) {
        return Some(Errno::ACCESS);
    }
    let own_folder = owner.0 == credentials.user.file_system;
    if !taken || mode & libc::S_ISVTX == 0 || own_folder {
        return None;
    }
    let file = of_path(engine, pid, dir, &path, false).ok()?;
    is_others(engine, &file, credentials).then_some(Errno::PERM)
}

/// Returns whether a file is there and somebody else's.
fn is_others(engine: &Engine, file: &Place, credentials: &Credentials) -> bool {
    let owner = engine.recorded(file).unwrap_or((0, 0));
    memory::stat(&file.path, file.flags()).is_ok() && owner.0 != credentials.user.file_system
}
