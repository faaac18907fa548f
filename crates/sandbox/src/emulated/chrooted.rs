//! A run of root's that may chroot, and nothing more: no namespace and no mount.
//!
//! Paths, users and owners are the kernel's. What a mount would show is made in the tree and taken away
//! again: /dev with nodes of its own, the files in /etc, and of /proc what says something of the machine
//! and nothing of processes. The program gives up the right to chroot once it is inside, and what reaches
//! processes by number is answered as in the emulation, for there is no pid namespace.

use std::fs::{self, Permissions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, mknodat, openat, utimensat,
};
use rustix::io::Errno;

use super::aside::Aside;
use super::calls::{Answered, Caller, Reply};
use super::found::own_path;
use super::mounts::{Undo, furnish_dev};
use super::paths::descriptor;
use super::{World, processes};
use crate::identity::Call;
use crate::init::fsys::find;
use crate::init::stubs;
use crate::places::Kind;
use crate::spec::{MountSource, Network, RunSpec};
use crate::sys::memory;
use crate::wire::{Failure, Step};

/// Decides a call.
pub(super) fn answer(world: &Arc<World>, call: &Call) -> Answered {
    if call.number == libc::SYS_socket {
        let unix = descriptor(call.arguments[0]) == libc::AF_UNIX;
        let allowed = unix || world.network != Network::None;
        return if allowed { Ok(Reply::GoOn) } else { Err(Errno::AFNOSUPPORT) };
    }
    let caller = Caller::new(world, call.pid)?;
    processes::answer(&caller, call).unwrap_or(Ok(Reply::GoOn))
}

/// A directory whose content is the run's own, and goes with it.
pub(super) struct Lent {
    directory: OwnedFd,
    path: PathBuf,
    times: Timestamps,
}

impl Lent {
    /// Empties the directory.
    pub(super) fn clean(self) {
        let Self { directory, path, times } = self;
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_directory = entry.file_type().is_ok_and(|it| it.is_dir());
            // What cannot be removed now goes with the tree, which is a copy.
            let _late = if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        let _late =
            own_path(&directory).and_then(|path| utimensat(CWD, path, &times, AtFlags::empty()));
    }
}

/// Makes all that stands over the tree, in the tree.
pub(super) fn set_up(spec: &RunSpec, root: &Path) -> Result<Undo, Failure> {
    let scratch = spec.tmp.join("sandbox");
    fs::create_dir_all(&scratch).step(|| format!("create {}", scratch.display()))?;
    let tree = openat(CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .step(|| format!("open {}", root.display()))?;
    let mut it = SetUp { undo: Undo::in_scratch(scratch), spec, tree };
    match it.everything() {
        Ok(()) => Ok(it.undo),
        Err(failure) => {
            it.undo.undo();
            Err(failure)
        }
    }
}

struct SetUp<'a> {
    undo: Undo,
    spec: &'a RunSpec,
    tree: OwnedFd,
}

/// Devices that do no harm, by their numbers.
const DEVICES: &[(&str, u32, u32)] = &[
    ("full", 1, 7),
    ("null", 1, 3),
    ("random", 1, 8),
    ("tty", 5, 0),
    ("urandom", 1, 9),
    ("zero", 1, 5),
];

/// What is shown of /proc, as it is at the start: of the machine, nothing of processes.
const PROC: &[&str] = &[
    "cpuinfo",
    "devices",
    "filesystems",
    "loadavg",
    "meminfo",
    "stat",
    "uptime",
    "version",
    "sys/fs/file-max",
    "sys/kernel/cap_last_cap",
    "sys/kernel/ngroups_max",
    "sys/kernel/osrelease",
    "sys/kernel/ostype",
    "sys/kernel/pid_max",
    "sys/kernel/threads-max",
    "sys/vm/max_map_count",
    "sys/vm/overcommit_memory",
];

impl SetUp<'_> {
    fn everything(&mut self) -> Result<(), Failure> {
        self.devices()?;
        self.proc()?;
        self.directory(Path::new("/sys"))?;
        let spec = self.spec;
        self.file(Path::new("/etc/hosts"), &spec.hosts)?;
        self.file(Path::new("/etc/resolv.conf"), &spec.resolv_conf)?;
        for mount in &spec.mounts {
            let MountSource::Tmpfs { size: _, mode } = &mount.source else {
                let step = format!(
                    "mount on {}, which the chroot sandbox cannot give (--sandbox=emulated can)",
                    mount.target.display()
                );
                return Err(Failure { step, errno: libc::EPERM });
            };
            let path = self.directory(&mount.target)?;
            fs::set_permissions(&path, Permissions::from_mode(*mode))
                .step(|| format!("mode of {}", mount.target.display()))?;
        }
        Ok(())
    }

    fn devices(&mut self) -> Result<(), Failure> {
        let dev = self.directory(Path::new("/dev"))?;
        for (name, major, minor) in DEVICES {
            let (mode, device) = (Mode::from_raw_mode(0o666), rustix::fs::makedev(*major, *minor));
            mknodat(CWD, dev.join(name), FileType::CharacterDevice, mode, device)
                .step(|| format!("make /dev/{name}"))?;
        }
        furnish_dev(&dev)
    }

    fn proc(&mut self) -> Result<(), Failure> {
        let proc = self.directory(Path::new("/proc"))?;
        let write = |name: &str, content: &[u8]| {
            let path = proc.join(name);
            path.parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| fs::write(&path, content))
                .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o444)))
                .step(|| format!("write /proc/{name}"))
        };
        for name in PROC {
            // Not every kernel has every file.
            if let Ok(content) = fs::read(Path::new("/proc").join(name)) {
                write(name, &content)?;
            }
        }
        write("mounts", b"none / rootfs rw 0 0\n")
    }

    /// An empty directory in place of whatever is there, for the length of the run.
    fn directory(&mut self, target: &Path) -> Result<PathBuf, Failure> {
        let failed = || format!("place for {}", target.display());
        stubs::ensure(self.tree.as_fd(), target, Kind::Directory, &mut self.undo.stubs)
            .step(failed)?;
        let mut place = find(self.tree.as_fd(), target).step(failed)?;
        let kept = self.undo.next_aside();
        if let Some(aside) = Aside::put(&place, &kept).step(failed)? {
            self.undo.aside.push(aside);
            place = find(self.tree.as_fd(), target).step(failed)?;
        }
        let path = host_path(&place).step(failed)?;
        let stat = memory::fstat(place.as_fd()).step(failed)?;
        let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        };
        self.undo.lent.push(Lent { directory: place, path: path.clone(), times });
        Ok(path)
    }

    /// A file of this content in place of whatever is there, for the length of the run.
    fn file(&mut self, target: &Path, content: &[u8]) -> Result<(), Failure> {
        let failed = || format!("place for {}", target.display());
        stubs::ensure(self.tree.as_fd(), target, Kind::File, &mut self.undo.stubs).step(failed)?;
        let place = find(self.tree.as_fd(), target).step(failed)?;
        let kept = self.undo.next_aside();
        self.undo.aside.push(Aside::put_file(&place, &kept, content).step(failed)?);
        Ok(())
    }
}

fn host_path(place: &OwnedFd) -> Result<PathBuf, Errno> {
    use std::os::unix::ffi::OsStringExt;
    let path = rustix::fs::readlinkat(CWD, own_path(place)?, Vec::new())?.into_bytes();
    Ok(PathBuf::from(std::ffi::OsString::from_vec(path)))
}
