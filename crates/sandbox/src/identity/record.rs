//! Recorded owners and device numbers: extended attributes of the file itself.
//!
//! So a record follows its file through a rename and through the copy that an overlay makes, and it
//! ends with it.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fsetxattr, getxattr, lgetxattr, removexattr, setxattr};
use rustix::io::Errno;

/// Holds `UID:GID` in decimal. Without it a file belongs to 0:0, unless it is a device.
pub const OWNER_ATTRIBUTE: &str = "user.strake.owner";
/// Holds `c:MAJOR:MINOR` or `b:MAJOR:MINOR` on the empty regular file that stands for a device.
pub const NODE_ATTRIBUTE: &str = "user.strake.node";
/// With this all attributes of ours begin.
pub(crate) const PREFIX: &[u8] = b"user.strake.";

/// A device that an ordinary user cannot make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) block: bool,
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// Records the owner of an open file.
pub(crate) fn set_owner(file: impl AsFd, uid: u32, gid: u32) -> Result<(), Errno> {
    fsetxattr(file, OWNER_ATTRIBUTE, format!("{uid}:{gid}").as_bytes(), XattrFlags::empty())
}

/// Records the owner of a file by path.
pub(crate) fn write_owner(path: &CStr, (uid, gid): (u32, u32)) -> Result<(), Errno> {
    setxattr(path, OWNER_ATTRIBUTE, format!("{uid}:{gid}").as_bytes(), XattrFlags::empty())
}

/// Forgets the owner of a file, who is 0:0 from now on.
pub(crate) fn forget_owner(path: &CStr) -> Result<(), Errno> {
    match removexattr(path, OWNER_ATTRIBUTE) {
        Err(Errno::NODATA) => Ok(()),
        done => done,
    }
}

/// Reads the recorded owner of a file.
pub(crate) fn owner(path: &CStr, follow: bool) -> Option<(u32, u32)> {
    let (uid, gid) = parse(read(path, OWNER_ATTRIBUTE, follow, &mut [0; 32])?)?;
    Some((uid, gid))
}

/// Marks a file as standing for a device.
pub(crate) fn write_node(path: &CStr, node: Node) -> Result<(), Errno> {
    let Node { block, major, minor } = node;
    let text = format!("{}:{major}:{minor}", if block { 'b' } else { 'c' });
    setxattr(path, NODE_ATTRIBUTE, text.as_bytes(), XattrFlags::empty())
}

/// Reads what device a file stands for.
pub(crate) fn node(path: &CStr, follow: bool) -> Option<Node> {
    let mut buffer = [0; 32];
    let text = read(path, NODE_ATTRIBUTE, follow, &mut buffer)?;
    let (kind, numbers) = text.split_once(':')?;
    let (major, minor) = parse(numbers)?;
    Some(Node { block: kind == "b", major, minor })
}

fn read<'a>(path: &CStr, name: &str, follow: bool, buffer: &'a mut [u8]) -> Option<&'a str> {
    let length = if follow {
        getxattr(path, name, &mut *buffer)
    } else {
        lgetxattr(path, name, &mut *buffer)
    };
    std::str::from_utf8(buffer.get(..length.ok()?)?).ok()
}

fn parse(text: &str) -> Option<(u32, u32)> {
    let (one, two) = text.split_once(':')?;
    Some((one.parse().ok()?, two.parse().ok()?))
}
