//! The context as a tree of entries: looked up, listed and walked under the ignore rules.

use crate::{
    ContextError, Entry, Hash, Kind, Matched, Patterns, StatIndex, dockerignore::read_patterns,
};
use rayon::prelude::*;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, FileType, Mode, OFlags, RawDir},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr},
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 255;

/// A directory on this machine whose files can be copied into an image.
#[derive(Debug)]
pub struct Context {
    root: Arc<Path>,
    root_fd: OwnedFd,
    patterns: Patterns,
    index: StatIndex,
    owners: Option<Owners>,
}

/// Owners of files by path, where they are not 0:0.
pub type Owners = BTreeMap<Vec<u8>, (u32, u32)>;

/// An entry with what the ignore rules say of it.
struct Listed {
    entry: Entry,
    excluded: bool,
    matched: Matched,
}

/// An entry and all below it: the top first, the children of one directory side by side.
struct Walked {
    nodes: Vec<Node>,
}

struct Node {
    listed: Listed,
    /// The top is its own.
    parent: usize,
    below: Range<usize>,
    /// An excluded directory counts only where something below it does.
    is_shown: bool,
}

impl Context {
    /// Opens a directory; `ignore` is the text of the ignore file that applies.
    pub fn open(directory: &Path, ignore: Option<&str>) -> Result<Context, ContextError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root_fd =
            rustix::fs::open(directory, flags, Mode::empty()).map_err(|errno| match errno {
                Errno::NOENT | Errno::NOTDIR => {
                    ContextError::NotADirectory { path: directory.to_owned() }
                }
                _ => ContextError::unreadable(directory, errno),
            })?;
        let patterns = Patterns::new(&ignore.map(read_patterns).unwrap_or_default())?;
        let (index, owners) = (StatIndex::none(), None);
        Ok(Context { root: directory.into(), root_fd, patterns, index, owners })
    }

    /// Gives files owners: those of an unpacked archive, which keeps them as a stage does.
    #[must_use]
    pub fn with_owners(self, owners: Owners) -> Context {
        Context { owners: Some(owners), ..self }
    }

    /// The owner that a file has in an image.
    pub fn owner(&self, path: &[u8]) -> (u32, u32) {
        self.owners.as_ref().and_then(|it| it.get(path)).copied().unwrap_or((0, 0))
    }

    /// Whether files may have another owner than 0:0.
    pub fn has_owners(&self) -> bool {
        self.owners.is_some()
    }

    /// Lets hashes be looked up in, and noted for, a stat index. Without it every file is read.
    #[must_use]
    pub fn with_index(self, index: StatIndex) -> Context {
        Context { index, ..self }
    }

    /// The stat index, to be saved when the build is done.
    pub fn index(&self) -> &StatIndex {
        &self.index
    }

    /// The content hashes of regular files, in the order given, on all cores.
    pub fn hashes(&self, entries: &[&Entry]) -> Result<Vec<Hash>, ContextError> {
        self.index.hash_all(self, entries)
    }

    /// The directory.
    pub fn root(&self) -> &Arc<Path> {
        &self.root
    }

    /// Where an entry is on this machine.
    pub fn file(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() {
            self.root.to_path_buf()
        } else {
            self.root.join(OsStr::from_bytes(path))
        }
    }

    /// Whether the ignore rules leave a path out, be it there or not.
    pub fn is_ignored(&self, path: &[u8]) -> bool {
        !path.is_empty() && self.patterns.matches(path)
    }

    /// One entry by its exact path, no link followed. `None` where there is none, or an ignored
    /// one.
    pub fn entry(&self, path: &[u8]) -> Result<Option<Entry>, ContextError> {
        match self.start(path)? {
            Some(listed) if !listed.excluded => Ok(Some(listed.entry)),
            Some(listed) if listed.entry.is_directory() => Ok(self.descend(listed)?.top()),
            _ => Ok(None),
        }
    }

    /// The path with each symbolic link followed within the context, the last one included. What
    /// is missing is kept as it is.
    pub fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, ContextError> {
        let mut todo: Vec<Vec<u8>> = components(path).map(<[u8]>::to_vec).rev().collect();
        let mut done: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                done.truncate(done.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                continue;
            }
            let next = join(&done, &part);
            match self.entry(&next)?.map(|entry| entry.kind) {
                Some(Kind::Symlink { target }) => {
                    links += 1;
                    if links > MAX_LINKS {
                        let path = String::from_utf8_lossy(path).into_owned();
                        return Err(ContextError::LinkLoop { path });
                    }
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    todo.extend(components(&target).map(<[u8]>::to_vec).rev());
                }
                _ => done = next,
            }
        }
        Ok(done)
    }

    /// The entries directly in a directory, by name. Empty where the path is no directory.
    pub fn children(&self, path: &[u8]) -> Result<Vec<Entry>, ContextError> {
        let Some(start) = self.start(path)?.filter(|start| start.entry.is_directory()) else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        for listed in self.list(&start)? {
            if !listed.excluded {
                entries.push(listed.entry);
            } else {
                entries.extend(self.descend(listed)?.top());
            }
        }
        Ok(entries)
    }

    /// An entry and all below it: parents before children, names in byte order. Empty where there
    /// is none. Directories are read side by side.
    pub fn walk(&self, path: &[u8]) -> Result<Vec<Entry>, ContextError> {
        match self.start(path)? {
            Some(start) => Ok(self.descend(start)?.flatten()),
            None => Ok(Vec::new()),
        }
    }

    /// Looks a path up, with the matches that its parents pass on.
    fn start(&self, path: &[u8]) -> Result<Option<Listed>, ContextError> {
        let (mut excluded, mut matched) = (false, Matched::default());
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for end in slashes.map(|(at, _)| at).chain([path.len()]).filter(|end| *end > 0) {
            if end < path.len() && !self.is_directory(&path[..end])? {
                return Ok(None);
            }
            (excluded, matched) = self.patterns.matches_below(&path[..end], &matched);
        }
        let entry = stat(self.root_fd.as_fd(), path, path).map_err(|errno| self.error(path, errno));
        Ok(entry?.map(|entry| Listed { entry, excluded, matched }))
    }

    fn is_directory(&self, path: &[u8]) -> Result<bool, ContextError> {
        let entry = stat(self.root_fd.as_fd(), path, path).map_err(|errno| self.error(path, errno));
        Ok(entry?.is_some_and(|entry| entry.is_directory()))
    }

    /// All that is below `start`, level by level: folders may lie deeper in each other than a thread's
    /// stack is high.
    fn descend(&self, start: Listed) -> Result<Walked, ContextError> {
        let mut walked = Walked { nodes: vec![Node::of(start, 0)] };
        let mut level = 0..1;
        while !level.is_empty() {
            let folders: Vec<usize> =
                level.clone().filter(|at| walked.nodes[*at].listed.entry.is_directory()).collect();
            let lists: Vec<Vec<Listed>> = folders
                .par_iter()
                .map(|at| self.list(&walked.nodes[*at].listed))
                .collect::<Result<_, _>>()?;
            let next = walked.nodes.len();
            for (parent, list) in folders.into_iter().zip(lists) {
                let first = walked.nodes.len();
                walked.nodes.extend(list.into_iter().map(|listed| Node::of(listed, parent)));
                walked.nodes[parent].below = first..walked.nodes.len();
            }
            level = next..walked.nodes.len();
        }
        walked.hide();
        Ok(walked)
    }

    /// Reads one directory, by name. Excluded entries are left out unmeasured, save directories
    /// that may hold exceptions.
    fn list(&self, directory: &Listed) -> Result<Vec<Listed>, ContextError> {
        let path = directory.entry.path.as_slice();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
        let fd = match rustix::fs::openat(&self.root_fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(Errno::ACCESS | Errno::PERM) if directory.excluded => return Ok(Vec::new()),
            Err(errno) => return Err(self.error(path, errno)),
        };
        let mut names = read_names(&fd).map_err(|errno| self.error(path, errno))?;
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut listed = Vec::with_capacity(names.len());
        for (name, file_type) in names {
            let child = join(path, name.as_bytes());
            let (excluded, matched) = if self.patterns.is_empty() {
                (false, Matched::default())
            } else {
                self.patterns.matches_below(&child, &directory.matched)
            };
            let may_be_directory = matches!(file_type, FileType::Directory | FileType::Unknown);
            if excluded && !(may_be_directory && self.patterns.may_except_below(&child)) {
                continue;
            }
            let entry = stat(fd.as_fd(), name.as_bytes(), &child)
                .map_err(|errno| self.error(&child, errno))?;
            // A file may vanish meanwhile.
            if let Some(entry) = entry.filter(|entry| !excluded || entry.is_directory()) {
                listed.push(Listed { entry, excluded, matched });
            }
        }
        Ok(listed)
    }

    fn error(&self, path: &[u8], errno: Errno) -> ContextError {
        ContextError::unreadable(self.file(path), errno)
    }
}

impl Node {
    fn of(mut listed: Listed, parent: usize) -> Node {
        if !listed.entry.is_directory() {
            // Nothing will inherit them, and there may be millions of files.
            listed.matched = Matched::default();
        }
        Node { is_shown: !listed.excluded, listed, parent, below: 0..0 }
    }
}

impl Walked {
    /// Lets what is shown bring its folders along.
    fn hide(&mut self) {
        for at in (0..self.nodes.len()).rev() {
            if self.nodes[at].is_shown {
                let parent = self.nodes[at].parent;
                self.nodes[parent].is_shown = true;
            }
        }
    }

    /// The entry that the walk began with.
    fn top(mut self) -> Option<Entry> {
        let top = self.nodes.swap_remove(0);
        top.is_shown.then_some(top.listed.entry)
    }

    /// All entries that are shown, parents before children, names in byte order.
    fn flatten(self) -> Vec<Entry> {
        let mut nodes: Vec<Option<Node>> = self.nodes.into_iter().map(Some).collect();
        let mut entries = Vec::with_capacity(nodes.len());
        let mut ahead = vec![0];
        while let Some(node) = ahead.pop().and_then(|at: usize| nodes[at].take()) {
            if node.is_shown {
                entries.push(node.listed.entry);
                ahead.extend(node.below.rev());
            }
        }
        entries
    }
}

fn read_names(fd: &OwnedFd) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut directory = RawDir::new(fd, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = directory.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}

/// `lstat` of `name` in a directory; the entry gets `path`. `None` where there is nothing.
fn stat(directory: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<Option<Entry>, Errno> {
    let at = OsStr::from_bytes(if name.is_empty() { b"." } else { name });
    let stat = match rustix::fs::statat(directory, at, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let target = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => rustix::fs::readlinkat(directory, at, Vec::new())?.into_bytes(),
        _ => Vec::new(),
    };
    Ok(Some(Entry::new(path.to_vec(), &stat, target)))
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, name].join(&b'/') }
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."))
}
