//! Becoming root in a user namespace, once, at the start of the program.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, getgid, getpid, getuid, waitpid};
use rustix::thread::{CapabilitySet, UnshareFlags, capabilities};
use serde::{Deserialize, Serialize};

use crate::sys::process::{Forked, exit_now, fork, unshare};
use crate::{Backend, probe, subid};

/// How to enter.
#[derive(Clone, Debug)]
pub struct EnterOptions {
    /// Where to look for `newuidmap` and `newgidmap`, as in the environment variable `PATH`.
    pub path: Option<OsString>,
    /// Map one id only, even where more can be had.
    pub single_id: bool,
    /// The only backend that will do; the best that there is without it.
    pub backend: Option<Backend>,
}

/// What this process may do after [`enter`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Privilege {
    /// Real root.
    Root,
    /// Root in a user namespace with a range of ids of its own.
    SubIds,
    /// Root in a user namespace in which no other id exists; owners are recorded on the side.
    SingleId,
    /// No namespaces, and nothing else either: paths, users and owners are emulated; owners and modes
    /// are recorded on the side.
    Emulated,
    /// Real root without namespaces and mounts, who may chroot.
    Chroot,
    /// Nothing can be run.
    None {
        /// What refused, and what would allow it.
        why: String,
    },
}

/// Why the process is in no state to go on.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The user namespace was made, but its id map could not be written.
    #[error("id map of the new user namespace refused: {0}")]
    Map(io::Error),
    /// A helper process could not be started.
    #[error("fork for the id map helper failed: {0}")]
    Fork(io::Error),
}

/// Moves this process into its own mount namespace and, without privileges, its own user namespace;
/// where that is refused, finds the next best way.
///
/// Must be called while the process has one thread. In namespaces the process sees itself afterwards
/// as user 0, and its mounts are its own and end with it.
pub fn enter(options: &EnterOptions) -> Result<Privilege, EnterError> {
    let emulated = |so_far: Option<String>| {
        Ok(match probe::emulation() {
            Ok(()) => Privilege::Emulated,
            Err(reason) => {
                let so_far = so_far.map(|it| format!("{it}; ")).unwrap_or_default();
                Privilege::None { why: format!("{so_far}{reason}") }
            }
        })
    };
    match options.backend {
        Some(Backend::Emulated) => emulated(None),
        Some(Backend::Namespaces) => enter_namespaces(options),
        Some(Backend::Chroot) => Ok(match chroot_works() {
            Ok(()) => Privilege::Chroot,
            Err(why) => Privilege::None { why },
        }),
        None => match enter_namespaces(options)? {
            Privilege::None { why } => emulated(Some(why)),
            privilege => Ok(privilege),
        },
    }
}

fn enter_namespaces(options: &EnterOptions) -> Result<Privilege, EnterError> {
    let admin = getuid().is_root() && has_admin();
    if admin && !options.single_id && unshare(UnshareFlags::NEWNS).is_ok() && keep_mounts().is_ok()
    {
        let mapped = mapped_ids(&fs::read_to_string("/proc/self/uid_map").unwrap_or_default());
        return Ok(if mapped < 65536 { Privilege::SingleId } else { Privilege::Root });
    }
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    if let Err(error) = try_in_child(uid, gid).map_err(EnterError::Fork)? {
        return Ok(Privilege::None { why: why_refused(error) });
    }
    let ranges = if options.single_id { None } else { ranges(options.path.as_ref(), uid, gid) };
    let helper = ranges.map(Helper::start).transpose().map_err(EnterError::Fork)?;
    if let Err(errno) = unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) {
        return Ok(Privilege::None { why: why_refused(errno.into()) });
    }
    let privilege = if helper.is_some_and(Helper::map) {
        Privilege::SubIds
    } else {
        map_one(uid, gid).map_err(EnterError::Map)?;
        Privilege::SingleId
    };
    match keep_mounts() {
        Ok(()) => Ok(privilege),
        Err(error) => Ok(Privilege::None { why: why_refused(error) }),
    }
}

/// Whether a run can be confined by chroot; else what is missing.
fn chroot_works() -> Result<(), String> {
    let needed = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::MKNOD
        | CapabilitySet::SETGID
        | CapabilitySet::SETPCAP
        | CapabilitySet::SETUID
        | CapabilitySet::SYS_CHROOT;
    let has = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    if !getuid().is_root() || !has.contains(needed) {
        return Err("the chroot sandbox needs root with Docker's default capabilities".to_owned());
    }
    probe::listener().map_err(|errno| format!("seccomp gives no listener: {errno}"))
}

fn has_admin() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Lets no mount of this namespace reach the host's.
fn keep_mounts() -> io::Result<()> {
    Ok(mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?)
}

/// Sums the lengths of an id map.
fn mapped_ids(map: &str) -> u64 {
    map.lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(2)?.parse::<u64>().ok())
        .fold(0, u64::saturating_add)
}

/// Finds out in a child whether a user namespace is of use: once this process is in one there is no
/// way back, and some systems let it be made but not be used.
fn try_in_child(uid: u32, gid: u32) -> io::Result<io::Result<()>> {
    match fork()? {
        Forked::Child => {
            let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWPID;
            let tried = unshare(flags)
                .map_err(io::Error::from)
                .and_then(|()| map_one(uid, gid))
                .and_then(|()| keep_mounts())
                .and_then(|()| probe::fresh_proc());
            exit_now(tried.err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EPERM)))
        }
        Forked::Parent(child) => {
            let status = waitpid(Some(child), rustix::process::WaitOptions::empty())?;
            let errno = status.and_then(|(_, status)| status.exit_status()).unwrap_or(libc::EPERM);
            Ok(if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) })
        }
    }
}

fn map_one(uid: u32, gid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

struct Ranges {
    newuidmap: PathBuf,
    newgidmap: PathBuf,
    uids: Vec<String>,
    gids: Vec<String>,
}

/// Returns the two helpers and what they are to map, if this user was granted enough ids.
fn ranges(path: Option<&OsString>, uid: u32, gid: u32) -> Option<Ranges> {
    let find = |name: &str| {
        std::env::split_paths(path?).map(|folder| folder.join(name)).find(|file| is_program(file))
    };
    let (newuidmap, newgidmap) = (find("newuidmap")?, find("newgidmap")?);
    let name = subid::user_name(&fs::read("/etc/passwd").unwrap_or_default(), uid);
    let range = |file: &str| subid::range(&fs::read(file).ok()?, name.as_deref(), uid);
    let map = |own: u32, (start, count): (u32, u32)| {
        [0, own, 1, 1, start, count.min(65535)].map(|number| number.to_string()).to_vec()
    };
    let (uids, gids) = (map(uid, range("/etc/subuid")?), map(gid, range("/etc/subgid")?));
    Some(Ranges { newuidmap, newgidmap, uids, gids })
}

fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// A child in the old user namespace, which runs the helpers once this process is in the new one.
struct Helper {
    child: Pid,
    start: io::PipeWriter,
}

impl Helper {
    fn start(ranges: Ranges) -> io::Result<Self> {
        let (mut wait, start) = io::pipe()?;
        let parent = getpid();
        match fork()? {
            Forked::Parent(child) => Ok(Self { child, start }),
            Forked::Child => {
                drop(start);
                let told = io::Read::read(&mut wait, &mut [0]).is_ok_and(|count| count == 1);
                let mapped = told && run_helpers(&ranges, parent);
                exit_now(i32::from(!mapped))
            }
        }
    }

    fn map(mut self) -> bool {
        let told = io::Write::write_all(&mut self.start, &[1]).is_ok();
        let status = waitpid(Some(self.child), rustix::process::WaitOptions::empty());
        told && matches!(status, Ok(Some((_, status))) if status.exit_status() == Some(0))
    }
}

fn run_helpers(ranges: &Ranges, parent: Pid) -> bool {
    let Ranges { newuidmap, newgidmap, uids, gids } = ranges;
    let run = |program: &Path, map: &[String]| {
        let pid = parent.as_raw_nonzero().to_string();
        let mut command = Command::new(program);
        command.arg(pid).args(map).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    run(newuidmap, uids) && run(newgidmap, gids)
}

/// Says what refuses a user namespace, as well as can be seen from here.
fn why_refused(error: io::Error) -> String {
    let read = |name: &str| fs::read_to_string(name).map(|text| text.trim().to_owned());
    let is = |name: &str, value: &str| read(name).is_ok_and(|text| text == value);
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return "user namespaces are off for users: sysctl kernel.unprivileged_userns_clone is 0"
            .to_owned();
    }
    if is("/proc/sys/user/max_user_namespaces", "0") {
        return "user namespaces are off: sysctl user.max_user_namespaces is 0".to_owned();
    }
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return "AppArmor restricts user namespaces: sysctl \
                kernel.apparmor_restrict_unprivileged_userns is 1"
            .to_owned();
    }
    let status = read("/proc/self/status").unwrap_or_default();
    if status.lines().any(|line| line.starts_with("Seccomp:") && line.ends_with('2')) {
        return format!(
            "a seccomp profile of the surrounding container refuses namespaces: {error}"
        );
    }
    format!("the kernel refuses namespaces: {error}")
}

#[cfg(test)]
mod tests {
    use super::mapped_ids;

    #[test]
    fn lengths_of_id_maps_add_up() {
        assert_eq!(mapped_ids("         0       1000          1\n"), 1);
        assert_eq!(mapped_ids("0 1000 1\n1 100000 65535\n"), 65536);
        assert_eq!(mapped_ids("0 0 4294967295"), 4_294_967_295);
    }
}
