//! stub
use crate::identity::Engine;
use rustix::{io::Errno, process::Pid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
pub(crate) struct Listener {
    fd: OwnedFd,
}
impl Listener {
    pub(crate) fn take(_: Pid, _: i32) -> Result<Self, Errno> {
        Err(Errno::NOSYS)
    }
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
    pub(crate) fn serve(&mut self, _: &mut Engine) {}
}
