//! Calls that ask for or change who a process is.

use rustix::io::Errno;

use super::credentials::Ids;
use super::{Answer, Call, Holder};
use crate::sys::memory;

/// As many groups as the kernel takes.
const MAX_GROUPS: u64 = 65536;

pub(crate) fn answer(engine: &mut impl Holder, call: &Call) -> Option<Answer> {
    let credentials = engine.credentials(call.pid);
    let value = |id: u32| Some(Answer::Value(Ok(i64::from(id))));
    match call.number {
        libc::SYS_getuid => value(credentials.user.real),
        libc::SYS_geteuid => value(credentials.user.effective),
        libc::SYS_getgid => value(credentials.group.real),
        libc::SYS_getegid => value(credentials.group.effective),
        libc::SYS_getresuid => Some(write_three(call, credentials.user).into()),
        libc::SYS_getresgid => Some(write_three(call, credentials.group).into()),
        libc::SYS_getgroups => Some(write_groups(call, &credentials.groups).into()),
        libc::SYS_setgroups => Some(set_groups(engine, call).into()),
        libc::SYS_prctl => {
            keep_capabilities(engine, call);
            None
        }
        libc::SYS_capset => {
            drop_capabilities(engine, call);
            None
        }
        _ => set(engine, call),
    }
}

/// prctl(PR_SET_KEEPCAPS, ..) and prctl(PR_SET_SECUREBITS, ..), which the kernel carries out too.
fn keep_capabilities(engine: &mut impl Holder, call: &Call) {
    /// SECBIT_NO_SETUID_FIXUP and SECBIT_KEEP_CAPS.
    const KEEPING: u64 = 1 << 2 | 1 << 4;
    let [option, value, ..] = call.arguments;
    let mut new = engine.credentials(call.pid);
    new.keeps =
        if option == libc::PR_SET_KEEPCAPS as u64 { value == 1 } else { value & KEEPING != 0 };
    // Only a process that is gone cannot be given credentials.
    let _gone = engine.set_credentials(call.pid, new);
}

/// capset(2), which the kernel carries out too: what was kept may now be given up.
fn drop_capabilities(engine: &mut impl Holder, call: &Call) {
    /// CAP_SETGID and CAP_SETUID.
    const SET_IDS: u32 = 1 << 6 | 1 << 7;
    let mut new = engine.credentials(call.pid);
    let mut effective = [0; 4];
    if !new.kept || memory::read(call.pid, call.arguments[1], &mut effective).is_err() {
        return;
    }
    new.kept = u32::from_ne_bytes(effective) & SET_IDS != 0;
    let _gone = engine.set_credentials(call.pid, new);
}

/// The calls take 32-bit ids in 64-bit registers.
fn id(argument: u64) -> u32 {
    (argument & u64::from(u32::MAX)) as u32
}

fn set(engine: &mut impl Holder, call: &Call) -> Option<Answer> {
    let mut new = engine.credentials(call.pid);
    let privileged = new.is_privileged();
    let [one, two, three, ..] = call.arguments.map(id);
    let mut value = 0;
    let changed = match call.number {
        libc::SYS_setuid => new.user.set(one, privileged).map(|ids| new.set_user(ids)),
        libc::SYS_setgid => new.group.set(one, privileged).map(|ids| new.group = ids),
        libc::SYS_setreuid => new.user.set_two(one, two, privileged).map(|ids| new.set_user(ids)),
        libc::SYS_setregid => new.group.set_two(one, two, privileged).map(|ids| new.group = ids),
        libc::SYS_setresuid => {
            new.user.set_three([one, two, three], privileged).map(|ids| new.set_user(ids))
        }
        libc::SYS_setresgid => {
            new.group.set_three([one, two, three], privileged).map(|ids| new.group = ids)
        }
        libc::SYS_setfsuid => {
            value = i64::from(new.user.file_system);
            new.user = new.user.set_file_system(one, privileged);
            Ok(())
        }
        libc::SYS_setfsgid => {
            value = i64::from(new.group.file_system);
            new.group = new.group.set_file_system(one, privileged);
            Ok(())
        }
        _ => return None,
    };
    let done = changed.and_then(|()| engine.set_credentials(call.pid, new));
    Some(done.map(|()| value).into())
}

fn write_three(call: &Call, ids: Ids) -> Result<i64, Errno> {
    let three = [ids.real, ids.effective, ids.saved];
    for (address, id) in call.arguments.iter().zip(three) {
        memory::write(call.pid, *address, &id.to_ne_bytes())?;
    }
    Ok(0)
}

fn write_groups(call: &Call, groups: &[u32]) -> Result<i64, Errno> {
    let [size, address, ..] = call.arguments;
    let count = groups.len() as u64;
    if id(size) != 0 {
        if u64::from(id(size)) < count {
            return Err(Errno::INVAL);
        }
        let bytes: Vec<u8> = groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
        memory::write(call.pid, address, &bytes)?;
    }
    Ok(count.cast_signed())
}

fn set_groups(engine: &mut impl Holder, call: &Call) -> Result<i64, Errno> {
    let [size, address, ..] = call.arguments;
    let mut new = engine.credentials(call.pid);
    if !new.is_privileged() {
        return Err(Errno::PERM);
    }
    if size > MAX_GROUPS {
        return Err(Errno::INVAL);
    }
    let mut bytes = vec![0; usize::try_from(size * 4).map_err(|_| Errno::INVAL)?];
    if memory::read(call.pid, address, &mut bytes).unwrap_or(0) != bytes.len() && size > 0 {
        return Err(Errno::FAULT);
    }
    let (groups, _) = bytes.as_chunks();
    new.groups = groups.iter().map(|group| u32::from_ne_bytes(*group)).collect();
    new.groups.sort_unstable();
    engine.set_credentials(call.pid, new)?;
    Ok(0)
}
