//! The outer process: outlives PID 1, so that it can clean up even when the builder was killed.
//!
//! It begins before there is a spec, with all that does not depend on one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process, pidfd_open,
    set_child_subreaper, waitpid,
};
use rustix::thread::UnshareFlags;

use super::pid1;
use super::root::Root;
use crate::cgroup::Group;
use crate::emulated;
use crate::spec::RunSpec;
use crate::starter::{self, Streams};
use crate::sys::process::{Forked, exit_now, fork, unshare};
use crate::wire::{self, Failure, Report, Step};

/// Runs one spec, once there are `streams`; the result is the exit code, which nobody reads.
pub(crate) fn main(
    namespaces: bool,
    streams: impl FnOnce() -> rustix::io::Result<Option<Streams>>,
) -> i32 {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let inner = namespaces.then(Inner::fork);
    let Ok(Some(streams)) = streams() else { return 0 };
    if starter::take(&streams).is_err() {
        return 2;
    }
    drop(streams);
    let Ok(spec) = wire::receive_spec(Control) else { return 2 };
    match supervise(&spec, inner) {
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

fn supervise(spec: &RunSpec, inner: Option<Result<Inner, Failure>>) -> Result<(), Failure> {
    // Until all has ended.
    let group = Group::make(&spec.limits)?;
    let Some(inner) = inner else { return emulate(spec, group.as_ref()) };
    let inner = inner?;
    group.as_ref().map_or(Ok(()), |it| it.take(inner.pid))?;
    let root = Root::prepare(spec)?;
    let mut ending = inner.run(spec, &root);
    if let Ok(ending) = &mut ending
        && root.is_covered()
    {
        ending.reap();
    }
    root.clean();
    ending?.leave();
    Ok(())
}

/// Without namespaces this process adopts what the supervisor would leave if it were killed.
fn emulate(spec: &RunSpec, group: Option<&Group>) -> Result<(), Failure> {
    set_child_subreaper(Some(getpid())).step(|| "adopt orphans".to_owned())?;
    let (life, alive) = io::pipe().step(|| "pipe".to_owned())?;
    match fork().step(|| "fork of the supervisor".to_owned())? {
        Forked::Child => {
            drop(alive);
            if let Some(Err(failure)) = group.map(|it| it.take(getpid())) {
                let _gone = wire::send_report(&Report::Failed(failure), Control);
                exit_now(1);
            }
            exit_now(emulated::main(spec, OwnedFd::from(life)))
        }
        Forked::Parent(pid) => {
            drop(life);
            let ending = watch(pid, alive, None);
            emulated::end_others();
            ending?.leave();
            Ok(())
        }
    }
}

/// PID 1 in its namespaces, which waits for a spec.
struct Inner {
    pid: Pid,
    control: UnixStream,
    /// PID 1 ends when this is closed.
    alive: io::PipeWriter,
    /// PID 1 closes this when its report is on the way and none of the other processes is left.
    over: io::PipeReader,
}

impl Inner {
    fn fork() -> Result<Self, Failure> {
        unshare(UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS)
            .step(|| "new pid, ipc and uts namespaces".to_owned())?;
        // Only hides the host's cgroup path; some containers refuse it.
        let _hidden = unshare(UnshareFlags::NEWCGROUP);
        let (life, alive) = io::pipe().step(|| "pipe".to_owned())?;
        let (over, ends) = io::pipe().step(|| "pipe".to_owned())?;
        let (control, theirs) = UnixStream::pair().step(|| "socket pair".to_owned())?;
        match fork().step(|| "fork of PID 1".to_owned())? {
            Forked::Child => {
                drop((alive, over, control));
                exit_now(pid1::main(theirs, OwnedFd::from(life), ends))
            }
            Forked::Parent(pid) => Ok(Self { pid, control, alive, over }),
        }
    }

    /// Returns when nothing of the program is left; PID 1 itself may still be there.
    fn run(self, spec: &RunSpec, root: &Root) -> Result<Ending, Failure> {
        let Self { pid, control, alive, over } = self;
        let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        let descriptors = [stdin, stdout, rustix::stdio::stderr(), root.as_fd()];
        // That it is gone is found out below.
        let _sent = starter::send(&control, 0, descriptors)
            .map_err(io::Error::from)
            .and_then(|()| wire::send_spec(spec, control));
        watch(pid, alive, Some(over))
    }
}

/// How long PID 1 has to end everything by itself.
const GRACE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A PID 1 that has nothing more to do, unless it is gone.
struct Ending(Option<Pid>);

impl Ending {
    /// Lets the builder go on, and waits for what the kernel still takes apart. Then the end of this
    /// process closes the stream, and the next run may begin.
    fn leave(mut self) {
        let _told = shutdown(rustix::stdio::stdin(), Shutdown::Write);
        self.reap();
    }

    /// Waits until it is gone, and its mounts with it.
    fn reap(&mut self) {
        if let Some(pid) = self.0.take() {
            let _status = reap(pid);
        }
    }
}

/// Waits for PID 1, or until it says by `over` that all is done, and ends it when the builder is gone: by
/// closing `alive`, else by force.
///
/// By itself PID 1 ends the others first, so that none of them sees it go and complains.
fn watch(pid: Pid, alive: io::PipeWriter, over: Option<io::PipeReader>) -> Result<Ending, Failure> {
    silence().step(|| "/dev/null".to_owned())?;
    let init = pidfd_open(pid, PidfdFlags::empty()).step(|| "pidfd of PID 1".to_owned())?;
    let mut fds = vec![
        PollFd::new(&init, PollFlags::IN),
        PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN),
    ];
    fds.extend(over.as_ref().map(|it| PollFd::new(it, PollFlags::IN)));
    // The builder sends nothing after the spec: whatever comes now is the end of the stream.
    while poll(&mut fds, None) == Err(Errno::INTR) {}
    let ended = !fds[0].revents().is_empty();
    if !ended && fds.get(2).is_some_and(|it| !it.revents().is_empty()) {
        return Ok(Ending(Some(pid)));
    }
    drop(alive);
    if !ended && poll(&mut fds[..1], Some(&GRACE)) != Ok(1) {
        let _gone = kill_process(pid, Signal::KILL);
    }
    if reap(pid).is_none_or(|it| !it.exited()) {
        let _gone = wire::send_report(&Report::InitKilled, Control);
    }
    Ok(Ending(None))
}

/// Waits for the end of a process.
fn reap(pid: Pid) -> Option<WaitStatus> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Some(status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
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
