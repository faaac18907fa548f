//! Finds out what this machine lets a process do, by doing it in a child.

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::emulated;
use crate::init::fsys;
use crate::sys::process::{Forked, exit_now, fork, no_new_privileges};
use crate::sys::seccomp::{Instruction, install};
use crate::sys::trace;

/// Whether a fresh /proc can be had in the new pid namespace of this process's children: a container
/// that hides parts of its own refuses it.
pub(crate) fn fresh_proc() -> std::io::Result<()> {
    match fork()? {
        Forked::Child => {
            let made = fsys::make("proc", &[], MountAttrFlags::empty());
            exit_now(made.err().map_or(0, Errno::raw_os_error))
        }
        Forked::Parent(child) => match ended(child) {
            0 => Ok(()),
            errno => Err(std::io::Error::from_raw_os_error(errno)),
        },
    }
}

fn ended(child: Pid) -> i32 {
    let status = waitpid(Some(child), WaitOptions::empty()).ok().flatten();
    status.and_then(|(_, status)| status.exit_status()).unwrap_or(libc::EPERM)
}

/// Whether programs can be run by emulation; else what refuses it.
pub(crate) fn emulation() -> Result<(), String> {
    if !emulated::AVAILABLE {
        return Err("emulation knows no programs of this processor".to_owned());
    }
    listener().map_err(|errno| format!("seccomp gives no listener: {errno}"))?;
    tracing().map_err(|errno| format!("ptrace is refused: {errno}"))
}

/// A seccomp filter that hands calls to another process.
pub(crate) fn listener() -> Result<(), Errno> {
    match fork()? {
        Forked::Child => {
            let allow = Instruction { code: 0x06, jump_true: 0, jump_false: 0, value: 0x7fff_0000 };
            let made = no_new_privileges().and_then(|()| install(&[allow], true));
            exit_now(made.err().map_or(0, Errno::raw_os_error))
        }
        Forked::Parent(child) => match ended(child) {
            0 => Ok(()),
            errno => Err(Errno::from_raw_os_error(errno)),
        },
    }
}

fn tracing() -> Result<(), Errno> {
    match fork()? {
        Forked::Child => loop {
            let _mask = rustix::process::umask(Mode::empty());
            std::thread::sleep(std::time::Duration::from_secs(60));
        },
        Forked::Parent(child) => {
            let done = trace::seize(child.as_raw_nonzero().get().unsigned_abs());
            let _gone = kill_process(child, Signal::KILL);
            let _status = waitpid(Some(child), WaitOptions::empty());
            done
        }
    }
}
