//! Users and owners where the kernel knows them: in a user namespace with a range of ids.

use std::fs;

use rustix::fs::{AtFlags, CWD, Gid, Uid, chownat};
use rustix::io::Errno;

use super::credentials::{Credentials, Ids};
use super::place::Place;

/// CAP_MKNOD, see capabilities(7).
const MAKE_NODES: u32 = 27;

/// Who a process is; nobody where it is gone.
pub(super) fn credentials(pid: u32) -> Credentials {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = |name: &str| -> Vec<u32> {
        let line = status.lines().find_map(|it| it.strip_prefix(name));
        line.unwrap_or_default().split_ascii_whitespace().filter_map(|it| it.parse().ok()).collect()
    };
    let ids = |name: &str| match numbers(name)[..] {
        [real, effective, saved, file_system] => Ids { real, effective, saved, file_system },
        _ => Ids { real: NOBODY, effective: NOBODY, saved: NOBODY, file_system: NOBODY },
    };
    Credentials {
        user: ids("Uid:"),
        group: ids("Gid:"),
        groups: numbers("Groups:"),
        keeps: false,
        kept: false,
    }
}

const NOBODY: u32 = 65534;

/// Whether a process has the capability to make devices.
pub(super) fn may_make_devices(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let set = status.lines().find_map(|it| it.strip_prefix("CapEff:"));
    set.and_then(|it| u64::from_str_radix(it.trim(), 16).ok())
        .is_some_and(|it| it & 1 << MAKE_NODES != 0)
}

/// Gives a file to somebody.
pub(super) fn chown(place: &Place, (uid, gid): (u32, u32)) -> Result<(), Errno> {
    let flags = if place.follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    chownat(CWD, place.path.as_c_str(), Some(user), Some(group), flags)
}
