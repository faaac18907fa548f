//! Mounts that exist in the emulation only.
//!
//! Each has a placeholder in the tree (or in the mount that it is in): an empty directory or file,
//! known by its inode. A directory that has something in it is put aside meanwhile.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, memfd_create, openat, readlinkat};
use rustix::io::Errno;

use super::aside::Aside;
use super::chrooted::Lent;
use super::found::{Found, own_path};
use crate::init::fsys::find;
use crate::init::stubs::{self, Stub};
use crate::places::Kind;
use crate::spec::{BindLimits, MountSource, RunSpec};
use crate::sys::memory;
use crate::wire::{Failure, Step};

/// What is shown somewhere.
pub(super) enum Source {
    /// A directory of the host.
    Directory(OwnedFd),
    /// A file of the host or of this process's memory.
    File(OwnedFd),
    /// The host's /proc, as far as it is the run's own.
    Proc(OwnedFd),
}

/// Whose files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Recorded with the files.
    Recorded,
    /// The kernel says it.
    Kernel,
    /// This.
    Given(u32, u32),
}

/// One mount; the tree itself is one.
pub(super) struct Mount {
    pub(super) source: Source,
    pub(super) readonly: bool,
    pub(super) owner: Owner,
    pub(super) limits: BindLimits,
    /// Where in the tree, without links; empty for the tree itself.
    target: Vec<u8>,
    /// Where on the host.
    host: Vec<u8>,
}

/// All mounts of a run.
pub(super) struct Mounts {
    tree: Arc<Mount>,
    root: Arc<OwnedFd>,
    /// The latest last.
    mounts: Vec<Arc<Mount>>,
    placeholders: BTreeMap<(u64, u64), Arc<Mount>>,
}

/// What has to be undone after the run.
#[derive(Default)]
pub(super) struct Undo {
    pub(super) stubs: Vec<Stub>,
    pub(super) aside: Vec<Aside>,
    /// Directories with content of the run's own.
    pub(super) lent: Vec<Lent>,
    scratch: PathBuf,
}

impl Undo {
    pub(super) fn in_scratch(scratch: PathBuf) -> Self {
        Self { scratch, ..Self::default() }
    }

    /// Where the next thing is put aside.
    pub(super) fn next_aside(&self) -> PathBuf {
        self.scratch.join(format!("aside-{}", self.aside.len()))
    }

    pub(super) fn undo(self) {
        self.lent.into_iter().rev().for_each(Lent::clean);
        self.aside.into_iter().rev().for_each(Aside::put_back);
        stubs::remove(self.stubs);
        // The caller removes it too: what fails here is only late.
        let _late = std::fs::remove_dir_all(self.scratch);
    }
}

const NO_LIMITS: BindLimits = BindLimits { nodev: false, nosuid: false, noexec: false };

impl Mounts {
    /// Starts with the tree alone.
    pub(super) fn new(root: &Path) -> Result<Self, Errno> {
        let source = open_path(root)?;
        let root = Arc::new(open_path(root)?);
        let host = readlinkat(CWD, own_path(&source)?, Vec::new())?.into_bytes();
        let tree = Arc::new(Mount {
            source: Source::Directory(source),
            readonly: false,
            owner: Owner::Recorded,
            limits: NO_LIMITS,
            target: Vec::new(),
            host,
        });
        Ok(Self { tree, root, mounts: Vec::new(), placeholders: BTreeMap::new() })
    }

    /// The tree itself, as a mount.
    pub(super) fn tree(&self) -> &Arc<Mount> {
        &self.tree
    }

    /// The top of the tree.
    pub(super) fn root(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.root)
    }

    /// The mount of /proc.
    pub(super) fn proc(&self) -> Option<&Arc<Mount>> {
        self.mounts.iter().find(|it| matches!(it.source, Source::Proc(_)))
    }

    /// The mount in which a path of the host is.
    pub(super) fn of_host(&self, host: &[u8]) -> &Arc<Mount> {
        let within = |mount: &&Arc<Mount>| host.starts_with(&mount.host);
        self.mounts.iter().filter(within).max_by_key(|it| it.host.len()).unwrap_or(&self.tree)
    }

    /// Where the tree is on the host.
    pub(super) fn host(&self) -> &[u8] {
        &self.tree.host
    }

    /// What was opened; what is mounted there, if it is a placeholder.
    pub(super) fn seen(&self, file: OwnedFd, mount: &Arc<Mount>) -> Result<Found, Errno> {
        let found = Found::new(file, Arc::clone(mount))?;
        match self.placeholders.get(&found.inode()) {
            Some(mount) => top_of(mount),
            None => Ok(found),
        }
    }

    /// Whether an inode marks a mount.
    pub(super) fn is_placeholder(&self, stat: &libc::stat) -> bool {
        self.placeholders.contains_key(&(stat.st_dev, stat.st_ino))
    }

    /// The mount that a path leads into by its letters alone, and the rest of the path, unless the
    /// rest has `..` in it.
    pub(super) fn lexical<'a>(&self, path: &'a [u8]) -> Option<(Arc<Mount>, Option<&'a [u8]>)> {
        let path = trimmed(path);
        let within = |mount: &&Arc<Mount>| {
            let rest = path.strip_prefix(mount.target.as_slice());
            rest.is_some_and(|it| it.is_empty() || it.starts_with(b"/"))
        };
        let clean = !path.windows(2).any(|it| it == b"//" || it == b"/.");
        if clean {
            let mount = self.mounts.iter().filter(within).max_by_key(|it| it.target.len())?;
            let rest = &path[mount.target.len()..];
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            return Some((Arc::clone(mount), Some(rest)));
        }
        // Both what is written and what it comes to, should there be no links.
        let written = self.mounts.iter().find(|it| starts_with_names(path, &it.target));
        let normal = normal(path);
        let meant = || self.mounts.iter().find(|it| starts_with_names(&normal, &it.target));
        written.or_else(meant).map(|it| (Arc::clone(it), None))
    }

    /// Turns a path of the host into one of the tree.
    pub(super) fn path_in_tree(&self, host: &[u8]) -> Option<Vec<u8>> {
        let mounts = self.mounts.iter().rev().chain([&self.tree]);
        let within = |mount: &&Arc<Mount>| {
            let rest = host.strip_prefix(mount.host.as_slice());
            rest.is_some_and(|it| it.is_empty() || it.starts_with(b"/"))
        };
        let mount = mounts.filter(within).max_by_key(|it| it.host.len())?;
        let path = [&mount.target, &host[mount.host.len()..]].concat();
        Some(if path.is_empty() { b"/".to_vec() } else { path })
    }
}

/// Without slashes at the end.
fn trimmed(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    &path[..end]
}

fn starts_with_names(path: &[u8], target: &[u8]) -> bool {
    let names = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|byte| *byte == b'/').filter(|it| !it.is_empty()).map(<[u8]>::to_vec).collect()
    };
    names(path).starts_with(&names(target))
}

fn normal(path: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.iter().flat_map(|name| [b"/", *name].concat()).collect()
}

fn top_of(mount: &Arc<Mount>) -> Result<Found, Errno> {
    let (Source::Directory(file) | Source::File(file) | Source::Proc(file)) = &mount.source;
    let file = file.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
    Found::new(file, Arc::clone(mount))
}

fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Everything that stands over the tree of a run.
pub(super) fn set_up(spec: &RunSpec, root: &Path) -> Result<(Mounts, Undo), Failure> {
    let scratch = spec.tmp.join("sandbox");
    std::fs::create_dir_all(&scratch).step(|| format!("create {}", scratch.display()))?;
    let mounts = Mounts::new(root).step(|| format!("open {}", root.display()))?;
    let mut it = SetUp { mounts, undo: Undo::in_scratch(scratch), spec, number: 0 };
    match it.everything() {
        Ok(()) => Ok((it.mounts, it.undo)),
        Err(failure) => {
            it.undo.undo();
            Err(failure)
        }
    }
}

struct SetUp<'a> {
    mounts: Mounts,
    undo: Undo,
    spec: &'a RunSpec,
    number: u32,
}

/// Devices that do no harm.
const DEVICES: &[&str] = &["full", "null", "ptmx", "random", "tty", "urandom", "zero"];

/// Makes what stands in a /dev besides devices.
pub(super) fn furnish_dev(dev: &Path) -> Result<(), Failure> {
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    for (name, target) in links {
        symlink(target, dev.join(name)).step(|| format!("link /dev/{name}"))?;
    }
    for (name, mode) in [("shm", 0o1777), ("mqueue", 0o1777), ("pts", 0o755)] {
        let path = dev.join(name);
        std::fs::create_dir(&path)
            .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(mode)))
            .step(|| format!("create /dev/{name}"))?;
    }
    Ok(())
}

impl SetUp<'_> {
    fn everything(&mut self) -> Result<(), Failure> {
        let proc = open_path(Path::new("/proc")).step(|| "open /proc".to_owned())?;
        self.add(Path::new("/proc"), Source::Proc(proc), false, Owner::Kernel, NO_LIMITS)?;
        if let Ok(sys) = open_path(Path::new("/sys")) {
            self.add(Path::new("/sys"), Source::Directory(sys), true, Owner::Kernel, NO_LIMITS)?;
        }
        self.devices()?;
        let files =
            [("/etc/hosts", &self.spec.hosts), ("/etc/resolv.conf", &self.spec.resolv_conf)];
        for (path, content) in files {
            let file = in_memory(content, 0o644).step(|| format!("file for {path}"))?;
            let owner = Owner::Given(0, 0);
            self.add(Path::new(path), Source::File(file), true, owner, NO_LIMITS)?;
        }
        for mount in &self.spec.mounts {
            self.wanted(&mount.target, &mount.source)?;
        }
        Ok(())
    }

    fn devices(&mut self) -> Result<(), Failure> {
        let dev = self.folder("dev", 0o755)?;
        furnish_dev(&dev)?;
        let source = open_path(&dev).step(|| "open the devices".to_owned())?;
        let (top, recorded) = (Path::new("/dev"), Owner::Recorded);
        self.add(top, Source::Directory(source), false, recorded, NO_LIMITS)?;
        for name in DEVICES {
            let path = top.join(name);
            if let Ok(node) = open_path(&path) {
                self.add(&path, Source::File(node), false, Owner::Kernel, NO_LIMITS)?;
            }
        }
        if let Ok(terminals) = open_path(Path::new("/dev/pts")) {
            let source = Source::Directory(terminals);
            self.add(Path::new("/dev/pts"), source, false, Owner::Kernel, NO_LIMITS)?;
        }
        Ok(())
    }

    fn folder(&mut self, name: &str, mode: u32) -> Result<PathBuf, Failure> {
        self.number += 1;
        let path = self.undo.scratch.join(format!("{name}-{}", self.number));
        std::fs::create_dir(&path)
            .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(mode)))
            .step(|| format!("create {}", path.display()))?;
        Ok(path)
    }

    fn wanted(&mut self, target: &Path, source: &MountSource) -> Result<(), Failure> {
        let failed = || format!("mount for {}", target.display());
        match source {
            MountSource::Bind { path, readonly, limits } => {
                let file = open_path(path).step(failed)?;
                let source =
                    if path.is_dir() { Source::Directory(file) } else { Source::File(file) };
                self.add(target, source, *readonly, Owner::Recorded, *limits)
            }
            // A size is not enforced: the files are on the disk of the scratch directory.
            MountSource::Tmpfs { size: _, mode } => {
                let folder = self.folder("tmpfs", *mode)?;
                let source = Source::Directory(open_path(&folder).step(failed)?);
                self.add(target, source, false, Owner::Recorded, NO_LIMITS)
            }
            MountSource::SecretFile { content, mode, uid, gid } => {
                let file = in_memory(content, *mode).step(failed)?;
                let owner = Owner::Given(*uid, *gid);
                self.add(target, Source::File(file), true, owner, NO_LIMITS)
            }
            MountSource::Stack { .. } => {
                let step = format!("mount for {}: an overlay", target.display());
                Err(Failure { step, errno: libc::EPERM })
            }
            MountSource::BindOverlay { lower } => {
                let folder = self.folder("discard", 0o755)?;
                let copy = folder.join("copy");
                super::aside::copy(lower, &copy).step(failed)?;
                let file = open_path(&copy).step(failed)?;
                let source =
                    if copy.is_dir() { Source::Directory(file) } else { Source::File(file) };
                self.add(target, source, false, Owner::Recorded, NO_LIMITS)
            }
        }
    }

    /// Makes the place of a mount, and the mount.
    fn add(
        &mut self,
        target: &Path,
        source: Source,
        readonly: bool,
        owner: Owner,
        limits: BindLimits,
    ) -> Result<(), Failure> {
        let failed = || format!("place for the mount on {}", target.display());
        let kind = match source {
            Source::File(_) => Kind::File,
            Source::Directory(_) | Source::Proc(_) => Kind::Directory,
        };
        let (around, rest) = match self.mounts.lexical(target.as_os_str().as_bytes()) {
            Some((mount, Some(rest))) if !rest.is_empty() => (mount, rest.to_vec()),
            _ => (Arc::clone(&self.mounts.tree), target.as_os_str().as_bytes().to_vec()),
        };
        let Source::Directory(folder) = &around.source else {
            return Err(Failure { step: failed(), errno: libc::ENOTSUP });
        };
        let rest = Path::new(std::ffi::OsStr::from_bytes(&rest)).to_owned();
        stubs::ensure(folder.as_fd(), &rest, kind, &mut self.undo.stubs).step(failed)?;
        let mut place = find(folder.as_fd(), &rest).step(failed)?;
        if kind == Kind::Directory && Arc::ptr_eq(&around, &self.mounts.tree) {
            let aside = self.undo.next_aside();
            if let Some(aside) = Aside::put(&place, &aside).step(failed)? {
                self.undo.aside.push(aside);
                place = find(folder.as_fd(), &rest).step(failed)?;
            }
        }
        let stat = memory::fstat(place.as_fd()).step(failed)?;
        let host_of = |file: &OwnedFd| -> Result<Vec<u8>, Errno> {
            Ok(readlinkat(CWD, own_path(file)?, Vec::new())?.into_bytes())
        };
        let placed = host_of(&place).step(failed)?;
        let in_around = placed.strip_prefix(around.host.as_slice()).unwrap_or(&placed);
        let (Source::Directory(file) | Source::File(file) | Source::Proc(file)) = &source;
        let mount = Arc::new(Mount {
            target: [around.target.as_slice(), in_around].concat(),
            host: host_of(file).step(failed)?,
            source,
            readonly,
            owner,
            limits,
        });
        self.mounts.placeholders.insert((stat.st_dev, stat.st_ino), Arc::clone(&mount));
        self.mounts.mounts.retain(|it| it.target != mount.target);
        self.mounts.mounts.push(mount);
        Ok(())
    }
}

/// A file that never touches a disk.
fn in_memory(content: &[u8], mode: u32) -> std::io::Result<OwnedFd> {
    let file = memfd_create("file", MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file.into())
}
