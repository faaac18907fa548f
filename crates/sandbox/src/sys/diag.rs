//! The other end of a Unix socket. See sock_diag(7).

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

const BY_FAMILY: u16 = 20;
const REQUEST: u16 = 1;
/// Which part of an answer is asked for, and what it is called there.
const SHOW_PEER: u32 = 4;
const PEER: u16 = 2;
/// Bytes in front of the parts of an answer: its header, and what is said of the socket always.
const HEAD: usize = 16;
const FIXED: usize = 16;

/// The inode of the socket that a socket, by its inode, is connected with.
pub(crate) fn peer(inode: u32) -> Result<Option<u32>, Errno> {
    let kind = SocketFlags::CLOEXEC;
    let socket: OwnedFd = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        kind,
        Some(netlink::SOCK_DIAG),
    )?;
    let length = (HEAD + 24) as u32;
    let mut request = Vec::new();
    request.extend(length.to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(REQUEST.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    // In whatever state, and whatever its cookie is.
    for word in [u32::MAX, inode, SHOW_PEER, u32::MAX, u32::MAX] {
        request.extend(word.to_ne_bytes());
    }
    rustix::net::send(&socket, &request, SendFlags::empty())?;
    let mut answer = [0; 512];
    let (count, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    Ok(peer_in(&answer[..count.min(512)]))
}

/// Finds the peer in an answer; `None` where there is none any more, or the answer is an error.
fn peer_in(answer: &[u8]) -> Option<u32> {
    let half = |at: usize| Some(u16::from_ne_bytes(*answer.get(at..)?.first_chunk()?));
    if half(4)? != BY_FAMILY {
        return None;
    }
    let mut at = HEAD + FIXED;
    loop {
        let (length, kind) = (usize::from(half(at)?), half(at + 2)?);
        if kind == PEER {
            let inode = u32::from_ne_bytes(*answer.get(at + 4..)?.first_chunk()?);
            return (inode != 0).then_some(inode);
        }
        at += length.max(4).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::fstat;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn each_of_a_pair_is_the_others_peer() {
        let (one, two) = UnixStream::pair().unwrap();
        let inode = |it: &UnixStream| u32::try_from(fstat(it.as_fd()).unwrap().st_ino).unwrap();
        assert_eq!(peer(inode(&one)), Ok(Some(inode(&two))));
        assert_eq!(peer(inode(&two)), Ok(Some(inode(&one))));
        drop(two);
        assert_eq!(peer(inode(&one)), Ok(None));
    }

    #[test]
    fn what_is_no_answer_names_nobody() {
        for length in [0, 3, 16, 20, 31] {
            assert_eq!(peer_in(&vec![0; length]), None);
        }
    }
}
