//! The process that starts the sandboxes of a build.
//!
//! Executing this program for each of them takes longer than a small run itself: the kernel has to
//! read, relocate and tear down all of it. So it is executed once, as a process of one thread, which
//! forks for every run.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::setpgid;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::init::{self, outer};
use crate::sys::process::{Forked, exit_now, fork, reap_by_itself};
use crate::wire::{self, Failure, Report};

/// Starts sandboxes, from any thread. The first run starts a process that the others share.
#[derive(Debug, Default)]
pub struct Starter(Mutex<Option<Process>>);

/// Standard input, output and error of a sandbox.
pub(crate) type Streams = [OwnedFd; 3];

#[derive(Debug)]
struct Process {
    child: Child,
    control: UnixStream,
}

impl Starter {
    /// Starts the outer process of a sandbox with these streams.
    pub(crate) fn start(&self, streams: &Streams) -> io::Result<()> {
        let mut process = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have killed it since.
        if process.as_ref().is_some_and(|it| it.send(streams).is_ok()) {
            return Ok(());
        }
        let new = Process::start()?;
        new.send(streams)?;
        *process = Some(new);
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

    fn send(&self, streams: &Streams) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let streams = streams.each_ref().map(AsFd::as_fd);
        ancillary.push(SendAncillaryMessage::ScmRights(&streams));
        sendmsg(&self.control, &[IoSlice::new(&[1])], &mut ancillary, SendFlags::NOSIGNAL).map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its input is the end of the process, and of none that it has started.
        let _gone = self.control.shutdown(Shutdown::Both);
        let _gone = self.child.wait();
    }
}

/// Is that process; the result is the exit code, which nobody reads.
pub(crate) fn main() -> i32 {
    reap_by_itself(true);
    loop {
        match receive() {
            Ok(Some(streams)) => begin(streams),
            Ok(None) => return 0,
            Err(Errno::INTR) => {}
            Err(_) => return 2,
        }
    }
}

/// The streams of the next sandbox; `None` when the builder is gone.
fn receive() -> Result<Option<Streams>, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let (mut byte, flags) = ([0], RecvFlags::CMSG_CLOEXEC);
    let stdin = rustix::stdio::stdin();
    recvmsg(stdin, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags)?;
    let streams = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(streams) => Some(streams),
        _ => None,
    });
    Ok(streams.and_then(|it| it.collect::<Vec<_>>().try_into().ok()))
}

fn begin(streams: Streams) {
    let step = match fork() {
        Ok(Forked::Parent(_)) => return,
        Ok(Forked::Child) => match become_outer(&streams) {
            Ok(()) => {
                drop(streams);
                exit_now(outer::main())
            }
            Err(errno) => Failure { step: "streams".to_owned(), errno: errno.raw_os_error() },
        },
        Err(errno) => Failure { step: "fork".to_owned(), errno: errno.raw_os_error() },
    };
    let [control, ..] = streams;
    let _gone = wire::send_report(&Report::Failed(step), UnixStream::from(control));
}

/// What the C library's `posix_spawn` would have done.
fn become_outer([stdin, stdout, stderr]: &Streams) -> Result<(), Errno> {
    reap_by_itself(false);
    setpgid(None, None)?;
    dup2_stdin(stdin)?;
    dup2_stdout(stdout)?;
    dup2_stderr(stderr)
}
