//! The loopback interface.
#![expect(unsafe_code, reason = "system calls that rustix does not wrap")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::process::check;

/// Brings the loopback interface of this network namespace up. See netdevice(7).
pub(crate) fn loopback_up() -> Result<(), Errno> {
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    let fd = i32::try_from(check(libc::c_long::from(fd))?).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel just gave this descriptor to us alone.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: ifreq is plain data for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is an initialised ifreq, which SIOCSIFFLAGS reads.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    check(libc::c_long::from(done)).map(drop)
}
