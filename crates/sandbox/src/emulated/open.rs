//! Opening files: this process opens them and hands the descriptor over.

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{CWD as HERE, MemfdFlags, Mode, OFlags, memfd_create, openat, readlinkat};
use rustix::io::Errno;

use super::calls::{Answered, Caller, Reply};
use super::found::{Found, Meta, own_path, real_mode};
use super::names::Place;
use super::procfs;
use crate::identity::record::Node;
use crate::init::fsys::look_up;
use crate::sys::memory;

/// Flags and mode of a call.
#[derive(Clone, Copy)]
pub(super) struct How {
    flags: OFlags,
    mode: u32,
    /// Limits of openat2(2).
    limits: u64,
}

impl How {
    pub(super) fn plain(flags: u64, mode: u64) -> Self {
        let flags = OFlags::from_bits_retain((flags & u64::from(u32::MAX)) as u32);
        Self { flags, mode: (mode & 0o7777) as u32, limits: 0 }
    }

    fn has(self, flag: OFlags) -> bool {
        self.flags.contains(flag)
    }

    /// 4 to read, 2 to write.
    fn way(self) -> u32 {
        let way = match self.flags.bits() & libc::O_ACCMODE.cast_unsigned() {
            0 => 4,
            1 => 2,
            _ => 6,
        };
        if self.has(OFlags::TRUNC) { way | 2 } else { way }
    }
}

const MAX_LINKS: u32 = 40;

pub(super) fn answer2(caller: &Caller<'_>, dir: u64, path: u64, how: u64) -> Answered {
    let mut bytes = [0; 24];
    if memory::read(caller.pid, how, &mut bytes)? != bytes.len() {
        return Err(Errno::FAULT);
    }
    let (words, _) = bytes.as_chunks();
    let [flags, mode, limits] = [0, 1, 2].map(|at: usize| u64::from_ne_bytes(words[at]));
    answer(caller, dir, path, How { limits, ..How::plain(flags, mode) })
}

pub(super) fn answer(caller: &Caller<'_>, dir: u64, path: u64, how: How) -> Answered {
    let path = caller.path(path)?;
    if how.limits != 0 {
        return limited(caller, dir, &path, how);
    }
    at(caller, dir, &path, how, MAX_LINKS)
}

/// openat2(2) with limits of its own: refused where the emulation would need to know more, and else
/// checked by looking the path up below the directory itself.
fn limited(caller: &Caller<'_>, dir: u64, path: &[u8], how: How) -> Answered {
    use rustix::fs::ResolveFlags;
    let limits = ResolveFlags::from_bits_retain(how.limits);
    let nothing_made = !how.has(OFlags::CREATE);
    let directory = caller.opened(dir)?;
    let top = openat(HERE, &directory.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let flags = how.flags & (OFlags::NOFOLLOW | OFlags::DIRECTORY);
    let confined = limits | ResolveFlags::NO_MAGICLINKS;
    let inside = ResolveFlags::BENEATH | ResolveFlags::IN_ROOT;
    match look_up(&top, path, flags, confined) {
        Ok(file) if limits.intersects(inside) => {
            existing(caller, caller.world.mounts.seen(file, &directory.mount)?, how)
        }
        // Found, and by no forbidden way; what it is decides the tree.
        Ok(_) => at(caller, dir, path, how, MAX_LINKS),
        Err(Errno::NOENT) if !nothing_made && !limits.contains(ResolveFlags::IN_ROOT) => {
            at(caller, dir, path, How { limits: 0, ..how }, 0)
        }
        Err(_) if !limits.intersects(inside) => at(caller, dir, path, how, MAX_LINKS),
        Err(errno) => Err(errno),
    }
}

fn at(caller: &Caller<'_>, dir: u64, path: &[u8], how: How, links: u32) -> Answered {
    let creates = how.has(OFlags::CREATE) && !how.has(OFlags::PATH);
    let exclusive = creates && how.has(OFlags::EXCL);
    let follow = !how.has(OFlags::NOFOLLOW) && !exclusive;
    for _ in 0..8 {
        match caller.resolve(dir, path, follow) {
            Ok(_) if exclusive => return Err(Errno::EXIST),
            Ok(found) => return existing(caller, found, how),
            Err(Errno::NOENT) if creates => {}
            Err(errno) => return Err(errno),
        }
        let place = Place::find(caller, dir, path)?;
        if follow && let Some(target) = place.link()? {
            let links = links.checked_sub(1).ok_or(Errno::LOOP)?;
            let base = place.base(caller)?;
            let target =
                if target.starts_with(b"/") { target } else { [&base[..], b"/", &target].concat() };
            return at(caller, dir, &target, how, links);
        }
        match create(caller, &place, how) {
            // Somebody else was faster.
            Err(Errno::EXIST) if !exclusive => {}
            done => return done,
        }
    }
    Err(Errno::NOENT)
}

fn create(caller: &Caller<'_>, place: &Place, how: How) -> Answered {
    if how.has(OFlags::DIRECTORY) {
        return Err(Errno::INVAL);
    }
    if place.name.is_empty() || place.slashed {
        return Err(Errno::ISDIR);
    }
    let owner = place.new_owner(caller)?;
    let mode = how.mode & !caller.state.umask;
    let flags = how.flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let real = Mode::from_raw_mode(real_mode(mode, false));
    let file = openat(place.folder()?, place.name.as_slice(), flags, real)?;
    let found = Found { file: None, ..Found::new_of(&file, &place.directory)? };
    if owner != (0, 0) || real_mode(mode, false) != mode {
        found.record(caller.world, owner, mode)?;
    }
    Ok(Reply::Descriptor { file, close_on_exec: how.has(OFlags::CLOEXEC) })
}

/// A nameless file.
fn temporary(caller: &Caller<'_>, found: &Found, how: How) -> Answered {
    found.writable()?;
    let folder = caller.meta(found);
    caller.permit(&folder, 3)?;
    let mode = how.mode & !caller.state.umask;
    let real = Mode::from_raw_mode(real_mode(mode, false));
    let file = openat(HERE, &found.path, how.flags | OFlags::CLOEXEC, real)?;
    let user = caller.credentials();
    let owner = (user.user.file_system, user.group.file_system);
    if owner != (0, 0) || real_mode(mode, false) != mode {
        Found::new_of(&file, found)?.record(caller.world, owner, mode)?;
    }
    Ok(Reply::Descriptor { file, close_on_exec: how.has(OFlags::CLOEXEC) })
}

/// A file that is there.
pub(super) fn existing(caller: &Caller<'_>, found: Found, how: How) -> Answered {
    let close_on_exec = how.has(OFlags::CLOEXEC);
    if how.has(OFlags::PATH) {
        if how.has(OFlags::DIRECTORY) && !found.is(libc::S_IFDIR) {
            return Err(Errno::NOTDIR);
        }
        return named(caller, found, close_on_exec);
    }
    if found.is(libc::S_IFLNK) {
        return Err(Errno::LOOP);
    }
    let temporary_bit = OFlags::TMPFILE - OFlags::DIRECTORY;
    if found.is(libc::S_IFDIR) && how.has(temporary_bit) {
        return temporary(caller, &found, how);
    }
    if let Some(content) = found.content {
        return in_memory(&procfs::read(caller.world, content, &found.path)?, close_on_exec);
    }
    let meta = caller.meta(&found);
    if how.way() & 2 != 0 && !found.is(libc::S_IFCHR) && !found.is(libc::S_IFIFO) {
        found.writable()?;
        written(&found)?;
    }
    if !is_of_kernel(&found) {
        caller.permit(&meta, how.way())?;
    }
    let flags = (how.flags - OFlags::CREATE - OFlags::EXCL - OFlags::NOFOLLOW)
        | OFlags::CLOEXEC
        | OFlags::NOCTTY;
    if let Some(device) = meta.node.and_then(usual) {
        let file = openat(HERE, device, flags, Mode::empty())?;
        return Ok(Reply::Descriptor { file, close_on_exec });
    }
    device(caller, &found, &meta)?;
    if found.is(libc::S_IFIFO) && !how.has(OFlags::NONBLOCK) {
        // All of it: the path leads through its descriptor.
        let open = Box::new(move || {
            let found = found;
            openat(HERE, &found.path, flags, Mode::empty())
        });
        return Ok(Reply::Opening { open, close_on_exec });
    }
    let file = openat(HERE, &found.path, flags, Mode::empty())?;
    terminal(caller, &found, &file);
    Ok(Reply::Descriptor { file, close_on_exec })
}

/// A descriptor for a path only, which the kernel does not let this process hand over: what can be
/// opened is open for reading; an empty file stands in for the rest.
fn named(caller: &Caller<'_>, found: Found, close_on_exec: bool) -> Answered {
    if found.is(libc::S_IFDIR) || found.is(libc::S_IFREG) {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(HERE, &found.path, flags, Mode::empty())?;
        return Ok(Reply::Descriptor { file, close_on_exec });
    }
    let file = memfd_create("path", MemfdFlags::CLOEXEC)?;
    let kept = file.try_clone().map_err(|_| Errno::MFILE)?;
    caller.world.stand_in(kept, found)?;
    Ok(Reply::Descriptor { file, close_on_exec })
}

fn is_of_kernel(found: &Found) -> bool {
    found.mount.owner == super::mounts::Owner::Kernel
}

/// Of /proc only little may be written to.
fn written(found: &Found) -> Result<(), Errno> {
    if !is_of_kernel(found) || found.is(libc::S_IFDIR) {
        return Ok(());
    }
    let host = readlinkat(HERE, &found.path, Vec::new())?;
    let path = host.as_bytes().strip_prefix(b"/proc/");
    if path.is_none_or(procfs::may_write) { Ok(()) } else { Err(Errno::ROFS) }
}

/// Devices: those that do no harm, and terminals that the run has made itself.
fn device(caller: &Caller<'_>, found: &Found, meta: &Meta) -> Result<(), Errno> {
    if meta.node.is_some() {
        return Err(Errno::PERM);
    }
    if found.is(libc::S_IFBLK) || found.is(libc::S_IFCHR) && found.mount.limits.nodev {
        return Err(Errno::PERM);
    }
    if !found.is(libc::S_IFCHR) {
        return Ok(());
    }
    let (major, minor) = (libc::major(found.stat.st_rdev), libc::minor(found.stat.st_rdev));
    match (major, minor) {
        (1, 3 | 5 | 7..=9) | (5, 0 | 2) => Ok(()),
        (136..=143, _) if caller.world.terminal(((major - 136) << 8) + minor) => Ok(()),
        _ => Err(Errno::PERM),
    }
}

/// The device of the host that a made one stands for, if it is one of those that every container has.
fn usual(node: Node) -> Option<&'static str> {
    match (node.block, node.major, node.minor) {
        (false, 1, 3) => Some("/dev/null"),
        (false, 1, 5) => Some("/dev/zero"),
        (false, 1, 7) => Some("/dev/full"),
        (false, 1, 8) => Some("/dev/random"),
        (false, 1, 9) => Some("/dev/urandom"),
        _ => None,
    }
}

/// Remembers the terminal that opening /dev/ptmx has made.
fn terminal(caller: &Caller<'_>, found: &Found, file: &OwnedFd) {
    if found.is(libc::S_IFCHR)
        && (libc::major(found.stat.st_rdev), libc::minor(found.stat.st_rdev)) == (5, 2)
        && let Ok(name) = rustix::pty::ptsname(file, Vec::new())
        && let Some(number) = name.to_str().ok().and_then(|it| it.rsplit('/').next()?.parse().ok())
    {
        caller.world.add_terminal(number);
    }
}

fn in_memory(content: &[u8], close_on_exec: bool) -> Answered {
    let file = memfd_create("proc", MemfdFlags::CLOEXEC)?;
    let mut written = std::fs::File::from(file);
    written.write_all(content).map_err(|_| Errno::NOMEM)?;
    let path = format!("/proc/self/fd/{}", written.as_raw_fd());
    let file = openat(HERE, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Reply::Descriptor { file, close_on_exec })
}

impl Found {
    /// A file that was just made in a directory.
    pub(super) fn new_of(file: &OwnedFd, directory: &Found) -> Result<Self, Errno> {
        use std::os::fd::AsFd;
        Ok(Self {
            path: own_path(file)?,
            stat: memory::fstat(file.as_fd())?,
            mount: std::sync::Arc::clone(&directory.mount),
            link: None,
            content: None,
            file: None,
        })
    }
}
