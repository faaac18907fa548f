//! Finding the file that a call names, as its caller would.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, readlinkat};
use rustix::io::Errno;

use super::Engine;
use crate::init::fsys::look_up;
use crate::sys::memory;

const PATH_MAX: usize = 4096;
const PAGE: u64 = 4096;

/// A file by a path that means the same to this process.
pub(super) struct Place {
    pub(super) path: CString,
    /// Whether a last symlink is to be followed.
    pub(super) follow: bool,
    _open: Option<OwnedFd>,
}

impl Place {
    /// Flags for calls that take AT_SYMLINK_NOFOLLOW.
    pub(super) fn flags(&self) -> i32 {
        if self.follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW }
    }

    /// Returns whether this is a file of procfs, whose owner is its process's own.
    ///
    /// What is named relative to a descriptor is not one, though its path leads through there.
    pub(super) fn is_of_proc(&self) -> bool {
        let mut parts = self.path.as_bytes().split(|byte| *byte == b'/').skip(1);
        parts.next() == Some(b"proc")
            && !matches!((parts.next(), parts.next()), (Some(_), Some(b"cwd" | b"fd")))
    }

    /// A file in the directory that this is.
    pub(super) fn join(self, name: &[u8]) -> Result<Self, Errno> {
        let path = [self.path.as_bytes(), b"/", name].concat();
        Ok(Self { path: c_string(path)?, follow: false, _open: self._open })
    }
}

/// Returns device and inode of the root directory of a process.
pub(super) fn root_of(pid: &str) -> Option<(u64, u64)> {
    let link = CString::new(format!("/proc/{pid}/root")).ok()?;
    memory::stat(&link, 0).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// Reads a path from the memory of a caller.
pub(crate) fn read_path(pid: u32, address: u64) -> Result<Vec<u8>, Errno> {
    let mut path = Vec::new();
    let mut address = address;
    while path.len() < PATH_MAX {
        // Never across a page that may be missing; most paths end in the first piece.
        let piece = (PAGE - address % PAGE).min(256) as usize;
        let start = path.len();
        path.resize(start + piece, 0);
        let count = memory::read(pid, address, &mut path[start..])?;
        if let Some(end) = path[start..start + count].iter().position(|byte| *byte == 0) {
            path.truncate(start + end);
            return Ok(path);
        }
        path.truncate(start + count);
        address += count as u64;
        if count == 0 {
            return Err(Errno::FAULT);
        }
    }
    Err(Errno::NAMETOOLONG)
}

/// Splits a path into the directory and the name in it; `None` if the last part is no name.
pub(crate) fn parent(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = path.iter().rposition(|byte| *byte != b'/')? + 1;
    let path = &path[..end];
    let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (&path[..1], &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b".".as_slice(), path),
    };
    (name != b"." && name != b"..").then_some((parent, name))
}

/// Finds a descriptor of a caller.
pub(super) fn of_descriptor(pid: u32, number: u64) -> Result<Place, Errno> {
    let number = descriptor(number);
    let path = if number == libc::AT_FDCWD {
        format!("/proc/{pid}/cwd")
    } else {
        format!("/proc/{pid}/fd/{number}")
    };
    Ok(Place { path: c_string(path.into_bytes())?, follow: true, _open: None })
}

/// Descriptors are 32-bit numbers in 64-bit registers.
pub(super) fn descriptor(number: u64) -> i32 {
    ((number & u64::from(u32::MAX)) as u32).cast_signed()
}

/// Finds a path of a caller, relative to one of its descriptors.
pub(super) fn of_path(
    engine: &Engine,
    pid: u32,
    dir: u64,
    path: &[u8],
    follow: bool,
) -> Result<Place, Errno> {
    if engine.has_roots {
        let root = root_of(&pid.to_string());
        if root.is_some() && root != engine.own_root {
            return in_other_root(pid, dir, path, follow);
        }
    }
    let path = if path.starts_with(b"/") {
        own_view(pid, path)
    } else {
        let base = of_descriptor(pid, dir)?;
        [base.path.as_bytes(), b"/", path].concat()
    };
    Ok(Place { path: c_string(path)?, follow, _open: None })
}

/// Names of the caller's own things mean this process's own when it looks.
fn own_view(pid: u32, path: &[u8]) -> Vec<u8> {
    let replaced = |prefix: &[u8], with: String| {
        let rest = path.strip_prefix(prefix)?;
        (rest.is_empty() || rest.starts_with(b"/")).then(|| [with.as_bytes(), rest].concat())
    };
    replaced(b"/proc/self", format!("/proc/{pid}"))
        .or_else(|| replaced(b"/proc/thread-self", format!("/proc/{pid}")))
        .or_else(|| replaced(b"/dev/fd", format!("/proc/{pid}/fd")))
        .or_else(|| replaced(b"/dev/stdin", format!("/proc/{pid}/fd/0")))
        .or_else(|| replaced(b"/dev/stdout", format!("/proc/{pid}/fd/1")))
        .or_else(|| replaced(b"/dev/stderr", format!("/proc/{pid}/fd/2")))
        .unwrap_or_else(|| path.to_vec())
}

/// Finds a path of a caller that has changed its root.
fn in_other_root(pid: u32, dir: u64, path: &[u8], follow: bool) -> Result<Place, Errno> {
    let root =
        openat(CWD, format!("/proc/{pid}/root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let full = if path.starts_with(b"/") {
        path.to_vec()
    } else {
        let base = of_descriptor(pid, dir)?;
        let (base, top) =
            (link(&base.path)?, link(&c_string(format!("/proc/{pid}/root").into())?)?);
        let base = base.strip_prefix(top.as_slice()).unwrap_or(&base);
        [base, b"/", path].concat()
    };
    let flags = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let file = look_up(&root, full.as_slice(), flags, ResolveFlags::IN_ROOT)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(Place { path: c_string(path.into_bytes())?, follow: true, _open: Some(file) })
}

fn link(path: &CStr) -> Result<Vec<u8>, Errno> {
    readlinkat(CWD, path, Vec::new()).map(CString::into_bytes)
}

fn c_string(path: Vec<u8>) -> Result<CString, Errno> {
    CString::new(path).map_err(|_| Errno::INVAL)
}
