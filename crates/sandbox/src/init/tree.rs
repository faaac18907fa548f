//! What stands over the tree: /proc, /dev, /sys, the files in /etc, and the mounts asked for.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{chdir, fchdir, pivot_root};
use rustix::thread::UnshareFlags;

use super::fsys::{
    INERT, attach, attach_to_host, clone_of, clone_of_host, find, freeze, make, shift,
};
use super::stubs;
use crate::overlay;
use crate::places::{Kind, is_covered};
use crate::spec::{BindLimits, Mount, MountSource, Network, RunSpec, Security};
use crate::sys::mount::{make_readonly, restrict};
use crate::sys::process::unshare;
use crate::{Privilege, identity, wire};
use wire::{Failure, Step};

const NO_DEVICES: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// Paths that say too much about the host, or let it be changed; as Docker hides them.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READONLY: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Devices of the host that a run without limits gets, where they are there; loop devices as well.
pub const INSECURE_DEVICES: &[&str] =
    &["/dev/kmsg", "/dev/cuse", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/loop-control"];

/// File systems of the kernel that are the same for every run, in a mount namespace of this process.
pub(super) struct Ready(OwnedFd);

impl Ready {
    /// Moves this process into a mount namespace of its own and makes them there.
    pub(super) fn make() -> Result<Self, Failure> {
        unshare(UnshareFlags::NEWNS).step(|| "new mount namespace".to_owned())?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .step(|| "make mounts private".to_owned())?;
        let place = Self::place().step(|| "place for mounts".to_owned())?;
        let fd = place.as_fd();
        mount_proc(fd)?;
        hide(fd, "/proc")?;
        mount_dev(fd).step(|| "set up /dev".to_owned())?;
        mount_sys(fd, Security::Sandbox).step(|| "set up /sys".to_owned())?;
        hide(fd, "/sys")?;
        Ok(Self(place))
    }

    /// Where they stand until there is a tree: above the root, where only descriptors lead.
    fn place() -> Result<OwnedFd, Errno> {
        let place = make("tmpfs", &[("mode", "0700")], NO_DEVICES)?;
        attach_to_host(place.as_fd(), Path::new("/"))?;
        for name in ["proc", "dev", "sys"] {
            mkdirat(&place, name, Mode::from_raw_mode(0o700))?;
        }
        Ok(place)
    }

    fn move_to(&self, root: BorrowedFd<'_>, spec: &RunSpec) -> Result<(), Failure> {
        let shift =
            |name: &str| shift(self.0.as_fd(), root, name).step(|| format!("mount /{name}"));
        match spec.security {
            Security::Sandbox => shift("proc")?,
            // Nothing of it is hidden.
            Security::Insecure => mount_proc(root)?,
        }
        shift("dev")?;
        mount_in_dev(root, spec).step(|| "set up /dev".to_owned())?;
        // It shows the network namespace that it was mounted in, and the control group.
        match (spec.security, spec.network, spec.limits.are_none()) {
            (Security::Sandbox, Network::Default | Network::Host, true) => shift("sys")?,
            (security, ..) => {
                mount_sys(root, security).step(|| "set up /sys".to_owned())?;
                if security == Security::Sandbox {
                    hide(root, "/sys")?;
                }
            }
        }
        Ok(())
    }
}

/// Lets the tree be `/` in the mount namespace of this process.
pub(super) fn set_up(spec: &RunSpec, root: BorrowedFd<'_>, ready: &Ready) -> Result<(), Failure> {
    // Everything of the host is opened before the tree stands anywhere.
    let sources = Sources::open(spec, ready.0.as_fd())?;
    // Above the old root nothing must stand when that is left. From here it goes with it.
    attach_to_host(ready.0.as_fd(), &spec.tmp).step(|| "move the place for mounts".to_owned())?;
    attach_to_host(root, &spec.tmp).step(|| "mount the root".to_owned())?;
    ready.move_to(root, spec)?;
    fchdir(root).step(|| "enter the root".to_owned())?;
    if spec.security == Security::Insecure {
        insecure_devices(root).step(|| "devices of the host".to_owned())?;
    }
    sources.attach(root, spec)?;
    pivot_root(".", ".").step(|| "change the root".to_owned())?;
    unmount(".", UnmountFlags::DETACH).step(|| "leave the old root".to_owned())?;
    chdir("/").step(|| "enter the new root".to_owned())
}

fn hide(root: BorrowedFd<'_>, below: &str) -> Result<(), Failure> {
    for path in MASKED.iter().filter(|it| it.starts_with(below)) {
        mask(root, path).step(|| format!("hide {path}"))?;
    }
    for path in READONLY.iter().filter(|it| it.starts_with(below)) {
        freeze(root, path).step(|| format!("make {path} read-only"))?;
    }
    Ok(())
}

/// Shows the devices that an unlimited run may use, as far as the host has them.
fn insecure_devices(root: BorrowedFd<'_>) -> Result<(), Errno> {
    let loops = (0..64).map(|number| format!("/dev/loop{number}"));
    for path in INSECURE_DEVICES.iter().map(|it| (*it).to_owned()).chain(loops) {
        let path = Path::new(&path);
        match clone_of_host(path) {
            Ok(node) => {
                stubs::ensure(root, path, Kind::File, &mut Vec::new())?;
                attach(root, &node, path)?;
            }
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn mount_proc(root: BorrowedFd<'_>) -> Result<(), Failure> {
    make("proc", &[], INERT)
        .and_then(|proc| attach(root, &proc, Path::new("/proc")))
        .step(|| "mount /proc (a container that hides parts of its own refuses it)".to_owned())
}

fn mount_dev(root: BorrowedFd<'_>) -> Result<(), Errno> {
    let nosuid = MountAttrFlags::MOUNT_ATTR_NOSUID;
    let dev = make("tmpfs", &[("mode", "0755"), ("size", "65536k")], nosuid)?;
    attach(root, &dev, Path::new("/dev"))?;
    for name in ["full", "null", "random", "tty", "urandom", "zero"] {
        let path = Path::new("/dev").join(name);
        openat(&dev, name, OFlags::CREATE | OFlags::CLOEXEC, Mode::from_raw_mode(0o666))?;
        attach(root, &clone_of_host(&path)?, &path)?;
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ];
    for (name, target) in links {
        symlinkat(target, &dev, name)?;
    }
    if find(root, Path::new("/proc/kcore")).is_ok() {
        symlinkat("/proc/kcore", &dev, "core")?;
    }
    for name in ["pts", "shm", "mqueue"] {
        mkdirat(&dev, name, Mode::from_raw_mode(0o755))?;
    }
    // A kernel without POSIX queues has programs that do without, too.
    let _absent = make("mqueue", &[], INERT)
        .and_then(|queues| attach(root, &queues, Path::new("/dev/mqueue")));
    Ok(())
}

/// Mounts what depends on the run.
fn mount_in_dev(root: BorrowedFd<'_>, spec: &RunSpec) -> Result<(), Errno> {
    let mut pts = vec![("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    if spec.privilege != Privilege::SingleId {
        pts.push(("gid", "5"));
    }
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
    attach(root, &make("devpts", &pts, quiet)?, Path::new("/dev/pts"))?;
    // A mount of the step's own takes its place, and is the only one that is seen there.
    let shm_path = Path::new("/dev/shm");
    if !spec.mounts.iter().any(|it| it.target == shm_path) {
        let size = spec.shm_size.to_string();
        let shm = make("tmpfs", &[("mode", "1777"), ("size", &size)], INERT)?;
        attach(root, &shm, shm_path)?;
    }
    Ok(())
}

/// A fresh sysfs needs a network namespace of one's own; else the host's is shown.
fn mount_sys(root: BorrowedFd<'_>, security: Security) -> Result<(), Errno> {
    let flags = match security {
        Security::Sandbox => INERT.union(MountAttrFlags::MOUNT_ATTR_RDONLY),
        Security::Insecure => INERT,
    };
    if let Ok(sys) = make("sysfs", &[], flags) {
        attach(root, &sys, Path::new("/sys"))?;
        let _other_hierarchy = make("cgroup2", &[], flags)
            .and_then(|groups| attach(root, &groups, Path::new("/sys/fs/cgroup")));
        return Ok(());
    }
    let sys = clone_of_host(Path::new("/sys"))?;
    if security == Security::Sandbox {
        make_readonly(sys.as_fd())?;
    }
    attach(root, &sys, Path::new("/sys"))
}

fn mask(root: BorrowedFd<'_>, path: &str) -> Result<(), Errno> {
    let path = Path::new(path);
    let place = match find(root, path) {
        Ok(place) => place,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let mode = rustix::fs::fstat(&place)?.st_mode;
    let cover = if rustix::fs::FileType::from_raw_mode(mode).is_dir() {
        make("tmpfs", &[], INERT.union(MountAttrFlags::MOUNT_ATTR_RDONLY))?
    } else {
        clone_of_host(Path::new("/dev/null"))?
    };
    attach(root, &cover, path)
}

/// What will be mounted, in the order of the spec, and the files of /etc.
struct Sources {
    trees: Vec<OwnedFd>,
    hosts: OwnedFd,
    resolv_conf: OwnedFd,
}

impl Sources {
    /// `memory` is mounted, and nobody but this process sees it: there are the contents of files.
    fn open(spec: &RunSpec, memory: BorrowedFd<'_>) -> Result<Self, Failure> {
        let mut trees = Vec::new();
        for (number, mount) in spec.mounts.iter().enumerate() {
            let discard = spec.tmp.join(format!("discard-{number}"));
            let secret = secret(spec, mount, memory, &number.to_string());
            let tree = secret.unwrap_or_else(|| open_source(mount, &discard));
            trees.push(tree.step(|| format!("mount for {}", mount.target.display()))?);
        }
        let file = |name: &str, content: &[u8]| {
            readonly_file(memory, name, content).step(|| format!("file for /etc/{name}"))
        };
        Ok(Self {
            trees,
            hosts: file("hosts", &spec.hosts)?,
            resolv_conf: file("resolv.conf", &spec.resolv_conf)?,
        })
    }

    fn attach(&self, root: BorrowedFd<'_>, spec: &RunSpec) -> Result<(), Failure> {
        let files = [("/etc/hosts", &self.hosts), ("/etc/resolv.conf", &self.resolv_conf)];
        for (path, tree) in files {
            match attach(root, tree, Path::new(path)) {
                Err(Errno::NOENT) => {}
                done => done.step(|| format!("mount {path}"))?,
            }
        }
        for (mount, tree) in spec.mounts.iter().zip(&self.trees) {
            let target = &mount.target;
            // Missing still where an earlier mount, or one of the fresh file systems, lies above.
            if is_covered(target) || matches!(find(root, target), Err(Errno::NOENT)) {
                let kind = kind_of(tree).step(|| format!("mount for {}", target.display()))?;
                stubs::ensure(root, target, kind, &mut Vec::new())
                    .step(|| format!("create {} for a mount", target.display()))?;
            }
            attach(root, tree, target).step(|| format!("mount on {}", target.display()))?;
        }
        Ok(())
    }
}

fn kind_of(tree: &OwnedFd) -> Result<Kind, Errno> {
    let mode = rustix::fs::fstat(tree)?.st_mode;
    let is_dir = rustix::fs::FileType::from_raw_mode(mode).is_dir();
    Ok(if is_dir { Kind::Directory } else { Kind::File })
}

fn readonly_file(memory: BorrowedFd<'_>, name: &str, content: &[u8]) -> std::io::Result<OwnedFd> {
    write_file(memory, name, content, 0o644)?;
    Ok(readonly(memory, name)?)
}

fn readonly(memory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let tree = clone_of(memory, Path::new(name))?;
    make_readonly(tree.as_fd())?;
    Ok(tree)
}

fn write_file(
    memory: BorrowedFd<'_>,
    name: &str,
    content: &[u8],
    mode: u32,
) -> std::io::Result<fs::File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let mut file = fs::File::from(openat(memory, name, flags, Mode::from_raw_mode(0o600))?);
    std::io::Write::write_all(&mut file, content)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

fn secret(
    spec: &RunSpec,
    mount: &Mount,
    memory: BorrowedFd<'_>,
    name: &str,
) -> Option<std::io::Result<OwnedFd>> {
    let MountSource::SecretFile { content, mode, uid, gid } = &mount.source else { return None };
    let open = || {
        let file = write_file(memory, name, content, *mode)?;
        if spec.privilege == Privilege::SingleId {
            match identity::record::set_owner(&file, *uid, *gid) {
                // Before Linux 6.6 a file in memory holds no such attribute. Its reader has it anyway.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(errno.into()),
            }
        } else {
            std::os::unix::fs::fchown(&file, Some(*uid), Some(*gid))?;
        }
        Ok(readonly(memory, name)?)
    };
    Some(open())
}

fn open_source(mount: &Mount, discard: &Path) -> std::io::Result<OwnedFd> {
    match &mount.source {
        MountSource::Bind { path, readonly, limits } => {
            let tree = clone_of_host(path)?;
            let attributes = attributes(*readonly, *limits);
            if !attributes.is_empty() {
                restrict(tree.as_fd(), attributes.bits().into())?;
            }
            Ok(tree)
        }
        MountSource::Tmpfs { size, mode } => {
            let (mode, size) = (format!("{mode:o}"), size.map(|size| size.to_string()));
            let mut options = vec![("mode", mode.as_str())];
            options.extend(size.as_deref().map(|size| ("size", size)));
            Ok(make("tmpfs", &options, NO_DEVICES)?)
        }
        MountSource::BindOverlay { lower } => discarding(lower, discard),
        MountSource::Stack { lower, path, directory: _, readonly } => {
            let tree = stacked(lower, path, discard)?;
            if *readonly {
                make_readonly(tree.as_fd())?;
            }
            Ok(tree)
        }
        MountSource::SecretFile { .. } => Err(Errno::INVAL.into()),
    }
}

fn attributes(readonly: bool, limits: BindLimits) -> MountAttrFlags {
    let BindLimits { nodev, nosuid, noexec } = limits;
    let mut flags = MountAttrFlags::empty();
    flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, readonly);
    flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, nodev);
    flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, nosuid);
    flags.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, noexec);
    flags
}

/// Shows a file or directory so that writes to it go to `discard`.
fn discarding(lower: &Path, discard: &Path) -> std::io::Result<OwnedFd> {
    let top = fs::metadata(lower)?;
    if !top.is_dir() {
        fs::copy(lower, discard)?;
        return Ok(clone_of_host(discard)?);
    }
    let (upper, work) = (discard.join("upper"), discard.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    // With one id mapped there is no other owner to give it to.
    let _single = std::os::unix::fs::chown(&upper, Some(top.uid()), Some(top.gid()));
    fs::set_permissions(&upper, top.permissions())?;
    let layers = overlay::Layers { lower: &[lower.to_path_buf()], upper: &upper, work: &work };
    overlay::mount(&layers).or_else(|_refused| {
        copy_tree(lower, &upper)?;
        Ok(clone_of_host(&upper)?)
    })
}

/// Shows what is at a path in an overlay whose changes go to `discard`.
fn stacked(lower: &[PathBuf], path: &Path, discard: &Path) -> std::io::Result<OwnedFd> {
    let (upper, work, place) = (discard.join("upper"), discard.join("work"), discard.join("place"));
    for folder in [&upper, &work, &place] {
        fs::create_dir_all(folder)?;
    }
    let Some(top) = lower.first() else { return Ok(clone_of_host(&upper)?) };
    let top = fs::metadata(top)?;
    let _single = std::os::unix::fs::chown(&upper, Some(top.uid()), Some(top.gid()));
    fs::set_permissions(&upper, top.permissions())?;
    let whole = overlay::mount(&overlay::Layers { lower, upper: &upper, work: &work })?;
    // A part of a mount can only be shown from a place where that is mounted.
    attach_to_host(whole.as_fd(), &place)?;
    let part = find(whole.as_fd(), path).and_then(|it| clone_of(it.as_fd(), Path::new("")));
    unmount(&place, UnmountFlags::DETACH)?;
    Ok(part?)
}

/// Copies what a directory holds, where no overlay can be had.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            fs::create_dir(&target)?;
            copy_tree(&source, &target)?;
        } else if metadata.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else if metadata.is_file() {
            fs::copy(&source, &target)?;
        } else {
            continue;
        }
        let _single =
            std::os::unix::fs::lchown(&target, Some(metadata.uid()), Some(metadata.gid()));
        if !metadata.is_symlink() {
            fs::set_permissions(&target, metadata.permissions())?;
        }
    }
    Ok(())
}
