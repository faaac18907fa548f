//! PID 1 of a sandbox: starts the program, reaps, answers for the identity engine, reports.

use std::io::{PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, set_parent_process_death_signal, wait,
};
use rustix::thread::UnshareFlags;

use super::outer::Control;
use super::tree::Ready;
use super::{child, tree};
use crate::identity::{Ended, Engine, Roots};
use crate::notify::Listener;
use crate::seccomp::Watch;
use crate::spec::{Network, RunSpec};
use crate::sys::process::{Forked, child_signals, fork, unshare};
use crate::wire::{self, Failure, Report, Step};
use crate::{Privilege, starter, sys};

/// Makes what does not depend on a spec, waits for one, runs its program to the end and reports; the
/// result is the exit code, which nobody reads.
pub(super) fn main(control: UnixStream, life: OwnedFd, over: PipeWriter) -> i32 {
    let ready = set_parent_process_death_signal(Some(Signal::KILL))
        .step(|| "death signal".to_owned())
        .and_then(|()| Ready::make());
    let Ok(Some((_, [stdin, stdout, stderr, root]))) = starter::receive(&control) else { return 0 };
    let Ok(spec) = wire::receive_spec(&control) else { return 2 };
    if starter::take(&[stdin, stdout, stderr]).is_err() {
        return 2;
    }
    drop(control);
    let report = ready
        .and_then(|ready| run(&spec, root.as_fd(), &ready, &life))
        .unwrap_or_else(Report::Failed);
    let code = i32::from(wire::send_report(&report, Control).is_err());
    // Nothing of this process keeps the builder waiting while the kernel takes it apart.
    std::mem::forget((life, over, root));
    sys::process::close_all();
    code
}

fn run(
    spec: &RunSpec,
    root: BorrowedFd<'_>,
    ready: &Ready,
    life: &OwnedFd,
) -> Result<Report, Failure> {
    rustix::process::umask(rustix::fs::Mode::empty());
    rustix::system::sethostname(spec.hostname.as_bytes()).step(|| "host name".to_owned())?;
    if spec.network == Network::None {
        unshare(UnshareFlags::NEWNET).step(|| "new network namespace".to_owned())?;
        sys::net::loopback_up().step(|| "loopback interface".to_owned())?;
    }
    if !spec.limits.are_none() {
        // The run's own group is what it sees; some containers refuse it.
        let _hidden = unshare(UnshareFlags::NEWCGROUP);
    }
    let roots = Roots::open(&spec.root).step(|| "open the upper directory".to_owned())?;
    tree::set_up(spec, root, ready)?;
    let (engine, watch) = match spec.privilege {
        Privilege::SingleId => (Some(Engine::new(roots, spec)), Watch::Identity),
        Privilege::SubIds if !spec.has_devices => {
            (Some(Engine::for_devices(roots, spec)), Watch::NewDevices)
        }
        Privilege::SubIds => (Some(Engine::for_devices(roots, spec)), Watch::Devices),
        Privilege::Root | Privilege::Emulated | Privilege::Chroot | Privilege::None { .. } => {
            (None, Watch::Nothing)
        }
    };
    let signals = child_signals().step(|| "signal descriptor".to_owned())?;
    let (mut told, tell) = std::io::pipe().step(|| "pipe".to_owned())?;
    let pid = match fork().step(|| "fork".to_owned())? {
        Forked::Child => child::main(spec, watch, engine.as_ref().and_then(Engine::first), tell),
        Forked::Parent(pid) => pid,
    };
    drop(tell);
    let mut listener = None;
    if let Some(engine) = engine {
        match child::Message::read(&mut told) {
            Some(child::Message::Listener(number)) => {
                let started = Listener::start(pid, number, engine);
                listener = Some(started.step(|| "seccomp listener".to_owned())?);
            }
            Some(message) => return message.into_report(),
            None => return Ok(Report::InitKilled),
        }
    }
    let status = supervise(pid, &signals, life)?;
    end_others();
    if let Some(message) = child::Message::read(&mut told) {
        return message.into_report();
    }
    let owners = match listener.map(|it| it.end()) {
        Some(Ended::MakesDevice) => return Ok(Report::MakesDevice),
        Some(Ended::Owners(owners)) => owners,
        None => Vec::new(),
    };
    Ok(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Report::Exited { code, owners },
        (None, signal) => Report::Signaled { signal: signal.unwrap_or(9), owners },
    })
}

/// Reaps until the program has ended.
fn supervise(pid: Pid, signals: &OwnedFd, life: &OwnedFd) -> Result<WaitStatus, Failure> {
    loop {
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::new(life, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).step(|| "poll".to_owned()),
        }
        let ready = fds.map(|it| it.revents());
        if !ready[1].is_empty() {
            // The builder or the outer process is gone.
            sys::process::kill_all_others();
            sys::process::exit_now(1);
        }
        if !ready[0].is_empty()
            && let Some(status) = reap(pid, signals)
        {
            return Ok(status);
        }
    }
}

/// Ends what the program left behind, while the listener still stands: a call that waits for it
/// would fail otherwise, and its caller could still say so.
fn end_others() {
    sys::process::kill_all_others();
    while matches!(wait(WaitOptions::empty()), Ok(_) | Err(Errno::INTR)) {}
}

/// Reaps all that have ended; returns how the program did, if it is among them.
fn reap(pid: Pid, signals: &OwnedFd) -> Option<WaitStatus> {
    let mut pending = [0; 128 * 8];
    // The signals say only that there is something to wait for.
    let _count = rustix::io::read(signals.as_fd(), &mut pending);
    let mut ended = None;
    while let Ok(Some((reaped, status))) = wait(WaitOptions::NOHANG) {
        if reaped == pid {
            ended = Some(status);
        }
    }
    ended
}

/// Kept here because the pipe's type is only nameable where it is made.
pub(super) fn read_all(from: &mut std::io::PipeReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Less than everything is a message that was cut off, which its reader notices.
    let _cut = from.read_to_end(&mut bytes);
    bytes
}
