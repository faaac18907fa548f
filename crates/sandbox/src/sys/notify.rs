//! The seccomp listener. See seccomp_unotify(2).
#![expect(unsafe_code, reason = "system calls that rustix does not wrap")]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::process::check;

const RECEIVE: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
const ID_VALID: u32 = 0x4008_2102;
const ADD_DESCRIPTOR: u32 = 0x4018_2103;
const SET_FLAGS: u32 = 0x4008_2104;

/// A call that waits for an answer; laid out as `seccomp_notif`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Notification {
    pub(crate) id: u64,
    pub(crate) pid: u32,
    flags: u32,
    pub(crate) number: i32,
    arch: u32,
    instruction: u64,
    pub(crate) arguments: [u64; 6],
}

/// An answer; laid out as `seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// A descriptor as the answer; laid out as `seccomp_notif_addfd`.
#[repr(C)]
struct AddDescriptor {
    id: u64,
    flags: u32,
    source: u32,
    number: u32,
    number_flags: u32,
}

/// Waits for a call.
pub(crate) fn receive(listener: BorrowedFd<'_>) -> Result<Notification, Errno> {
    let mut notification = Notification::default();
    control(listener, RECEIVE, &mut notification)?;
    Ok(notification)
}

/// Lets a call go on in the kernel.
pub(crate) fn go_on(listener: BorrowedFd<'_>, id: u64) -> Result<(), Errno> {
    let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    control(listener, SEND, &mut Response { id, value: 0, error: 0, flags }).map(drop)
}

/// Answers a call with a value.
pub(crate) fn answer(
    listener: BorrowedFd<'_>,
    id: u64,
    result: Result<i64, Errno>,
) -> Result<(), Errno> {
    let (value, error) = match result {
        Ok(value) => (value, 0),
        Err(errno) => (0, -errno.raw_os_error()),
    };
    control(listener, SEND, &mut Response { id, value, error, flags: 0 }).map(drop)
}

/// Answers a call with a descriptor of ours, duplicated into the caller; returns its number there.
pub(crate) fn answer_descriptor(
    listener: BorrowedFd<'_>,
    id: u64,
    source: BorrowedFd<'_>,
    close_on_exec: bool,
) -> Result<u32, Errno> {
    let source = u32::try_from(source.as_raw_fd()).map_err(|_| Errno::BADF)?;
    let number_flags = if close_on_exec { libc::O_CLOEXEC.cast_unsigned() } else { 0 };
    // SECCOMP_ADDFD_FLAG_SEND: the new number is the answer.
    let mut add = AddDescriptor { id, flags: 2, source, number: 0, number_flags };
    control(listener, ADD_DESCRIPTOR, &mut add)
        .and_then(|number| u32::try_from(number).map_err(|_| Errno::BADF))
}

/// Duplicates a descriptor of ours into the caller, which goes on waiting; returns its number there.
pub(crate) fn give_descriptor(
    listener: BorrowedFd<'_>,
    id: u64,
    source: BorrowedFd<'_>,
) -> Result<u32, Errno> {
    let source = u32::try_from(source.as_raw_fd()).map_err(|_| Errno::BADF)?;
    let mut add = AddDescriptor { id, flags: 0, source, number: 0, number_flags: 0 };
    control(listener, ADD_DESCRIPTOR, &mut add)
        .and_then(|number| u32::try_from(number).map_err(|_| Errno::BADF))
}

/// Returns whether the caller still waits, so that what was read of its memory was its own.
pub(crate) fn is_valid(listener: BorrowedFd<'_>, mut id: u64) -> bool {
    control(listener, ID_VALID, &mut id).is_ok()
}

/// Whether each side is woken on the processor of the other. Linux 6.6.
pub(crate) fn wake_in_step(listener: BorrowedFd<'_>, does: bool) {
    let number = listener.as_raw_fd();
    // SAFETY: this request takes a number, not a pointer. Older kernels refuse it, which is harmless.
    unsafe { libc::ioctl(number, SET_FLAGS as _, u64::from(does)) };
}

fn control<T>(listener: BorrowedFd<'_>, request: u32, with: &mut T) -> Result<libc::c_long, Errno> {
    // SAFETY: each request above is paired with the structure that it reads and writes.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), request as _, std::ptr::from_mut(with)) };
    check(libc::c_long::from(done))
}
