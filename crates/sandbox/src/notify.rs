//! The front end of the identity engine on seccomp's user notification.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::identity::{Answer, Call, Ended, Engine};
use crate::sys::notify;

/// Receives the calls of one filter.
///
/// A caller and who answers it take turns, so that waking each on the processor of the other makes an
/// answer five times as fast. Callers that run at once are drawn to one processor by that, and then it is
/// left for a while.
pub(crate) struct Receiver<'a> {
    listener: BorrowedFd<'a>,
    /// The latest caller.
    last: u32,
    /// For so many calls more each side is woken where the kernel likes.
    apart: u32,
}

/// Long enough to outlast the moments in which one of several callers is alone.
const APART: u32 = 2000;

impl<'a> Receiver<'a> {
    pub(crate) fn new(listener: BorrowedFd<'a>) -> Self {
        notify::wake_in_step(listener, true);
        Self { listener, last: 0, apart: 0 }
    }

    /// Waits for a call.
    pub(crate) fn receive(&mut self) -> Result<notify::Notification, Errno> {
        let waited = events(self.listener).contains(PollFlags::IN);
        let notification = notify::receive(self.listener)?;
        if waited && notification.pid != self.last {
            // Somebody else called while the latest was answered.
            if self.apart == 0 {
                notify::wake_in_step(self.listener, false);
            }
            self.apart = APART;
        } else if self.apart > 0 {
            self.apart -= 1;
            if self.apart == 0 {
                notify::wake_in_step(self.listener, true);
            }
        }
        self.last = notification.pid;
        Ok(notification)
    }

    /// Whether no caller can come any more.
    fn has_ended(&self) -> bool {
        events(self.listener).contains(PollFlags::HUP)
    }
}

/// What there is to say of a listener now.
fn events(listener: BorrowedFd<'_>) -> PollFlags {
    let mut fds = [PollFd::from_borrowed_fd(listener, PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&now)) {
        Ok(_) => fds[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

/// Answers the calls of one filter, in a thread that does nothing else: so it need not ask which of
/// several things it was woken for.
pub(crate) struct Listener {
    engine: Arc<Mutex<Engine>>,
}

impl Listener {
    /// Takes the listener over from the process that installed the filter.
    pub(crate) fn start(pid: Pid, number: i32, engine: Engine) -> Result<Self, Errno> {
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let fd = pidfd_getfd(process, number, PidfdGetfdFlags::empty())?;
        let engine = Arc::new(Mutex::new(engine));
        let shared = Arc::clone(&engine);
        thread::Builder::new()
            .spawn(move || serve(fd.as_fd(), &shared))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
        Ok(Self { engine })
    }

    /// Ends it when all callers have ended: an answer that is half given is waited for, and nothing is
    /// done for a caller any more.
    pub(crate) fn end(self) -> Ended {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = engine.end();
        // A thread that has yet to answer a caller that is gone waits for the end of this process.
        std::mem::forget(engine);
        ended
    }
}

/// Answers until no caller can come any more.
fn serve(listener: BorrowedFd<'_>, engine: &Mutex<Engine>) {
    let mut receiver = Receiver::new(listener);
    loop {
        match receiver.receive() {
            Ok(notification) => {
                let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
                answer(listener, &mut engine, &notification);
            }
            Err(Errno::INTR) => {}
            // The caller is gone, or all are.
            Err(Errno::NOENT) if !receiver.has_ended() => {}
            Err(_) => return,
        }
    }
}

/// Answers one call. A caller that went away meanwhile needs no answer.
fn answer(listener: BorrowedFd<'_>, engine: &mut Engine, notification: &notify::Notification) {
    let call = Call {
        pid: notification.pid,
        number: i64::from(notification.number),
        arguments: notification.arguments,
    };
    let id = notification.id;
    let still_there = || notify::is_valid(listener, id);
    let _gone = match engine.answer(&call, &still_there) {
        Answer::GoOn => notify::go_on(listener, id),
        Answer::Value(result) => notify::answer(listener, id, result),
        Answer::Descriptor { file, close_on_exec } => {
            notify::answer_descriptor(listener, id, file.as_fd(), close_on_exec)
                .map(drop)
                .or_else(|errno| notify::answer(listener, id, Err(errno)))
        }
    };
}
