//! Calls that change modes, owners, times, lengths and extended attributes.

use rustix::fs::{
    AtFlags, CWD as HERE, Mode, OFlags, Timespec, Timestamps, XattrFlags, chmodat, getxattr,
    listxattr, openat, removexattr, setxattr, utimensat,
};
use rustix::io::Errno;

use super::calls::{Answered, CWD, Caller, DONE, Reply};
use super::found::{Found, real_mode};
use super::stat::At;
use crate::identity::Call;
use crate::identity::record::PREFIX;
use crate::sys::memory;

const KEEP: u32 = u32::MAX;

pub(super) fn chmod(caller: &Caller<'_>, found: Result<Found, Errno>, mode: u64) -> Answered {
    let found = found?;
    found.writable()?;
    let meta = caller.meta(&found);
    let user = caller.credentials();
    if user.user.file_system != 0 && user.user.file_system != meta.uid {
        return Err(Errno::PERM);
    }
    if found.is(libc::S_IFLNK) {
        return Err(Errno::OPNOTSUPP);
    }
    if found.mount.owner == super::mounts::Owner::Kernel {
        return DONE;
    }
    let mode = (mode & 0o7777) as u32;
    let real = real_mode(mode, found.is(libc::S_IFDIR));
    chmodat(HERE, &found.path, Mode::from_raw_mode(real), AtFlags::empty())?;
    let recorded = meta.owner() != (0, 0) || found.stat.st_mode & 0o7777 != meta.mode & 0o7777;
    if recorded || real != mode {
        found.record(caller.world, meta.owner(), mode)?;
    }
    DONE
}

pub(super) fn chown(
    caller: &Caller<'_>,
    found: Result<Found, Errno>,
    uid: u64,
    gid: u64,
) -> Answered {
    let found = found?;
    found.writable()?;
    let id = |argument: u64| (argument & u64::from(u32::MAX)) as u32;
    let (uid, gid) = (id(uid), id(gid));
    let meta = caller.meta(&found);
    let new = (if uid == KEEP { meta.uid } else { uid }, if gid == KEEP { meta.gid } else { gid });
    let user = caller.credentials();
    let own = user.user.file_system == meta.uid && new.0 == meta.uid;
    let allowed = user.user.file_system == 0 || own && (new.1 == meta.gid || user.is_member(new.1));
    if !allowed {
        return Err(Errno::PERM);
    }
    if found.mount.owner == super::mounts::Owner::Kernel {
        return DONE;
    }
    let mut mode = meta.mode & 0o7777;
    if meta.is(libc::S_IFREG) && (uid, gid) != (KEEP, KEEP) {
        mode &= !libc::S_ISUID;
        if mode & libc::S_IXGRP != 0 {
            mode &= !libc::S_ISGID;
        }
        if mode != meta.mode & 0o7777 {
            let real = Mode::from_raw_mode(real_mode(mode, false));
            chmodat(HERE, &found.path, real, AtFlags::empty())?;
        }
        let _none = removexattr(&found.path, CAPABILITY);
    }
    if new != meta.owner() || mode != meta.mode & 0o7777 {
        found.record(caller.world, new, mode)?;
    }
    DONE
}

/// utimensat(2)
pub(super) fn times(caller: &Caller<'_>, (dir, path, flags): At, times: u64) -> Answered {
    let found = if path == 0 { caller.opened(dir)? } else { caller.find_at(dir, path, flags)? };
    let times = match times {
        0 => None,
        address => {
            let words = words::<4>(caller, address)?.map(u64::cast_signed);
            Some([(words[0], words[1]), (words[2], words[3])])
        }
    };
    set_times(caller, &found, times)
}

/// utime(2)
pub(super) fn whole_times(caller: &Caller<'_>, path: u64, times: u64) -> Answered {
    let found = caller.find(CWD, path, true)?;
    let times = match times {
        0 => None,
        address => Some(words::<2>(caller, address)?.map(|it| (it.cast_signed(), 0))),
    };
    set_times(caller, &found, times)
}

/// utimes(2) and futimesat(2)
pub(super) fn short_times(caller: &Caller<'_>, (dir, path): (u64, u64), times: u64) -> Answered {
    let found = if path == 0 { caller.opened(dir)? } else { caller.find(dir, path, true)? };
    let times = match times {
        0 => None,
        address => {
            let words = words::<4>(caller, address)?.map(u64::cast_signed);
            Some([(words[0], words[1] * 1000), (words[2], words[3] * 1000)])
        }
    };
    set_times(caller, &found, times)
}

fn words<const COUNT: usize>(caller: &Caller<'_>, address: u64) -> Result<[u64; COUNT], Errno> {
    let mut bytes = vec![0; COUNT * 8];
    if memory::read(caller.pid, address, &mut bytes)? != bytes.len() {
        return Err(Errno::FAULT);
    }
    let (chunks, _) = bytes.as_chunks();
    Ok(std::array::from_fn(|at| u64::from_ne_bytes(chunks[at])))
}

fn set_times(caller: &Caller<'_>, found: &Found, times: Option<[(i64, i64); 2]>) -> Answered {
    found.writable()?;
    let now = (0, rustix::fs::UTIME_NOW);
    let [access, modification] = times.unwrap_or([now, now]);
    let meta = caller.meta(found);
    let user = caller.credentials().user.file_system;
    if user != 0 && user != meta.uid {
        if (access.1, modification.1) != (now.1, now.1) {
            return Err(Errno::PERM);
        }
        caller.permit(&meta, 2)?;
    }
    let time = |(seconds, nanoseconds)| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time(access), last_modification: time(modification) };
    utimensat(HERE, &found.path, &times, AtFlags::empty())?;
    DONE
}

pub(super) fn truncate(caller: &Caller<'_>, path: u64, length: u64) -> Answered {
    let found = caller.find(CWD, path, true)?;
    found.writable()?;
    let meta = caller.meta(&found);
    if !meta.is(libc::S_IFREG) {
        return Err(if meta.is(libc::S_IFDIR) { Errno::ISDIR } else { Errno::INVAL });
    }
    caller.permit(&meta, 2)?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(HERE, &found.path, flags, Mode::empty())?;
    rustix::fs::ftruncate(file, length)?;
    DONE
}

const CAPABILITY: &str = "user.strake.security.capability";

/// Extended attributes; those that only root can give are recorded under other names, and ours are
/// not shown.
pub(super) fn extended(caller: &Caller<'_>, call: &Call) -> Option<Answered> {
    let [one, ..] = call.arguments;
    let number = call.number;
    let found = match number {
        libc::SYS_fgetxattr
        | libc::SYS_fsetxattr
        | libc::SYS_fremovexattr
        | libc::SYS_flistxattr => caller.opened(one),
        libc::SYS_lgetxattr
        | libc::SYS_lsetxattr
        | libc::SYS_lremovexattr
        | libc::SYS_llistxattr => caller.find(CWD, one, false),
        libc::SYS_getxattr | libc::SYS_setxattr | libc::SYS_removexattr | libc::SYS_listxattr => {
            caller.find(CWD, one, true)
        }
        _ => return None,
    };
    Some(found.and_then(|found| attribute(caller, call, &found)))
}

fn attribute(caller: &Caller<'_>, call: &Call, found: &Found) -> Answered {
    let [_, name, value, size, flags, _] = call.arguments;
    if matches!(call.number, libc::SYS_listxattr | libc::SYS_llistxattr | libc::SYS_flistxattr) {
        return list(caller, found, name, value);
    }
    let name = caller.path(name)?;
    if name.starts_with(PREFIX) {
        return Err(Errno::OPNOTSUPP);
    }
    let stored =
        if name == b"security.capability" { CAPABILITY.as_bytes() } else { name.as_slice() };
    match call.number {
        libc::SYS_getxattr | libc::SYS_lgetxattr | libc::SYS_fgetxattr => {
            get(caller, found, stored, value, size)
        }
        libc::SYS_setxattr | libc::SYS_lsetxattr | libc::SYS_fsetxattr => {
            may_describe(caller, found)?;
            let mut content = vec![0; usize::try_from(size.min(65536)).map_err(|_| Errno::INVAL)?];
            if !content.is_empty()
                && memory::read(caller.pid, value, &mut content)? != content.len()
            {
                return Err(Errno::FAULT);
            }
            let flags = XattrFlags::from_bits_truncate((flags & 3) as u32);
            setxattr(&found.path, stored, &content, flags)?;
            DONE
        }
        _ => {
            may_describe(caller, found)?;
            removexattr(&found.path, stored)?;
            DONE
        }
    }
}

fn may_describe(caller: &Caller<'_>, found: &Found) -> Result<(), Errno> {
    found.writable()?;
    if found.is(libc::S_IFLNK) || found.mount.owner == super::mounts::Owner::Kernel {
        return Err(Errno::PERM);
    }
    let user = caller.credentials().user.file_system;
    if user == 0 || user == caller.meta(found).uid { Ok(()) } else { Err(Errno::PERM) }
}

fn get(caller: &Caller<'_>, found: &Found, name: &[u8], to: u64, size: u64) -> Answered {
    let mut value = vec![0; 65536];
    let length = getxattr(&found.path, name, &mut value[..])?;
    give(caller, &value[..length], to, size)
}

fn give(caller: &Caller<'_>, bytes: &[u8], to: u64, size: u64) -> Answered {
    if size != 0 {
        if size < bytes.len() as u64 {
            return Err(Errno::RANGE);
        }
        memory::write(caller.pid, to, bytes)?;
    }
    Ok(Reply::Value(bytes.len() as i64))
}

fn list(caller: &Caller<'_>, found: &Found, to: u64, size: u64) -> Answered {
    let mut names = vec![0; 65536];
    let length = listxattr(&found.path, &mut names[..])?;
    let mut shown = Vec::new();
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        if name == [CAPABILITY.as_bytes(), b"\0"].concat() {
            shown.extend_from_slice(b"security.capability\0");
        } else if !name.starts_with(PREFIX) {
            shown.extend_from_slice(name);
        }
    }
    give(caller, &shown, to, size)
}
