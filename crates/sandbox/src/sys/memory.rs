//! Memory of other processes, and kernel structures as bytes.
#![expect(unsafe_code, reason = "system calls that rustix does not wrap")]

use std::ffi::CStr;

use rustix::io::Errno;

use super::process::check;

/// Gives memory that was freed back to the kernel. See malloc_trim(3); elsewhere than in glibc nothing
/// has to be done.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, and is safe to call from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Reads memory of another process; returns how much was there. See process_vm_readv(2).
pub(crate) fn read(pid: u32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = remote(address, into.len());
    // SAFETY: the local vector covers `into`; the remote one is checked by the kernel.
    let count = unsafe {
        libc::process_vm_readv(pid.cast_signed(), &raw const local, 1, &raw const remote, 1, 0)
    };
    check(count as libc::c_long).map(i64::cast_unsigned).map(|count| count as usize)
}

/// Writes memory of another process, all of it or an error. See process_vm_writev(2).
pub(crate) fn write(pid: u32, address: u64, from: &[u8]) -> Result<(), Errno> {
    let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    let remote = remote(address, from.len());
    // SAFETY: the local vector covers `from` and is only read.
    let count = unsafe {
        libc::process_vm_writev(pid.cast_signed(), &raw const local, 1, &raw const remote, 1, 0)
    };
    let count = check(count as libc::c_long)?.cast_unsigned() as usize;
    if count == from.len() { Ok(()) } else { Err(Errno::FAULT) }
}

fn remote(address: u64, length: usize) -> libc::iovec {
    libc::iovec {
        iov_base: std::ptr::with_exposed_provenance_mut(address as usize),
        iov_len: length,
    }
}

/// A structure that the kernel writes into the memory of programs.
pub(crate) trait KernelLayout: Copy {}
impl KernelLayout for libc::stat {}
impl KernelLayout for libc::statx {}

/// Returns the bytes of a structure.
pub(crate) fn bytes_of<T: KernelLayout>(value: &T) -> &[u8] {
    // SAFETY: the structures are plain data that began as zeroes, padding included.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// Describes a file. See fstatat(2).
pub(crate) fn stat(path: &CStr, flags: i32) -> Result<libc::stat, Errno> {
    // SAFETY: stat is plain data for which all zeroes is a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a C string and `stat` is valid for writes.
    let done = unsafe { libc::fstatat(libc::AT_FDCWD, path.as_ptr(), &raw mut stat, flags) };
    check(libc::c_long::from(done)).map(|_| stat)
}

/// Describes a file. See statx(2).
pub(crate) fn statx(path: &CStr, flags: i32, mask: u32) -> Result<libc::statx, Errno> {
    // SAFETY: statx is plain data for which all zeroes is a value.
    let mut stat: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a C string and `stat` is valid for writes.
    let done = unsafe {
        libc::syscall(libc::SYS_statx, libc::AT_FDCWD, path.as_ptr(), flags, mask, &raw mut stat)
    };
    check(done).map(|_| stat)
}
