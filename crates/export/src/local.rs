//! The image's files in a folder.

use crate::{
    ExportError, Image,
    flatten::{Target, flatten},
    oci_layout::made_folders,
};
use fs_err as fs;
use rustix::{
    fs::{
        AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, Timespec, Timestamps, Uid,
        XattrFlags,
    },
    io::Errno,
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};
use strake_layer::{Entry, Kind, split};

/// Who owns the files of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Whoever the image says. Only root may do this.
    Image,
    /// The caller, as with buildx.
    Caller,
}

/// Writes the files of the image into `dest`, over what is there; other files stay. With an `epoch`
/// all files have that time.
///
/// Nothing outside of `dest` is touched: a link that stands where the image has a directory is
/// replaced, never followed. Device nodes and `security.*` attributes need root; a missing device
/// node is an error, a missing attribute is not, as with `tar -x`.
///
/// All files are made in a folder of their own in `dest` before the first is moved to its place: so
/// when one cannot be made, `dest` is as it was. Exports to one folder take turns.
pub fn local(
    image: &Image,
    dest: &Path,
    owners: Owners,
    epoch: Option<i64>,
) -> Result<(), ExportError> {
    let made = made_folders(dest)?;
    let done = export(image, dest, owners, epoch);
    if done.is_err() {
        // The first error is the one to tell.
        made.iter().rev().for_each(|it| drop(fs::remove_dir(it)));
    }
    done
}

/// No file system of Linux takes longer names: told before anything is in its place.
const NAME_AT_MOST: usize = 255;
/// Where files are made. One that a killed process left is used up by the next export.
const STAGING: &str = ".strake.tmp";

fn export(
    image: &Image,
    dest: &Path,
    owners: Owners,
    epoch: Option<i64>,
) -> Result<(), ExportError> {
    let failed = |it: Errno| at(dest, it.into());
    let root = open_directory(CWD, dest.as_os_str(), OFlags::empty()).map_err(failed)?;
    rustix::fs::flock(&root, FlockOperation::LockExclusive).map_err(failed)?;
    let name = OsStr::new(STAGING);
    clear(&root, name).map_err(|it| at(dest, it))?;
    rustix::fs::mkdirat(&root, name, Mode::RWXU).map_err(failed)?;
    let done = open_directory(root.as_fd(), name, OFlags::NOFOLLOW)
        .map_err(|it| ExportError::from(failed(it)))
        .and_then(|staging| {
            let numbers = BTreeMap::new();
            let dest = dest.to_owned();
            let mut folder =
                Folder { dest, root: &root, staging, owners, entries: Vec::new(), numbers };
            flatten(image, epoch, &mut folder)?;
            folder.place()?;
            folder.finish()
        });
    let cleared = clear(&root, name).map_err(|it| at(dest, it));
    done.and(cleared.map_err(Into::into))
}

fn open_directory(at: BorrowedFd<'_>, name: &OsStr, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | more;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

struct Folder<'a> {
    dest: PathBuf,
    root: &'a OwnedFd,
    /// Holds what is made, by number.
    staging: OwnedFd,
    owners: Owners,
    /// Parents before what is in them. A directory's number is not used.
    entries: Vec<Entry>,
    /// Of each path that is no directory.
    numbers: BTreeMap<Vec<u8>, usize>,
}

impl Target for Folder<'_> {
    fn put(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> Result<(), ExportError> {
        let number = self.entries.len();
        self.entries.push(entry.clone());
        if matches!(entry.kind, Kind::Directory { .. }) {
            return Ok(());
        }
        self.numbers.insert(entry.path.clone(), number);
        let path = self.dest.join(OsStr::from_bytes(&entry.path));
        if split(&entry.path).1.len() > NAME_AT_MOST {
            return Err(at(&path, Errno::NAMETOOLONG.into()).into());
        }
        let (name, staging) = (number.to_string(), self.staging.as_fd());
        let name = OsStr::new(&name);
        if let Kind::File { size: _ } = entry.kind {
            return Ok(self
                .file(staging, name, entry, size, content)
                .map_err(|it| at(&path, it))?);
        }
        if let Kind::Hardlink { target } = &entry.kind {
            let old = self.numbers[target].to_string();
            return rustix::fs::linkat(staging, old, staging, name, AtFlags::empty())
                .map_err(|it| at(&path, it.into()).into());
        }
        self.special(staging, name, entry, &path)
    }
}

impl Folder<'_> {
    /// Opens a directory of the image, following no link on the way.
    fn open(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let mut here = self.root.try_clone()?;
        for part in path.split(|it| *it == b'/').filter(|it| !it.is_empty()) {
            here = open_directory(here.as_fd(), OsStr::from_bytes(part), OFlags::NOFOLLOW)?;
        }
        Ok(here)
    }

    /// Moves everything to its place.
    fn place(&self) -> Result<(), ExportError> {
        for (number, entry) in self.entries.iter().enumerate() {
            let path = self.dest.join(OsStr::from_bytes(&entry.path));
            let (parent, name) = split(&entry.path);
            let parent = self.open(parent).map_err(|it| at(&path, it))?;
            let name = OsStr::from_bytes(name);
            if matches!(entry.kind, Kind::Directory { .. }) {
                make_directory(&parent, name).map_err(|it| at(&path, it))?;
                continue;
            }
            clear(&parent, name).map_err(|it| at(&path, it))?;
            let number = number.to_string();
            match rustix::fs::renameat(&self.staging, &number, &parent, name) {
                Err(Errno::XDEV) => self.make_again(&number, parent.as_fd(), name, entry, &path)?,
                done => done.map_err(|it| at(&path, it.into()))?,
            }
        }
        Ok(())
    }

    /// Makes a file once more where it cannot be moved: another file system is mounted below `dest`.
    fn make_again(
        &self,
        number: &str,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        entry: &Entry,
        path: &Path,
    ) -> Result<(), ExportError> {
        if !matches!(entry.kind, Kind::File { .. } | Kind::Hardlink { .. }) {
            return self.special(parent, name, entry, path);
        }
        let failed = |it| at(path, it);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Whoever may not read the file may change its mode, for it is theirs.
        let readable = Mode::RUSR;
        rustix::fs::chmodat(&self.staging, number, readable, AtFlags::empty())
            .map_err(|it| failed(it.into()))?;
        let file = rustix::fs::openat(&self.staging, number, flags, Mode::empty());
        let mut file = File::from(file.map_err(|it| failed(it.into()))?);
        let size = file.metadata().map_err(failed)?.len();
        let first = match &entry.kind {
            Kind::Hardlink { target } => self.entries.get(self.numbers[target]).unwrap_or(entry),
            _ => entry,
        };
        Ok(self.file(parent, name, first, size, &mut file).map_err(failed)?)
    }

    /// A link, a device or a pipe.
    fn special(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        entry: &Entry,
        path: &Path,
    ) -> Result<(), ExportError> {
        match &entry.kind {
            Kind::Symlink { target } => {
                rustix::fs::symlinkat(OsStr::from_bytes(target), parent, name)
                    .map_err(|it| at(path, it.into()))?;
            }
            Kind::Character { major, minor } => {
                node(parent, name, FileType::CharacterDevice, (*major, *minor), path)?;
            }
            Kind::Block { major, minor } => {
                node(parent, name, FileType::BlockDevice, (*major, *minor), path)?;
            }
            Kind::Fifo => node(parent, name, FileType::Fifo, (0, 0), path)?,
            Kind::File { .. } | Kind::Hardlink { .. } | Kind::Directory { .. } | Kind::Whiteout => {
                unreachable!("made in another way, or merged away")
            }
        }
        self.metadata(parent, name, entry).map_err(|it| at(path, it).into())
    }

    fn file(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        entry: &Entry,
        size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
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
    fn metadata(&self, parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> io::Result<()> {
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

    /// Gives the directories their metadata, children before parents: one that may not be written to
    /// must be filled first.
    fn finish(&self) -> Result<(), ExportError> {
        let directories =
            self.entries.iter().filter(|it| matches!(it.kind, Kind::Directory { .. }));
        let mut directories: Vec<&Entry> = directories.collect();
        directories.sort_by(|a, b| b.path.cmp(&a.path));
        for entry in directories {
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
    parent: BorrowedFd<'_>,
    name: &OsStr,
    kind: FileType,
    (major, minor): (u32, u32),
    path: &Path,
) -> Result<(), ExportError> {
    let device = rustix::fs::makedev(major, minor);
    let made = rustix::fs::mknodat(parent, name, kind, Mode::RUSR, device);
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
