//! An archive that is a build context, as files below a folder.
//!
//! Where an entry goes is worked out from the entries before it and never asked of the disk: symbolic
//! links among its parents are followed as names below the folder, so that nothing leads out of it.

use crate::RemoteError;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::Permissions,
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};
use strake_layer::{Entry, EntryName, Kind, UnpackError};

/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 255;

/// What is known of an archive's files besides what is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Owners by path, where they are not 0:0.
    pub owners: BTreeMap<Vec<u8>, (u32, u32)>,
    /// The latest time of any entry, in seconds since 1970; 0 where there is none.
    pub newest: i64,
}

/// Unpacks an archive into `folder`, which is empty. `name` is what messages call the archive. Devices are
/// left out, as Docker does.
pub fn unpack(
    archive: impl Read + Send,
    name: &str,
    folder: &Path,
) -> Result<Unpacked, RemoteError> {
    let mut unpacking = Unpacking {
        folder,
        made: BTreeMap::from([(Vec::new(), Made { thing: Thing::Directory, owner: 0 })]),
        owners: vec![(0, 0)],
        directories: BTreeMap::new(),
        newest: 0,
    };
    let mut visit = |entry: &Entry, content: &mut dyn Read| {
        let failed = |source| UnpackError::Write { entry: EntryName(entry.path.clone()), source };
        unpacking.entry(entry, content).map_err(failed)
    };
    let failed = |error: UnpackError| {
        let why = std::iter::successors(Some(&error as &dyn std::error::Error), |it| it.source());
        let why: Vec<String> = why.map(ToString::to_string).collect();
        RemoteError::Archive { name: name.to_owned(), why: why.join(": ") }
    };
    strake_layer::each_entry(archive, &mut visit).map_err(failed)?;
    unpacking.finish().map_err(RemoteError::from)
}

/// What is at a path.
struct Made {
    thing: Thing,
    /// Index of the owner, which all names of a file share.
    owner: usize,
}

enum Thing {
    Directory,
    File,
    Symlink(Vec<u8>),
}

struct Unpacking<'a> {
    folder: &'a Path,
    made: BTreeMap<Vec<u8>, Made>,
    owners: Vec<(u32, u32)>,
    /// Modes and times, which are set last, for what is put into a directory changes it.
    directories: BTreeMap<PathBuf, (u32, i64)>,
    newest: i64,
}

impl Unpacking<'_> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let Entry { path, kind, mode, uid, gid, mtime, xattrs: _ } = entry;
        if path.is_empty() || matches!(kind, Kind::Character { .. } | Kind::Block { .. }) {
            return Ok(());
        }
        self.newest = self.newest.max(*mtime);
        let path = self.place(path)?;
        let at = self.on_disk(&path);
        let is_directory = |it: &Made| matches!(it.thing, Thing::Directory);
        let stays = matches!(kind, Kind::Directory { .. })
            && self.made.get(&path).is_some_and(is_directory);
        if !stays {
            self.clear(&path, &at)?;
        }
        let mut owner = self.owners.len();
        let thing = match kind {
            Kind::Directory { .. } => {
                if !stays {
                    fs_err::create_dir(&at)?;
                }
                self.directories.insert(at, (*mode, *mtime));
                Thing::Directory
            }
            Kind::Symlink { target } => {
                std::os::unix::fs::symlink(OsStr::from_bytes(target), &at)?;
                set_time(&at, *mtime)?;
                Thing::Symlink(target.clone())
            }
            Kind::Hardlink { target } => {
                let first = self.place(target)?;
                let thing = self.link(&first, &at, &mut owner)?;
                if matches!(thing, Thing::File) {
                    set_facts(&at, *mode, *mtime)?;
                }
                thing
            }
            Kind::Fifo => {
                rustix::fs::mknodat(CWD, &at, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
                set_facts(&at, *mode, *mtime)?;
                Thing::File
            }
            _ => {
                io::copy(content, &mut fs_err::File::create_new(&at)?)?;
                set_facts(&at, *mode, *mtime)?;
                Thing::File
            }
        };
        match self.owners.get_mut(owner) {
            Some(known) => *known = (*uid, *gid),
            None => self.owners.push((*uid, *gid)),
        }
        self.made.insert(path, Made { thing, owner });
        Ok(())
    }

    /// Gives the file at `first` a further name; their owner is one.
    fn link(&self, first: &[u8], at: &Path, owner: &mut usize) -> io::Result<Thing> {
        let thing = match self.made.get(first) {
            Some(Made { thing: Thing::File, .. }) => Thing::File,
            Some(Made { thing: Thing::Symlink(target), .. }) => Thing::Symlink(target.clone()),
            None | Some(Made { thing: Thing::Directory, .. }) => {
                let why = "it is a hard link to a file that the archive does not have before it";
                return Err(io::Error::other(why));
            }
        };
        fs_err::hard_link(self.on_disk(first), at)?;
        *owner = self.made[first].owner;
        Ok(thing)
    }

    /// Where an entry goes: links among its parents followed, missing parents made.
    fn place(&mut self, written: &[u8]) -> io::Result<Vec<u8>> {
        let mut ahead: Vec<Vec<u8>> = parts(written).rev().collect();
        let mut real: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            if part == b".." {
                real.truncate(real.iter().rposition(|it| *it == b'/').unwrap_or(0));
                continue;
            }
            let next = if real.is_empty() { part } else { [&real, &part[..]].join(&b'/') };
            if ahead.is_empty() {
                return Ok(next);
            }
            match self.made.get(&next).map(|it| &it.thing) {
                Some(Thing::Symlink(target)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(io::Error::other("too many symbolic links"));
                    }
                    if target.starts_with(b"/") {
                        real.clear();
                    }
                    ahead.extend(parts(target).rev());
                }
                Some(Thing::Directory) => real = next,
                Some(Thing::File) => return Err(io::Error::other("a file is among its parents")),
                None => {
                    fs_err::create_dir(self.on_disk(&next))?;
                    self.made.insert(next.clone(), Made { thing: Thing::Directory, owner: 0 });
                    real = next;
                }
            }
        }
        Ok(real)
    }

    /// Makes room at a path.
    fn clear(&mut self, path: &[u8], at: &Path) -> io::Result<()> {
        match self.made.remove(path).map(|it| it.thing) {
            None => return Ok(()),
            Some(Thing::Directory) => fs_err::remove_dir_all(at)?,
            Some(Thing::File | Thing::Symlink(_)) => return fs_err::remove_file(at),
        }
        let start = [path, b"/"].concat();
        self.made.retain(|it, _| !it.starts_with(&start));
        self.directories.retain(|it, _| !it.starts_with(at));
        Ok(())
    }

    fn finish(self) -> io::Result<Unpacked> {
        let Unpacking { folder: _, made, owners, directories, newest } = self;
        // What is below comes first: its folder may be closed afterwards.
        for (at, (mode, mtime)) in directories.iter().rev() {
            set_facts(at, *mode, *mtime)?;
        }
        let owners = made.into_iter().map(|(path, it)| (path, owners[it.owner]));
        Ok(Unpacked { owners: owners.filter(|it| it.1 != (0, 0)).collect(), newest })
    }

    fn on_disk(&self, path: &[u8]) -> PathBuf {
        self.folder.join(OsStr::from_bytes(path))
    }
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|it| *it == b'/').filter(|it| !matches!(*it, b"" | b".")).map(<[u8]>::to_vec)
}

fn set_facts(path: &Path, mode: u32, seconds: i64) -> io::Result<()> {
    fs_err::set_permissions(path, Permissions::from_mode(mode))?;
    set_time(path, seconds)
}

fn set_time(path: &Path, seconds: i64) -> io::Result<()> {
    let at = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: at, last_modification: at };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
