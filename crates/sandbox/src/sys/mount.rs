//! Mount attributes.
#![expect(unsafe_code, reason = "system calls that rustix does not wrap")]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::process::check;

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Makes a mount, and all mounts below it, read-only.
pub(crate) fn make_readonly(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    restrict(mount, libc::MOUNT_ATTR_RDONLY)
}

/// Sets attributes of a mount, and of all mounts below it. See mount_setattr(2).
pub(crate) fn restrict(mount: BorrowedFd<'_>, set: u64) -> Result<(), Errno> {
    let attr = MountAttr { set, clear: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is an empty C string and the size is that of the structure.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(done).map(drop)
}
