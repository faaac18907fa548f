//! Calls that make files: the new file belongs to its maker.

use std::ffi::{CStr, CString};
use std::os::fd::AsRawFd;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat, symlinkat};
use rustix::io::Errno;

use super::credentials::Credentials;
use super::place::{Place, of_descriptor, of_path, parent, read_path};
use super::record::{self, Node};
use super::{Answer, Call, Engine, Holder, real};
use crate::sys::memory;
use crate::sys::process::kill_all_others;

const CWD_ARGUMENT: u64 = libc::AT_FDCWD as u64;
const TEMPORARY: u64 = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;

/// A directory in which something is to be made.
pub(super) struct Folder {
    pub(super) place: Place,
    pub(super) name: Vec<u8>,
    mode: u32,
}

impl Folder {
    /// Returns whether the kernel, which knows only root, makes the right file here by itself.
    pub(super) fn suits_kernel(&self, credentials: &Credentials) -> bool {
        credentials.makes_root_files() && self.mode & libc::S_ISGID == 0
    }

    /// Returns who owns what `credentials` make here, if they may make anything.
    pub(super) fn new_owner(
        &self,
        engine: &Engine,
        credentials: &Credentials,
    ) -> Option<(u32, u32)> {
        let owner = engine.recorded(&self.place).unwrap_or((0, 0));
        let inherits = self.mode & libc::S_ISGID != 0;
        let gid = if inherits { owner.1 } else { credentials.group.file_system };
        credentials.permits(owner, self.mode, 3).then_some((credentials.user.file_system, gid))
    }
}

/// Finds the directory of a path; `None` where the kernel's own answer is the right one.
pub(super) fn folder(engine: &Engine, pid: u32, dir: u64, path: &[u8]) -> Option<Folder> {
    let (parent, name) = parent(path)?;
    let place = of_path(engine, pid, dir, parent, true).ok()?;
    let mode = memory::stat(&place.path, 0).ok()?.st_mode;
    Some(Folder { place, name: name.to_vec(), mode })
}

/// What an open call asks for.
struct Open {
    dir: u64,
    path: u64,
    flags: u64,
    mode: u64,
}

impl Open {
    fn of(call: &Call) -> Option<Self> {
        let [one, two, three, four, ..] = call.arguments;
        Some(match call.number {
            libc::SYS_openat => Self { dir: one, path: two, flags: three, mode: four },
            libc::SYS_openat2 => {
                let mut how = [0; 24];
                memory::read(call.pid, three, &mut how).ok().filter(|count| *count == how.len())?;
                let (words, _) = how.as_chunks();
                let [flags, mode, resolve] = [0, 1, 2].map(|at| u64::from_ne_bytes(words[at]));
                if resolve != 0 {
                    return None;
                }
                Self { dir: one, path: two, flags, mode }
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => Self { dir: CWD_ARGUMENT, path: one, flags: two, mode: three },
            #[cfg(target_arch = "x86_64")]
            libc::SYS_creat => {
                let flags = (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64;
                Self { dir: CWD_ARGUMENT, path: one, flags, mode: two }
            }
            _ => return None,
        })
    }
}

/// Opens a file that may have to be made.
pub(super) fn open(
    engine: &mut Engine,
    call: &Call,
    still_there: &dyn Fn() -> bool,
) -> Option<Answer> {
    let Open { dir, path, flags, mode } = Open::of(call)?;
    let temporary = flags & TEMPORARY != 0;
    let credentials = engine.credentials(call.pid);
    let path = read_path(call.pid, path).ok()?;
    if !temporary && flags & libc::O_CREAT as u64 == 0 {
        return write(engine, &credentials, call.pid, (dir, &path), flags);
    }
    let folder = if temporary {
        let place = of_path(engine, call.pid, dir, &path, true).ok()?;
        let mode = memory::stat(&place.path, 0).ok()?.st_mode;
        Folder { place, name: Vec::new(), mode }
    } else {
        folder(engine, call.pid, dir, &path)?
    };
    if folder.suits_kernel(&credentials) {
        return None;
    }
    if !temporary {
        let follow = flags & (libc::O_NOFOLLOW | libc::O_EXCL) as u64 == 0;
        if let Ok(place) = of_path(engine, call.pid, dir, &path, follow)
            && let Ok(stat) = memory::stat(&place.path, place.flags())
        {
            return existing(engine, &credentials, &place, stat.st_mode, flags);
        }
    }
    let Some(owner) = folder.new_owner(engine, &credentials) else {
        return Some(Answer::Value(Err(Errno::ACCESS)));
    };
    if !still_there() {
        return None;
    }
    Some(
        create(engine, call.pid, folder, owner, flags, mode)
            .unwrap_or_else(|errno| Answer::Value(Err(errno))),
    )
}

/// A file that is not to be made, but written to.
fn write(
    engine: &Engine,
    credentials: &Credentials,
    pid: u32,
    (dir, path): (u64, &[u8]),
    flags: u64,
) -> Option<Answer> {
    if credentials.user.file_system == 0 {
        return None;
    }
    let place = of_path(engine, pid, dir, path, flags & libc::O_NOFOLLOW as u64 == 0).ok()?;
    let mode = memory::stat(&place.path, place.flags()).ok()?.st_mode;
    existing(engine, credentials, &place, mode, flags)
}

/// A file that is there already is opened by the kernel, if its mode lets this user.
fn existing(
    engine: &Engine,
    credentials: &Credentials,
    place: &Place,
    mode: u32,
    flags: u64,
) -> Option<Answer> {
    let way = match flags & libc::O_ACCMODE as u64 {
        0 => 4,
        1 => 2,
        _ => 6,
    };
    let owner = engine.recorded(place).unwrap_or((0, 0));
    let is_file = mode & libc::S_IFMT == libc::S_IFREG
        && flags & libc::O_EXCL as u64 == 0
        && !place.is_of_proc();
    (is_file && !credentials.permits(owner, mode, way)).then_some(Answer::Value(Err(Errno::ACCESS)))
}

fn create(
    engine: &mut Engine,
    pid: u32,
    folder: Folder,
    owner: (u32, u32),
    flags: u64,
    mode: u64,
) -> Result<Answer, Errno> {
    let temporary = folder.name.is_empty();
    let place = if temporary { folder.place } else { folder.place.join(&folder.name)? };
    let open_flags = OFlags::from_bits_retain((flags & u64::from(u32::MAX)) as u32);
    let file = with_umask_of(pid, || {
        let mode = Mode::from_raw_mode((mode & 0o7777) as u32);
        openat(CWD, place.path.as_c_str(), open_flags | OFlags::CLOEXEC, mode)
    })?;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let own = of_own_descriptor(&link)?;
    if owner != (0, 0) {
        engine.record(&own, owner)?;
    }
    Ok(Answer::Descriptor { file, close_on_exec: open_flags.contains(OFlags::CLOEXEC) })
}

fn of_own_descriptor(link: &str) -> Result<Place, Errno> {
    let mut place = of_descriptor(1, 0)?;
    place.path = CString::new(link).map_err(|_| Errno::INVAL)?;
    Ok(place)
}

/// Does something under the umask of another process; this process's own is 0.
pub(super) fn with_umask_of<T>(pid: u32, act: impl FnOnce() -> T) -> T {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| u32::from_str_radix(line.strip_prefix("Umask:")?.trim(), 8).ok())
        .unwrap_or(0o022);
    rustix::process::umask(Mode::from_raw_mode(mask));
    let result = act();
    rustix::process::umask(Mode::empty());
    result
}

/// What is to be made.
enum New {
    Directory { mode: u32 },
    Symlink { target: CString },
    Node { mode: u32, device: u64 },
}

impl New {
    fn is_whiteout(&self) -> bool {
        matches!(self, Self::Node { mode, device: 0 } if mode & libc::S_IFMT == libc::S_IFCHR)
    }
}

/// Makes a directory, symlink, FIFO, socket or device.
pub(super) fn make(
    engine: &mut Engine,
    call: &Call,
    still_there: &dyn Fn() -> bool,
) -> Option<Answer> {
    let (dir, path, new) = new_of(call)?;
    let path = read_path(call.pid, path).ok()?;
    let folder = folder(engine, call.pid, dir, &path)?;
    let credentials = engine.credentials(call.pid);
    let device = matches!(new, New::Node { mode, .. } if is_device(mode));
    if folder.suits_kernel(&credentials) && !device {
        return None;
    }
    // Nobody makes what overlayfs takes for a deletion.
    let allowed = credentials.user.effective == 0
        && (!engine.has_real_owners() || real::may_make_devices(call.pid));
    if device && (!allowed || new.is_whiteout()) {
        return Some(Answer::Value(Err(Errno::PERM)));
    }
    let owner = folder.new_owner(engine, &credentials);
    let place = folder.place.join(&folder.name).ok()?;
    if memory::stat(&place.path, libc::AT_SYMLINK_NOFOLLOW).is_ok() {
        return Some(Answer::Value(Err(Errno::EXIST)));
    }
    let Some(owner) = owner else {
        return Some(Answer::Value(Err(Errno::ACCESS)));
    };
    if !still_there() {
        return None;
    }
    if device && engine.has_real_owners() && !engine.has_devices {
        engine.makes_device = true;
        kill_all_others();
        return None;
    }
    let made = with_umask_of(call.pid, || make_at(&place.path, &new));
    let recorded =
        made.and_then(|()| if owner == (0, 0) { Ok(()) } else { engine.record(&place, owner) });
    Some(recorded.map(|()| 0).into())
}

fn new_of(call: &Call) -> Option<(u64, u64, New)> {
    let [one, two, three, four, ..] = call.arguments;
    let mode = |argument: u64| (argument & 0xffff) as u32;
    let symlink = |target: u64| {
        let target = read_path(call.pid, target).ok()?;
        Some(New::Symlink { target: CString::new(target).ok()? })
    };
    Some(match call.number {
        libc::SYS_mkdirat => (one, two, New::Directory { mode: mode(three) }),
        libc::SYS_mknodat => (one, two, New::Node { mode: mode(three), device: four }),
        libc::SYS_symlinkat => (two, three, symlink(one)?),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mkdir => (CWD_ARGUMENT, one, New::Directory { mode: mode(two) }),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mknod => (CWD_ARGUMENT, one, New::Node { mode: mode(two), device: three }),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_symlink => (CWD_ARGUMENT, two, symlink(one)?),
        _ => return None,
    })
}

fn is_device(mode: u32) -> bool {
    matches!(mode & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK)
}

fn make_at(path: &CStr, new: &New) -> Result<(), Errno> {
    match new {
        New::Directory { mode } => mkdirat(CWD, path, Mode::from_raw_mode(*mode & 0o7777)),
        New::Symlink { target } => symlinkat(target.as_c_str(), CWD, path),
        New::Node { mode, device } if is_device(*mode) => {
            let permissions = Mode::from_raw_mode(*mode & 0o7777);
            mknodat(CWD, path, FileType::RegularFile, permissions, 0)?;
            let block = *mode & libc::S_IFMT == libc::S_IFBLK;
            let (major, minor) = (libc::major(*device), libc::minor(*device));
            let marked = record::write_node(path, Node { block, major, minor })
                .and_then(|()| record::write_owner(path, (0, 0)));
            if marked.is_err() {
                let _gone = rustix::fs::unlinkat(CWD, path, AtFlags::empty());
            }
            marked
        }
        New::Node { mode, .. } => {
            let kind = match FileType::from_raw_mode(*mode) {
                FileType::Unknown => FileType::RegularFile,
                kind => kind,
            };
            mknodat(CWD, path, kind, Mode::from_raw_mode(*mode & 0o7777), 0)
        }
    }
}
