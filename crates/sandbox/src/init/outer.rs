//! The outer process: outlives PID 1, so that it can clean up even when the builder was killed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, set_child_subreaper,
    waitpid,
};
use rustix::thread::UnshareFlags;

use super::pid1;
use super::root::Root;
use crate::spec::{Network, RunSpec};
use crate::sys::process::{Forked, close_from, exit_now, fork, unshare};
use crate::wire::{self, Failure, Report, Step};
use crate::{Privilege, emulated};

/// Runs one spec; the result is the exit code, which nobody reads.
pub(crate) fn main() -> i32 {
    close_from(3);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let Ok(spec) = wire::receive_spec(Control) else { return 2 };
    match supervise(&spec) {
        Ok(()) => 0,
        Err(failure) => {
            let _gone = wire::send_report(&Report::Failed(failure), Control);
            1
        }
    }
}

/// The stream to the builder, which is standard input in both directions.
#[derive(Clone, Copy)]
pub(super) struct Control;

impl io::Read for Control {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(rustix::stdio::stdin(), buffer)?)
    }
}

impl io::Write for Control {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(rustix::stdio::stdin(), bytes, rustix::net::SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn supervise(spec: &RunSpec) -> Result<(), Failure> {
    if matches!(spec.privilege, Privilege::Emulated | Privilege::Chroot) {
        return emulate(spec);
    }
    let root = Root::prepare(spec)?;
    let outcome = in_namespaces(spec, &root);
    root.clean();
    outcome
}

/// Without namespaces this process adopts what the supervisor would leave if it were killed.
fn emulate(spec: &RunSpec) -> Result<(), Failure> {
    set_child_subreaper(Some(getpid())).step(|| "adopt orphans".to_owned())?;
    let (life, alive) = io::pipe().step(|| "pipe".to_owned())?;
    match fork().step(|| "fork of the supervisor".to_owned())? {
        Forked::Child => {
            drop(alive);
            exit_now(emulated::main(spec, OwnedFd::from(life)))
        }
        Forked::Parent(pid) => {
            drop(life);
            let outcome = watch(pid, alive);
            emulated::end_others();
            outcome
        }
    }
}

fn in_namespaces(spec: &RunSpec, root: &Root) -> Result<(), Failure> {
    let mut flags = UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if spec.network == Network::None {
        flags |= UnshareFlags::NEWNET;
    }
    unshare(flags).step(|| "new pid, ipc and uts namespaces".to_owned())?;
    // Only hides the host's cgroup path; some containers refuse it.
    let _hidden = unshare(UnshareFlags::NEWCGROUP);
    let (life, alive) = io::pipe().step(|| "pipe".to_owned())?;
    match fork().step(|| "fork of PID 1".to_owned())? {
        Forked::Child => {
            drop(alive);
            exit_now(pid1::main(spec, root, OwnedFd::from(life)))
        }
        Forked::Parent(pid) => {
            drop(life);
            watch(pid, alive)
        }
    }
}

/// How long PID 1 has to end everything by itself.
const GRACE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Waits for PID 1 and ends it when the builder is gone: by closing `alive`, else by force.
///
/// By itself PID 1 ends the others first, so that none of them sees it go and complains.
fn watch(pid: Pid, alive: io::PipeWriter) -> Result<(), Failure> {
    silence().step(|| "/dev/null".to_owned())?;
    let init = pidfd_open(pid, PidfdFlags::empty()).step(|| "pidfd of PID 1".to_owned())?;
    let mut fds = [
        PollFd::new(&init, PollFlags::IN),
        PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN),
    ];
    // The builder sends nothing after the spec: whatever comes now is the end of the stream.
    while poll(&mut fds, None) == Err(Errno::INTR) {}
    let ended = !fds[0].revents().is_empty();
    drop(alive);
    if !ended && poll(&mut fds[..1], Some(&GRACE)) != Ok(1) {
        let _gone = kill_process(pid, Signal::KILL);
    }
    let killed = loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => break !status.exited(),
            Ok(None) | Err(Errno::INTR) => {}
            Err(_) => break true,
        }
    };
    if killed {
        let _gone = wire::send_report(&Report::InitKilled, Control);
    }
    Ok(())
}

/// Lets go of the output pipes, so that they end with the last process inside.
fn silence() -> rustix::io::Result<()> {
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    rustix::stdio::dup2_stderr(null.as_fd())
}
