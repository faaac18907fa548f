//! Unix sockets, whose addresses are paths.
//!
//! A socket is made by this process and handed over, so that this process can bind and connect it: an
//! address in the memory of a program could be changed between a check and its use. What is kept of a
//! socket for that is let go as soon as it is connected.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD as HERE, readlinkat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use super::calls::{Answered, CWD, Caller, DONE, Reply};
use super::names::Place;
use super::paths::descriptor;
use super::{World, keep, lock};
use crate::identity::Call;
use crate::identity::sockets::{asks_for_peer, write_peer};
use crate::spec::Network;
use crate::sys::process::group_of;
use crate::sys::{diag, memory};

/// How many unconnected sockets are kept.
const KEPT: usize = 512;
/// Of how many connections it is known who made them.
const CONNECTED: usize = 4096;

pub(super) fn socket(caller: &Caller<'_>, call: &Call) -> Answered {
    let [family, kind, protocol, ..] = call.arguments;
    let (family, kind) = (descriptor(family), descriptor(kind));
    if family == libc::AF_NETLINK && descriptor(protocol) == libc::NETLINK_AUDIT {
        // As where there is no audit: programs are content with that, and not with a refusal.
        return Err(Errno::PROTONOSUPPORT);
    }
    if family != libc::AF_UNIX {
        // No network, but for what asks about it.
        let allowed = caller.world.network != Network::None;
        return if allowed { Ok(Reply::GoOn) } else { Err(Errno::AFNOSUPPORT) };
    }
    if descriptor(protocol) != 0 && descriptor(protocol) != libc::PF_UNIX {
        return Err(Errno::PROTONOSUPPORT);
    }
    let close_on_exec = kind & libc::SOCK_CLOEXEC != 0;
    let flags = SocketFlags::from_bits_retain((kind & libc::SOCK_NONBLOCK).cast_unsigned())
        | SocketFlags::CLOEXEC;
    let plain = (kind & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)).cast_unsigned();
    let socket = socket_with(AddressFamily::UNIX, SocketType::from_raw(plain), flags, None)?;
    let inode = memory::fstat(socket.as_fd())?.st_ino;
    let kept = socket.try_clone().map_err(|_| Errno::MFILE)?;
    caller.world.keep_socket(inode, kept, KEPT);
    Ok(Reply::Descriptor { file: socket, close_on_exec })
}

/// Says who is at the other end: who connected, as far as that was here, or the caller itself, which made
/// both ends.
pub(super) fn peer(caller: &Caller<'_>, call: &Call) -> Answered {
    if !asks_for_peer(call) {
        return Ok(Reply::GoOn);
    }
    let inode = inode(caller, call.arguments[0])?;
    let peer = u32::try_from(inode).ok().and_then(|it| diag::peer(it).ok().flatten());
    let connected = peer.and_then(|it| caller.world.connected(u64::from(it)));
    let Peer { pid, uid, gid } = connected.unwrap_or_else(|| Peer::of(caller));
    write_peer(call, pid, (uid, gid))?;
    DONE
}

/// Who has connected a socket.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pid: u32,
    uid: u32,
    gid: u32,
}

impl Peer {
    fn of(caller: &Caller<'_>) -> Self {
        let credentials = caller.credentials();
        let pid = group_of(caller.pid).unwrap_or(caller.pid);
        Self { pid, uid: credentials.user.effective, gid: credentials.group.effective }
    }
}

impl World {
    /// Remembers who connects a socket, by its inode.
    fn note_connecting(&self, inode: u64, peer: Peer) {
        keep(&mut lock(&self.peers), (inode, peer), CONNECTED);
    }

    fn connected(&self, inode: u64) -> Option<Peer> {
        let peers = lock(&self.peers);
        peers.iter().rev().find(|(of, _)| *of == inode).map(|(_, peer)| *peer)
    }
}

pub(super) fn answer(caller: &Caller<'_>, call: &Call) -> Answered {
    let [number, address, length, ..] = call.arguments;
    let (address, length) = match call.number {
        libc::SYS_sendto => (call.arguments[4], call.arguments[5]),
        _ => (address, length),
    };
    let length = usize::try_from(length & u64::from(u32::MAX)).map_err(|_| Errno::INVAL)?;
    let mut bytes = vec![0; length.min(128)];
    if address == 0 || bytes.len() < 2 || memory::read(caller.pid, address, &mut bytes)? < 2 {
        return Ok(Reply::GoOn);
    }
    if i32::from(u16::from_ne_bytes([bytes[0], bytes[1]])) != libc::AF_UNIX {
        return Ok(Reply::GoOn);
    }
    let path = &bytes[2..];
    if path.is_empty() || path[0] == 0 {
        // A name without a file: of the network, and so not there without one.
        let hidden = caller.world.network == Network::None && call.number != libc::SYS_bind;
        return if hidden { Err(Errno::CONNREFUSED) } else { Ok(Reply::GoOn) };
    }
    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
    let path = path[..end].to_vec();
    let inode = inode(caller, number)?;
    match call.number {
        libc::SYS_bind => bind(caller, inode, &path),
        libc::SYS_connect => connect(caller, inode, &path),
        _ => send(caller, call, inode, &path),
    }
}

/// No datagram is longer: net.core.wmem_max is less.
const LONGEST: u64 = 1 << 22;

/// A datagram to a path, sent by what is kept of the socket.
fn send(caller: &Caller<'_>, call: &Call, inode: u64, path: &[u8]) -> Answered {
    let [_, from, length, flags, ..] = call.arguments;
    let found = caller.resolve(CWD, path, true)?;
    if !found.is(libc::S_IFSOCK) {
        return Err(Errno::CONNREFUSED);
    }
    caller.permit(&caller.meta(&found), 2)?;
    if length > LONGEST {
        return Err(Errno::MSGSIZE);
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| Errno::MSGSIZE)?];
    if !bytes.is_empty() && memory::read(caller.pid, from, &mut bytes)? != bytes.len() {
        return Err(Errno::FAULT);
    }
    let socket = caller.world.kept_socket(inode).ok_or(Errno::ISCONN)?;
    let flags = SendFlags::from_bits_retain((flags & u64::from(u32::MAX)) as u32);
    Ok(Reply::Waiting(Box::new(move || {
        let found = found;
        let to = SocketAddrUnix::new(&found.path)?;
        let sent = rustix::net::sendto(&socket, &bytes, flags | SendFlags::NOSIGNAL, &to)?;
        i64::try_from(sent).map_err(|_| Errno::MSGSIZE)
    })))
}

/// The number of the socket that a descriptor of the caller is.
fn inode(caller: &Caller<'_>, number: u64) -> Result<u64, Errno> {
    let link = format!("/proc/{}/fd/{}", caller.pid, descriptor(number));
    let link = readlinkat(HERE, link, Vec::new()).map_err(|_| Errno::BADF)?;
    let text = link.to_str().unwrap_or_default();
    let number = text.strip_prefix("socket:[").and_then(|it| it.strip_suffix(']'));
    number.and_then(|it| it.parse().ok()).ok_or(Errno::NOTSOCK)
}

fn bind(caller: &Caller<'_>, inode: u64, path: &[u8]) -> Answered {
    let place = Place::find(caller, CWD, path)?;
    let owner = place.new_owner(caller).map_err(|errno| match errno {
        Errno::EXIST => Errno::ADDRINUSE,
        errno => errno,
    })?;
    let socket = caller.world.take_socket(inode).ok_or(Errno::INVAL)?;
    let full = [place.directory.path.as_bytes(), b"/", &place.name].concat();
    let full = CString::new(full).map_err(|_| Errno::INVAL)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&full)?)?;
    let mode = 0o777 & !caller.state.umask;
    let real = rustix::fs::Mode::from_raw_mode(mode | 0o600);
    rustix::fs::chmodat(HERE, &full, real, rustix::fs::AtFlags::empty())?;
    if owner != (0, 0) {
        caller.resolve(CWD, path, false)?.record(caller.world, owner, mode)?;
    }
    keep_datagrams(caller, inode, socket);
    DONE
}

fn connect(caller: &Caller<'_>, inode: u64, path: &[u8]) -> Answered {
    let found = caller.resolve(CWD, path, true)?;
    if !found.is(libc::S_IFSOCK) {
        return Err(Errno::CONNREFUSED);
    }
    caller.permit(&caller.meta(&found), 2)?;
    let socket = caller.world.take_socket(inode).ok_or(Errno::ISCONN)?;
    let world = std::sync::Arc::clone(caller.world);
    world.note_connecting(inode, Peer::of(caller));
    Ok(Reply::Waiting(Box::new(move || {
        let found = found;
        let connected = SocketAddrUnix::new(&found.path)
            .and_then(|address| rustix::net::connect(&socket, &address));
        if connected.is_err() {
            // It may be tried again.
            world.keep_socket(inode, socket, KEPT);
        }
        connected.map(|()| 0)
    })))
}

fn keep_datagrams(caller: &Caller<'_>, inode: u64, socket: OwnedFd) {
    if rustix::net::sockopt::socket_type(&socket) == Ok(SocketType::DGRAM) {
        caller.world.keep_socket(inode, socket, KEPT);
    }
}
