//! A file that was found in the tree, and what is recorded of it.
//!
//! Recorded is what an ordinary user cannot give to a file: in the attribute
//! [`OWNER_ATTRIBUTE`](crate::OWNER_ATTRIBUTE) `UID:GID`, or `UID:GID:MODE` where the mode would keep
//! the user itself out. Without it a file is root's, under the mode that it has.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{XattrFlags, getxattr, removexattr, setxattr};
use rustix::io::Errno;

use super::World;
use super::mounts::{Mount, Owner};
use crate::OWNER_ATTRIBUTE;
use crate::identity::credentials::Credentials;
use crate::identity::record::{self, Node};
use crate::sys::memory;

/// A file that was found.
pub(super) struct Found {
    /// A path that means it to this process, symlinks included: it leads through a descriptor.
    pub(super) path: CString,
    pub(super) stat: libc::stat,
    /// In which mount it is.
    pub(super) mount: Arc<Mount>,
    /// What a link of /proc says here.
    pub(super) link: Option<Vec<u8>>,
    /// What is read instead of the file.
    pub(super) content: Option<Content>,
    pub(super) file: Option<OwnedFd>,
}

/// Files of /proc that say what is true inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// `maps` of a process.
    Maps(u32),
    /// `status` of a process.
    Status(u32),
}

/// Owner, mode and kind as programs are to see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// With the kind of file.
    pub(super) mode: u32,
    pub(super) node: Option<Node>,
}

impl Meta {
    pub(super) fn owner(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    pub(super) fn is(&self, kind: u32) -> bool {
        self.mode & libc::S_IFMT == kind
    }
}

/// Device, inode and time of birth.
pub(super) type Key = (u32, u32, u64, i64, u32);

pub(super) fn key(path: &CStr) -> Option<Key> {
    let stat = memory::statx(path, 0, libc::STATX_INO | libc::STATX_BTIME).ok()?;
    let born = stat.stx_btime;
    Some((stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino, born.tv_sec, born.tv_nsec))
}

impl Found {
    /// What a descriptor opened for its path only stands for.
    pub(super) fn new(file: OwnedFd, mount: Arc<Mount>) -> Result<Self, Errno> {
        let stat = memory::fstat(file.as_fd())?;
        let path = own_path(&file)?;
        Ok(Self { path, stat, mount, link: None, content: None, file: Some(file) })
    }

    /// What is open in a process under a number.
    pub(super) fn of_descriptor(world: &World, pid: u32, number: i32) -> Result<Self, Errno> {
        let path = CString::new(format!("/proc/{pid}/fd/{number}")).map_err(|_| Errno::INVAL)?;
        let stat = memory::stat(&path, 0).map_err(|_| Errno::BADF)?;
        if let Some(found) = world.stood_for(&stat) {
            return Ok(found);
        }
        let mount = Arc::clone(world.mounts.tree());
        Ok(Self { path, stat, mount, link: None, content: None, file: None })
    }

    pub(super) fn is(&self, kind: u32) -> bool {
        self.stat.st_mode & libc::S_IFMT == kind
    }

    pub(super) fn inode(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }

    /// Refuses what may not be changed.
    pub(super) fn writable(&self) -> Result<(), Errno> {
        if self.mount.readonly { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// Whether a mode or an owner can be recorded in its attributes.
    fn holds(&self) -> bool {
        self.is(libc::S_IFREG) || self.is(libc::S_IFDIR)
    }

    /// What programs are to see; `asking` owns what is of nobody.
    pub(super) fn meta(&self, world: &World, asking: &Credentials) -> Meta {
        let mut meta = Meta {
            uid: self.stat.st_uid,
            gid: self.stat.st_gid,
            mode: self.stat.st_mode,
            node: None,
        };
        match self.mount.owner {
            Owner::Kernel => {
                if meta.uid == world.uid {
                    (meta.uid, meta.gid) = (asking.user.effective, asking.group.effective);
                }
                return meta;
            }
            Owner::Given(uid, gid) => {
                (meta.uid, meta.gid) = (uid, gid);
                return meta;
            }
            Owner::Recorded => {}
        }
        if self.is(libc::S_IFSOCK) && self.file.is_none()
            || self.is(libc::S_IFIFO) && self.file.is_none()
        {
            (meta.uid, meta.gid) = (asking.user.effective, asking.group.effective);
        } else if meta.uid == world.uid {
            (meta.uid, meta.gid) = (0, 0);
        }
        if !self.holds() {
            if let Some(owner) = world.special(&self.path) {
                (meta.uid, meta.gid) = owner;
            }
            return meta;
        }
        if let Some((uid, gid, mode)) = self.recorded() {
            (meta.uid, meta.gid) = (uid, gid);
            meta.mode = mode.map_or(meta.mode, |mode| meta.mode & libc::S_IFMT | mode);
        }
        if self.is(libc::S_IFREG) && self.stat.st_size == 0 {
            meta.node = record::node(&self.path, true);
        }
        if let Some(node) = meta.node {
            let kind = if node.block { libc::S_IFBLK } else { libc::S_IFCHR };
            meta.mode = meta.mode & !libc::S_IFMT | kind;
        }
        meta
    }

    fn recorded(&self) -> Option<(u32, u32, Option<u32>)> {
        let mut buffer = [0; 48];
        let length = getxattr(&self.path, OWNER_ATTRIBUTE, &mut buffer).ok()?;
        let mut fields = std::str::from_utf8(buffer.get(..length)?).ok()?.split(':');
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((uid, gid, fields.next().and_then(|it| u32::from_str_radix(it, 8).ok())))
    }

    /// Records owner and mode, as far as the file cannot have them itself.
    pub(super) fn record(
        &self,
        world: &World,
        (uid, gid): (u32, u32),
        mode: u32,
    ) -> Result<(), Errno> {
        if !self.holds() {
            world.set_special(&self.path, (uid, gid));
            return Ok(());
        }
        let (mode, real) = (mode & 0o7777, real_mode(mode, self.is(libc::S_IFDIR)));
        let written = match ((uid, gid), mode == real) {
            ((0, 0), true) if self.stat.st_size > 0 || record::node(&self.path, true).is_none() => {
                match removexattr(&self.path, OWNER_ATTRIBUTE) {
                    Err(Errno::NODATA) => Ok(()),
                    done => done,
                }
            }
            (_, true) => self.set_record(&format!("{uid}:{gid}")),
            (_, false) => self.set_record(&format!("{uid}:{gid}:{mode:04o}")),
        };
        match written {
            // A file system without attributes: the owner is known for this run.
            Err(Errno::OPNOTSUPP) => {
                world.set_special(&self.path, (uid, gid));
                Ok(())
            }
            done => done,
        }
    }

    fn set_record(&self, text: &str) -> Result<(), Errno> {
        setxattr(&self.path, OWNER_ATTRIBUTE, text.as_bytes(), XattrFlags::empty())
    }
}

/// The mode that a file really gets: its owner, who is always this user, is never kept out.
pub(super) fn real_mode(mode: u32, directory: bool) -> u32 {
    mode & 0o7777 | if directory { 0o700 } else { 0o600 }
}

/// A path to what a descriptor of ours stands for.
pub(super) fn own_path(file: &OwnedFd) -> Result<CString, Errno> {
    CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(|_| Errno::INVAL)
}
