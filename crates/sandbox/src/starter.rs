//! The process that starts the sandboxes of a build.
//!
//! Executing this program for each of them takes longer than a small run itself: the kernel has to
//! read, relocate and tear down all of it. So it is executed once, as a process of one thread, which
//! forks for every run. Where another run is to be expected it forks for that one ahead: all of a
//! sandbox that is the same for every run is made while the one before runs.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{WaitOptions, setpgid, wait};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::Privilege;
use crate::init::{self, outer};
use crate::sys::process::{Forked, exit_now, forget_signals, fork, reap_by_itself};
use crate::wire::{self, Failure, Report};

/// Starts sandboxes, from any thread. The first run starts a process that the others share.
#[derive(Debug)]
pub struct Starter(Mutex<State>);

#[derive(Debug)]
struct State {
    process: Option<Process>,
    /// How many runs are to be expected still.
    ahead: usize,
    /// Streams to sandboxes that the kernel may still take apart.
    leaving: Vec<UnixStream>,
}

/// Standard input, output and error of a sandbox.
pub(crate) type Streams = [OwnedFd; 3];

/// What the process is asked for, as bits of a byte.
const REQUEST: u8 = 1;
/// The run is in namespaces.
const NAMESPACES: u8 = 2;
/// Another one follows.
const MORE: u8 = 4;

#[derive(Debug)]
struct Process {
    child: Child,
    control: UnixStream,
}

impl Starter {
    /// Of a build with this many runs at most.
    pub fn new(runs: usize) -> Self {
        Self(Mutex::new(State { process: None, ahead: runs, leaving: Vec::new() }))
    }

    /// One run less is to be expected.
    pub fn skip(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ahead = state.ahead.saturating_sub(1);
    }

    /// Has the next run wait for the end of this sandbox, which has nothing more to say.
    pub(crate) fn leave(&self, stream: UnixStream) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).leaving.push(stream);
    }

    /// Starts the outer process of a sandbox with these streams.
    pub(crate) fn start(&self, privilege: &Privilege, streams: &Streams) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What a run has changed is a layer of the next one, and the kernel warns of a directory that is
        // in two overlays at a time.
        for stream in state.leaving.drain(..) {
            let mut gone = [PollFd::new(&stream, PollFlags::empty())];
            while poll(&mut gone, None) == Err(Errno::INTR) {}
        }
        state.ahead = state.ahead.saturating_sub(1);
        let mut request = REQUEST;
        if !matches!(privilege, Privilege::Emulated | Privilege::Chroot) {
            request |= NAMESPACES;
            request |= if state.ahead > 0 { MORE } else { 0 };
        }
        // Somebody may have killed it since.
        if state.process.as_ref().is_some_and(|it| it.ask(request, streams).is_ok()) {
            return Ok(());
        }
        let new = Process::start()?;
        new.ask(request, streams)?;
        state.process = Some(new);
        Ok(())
    }
}

impl Process {
    fn start() -> io::Result<Self> {
        let (control, theirs) = UnixStream::pair()?;
        let child = Command::new("/proc/self/exe")
            .arg0(init::NAME)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, control })
    }

    fn ask(&self, request: u8, streams: &Streams) -> Result<(), Errno> {
        send(&self.control, request, streams.each_ref().map(AsFd::as_fd))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its input is the end of the process, and of none that runs.
        let _gone = self.control.shutdown(Shutdown::Both);
        let _gone = self.child.wait();
    }
}

/// Most descriptors that one message has.
const MOST: usize = 4;

/// Sends a byte and descriptors.
pub(crate) fn send<const N: usize>(
    to: &UnixStream,
    byte: u8,
    descriptors: [BorrowedFd<'_>; N],
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(to, &[IoSlice::new(&[byte])], &mut ancillary, SendFlags::NOSIGNAL).map(drop)
}

/// Receives a byte and descriptors; `None` where nothing comes any more.
pub(crate) fn receive<const N: usize>(
    from: impl AsFd,
) -> Result<Option<(u8, [OwnedFd; N])>, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let (mut byte, flags) = ([0], RecvFlags::CMSG_CLOEXEC);
    loop {
        match recvmsg(from.as_fd(), &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let descriptors = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors = descriptors.and_then(|it| it.collect::<Vec<_>>().try_into().ok());
    Ok(descriptors.map(|it| (byte[0], it)))
}

/// Is that process; the result is the exit code, which nobody reads.
pub(crate) fn main() -> i32 {
    forget_signals();
    reap_by_itself(true);
    let mut spare: Option<Spare> = None;
    loop {
        let Ok(Some((request, streams))) = receive(rustix::stdio::stdin()) else { break };
        let namespaces = request & NAMESPACES != 0;
        let spare_one = spare.take().filter(|_| namespaces);
        if spare_one.is_some_and(|it| it.give(&streams).is_ok()) {
            drop(streams);
        } else {
            begin(namespaces, streams);
        }
        // What is forked now must hold none of these streams: their end is the end of that run.
        if request & MORE != 0 {
            // The run that was just started has the processors first.
            let mut next = [PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN)];
            let _asked = poll(&mut next, Some(&AFTER));
            spare = Spare::fork();
        }
    }
    drop(spare);
    // Until all of them have ended: none of them is to be seen after the build.
    while matches!(wait(WaitOptions::empty()), Ok(_) | Err(Errno::INTR)) {}
    0
}

/// How long after the start of a run the next sandbox is made: about as long as a run takes to start.
const AFTER: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// A sandbox that waits for a run. Without one it ends with this process.
struct Spare(UnixStream);

impl Spare {
    /// `None` where there can be none: then the next run tries again, and says why not.
    fn fork() -> Option<Self> {
        let (ours, theirs) = UnixStream::pair().ok()?;
        match fork().ok()? {
            Forked::Parent(_) => Some(Self(ours)),
            Forked::Child => {
                drop(ours);
                exit_now(as_child(|| outer::main(true, || Ok(receive(&theirs)?.map(|it| it.1)))))
            }
        }
    }

    fn give(self, streams: &Streams) -> Result<(), Errno> {
        send(&self.0, REQUEST, streams.each_ref().map(AsFd::as_fd))
    }
}

fn begin(namespaces: bool, streams: Streams) {
    match fork() {
        Ok(Forked::Parent(_)) => {}
        Ok(Forked::Child) => {
            exit_now(as_child(|| outer::main(namespaces, || Ok(Some(streams)))));
        }
        Err(errno) => {
            let failure = Failure { step: "fork".to_owned(), errno: errno.raw_os_error() };
            let [control, ..] = streams;
            let _gone = wire::send_report(&Report::Failed(failure), UnixStream::from(control));
        }
    }
}

fn as_child(main: impl FnOnce() -> i32) -> i32 {
    reap_by_itself(false);
    // Signals from a terminal are for the builder.
    let _kept = setpgid(None, None);
    main()
}

/// Makes these the standard streams of this process.
pub(crate) fn take([stdin, stdout, stderr]: &Streams) -> Result<(), Errno> {
    dup2_stdin(stdin)?;
    dup2_stdout(stdout)?;
    dup2_stderr(stderr)
}
