//! The front end of the identity engine on seccomp's user notification.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::identity::{Answer, Call, Engine};
use crate::sys::notify;

/// Receives the calls of one filter.
pub(crate) struct Listener {
    fd: OwnedFd,
}

impl Listener {
    /// Takes the listener over from the process that installed the filter.
    pub(crate) fn take(pid: Pid, number: i32) -> Result<Self, Errno> {
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let fd = pidfd_getfd(process, number, PidfdGetfdFlags::empty())?;
        notify::wake_in_step(fd.as_fd());
        Ok(Self { fd })
    }

    /// Becomes readable when a call waits.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Answers one call. A caller that went away meanwhile needs no answer.
    pub(crate) fn serve(&mut self, engine: &mut Engine) {
        let fd = self.fd.as_fd();
        let Ok(notification) = notify::receive(fd) else { return };
        let call = Call {
            pid: notification.pid,
            number: i64::from(notification.number),
            arguments: notification.arguments,
        };
        let id = notification.id;
        let still_there = || notify::is_valid(fd, id);
        let _gone = match engine.answer(&call, &still_there) {
            Answer::GoOn => notify::go_on(fd, id),
            Answer::Value(result) => notify::answer(fd, id, result),
            Answer::Descriptor { file, close_on_exec } => {
                notify::answer_descriptor(fd, id, file.as_fd(), close_on_exec)
                    .map(drop)
                    .or_else(|errno| notify::answer(fd, id, Err(errno)))
            }
        };
    }
}
