//! Memory of other processes, and kernel structures as bytes.
#![expect(unsafe_code, reason = "system calls that rustix does not wrap")]

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

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

/// Whether the system calls for it are refused, as they are in containers under older profiles.
static BY_FILE: AtomicBool = AtomicBool::new(false);

/// Memories that are open, the latest last.
static OPEN: Mutex<Vec<(u32, File)>> = Mutex::new(Vec::new());

/// How many memories are kept open.
const KEPT: usize = 16;

/// Forgets the memory of a process: it has executed another program.
pub(crate) fn forget(pid: u32) {
    if BY_FILE.load(Ordering::Relaxed) {
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _)| *of != pid);
    }
}

/// Does something with the memory of a process as a file; where nothing is there, the file may be
/// that of a memory that is gone, and is opened again.
fn by_file(pid: u32, act: impl Fn(&File) -> std::io::Result<usize>) -> Result<usize, Errno> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let errno =
        |error: std::io::Error| error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
    if let Some((_, file)) = open.iter().find(|(of, _)| *of == pid)
        && let Ok(count @ 1..) = act(file)
    {
        return Ok(count);
    }
    open.retain(|(of, _)| *of != pid);
    let file =
        File::options().read(true).write(true).open(format!("/proc/{pid}/mem")).map_err(errno)?;
    let done = act(&file).map_err(|_| Errno::FAULT);
    if open.len() == KEPT {
        open.remove(0);
    }
    open.push((pid, file));
    done
}

/// Reads memory of another process; returns how much was there.
pub(crate) fn read(pid: u32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    if !BY_FILE.load(Ordering::Relaxed) {
        match read_by_call(pid, address, into) {
            Err(Errno::PERM) => BY_FILE.store(true, Ordering::Relaxed),
            done => return done,
        }
    }
    let cell = std::cell::RefCell::new(into);
    by_file(pid, |file| file.read_at(&mut cell.borrow_mut(), address))
}

/// Writes memory of another process, all of it or an error.
pub(crate) fn write(pid: u32, address: u64, from: &[u8]) -> Result<(), Errno> {
    if !BY_FILE.load(Ordering::Relaxed) {
        match write_by_call(pid, address, from) {
            Err(Errno::PERM) => BY_FILE.store(true, Ordering::Relaxed),
            done => return done,
        }
    }
    let count = by_file(pid, |file| file.write_at(from, address))?;
    if count == from.len() { Ok(()) } else { Err(Errno::FAULT) }
}

/// See process_vm_readv(2).
fn read_by_call(pid: u32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = remote(address, into.len());
    // SAFETY: the local vector covers `into`; the remote one is checked by the kernel.
    let count = unsafe {
        libc::process_vm_readv(pid.cast_signed(), &raw const local, 1, &raw const remote, 1, 0)
    };
    check(count as libc::c_long).map(i64::cast_unsigned).map(|count| count as usize)
}

/// See process_vm_writev(2).
fn write_by_call(pid: u32, address: u64, from: &[u8]) -> Result<(), Errno> {
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
impl KernelLayout for libc::statfs {}

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

/// Describes an open file. See fstat(2).
pub(crate) fn fstat(file: BorrowedFd<'_>) -> Result<libc::stat, Errno> {
    // SAFETY: stat is plain data for which all zeroes is a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is valid for writes.
    let done = unsafe { libc::fstat(file.as_raw_fd(), &raw mut stat) };
    check(libc::c_long::from(done)).map(|_| stat)
}

/// Describes a file system. See statfs(2).
pub(crate) fn statfs(path: &CStr) -> Result<libc::statfs, Errno> {
    // SAFETY: statfs is plain data for which all zeroes is a value.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a C string and `stat` is valid for writes.
    let done = unsafe { libc::statfs(path.as_ptr(), &raw mut stat) };
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
