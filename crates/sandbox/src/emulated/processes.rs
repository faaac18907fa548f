//! Calls about processes: where they are, who they may reach, what they are told of the machine.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::calls::{Answered, Caller, DONE, Reply};
use super::found::Found;
use super::mounts::Source;
use super::paths::path_of;
use super::procfs::{all_inside, is_inside};
use crate::identity::{CARRIER, Call};
use crate::sys::memory;
use crate::sys::process::{group_of, send_signal};

pub(super) fn chdir(caller: &Caller<'_>, found: Result<Found, Errno>) -> Answered {
    let found = found?;
    if !found.is(libc::S_IFDIR) {
        return Err(Errno::NOTDIR);
    }
    caller.permit(&caller.meta(&found), 1)?;
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let file = match found.file {
        Some(file) => file,
        None => rustix::fs::openat(rustix::fs::CWD, &found.path, flags, rustix::fs::Mode::empty())?,
    };
    let cwd = caller.world.number_of(file)?;
    caller.world.change_state(caller.pid, |state| state.cwd = cwd)?;
    DONE
}

pub(super) fn chroot(caller: &Caller<'_>, path: u64) -> Answered {
    let found = caller.find(super::calls::CWD, path, true)?;
    if caller.credentials().user.effective != 0 {
        return Err(Errno::PERM);
    }
    if !found.is(libc::S_IFDIR) {
        return Err(Errno::NOTDIR);
    }
    if matches!(found.mount.source, Source::Proc(_)) {
        return Err(Errno::ACCESS);
    }
    let root = caller.world.number_of(found.file.ok_or(Errno::BADF)?)?;
    caller.world.has_roots.store(true, Ordering::SeqCst);
    caller.world.change_state(caller.pid, |state| state.root = root)?;
    DONE
}

pub(super) fn getcwd(caller: &Caller<'_>, to: u64, size: u64) -> Answered {
    let path = path_of(caller.world, &caller.world.directory(caller.state.cwd))?;
    let mut path = match caller.view().inside(&path) {
        Some(path) => path.to_vec(),
        None => [b"(unreachable)", path.as_slice()].concat(),
    };
    path.push(0);
    if (path.len() as u64) > size {
        return Err(Errno::RANGE);
    }
    memory::write(caller.pid, to, &path)?;
    Ok(Reply::Value(path.len() as i64))
}

/// A number in a register.
fn number(argument: u64) -> i32 {
    ((argument & u64::from(u32::MAX)) as u32).cast_signed()
}

/// Everything else that is about processes; `None` if the call is about something else.
pub(super) fn answer(caller: &Caller<'_>, call: &Call) -> Option<Answered> {
    let [one, two, three, ..] = call.arguments;
    Some(match call.number {
        libc::SYS_umask => {
            let umask = (one & 0o777) as u32;
            let old = caller.state.umask;
            caller
                .world
                .change_state(caller.pid, |state| state.umask = umask)
                .map(|()| Reply::Value(i64::from(old)))
        }
        libc::SYS_uname => uname(caller, one),
        libc::SYS_kill => kill(caller, number(one), number(two)),
        libc::SYS_tkill
        | libc::SYS_tgkill
        | libc::SYS_rt_sigqueueinfo
        | libc::SYS_rt_tgsigqueueinfo
        | libc::SYS_pidfd_open
        | libc::SYS_process_vm_readv
        | libc::SYS_process_vm_writev => reach(caller, number(one)),
        // The limit that carries the state is nobody's to set.
        libc::SYS_prlimit64 if number(two) == CARRIER.cast_signed() && three != 0 => DONE,
        libc::SYS_prlimit64 => reach(caller, number(one)),
        libc::SYS_setpriority | libc::SYS_ioprio_set if number(one) != 0 && number(one) != 1 => {
            Err(Errno::PERM)
        }
        libc::SYS_setpriority | libc::SYS_ioprio_set => reach(caller, number(two)),
        libc::SYS_sched_setaffinity
        | libc::SYS_sched_setattr
        | libc::SYS_sched_setparam
        | libc::SYS_sched_setscheduler => reach(caller, number(one)),
        // Whoever is not dumpable cannot be looked at by this process either.
        libc::SYS_prctl if number(one) == libc::PR_SET_DUMPABLE => match two {
            0 | 1 => DONE,
            _ => Err(Errno::INVAL),
        },
        libc::SYS_capget => capabilities(caller, one, two, three),
        _ => return None,
    })
}

/// Lets the kernel go on where a process is the caller's own or one of the run's.
fn reach(caller: &Caller<'_>, pid: i32) -> Answered {
    let Ok(pid) = u32::try_from(pid) else { return Err(Errno::INVAL) };
    let own = pid == 0 || pid == caller.pid;
    if own || group_of(caller.pid) == Ok(pid) || is_inside(caller.world, pid) {
        Ok(Reply::GoOn)
    } else {
        Err(Errno::SRCH)
    }
}

fn kill(caller: &Caller<'_>, pid: i32, signal: i32) -> Answered {
    match pid {
        // The run is in a session of its own, and so is any group in it.
        0 | 1.. => reach(caller, pid),
        -1 => {
            let own = group_of(caller.pid)?;
            let others = all_inside(caller.world).into_iter().filter(|it| *it != own);
            let sent = others.filter(|it| send_signal(it.cast_signed(), signal).is_ok()).count();
            if sent == 0 { Err(Errno::SRCH) } else { DONE }
        }
        group => {
            let members = all_inside(caller.world)
                .into_iter()
                .any(|it| process_group(it) == Some(group.unsigned_abs()));
            if members { Ok(Reply::GoOn) } else { Err(Errno::SRCH) }
        }
    }
}

fn process_group(pid: u32) -> Option<u32> {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed())?;
    let group = rustix::process::getpgid(Some(pid)).ok()?;
    Some(group.as_raw_nonzero().get().unsigned_abs())
}

/// Length of each text of utsname(2).
const NAME: usize = 65;

fn uname(caller: &Caller<'_>, to: u64) -> Answered {
    let machine = rustix::system::uname();
    let host = caller.world.hostname.as_bytes();
    let texts = [
        machine.sysname().to_bytes(),
        host,
        machine.release().to_bytes(),
        machine.version().to_bytes(),
        machine.machine().to_bytes(),
        b"(none)",
    ];
    let mut bytes = vec![0; NAME * texts.len()];
    for (at, text) in texts.iter().enumerate() {
        let length = text.len().min(NAME - 1);
        bytes[at * NAME..at * NAME + length].copy_from_slice(&text[..length]);
    }
    memory::write(caller.pid, to, &bytes)?;
    DONE
}

/// Docker's default capabilities for root, none for others.
fn capabilities(caller: &Caller<'_>, header: u64, to: u64, _third: u64) -> Answered {
    let mut version = [0; 8];
    if to == 0 || memory::read(caller.pid, header, &mut version)? != version.len() {
        return Ok(Reply::GoOn);
    }
    let version = u32::from_ne_bytes([version[0], version[1], version[2], version[3]]);
    if !matches!(version, 0x2008_0522 | 0x2007_1026) {
        return Ok(Reply::GoOn);
    }
    let user = &caller.credentials().user;
    let low = crate::init::child::CAPABILITIES.bits() as u32;
    let effective = if user.effective == 0 { low } else { 0 };
    let permitted = if [user.real, user.effective, user.saved].contains(&0) { low } else { 0 };
    let words = [effective, permitted, 0, 0, 0, 0];
    let bytes: Vec<u8> = words.iter().flat_map(|it| it.to_ne_bytes()).collect();
    memory::write(caller.pid, to, &bytes)?;
    DONE
}
