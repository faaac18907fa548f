//! Installing a seccomp filter.
#![expect(unsafe_code, reason = "system calls that rustix does not wrap")]

use rustix::io::Errno;

use super::process::check;

/// One classic BPF instruction, laid out as the kernel's `sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) jump_true: u8,
    pub(crate) jump_false: u8,
    pub(crate) value: u32,
}

#[repr(C)]
struct Program {
    length: u16,
    filter: *const Instruction,
}

/// Installs a filter for this thread and what it becomes; returns the listener's number if asked for
/// one. See seccomp(2).
pub(crate) fn install(filter: &[Instruction], listener: bool) -> Result<i32, Errno> {
    let flags = if listener {
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    } else {
        0
    };
    match install_with(filter, flags) {
        // Kernels before 5.19 do not know WAIT_KILLABLE_RECV.
        Err(Errno::INVAL) if listener => {
            install_with(filter, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)
        }
        result => result,
    }
}

fn install_with(filter: &[Instruction], flags: libc::c_ulong) -> Result<i32, Errno> {
    let length = u16::try_from(filter.len()).map_err(|_| Errno::INVAL)?;
    let program = Program { length, filter: filter.as_ptr() };
    // SAFETY: the program points to `length` instructions that outlive the call.
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    i32::try_from(check(done)?).map_err(|_| Errno::BADF)
}
