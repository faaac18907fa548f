//! Unix sockets: whose the file is that binding makes, and who is at the other end.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, bind as bind_socket, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::create::{folder, with_umask_of};
use super::place::descriptor;
use super::{Answer, Call, Engine, Holder};
use crate::sys::memory;
use crate::sys::process::group_of;

const CWD: u64 = libc::AT_FDCWD as u64;
/// Bytes of a family, and of the longest address that has a path.
const FAMILY: usize = 2;
const LONGEST: u64 = 110;

/// The path of an address in the memory of a caller; `None` for one of another kind.
pub(crate) fn path(pid: u32, address: u64, length: u64) -> Option<Vec<u8>> {
    let length = (length & u64::from(u32::MAX)).min(LONGEST);
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    if address == 0 || bytes.len() <= FAMILY {
        return None;
    }
    let count = memory::read(pid, address, &mut bytes).ok()?;
    bytes.truncate(count);
    let (family, path) = bytes.split_first_chunk::<FAMILY>()?;
    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
    let is_unix = i32::from(u16::from_ne_bytes(*family)) == libc::AF_UNIX;
    (is_unix && end > 0).then(|| path[..end].to_vec())
}

/// Makes the file of a socket, which belongs to its maker. See bind(2) and unix(7).
pub(super) fn bind(
    engine: &mut Engine,
    call: &Call,
    still_there: &dyn Fn() -> bool,
) -> Option<Answer> {
    let [number, address, length, ..] = call.arguments;
    let path = path(call.pid, address, length)?;
    let folder = folder(engine, call.pid, CWD, &path)?;
    let credentials = engine.credentials(call.pid);
    if folder.suits_kernel(&credentials) {
        return None;
    }
    let owner = folder.new_owner(engine, &credentials);
    let place = folder.place.join(&folder.name).ok()?;
    if memory::stat(&place.path, libc::AT_SYMLINK_NOFOLLOW).is_ok() {
        return Some(Answer::Value(Err(Errno::ADDRINUSE)));
    }
    let Some(owner) = owner else { return Some(Answer::Value(Err(Errno::ACCESS))) };
    let socket = opened(call.pid, number).ok()?;
    let address = SocketAddrUnix::new(&place.path).ok()?;
    if !still_there() {
        return None;
    }
    let bound = with_umask_of(call.pid, || bind_socket(&socket, &address));
    let recorded =
        bound.and_then(|()| if owner == (0, 0) { Ok(()) } else { engine.record(&place, owner) });
    Some(recorded.map(|()| 0).into())
}

/// Says who is at the other end of a socket: SO_PEERCRED in unix(7).
pub(super) fn peer(engine: &Engine, call: &Call) -> Option<Answer> {
    if !asks_for_peer(call) {
        return None;
    }
    let socket = opened(call.pid, call.arguments[0]).ok()?;
    let pid = sockopt::socket_peercred(&socket).ok()?.pid.as_raw_nonzero().get();
    let peer = engine.credentials(pid.unsigned_abs());
    let ids = (peer.user.effective, peer.group.effective);
    Some(write_peer(call, pid.unsigned_abs(), ids).map(|()| 0).into())
}

/// Whether a getsockopt(2) is the one that names the peer.
pub(crate) fn asks_for_peer(call: &Call) -> bool {
    let [_, level, option, ..] = call.arguments.map(descriptor);
    (level, option) == (libc::SOL_SOCKET, libc::SO_PEERCRED)
}

/// Writes a peer where a getsockopt(2) wants it.
pub(crate) fn write_peer(call: &Call, pid: u32, (uid, gid): (u32, u32)) -> Result<(), Errno> {
    let [_, _, _, to, size, _] = call.arguments;
    let mut room = [0; 4];
    if memory::read(call.pid, size, &mut room)? != room.len() {
        return Err(Errno::FAULT);
    }
    let peer: Vec<u8> = [pid, uid, gid].iter().flat_map(|it| it.to_ne_bytes()).collect();
    let room = usize::try_from(i32::from_ne_bytes(room)).map_err(|_| Errno::INVAL)?;
    let count = room.min(peer.len());
    memory::write(call.pid, to, &peer[..count])?;
    memory::write(call.pid, size, &(count as u32).to_ne_bytes())
}

/// A socket of a caller, as a descriptor of this process.
fn opened(pid: u32, number: u64) -> Result<OwnedFd, Errno> {
    let process = Pid::from_raw(group_of(pid)?.cast_signed()).ok_or(Errno::SRCH)?;
    let process = pidfd_open(process, PidfdFlags::empty())?;
    pidfd_getfd(process, descriptor(number), PidfdGetfdFlags::empty())
}
