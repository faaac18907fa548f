//! The image's files in a folder.

use crate::{
    ExportError, Image,
    flatten::{Target, flatten},
    read_tar::split,
};
use fs_err as fs;
use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};
use strake_layer::{Entry, Kind};

/// Who owns the files of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Whoever the image says. Only root may do this.
    Image,
    /// The caller, as with buildx.
    Caller,
}

/// Writes the files of the image into `dest`, over what is there; other files stay.
///
/// Nothing outside of `dest` is touched: a link that stands where the image has a directory is
/// replaced, never followed. Device nodes and `security.*` attributes need root; a missing device
/// node is an error, a missing attribute is not, as with `tar -x`.
pub fn local(
    image: &Image,
    dest: &Path,
    owners: Owners,
    epoch: Option<i64>,
) -> Result<(), ExportError> {
    fs::create_dir_all(dest)?;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        rustix::fs::openat(CWD, dest, flags, Mode::empty()).map_err(|it| at(dest, it.into()))?;
    let mut target = Folder { dest: dest.to_owned(), root, owners, directories: Vec::new() };
    flatten(image, epoch, &mut target)?;
    target.finish()
}

struct Folder {
    dest: PathBuf,
    root: OwnedFd,
    owners: Owners,
    /// Modes and times are set last: a directory that may not be written to must be filled first.
    directories: Vec<Entry>,
}

impl Target for Folder {
    fn put(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> Result<(), ExportError> {
        let (parent, name) = split(&entry.path);
        let path = self.dest.join(OsStr::from_bytes(&entry.path));
        let parent = self.open(parent).map_err(|it| at(&path, it))?;
        let name = OsStr::from_bytes(name);
        if let Kind::Directory { .. } = entry.kind {
            make_directory(&parent, name).map_err(|it| at(&path, it))?;
            self.directories.push(entry.clone());
            return Ok(());
        }
        clear(&parent, name).map_err(|it| at(&path, it))?;
        match &entry.kind {
            Kind::File { size: _ } => {
                self.file(&parent, entry, size, content).map_err(|it| at(&path, it))?;
                return Ok(());
            }
            Kind::Hardlink { target } => {
                let (from, old) = split(target);
                let from = self.open(from).map_err(|it| at(&path, it))?;
                let old = OsStr::from_bytes(old);
                return rustix::fs::linkat(from, old, parent, name, AtFlags::empty())
                    .map_err(|it| at(&path, it.into()).into());
            }
            Kind::Symlink { target } => {
                rustix::fs::symlinkat(OsStr::from_bytes(target), &parent, name)
                    .map_err(|it| at(&path, it.into()))?;
            }
            Kind::Character { major, minor } => {
                node(&parent, name, FileType::CharacterDevice, (*major, *minor), &path)?;
            }
            Kind::Block { major, minor } => {
                node(&parent, name, FileType::BlockDevice, (*major, *minor), &path)?;
            }
            Kind::Fifo => node(&parent, name, FileType::Fifo, (0, 0), &path)?,
            Kind::Directory { .. } | Kind::Whiteout => unreachable!("handled, or merged away"),
        }
        self.metadata(&parent, name, entry).map_err(|it| at(&path, it).into())
    }
}

impl Folder {
    /// Opens a directory of the image, following no link on the way.
    fn open(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let mut here = self.root.try_clone()?;
        for part in path.split(|it| *it == b'/').filter(|it| !it.is_empty()) {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            here = rustix::fs::openat(&here, OsStr::from_bytes(part), flags, Mode::empty())?;
        }
        Ok(here)
    }

    fn file(
        &self,
        parent: &OwnedFd,
        entry: &Entry,
        size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let name = OsStr::from_bytes(split(&entry.path).1);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(file);
        if io::copy(content, &mut file)? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.owners == Owners::Image {
            rustix::fs::fchown(&file, Some(owner(entry).0), Some(owner(entry).1))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode))?;
        for (key, value) in &entry.xattrs {
            let set = rustix::fs::fsetxattr(&file, key.as_slice(), value, XattrFlags::empty());
            tolerate(set)?;
        }
        Ok(rustix::fs::futimens(&file, &times(entry))?)
    }

    /// Owner, mode and time of what cannot be opened without harm.
    fn metadata(&self, parent: &OwnedFd, name: &OsStr, entry: &Entry) -> io::Result<()> {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        if self.owners == Owners::Image {
            let (uid, gid) = owner(entry);
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), nofollow)?;
        }
        if !matches!(entry.kind, Kind::Symlink { .. }) {
            let mode = Mode::from_raw_mode(entry.mode);
            rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
        }
        Ok(rustix::fs::utimensat(parent, name, &times(entry), nofollow)?)
    }

    /// Gives the directories their metadata, children before parents.
    fn finish(mut self) -> Result<(), ExportError> {
        self.directories.sort_by(|a, b| b.path.cmp(&a.path));
        for entry in &self.directories {
            let path = self.dest.join(OsStr::from_bytes(&entry.path));
            self.finish_directory(entry).map_err(|it| at(&path, it))?;
        }
        Ok(())
    }

    fn finish_directory(&self, entry: &Entry) -> io::Result<()> {
        let here = self.open(&entry.path)?;
        if self.owners == Owners::Image {
            rustix::fs::fchown(&here, Some(owner(entry).0), Some(owner(entry).1))?;
        }
        for (key, value) in &entry.xattrs {
            let set = rustix::fs::fsetxattr(&here, key.as_slice(), value, XattrFlags::empty());
            tolerate(set)?;
        }
        rustix::fs::futimens(&here, &times(entry))?;
        Ok(rustix::fs::fchmod(&here, Mode::from_raw_mode(entry.mode))?)
    }
}

/// A real directory at `name`, which its owner may fill.
fn make_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    let present = match stat {
        Ok(stat) => FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
        Err(Errno::NOENT) => false,
        Err(error) => return Err(error.into()),
    };
    if present {
        let stat = stat.expect("it is a directory");
        let writable = Mode::from_raw_mode(stat.st_mode) | Mode::RWXU;
        return tolerate(rustix::fs::chmodat(parent, name, writable, AtFlags::empty()));
    }
    clear(parent, name)?;
    Ok(rustix::fs::mkdirat(parent, name, Mode::RWXU)?)
}

/// Takes away what is at `name`, if anything: a whole folder too, for the image has something else there.
fn clear(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for child in rustix::fs::Dir::read_from(&inner)? {
        let child = child?;
        let name = child.file_name().to_bytes();
        if name != b"." && name != b".." {
            clear(&inner, OsStr::from_bytes(name))?;
        }
    }
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn node(
    parent: &OwnedFd,
    name: &OsStr,
    kind: FileType,
    (major, minor): (u32, u32),
    path: &Path,
) -> Result<(), ExportError> {
    let device = rustix::fs::makedev(major, minor);
    let made = rustix::fs::mknodat(parent.as_fd(), name, kind, Mode::RUSR, device);
    match made {
        Err(Errno::PERM) => {
            Err(ExportError::DeviceRefused { path: path.to_owned(), source: Errno::PERM.into() })
        }
        other => other.map_err(|it| at(path, it.into()).into()),
    }
}

/// Lets pass that the file system or the caller's rights do not allow a thing.
fn tolerate(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::PERM | Errno::OPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}

fn owner(entry: &Entry) -> (Uid, Gid) {
    (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid))
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// The error with the path that it is about.
fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
}
