//! The builder's side of a run: starts the sandbox, streams its output, ends it on request.

use std::io::{self, PipeReader, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::wire::{self, Report};
use crate::{Privilege, RunSpec, Starter};

/// A piece of output, as it comes.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// From standard output.
    Stdout(&'a [u8]),
    /// From standard error.
    Stderr(&'a [u8]),
}

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// The recorded owner of a file that can carry no extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Absolute path in the root.
    #[serde(with = "crate::wire::path")]
    pub path: std::path::PathBuf,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How the process ended.
    pub status: ExitStatus,
    /// Owners of the symlinks, FIFOs and sockets that changed, where not 0:0. Empty unless the run
    /// was under [`Privilege::SingleId`].
    pub owners: Vec<Owner>,
}

/// Why a process could not be run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing can be run here.
    #[error("no namespaces to run in: {why}")]
    NoNamespaces {
        /// What refused.
        why: String,
    },
    /// The first process could not be started.
    #[error("sandbox process not started: {0}")]
    Start(io::Error),
    /// The program could not be executed.
    #[error("exec {program}: {cause}")]
    NotExecutable {
        /// As given.
        program: String,
        /// Why.
        cause: io::Error,
    },
    /// The working directory cannot be entered.
    #[error("working directory {path}: {cause}")]
    NoCwd {
        /// The directory.
        path: String,
        /// Why.
        cause: io::Error,
    },
    /// A step of the set-up was refused.
    #[error("sandbox set-up: {step}: {cause}")]
    SetUp {
        /// Which.
        step: String,
        /// Why.
        cause: io::Error,
    },
    /// The run was ended: it makes a device, which its programs would not have seen as one. It has to be
    /// run again over the tree as it was, with [`RunSpec::has_devices`].
    #[error("the run makes a device, and looks at files were not checked")]
    MakesDevice,
    /// Somebody else killed the sandbox, the kernel for want of memory for instance.
    #[error("sandbox was killed from outside")]
    Killed,
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// Ends runs from another thread.
#[derive(Clone, Debug)]
pub struct CancelToken {
    event: Arc<OwnedFd>,
}

impl CancelToken {
    /// Makes a token that nobody has cancelled yet.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Arc::new(event) })
    }

    /// Ends all runs that were given this token, now and later. May be called from a signal handler.
    pub fn cancel(&self) {
        // The counter only overflows when it is already far from zero, which is all that matters.
        let _full = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    /// Returns whether [`CancelToken::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        let mut fds = [PollFd::new(&self.event, PollFlags::IN)];
        poll(&mut fds, Some(&rustix::time::Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

impl Starter {
    /// Runs a process to its end, with its output given to `output` as it comes.
    ///
    /// Whatever the process started is ended with it. May be called from any thread.
    pub fn run(
        &self,
        spec: &RunSpec,
        cancel: &CancelToken,
        output: &mut dyn FnMut(Output<'_>),
    ) -> Result<Finished, RunError> {
        if let Privilege::None { why } = &spec.privilege {
            return Err(RunError::NoNamespaces { why: why.clone() });
        }
        let streams = self.streams(&spec.privilege).map_err(RunError::Start)?;
        // A sandbox that died early is found out below, by its missing report.
        let _sent = wire::send_spec(spec, &streams.control);
        let (report, control) = pump(streams, cancel, output).map_err(RunError::Start)?;
        self.leave(control);
        if cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        finished(spec, wire::first_report(&report).unwrap_or(Report::InitKilled))
    }

    /// Starts a sandbox; returns the builder's ends of its streams.
    fn streams(&self, privilege: &Privilege) -> io::Result<Streams> {
        let (control, theirs) = UnixStream::pair()?;
        let (stdout, to_stdout) = io::pipe()?;
        let (stderr, to_stderr) = io::pipe()?;
        self.start(privilege, &[theirs.into(), to_stdout.into(), to_stderr.into()])?;
        Ok(Streams { control, stdout, stderr })
    }
}

struct Streams {
    control: UnixStream,
    stdout: PipeReader,
    stderr: PipeReader,
}

/// Copies output until nothing of the program is left; returns the report, and the stream to a sandbox
/// that has nothing more to say.
fn pump(
    streams: Streams,
    cancel: &CancelToken,
    output: &mut dyn FnMut(Output<'_>),
) -> io::Result<(Vec<u8>, UnixStream)> {
    let Streams { control, stdout, stderr } = streams;
    let (mut stdout, mut stderr) = (Some(stdout), Some(stderr));
    let (mut report, mut buffer, mut cancelled) = (Vec::new(), vec![0; 64 * 1024], false);
    let mut told = Some(&control);
    while stdout.is_some() || stderr.is_some() || told.is_some() {
        let ready = ready([
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
            told.as_ref().map(AsFd::as_fd),
            (!cancelled).then_some(cancel.event.as_fd()),
        ])?;
        if ready[0] {
            drain(&mut stdout, &mut buffer, &mut |bytes| output(Output::Stdout(bytes)))?;
        }
        if ready[1] {
            drain(&mut stderr, &mut buffer, &mut |bytes| output(Output::Stderr(bytes)))?;
        }
        if ready[2] {
            drain(&mut told, &mut buffer, &mut |bytes| report.extend_from_slice(bytes))?;
        }
        if ready[3] {
            cancelled = true;
            // The sandbox takes the end of its input for the end of the builder.
            let _gone = control.shutdown(Shutdown::Write);
        }
    }
    Ok((report, control))
}

/// Waits until some of the descriptors have something; those that are `None` never have.
fn ready(fds: [Option<BorrowedFd<'_>>; 4]) -> io::Result<[bool; 4]> {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    loop {
        match poll(&mut polled, None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut results = polled.iter().map(|fd| !fd.revents().is_empty());
    Ok(fds.map(|fd| fd.is_some() && results.next().unwrap_or(false)))
}

/// Reads what there is; at the end, closes.
fn drain<R: Read>(
    from: &mut Option<R>,
    buffer: &mut [u8],
    take: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let Some(reader) = from else { return Ok(()) };
    match reader.read(buffer) {
        Ok(0) => *from = None,
        Ok(count) => take(&buffer[..count]),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => *from = None,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn finished(spec: &RunSpec, report: Report) -> Result<Finished, RunError> {
    let cause = io::Error::from_raw_os_error;
    match report {
        Report::Exited { code, owners } => Ok(Finished { status: ExitStatus::Code(code), owners }),
        Report::Signaled { signal, owners } => {
            Ok(Finished { status: ExitStatus::Signal(signal), owners })
        }
        Report::NotExecutable { program, errno } => {
            Err(RunError::NotExecutable { program, cause: cause(errno) })
        }
        Report::NoCwd { errno } => {
            Err(RunError::NoCwd { path: spec.cwd.display().to_string(), cause: cause(errno) })
        }
        Report::Failed(wire::Failure { step, errno }) => {
            Err(RunError::SetUp { step, cause: cause(errno) })
        }
        Report::MakesDevice => Err(RunError::MakesDevice),
        Report::InitKilled => Err(RunError::Killed),
    }
}
