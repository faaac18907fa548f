//! Owners of files that can hold no attribute: symlinks, FIFOs, sockets, and files on file systems
//! without attributes. They are known for one run by what identifies an inode.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;

use super::credentials::Credentials;
use super::place::Place;
use super::{Engine, real, record};
use crate::Owner;
use crate::spec::RootSpec;
use crate::sys::memory;

/// Device, inode and time of birth: the time tells a file from a dead one with its number.
type Key = (u32, u32, u64, i64, u32);

/// Where changes land, opened while the host's paths can still be seen.
pub(crate) struct Roots {
    changes: OwnedFd,
}

impl Roots {
    /// Opens the upper directory, or the plain tree.
    pub(crate) fn open(root: &RootSpec) -> Result<Self, Errno> {
        let (RootSpec::Overlay { upper: changes, .. } | RootSpec::Plain(changes)) = root;
        Ok(Self { changes: open_dir(CWD, changes)? })
    }
}

fn open_dir(at: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

/// The owners known so.
pub(super) struct Specials {
    roots: Roots,
    owners: BTreeMap<Key, (u32, u32)>,
}

impl Specials {
    pub(super) fn new(roots: Roots, user: &Credentials, known: &[Owner]) -> Self {
        let mut owners: BTreeMap<Key, (u32, u32)> = known
            .iter()
            .filter_map(|owner| {
                let path = CString::new(owner.path.as_os_str().as_bytes()).ok()?;
                Some((key(&path, libc::AT_SYMLINK_NOFOLLOW)?, (owner.uid, owner.gid)))
            })
            .collect();
        let user = (user.user.real, user.group.real);
        if user != (0, 0) {
            // The program's output is its user's, who may want to open it again.
            let pipes = [c"/proc/self/fd/1", c"/proc/self/fd/2"];
            owners.extend(pipes.iter().filter_map(|pipe| Some((key(pipe, 0)?, user))));
        }
        Self { roots, owners }
    }

    /// Returns the owners of what changed, by path, found in a walk over the changes.
    pub(super) fn found(&self) -> Vec<Owner> {
        let mut found = Vec::new();
        if !self.owners.is_empty() {
            self.walk(self.roots.changes.as_fd(), Path::new("/"), &mut found);
        }
        found.sort_by(|one, two| one.path.cmp(&two.path));
        found
    }

    fn walk(&self, folder: BorrowedFd<'_>, path: &Path, found: &mut Vec<Owner>) {
        let Ok(entries) = Dir::read_from(folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let name = std::ffi::OsStr::from_bytes(name.to_bytes());
            let path = path.join(name);
            if entry.file_type() == FileType::Directory
                && let Ok(folder) = open_dir(folder, Path::new(name))
            {
                self.walk(folder.as_fd(), &path, found);
            }
            found.extend(self.owner_of(path));
        }
    }

    fn owner_of(&self, path: PathBuf) -> Option<Owner> {
        let name = CString::new(path.as_os_str().as_bytes()).ok()?;
        let (uid, gid) = *self.owners.get(&key(&name, libc::AT_SYMLINK_NOFOLLOW)?)?;
        Some(Owner { path, uid, gid })
    }
}

fn key(path: &CStr, flags: i32) -> Option<Key> {
    let stat = memory::statx(path, flags, libc::STATX_INO | libc::STATX_BTIME).ok()?;
    let born = stat.stx_btime;
    Some((stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino, born.tv_sec, born.tv_nsec))
}

impl Engine {
    /// Returns the recorded owner of a file, if it has one.
    pub(super) fn recorded(&self, place: &Place) -> Option<(u32, u32)> {
        if self.has_real_owners() {
            let stat = memory::stat(&place.path, place.flags()).ok()?;
            return Some((stat.st_uid, stat.st_gid));
        }
        record::owner(&place.path, place.follow).or_else(|| {
            if self.specials.owners.is_empty() {
                return None;
            }
            self.specials.owners.get(&key(&place.path, place.flags())?).copied()
        })
    }

    /// Records the owner of a file, in whichever way it can be.
    pub(super) fn record(&mut self, place: &Place, owner: (u32, u32)) -> Result<(), Errno> {
        if self.has_real_owners() {
            return real::chown(place, owner);
        }
        let stat = memory::stat(&place.path, place.flags())?;
        let holds = matches!(stat.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR);
        let written = if !holds {
            Err(Errno::PERM)
        } else if owner == (0, 0) && record::node(&place.path, place.follow).is_none() {
            record::forget_owner(&place.path)
        } else {
            record::write_owner(&place.path, owner)
        };
        match written {
            // Symlinks and their like, and file systems that keep no attributes of users.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS) => {
                let key = key(&place.path, place.flags()).ok_or(Errno::NOENT)?;
                if owner == (0, 0) {
                    self.specials.owners.remove(&key);
                } else {
                    self.specials.owners.insert(key, owner);
                }
                Ok(())
            }
            done => done,
        }
    }
}
