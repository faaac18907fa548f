//! Owners on the side: how they are written down.
use rustix::io::Errno;
use std::os::fd::AsFd;
/// The attribute that holds the owner of a regular file or directory.
pub(crate) const OWNER: &str = "user.strake.owner";
/// Records an owner.
pub(crate) fn set_owner(file: impl AsFd, uid: u32, gid: u32) -> Result<(), Errno> {
    rustix::fs::fsetxattr(
        file,
        OWNER,
        format!("{uid}:{gid}").as_bytes(),
        rustix::fs::XattrFlags::empty(),
    )
}
