//! From a path of a program to the file that it means inside of the tree.
//!
//! The kernel looks paths up itself, with RESOLVE_IN_ROOT, so that neither `..` nor a symlink leads
//! out however fast somebody changes the tree. It knows nothing of the mounts, which exist here only:
//! each is marked by a placeholder in the tree, and a path that meets one, or that may do so by way of
//! a symlink, is walked name by name.

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, readlinkat};
use rustix::io::Errno;

use super::found::{Found, own_path};
use super::mounts::{Mount, Source};
use super::{World, procfs};
use crate::init::fsys::look_up;

/// Symlinks followed at most, as the kernel does.
const MAX_LINKS: u32 = 40;

/// From where a process sees the tree.
pub(super) struct View {
    pub(super) pid: u32,
    pub(super) cwd: Arc<OwnedFd>,
    root: Arc<OwnedFd>,
    /// The path of `root` in the tree, empty for the tree itself.
    root_path: Vec<u8>,
}

impl View {
    pub(super) fn new(
        world: &World,
        pid: u32,
        cwd: Arc<OwnedFd>,
        root: Option<Arc<OwnedFd>>,
    ) -> Result<Self, Errno> {
        let Some(root) = root else {
            let root = world.mounts.root();
            return Ok(Self { pid, cwd, root, root_path: Vec::new() });
        };
        let root_path = path_of(world, &root)?;
        Ok(Self { pid, cwd, root, root_path })
    }

    /// A path of the tree as this process names it; `None` if it is outside of its root.
    pub(super) fn inside<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        let rest = path.strip_prefix(self.root_path.as_slice())?;
        match rest {
            [] => Some(b"/"),
            [b'/', ..] => Some(rest),
            _ => None,
        }
    }
}

/// The path in the tree of an open directory.
pub(super) fn path_of(world: &World, directory: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let host = readlinkat(CWD, own_path(directory)?, Vec::new())?.into_bytes();
    world.mounts.path_in_tree(&host).ok_or(Errno::NOENT)
}

/// Finds what a path means that is relative to a descriptor of a process.
pub(super) fn resolve(
    world: &World,
    view: &View,
    dir: u64,
    path: &[u8],
    follow: bool,
) -> Result<Found, Errno> {
    if path.is_empty() {
        return Err(Errno::NOENT);
    }
    find(world, view, &absolute(world, view, dir, path)?, follow)
}

/// Descriptors are 32-bit numbers in 64-bit registers.
pub(super) fn descriptor(number: u64) -> i32 {
    ((number & u64::from(u32::MAX)) as u32).cast_signed()
}

/// Makes a path absolute, in the process's own root.
pub(super) fn absolute(
    world: &World,
    view: &View,
    dir: u64,
    path: &[u8],
) -> Result<Vec<u8>, Errno> {
    if path.starts_with(b"/") {
        return Ok(path.to_vec());
    }
    let host = match descriptor(dir) {
        libc::AT_FDCWD => readlinkat(CWD, own_path(&view.cwd)?, Vec::new())?,
        number => {
            let link = format!("/proc/{}/fd/{number}", view.pid);
            readlinkat(CWD, link, Vec::new()).map_err(|_| Errno::BADF)?
        }
    };
    let base = world.mounts.path_in_tree(host.as_bytes()).ok_or(Errno::NOTDIR)?;
    let base = view.inside(&base).ok_or(Errno::NOENT)?;
    Ok([base, b"/", path].concat())
}

/// Finds an absolute path.
pub(super) fn find(world: &World, view: &View, path: &[u8], follow: bool) -> Result<Found, Errno> {
    let mounts = &world.mounts;
    let full = [view.root_path.as_slice(), path].concat();
    if let Some((mount, rest)) = mounts.lexical(&full) {
        if let (Source::Directory(source), Some(rest)) = (&mount.source, rest) {
            let limits = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match open_path(source, rest, follow, limits) {
                Ok(file) => return mounts.seen(file, &mount),
                Err(Errno::LOOP | Errno::XDEV | Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        return walk(world, view, path, follow);
    }
    let before = world.known.changes();
    let without_links = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    match open_path(&view.root, path, follow, without_links) {
        Ok(file) => {
            let found = mounts.seen(file, mounts.tree())?;
            if found.is(libc::S_IFDIR) && Arc::ptr_eq(&found.mount, mounts.tree()) {
                world.known.add(&full, before);
            }
            Ok(found)
        }
        // A link may lead to a mount.
        Err(Errno::LOOP) => match open_path(&view.root, path, follow, ResolveFlags::IN_ROOT) {
            Ok(file) => mounts.seen(file, mounts.tree()),
            Err(_) => walk(world, view, path, follow),
        },
        Err(errno) => Err(errno),
    }
}

/// Paths that are known to be directories of the tree, with no symlink on the way.
///
/// They stay so until a directory is renamed or removed, for which programs have to ask too.
#[derive(Default)]
pub(super) struct Known {
    paths: RwLock<BTreeSet<Vec<u8>>>,
    /// How often any was forgotten.
    changes: AtomicU64,
}

/// How many paths are known at most.
const KNOWN: usize = 1 << 16;

impl Known {
    fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.paths.read().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    /// Adds a path, unless something has changed since `before`.
    fn add(&self, path: &[u8], before: u64) {
        // `..` goes to where a directory is, which no path tells.
        if self.has(path) || path.split(|byte| *byte == b'/').any(|name| name == b"..") {
            return;
        }
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        if self.changes() == before && paths.len() < KNOWN {
            paths.insert(path.to_vec());
        }
    }

    /// To be called when a directory was renamed or removed, before that is answered.
    pub(super) fn forget(&self) {
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::SeqCst);
        paths.clear();
    }
}

fn open_path(
    root: &OwnedFd,
    path: &[u8],
    follow: bool,
    limits: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    look_up(root, path, flags, limits)
}

/// A directory on the way.
struct Step {
    directory: Arc<OwnedFd>,
    mount: Arc<Mount>,
}

/// What comes next on a walk through /proc.
pub(super) enum Next {
    /// This is it.
    End(Box<Found>),
    /// The walk goes on from the top of the tree, with this.
    From(Vec<u8>),
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|it| !it.is_empty()).map(<[u8]>::to_vec)
}

/// Walks name by name.
fn walk(world: &World, view: &View, path: &[u8], follow: bool) -> Result<Found, Errno> {
    let own = Step { directory: Arc::clone(&view.root), mount: Arc::clone(world.mounts.tree()) };
    let directory_meant = path.ends_with(b"/") || path.ends_with(b"/.") || path.ends_with(b"/..");
    let mut walk = Walk {
        world,
        view,
        follow: follow || directory_meant,
        stack: vec![own],
        pending: parts(path).collect(),
        links: 0,
    };
    while let Some(name) = walk.pending.pop_front() {
        match name.as_slice() {
            b"." => {}
            b".." => {
                if walk.stack.len() > 1 {
                    walk.stack.pop();
                }
            }
            name => {
                if let Some(found) = walk.enter(name)? {
                    let fits = !directory_meant || found.is(libc::S_IFDIR);
                    return if fits { Ok(found) } else { Err(Errno::NOTDIR) };
                }
            }
        }
    }
    let Step { directory, mount } = walk.stack.pop().expect("the root stays");
    Found::new(directory.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?, mount)
}

/// A walk that is under way.
struct Walk<'a> {
    world: &'a World,
    view: &'a View,
    follow: bool,
    stack: Vec<Step>,
    pending: VecDeque<Vec<u8>>,
    links: u32,
}

impl Walk<'_> {
    /// Goes to a name in the directory that was reached; returns what is no directory, at the end.
    fn enter(&mut self, name: &[u8]) -> Result<Option<Found>, Errno> {
        let mounts = &self.world.mounts;
        let top = self.stack.last().expect("the root stays");
        if matches!(top.mount.source, Source::Proc(_)) {
            let rest: Vec<Vec<u8>> = self.pending.drain(..).collect();
            return match procfs::walk(self.world, self.view, name, &rest, self.follow)? {
                Next::End(found) => Ok(Some(*found)),
                Next::From(path) => {
                    self.one_more_link()?;
                    self.pending = parts(&path).collect();
                    let mount = Arc::clone(mounts.tree());
                    self.stack = vec![Step { directory: mounts.root(), mount }];
                    Ok(None)
                }
            };
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&top.directory, name, flags, Mode::empty())?;
        let found = mounts.seen(file, &top.mount)?;
        let last = self.pending.is_empty();
        if found.is(libc::S_IFLNK) {
            if last && !self.follow {
                return Ok(Some(found));
            }
            self.one_more_link()?;
            let link = found.file.as_ref().ok_or(Errno::INVAL)?;
            let target = readlinkat(link, "", Vec::new())?;
            if target.as_bytes().starts_with(b"/") {
                self.stack.truncate(1);
                let mount = Arc::clone(mounts.tree());
                self.stack[0] = Step { directory: Arc::clone(&self.view.root), mount };
            }
            parts(target.as_bytes()).rev().for_each(|part| self.pending.push_front(part));
            return Ok(None);
        }
        if !found.is(libc::S_IFDIR) {
            return if last { Ok(Some(found)) } else { Err(Errno::NOTDIR) };
        }
        let directory = Arc::new(found.file.ok_or(Errno::NOTDIR)?);
        self.stack.push(Step { directory, mount: found.mount });
        Ok(None)
    }

    fn one_more_link(&mut self) -> Result<(), Errno> {
        self.links += 1;
        if self.links > MAX_LINKS { Err(Errno::LOOP) } else { Ok(()) }
    }
}
