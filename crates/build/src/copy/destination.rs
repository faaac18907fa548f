//! The root that files are copied into: its merged tree with the layer that is being made on top.

use super::{
    CopyError, join, shown,
    source::{Group, is_directory},
    split,
};
use std::{cmp::Ordering, collections::BTreeMap};
use strake_layer::{Body, Change, ContentHash, Entry, Kind, OnDisk, Tree};

/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 255;

const SETGID: u32 = 0o2000;

/// The one extended attribute that a layer of BuildKit's carries.
const CAPABILITY: &[u8] = b"security.capability";

/// A layer in the making.
pub(super) struct Destination<'a> {
    below: &'a Tree,
    /// What the layer has so far. The entries' own paths are empty, for the keys have them.
    /// Boxed, for paths that come in order leave the map's nodes half empty.
    made: BTreeMap<Walked, Box<Made>>,
    /// Whether something of the layer stands where a directory was: what is below that is hidden.
    hides: bool,
    /// The directory that an entry was last put into.
    last_changed: Option<Vec<u8>>,
    now: i64,
}

/// A path that is ordered as a walk goes: what is below a directory before its longer siblings.
#[derive(Clone, PartialEq, Eq)]
struct Walked(Vec<u8>);

impl Ord for Walked {
    fn cmp(&self, other: &Walked) -> Ordering {
        let (a, b) = (&self.0, &other.0);
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        // As if each slash were less than any other byte.
        let next = |path: &[u8]| path.get(same).map(|byte| (*byte != b'/', *byte));
        next(a).cmp(&next(b))
    }
}

impl PartialOrd for Walked {
    fn partial_cmp(&self, other: &Walked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What directories are like that have to be made.
#[derive(Clone, Copy)]
pub(super) enum NewDirectory {
    /// As mkdir(2) makes them with this mode: root's, with the group of a parent that has the
    /// setgid bit.
    Plain(u32),
    /// The same, of this owner.
    Of(u32, (u32, u32)),
    /// Root's and 0755, whatever the parent is.
    Roots,
}

/// An entry of the layer.
#[derive(Clone)]
pub(super) struct Made {
    /// Links are files here; see `group`.
    pub(super) entry: Entry,
    pub(super) body: Body,
    /// Shared by the names of one file: the source's number, and the file's within it.
    pub(super) group: Option<(usize, Group)>,
}

impl Made {
    /// An entry without content.
    pub(super) fn plain(entry: Entry) -> Made {
        Made { entry, body: Body::Empty, group: None }
    }
}

impl<'a> Destination<'a> {
    pub(super) fn new(below: &'a Tree, now: i64) -> Destination<'a> {
        Destination { below, made: BTreeMap::new(), hides: false, last_changed: None, now }
    }

    /// What is at exactly this path, which the entry may be without.
    pub(super) fn get(&self, path: &[u8]) -> Option<&Entry> {
        if let Some(made) = self.made.get(&key(path)) {
            return Some(&made.entry);
        }
        if !self.hides {
            return self.below.get(path).map(|node| &node.entry);
        }
        let hidden = |entry: &Entry| !matches!(entry.kind, Kind::Directory { opaque: false });
        let mut above = split(path).0;
        while !above.is_empty() {
            if self.made.get(&key(above)).is_some_and(|it| hidden(&it.entry)) {
                return None;
            }
            above = split(above).0;
        }
        self.below.get(path).map(|node| &node.entry)
    }

    pub(super) fn is_directory(&self, path: &[u8]) -> bool {
        path.is_empty() || self.get(path).is_some_and(is_directory)
    }

    /// Follows all links of `path` within the directory `root`, the last one included if `last`.
    pub(super) fn resolve(
        &self,
        root: &[u8],
        path: &[u8],
        last: bool,
    ) -> Result<Vec<u8>, CopyError> {
        let mut ahead: Vec<Vec<u8>> = components(path).map(<[u8]>::to_vec).rev().collect();
        let mut real: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            if part == b".." {
                real = split(&real).0.to_vec();
                continue;
            }
            let next = join(&real, &part);
            let follow = last || !ahead.is_empty();
            match self.get(&join(root, &next)).map(|entry| &entry.kind) {
                Some(Kind::Symlink { target }) if follow => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(CopyError::LinkLoop { path: shown(path) });
                    }
                    if target.starts_with(b"/") {
                        real.clear();
                    }
                    ahead.extend(components(target).map(<[u8]>::to_vec).rev());
                }
                _ => real = next,
            }
        }
        Ok(join(root, &real))
    }

    /// Makes a directory and those above it, where they are missing.
    pub(super) fn make_directories(
        &mut self,
        path: &[u8],
        new: NewDirectory,
    ) -> Result<(), CopyError> {
        if self.is_directory(path) {
            return Ok(());
        }
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for end in slashes.map(|(at, _)| at).chain([path.len()]) {
            let directory = &path[..end];
            if self.is_directory(directory) {
                continue;
            }
            if self.get(directory).is_some() {
                return Err(CopyError::NotADirectory { path: shown(directory) });
            }
            self.make_directory(directory, new);
        }
        Ok(())
    }

    fn make_directory(&mut self, path: &[u8], new: NewDirectory) {
        let parent = split(path).0;
        let inherited = self.get(parent).filter(|parent| parent.mode & SETGID != 0);
        let inherited = inherited.map(|parent| parent.gid);
        let (mode, (uid, gid)) = match new {
            NewDirectory::Roots => (0o755, (0, 0)),
            NewDirectory::Of(mode, owner) => (mode | inherited.map_or(0, |_| SETGID), owner),
            NewDirectory::Plain(mode) => {
                (mode | inherited.map_or(0, |_| SETGID), (0, inherited.unwrap_or(0)))
            }
        };
        self.put(Made::plain(Entry {
            path: path.to_vec(),
            kind: Kind::Directory { opaque: false },
            mode,
            uid,
            gid,
            mtime: self.now,
            xattrs: BTreeMap::new(),
        }));
    }

    /// Puts an entry in the place of whatever is there. Its parent is a directory.
    pub(super) fn put(&mut self, mut made: Made) {
        keep_capability(&mut made.entry);
        let path = made.entry.path.clone();
        if !is_directory(&made.entry) {
            if self.is_directory(&path) {
                self.forget_below(&path);
                self.hides = true;
            }
        } else if self.hides
            && !self.is_directory(&path)
            && self.below.get(&path).is_some_and(|node| is_directory(&node.entry))
        {
            // A directory again, after something else has replaced it: the old content stays away.
            made.entry.kind = Kind::Directory { opaque: true };
        }
        self.changed(split(&path).0);
        self.insert(made);
    }

    fn insert(&mut self, mut made: Made) {
        let path = std::mem::take(&mut made.entry.path);
        self.made.insert(Walked(path), Box::new(made));
    }

    /// Gives the directory at `path` other facts; what is in it stays.
    pub(super) fn update(&mut self, path: &[u8], change: impl FnOnce(&mut Entry)) {
        self.last_changed = None;
        self.carry(path);
        if let Some(made) = self.made.get_mut(&key(path)) {
            change(&mut made.entry);
            keep_capability(&mut made.entry);
        }
    }

    /// Notes that a directory's list of names has changed just now.
    fn changed(&mut self, directory: &[u8]) {
        if self.last_changed.as_deref() == Some(directory) {
            return;
        }
        let now = self.now;
        self.update(directory, |entry| entry.mtime = now);
        self.last_changed = Some(directory.to_vec());
    }

    /// Takes a directory and those above it over from below: a layer has all parents.
    fn carry(&mut self, directory: &[u8]) {
        let mut at = directory;
        while !at.is_empty() && !self.made.contains_key(&key(at)) {
            if let Some(node) = self.below.get(at) {
                let mut entry = node.entry.clone();
                keep_capability(&mut entry);
                self.insert(Made::plain(entry));
            }
            at = split(at).0;
        }
    }

    fn forget_below(&mut self, path: &[u8]) {
        let start = [path, b"/"].concat();
        let below: Vec<Walked> = self
            .made
            .range(key(&start)..)
            .map(|(key, _)| key)
            .take_while(|key| key.0.starts_with(&start))
            .cloned()
            .collect();
        for key in below {
            self.made.remove(&key);
        }
    }

    /// An entry that the layer has, to make a further name of it.
    pub(super) fn made_mut(&mut self, path: &[u8]) -> Option<&mut Made> {
        self.made.get_mut(&key(path)).map(|it| &mut **it)
    }

    /// The layer: in walking order, of several names of a file the first with the content.
    pub(super) fn finish(self) -> Vec<Change> {
        let mut first_names: BTreeMap<(usize, Group), Vec<u8>> = BTreeMap::new();
        let changes = self.made.into_iter().map(|(Walked(path), made)| {
            let Made { mut entry, mut body, group } = *made;
            entry.path = path;
            if let Some(group) = group {
                if let Some(first) = first_names.get(&group) {
                    entry.kind = Kind::Hardlink { target: first.clone() };
                    body = Body::Empty;
                } else {
                    first_names.insert(group, entry.path.clone());
                }
            }
            Change { entry, body }
        });
        changes.collect()
    }
}

fn keep_capability(entry: &mut Entry) {
    if !entry.xattrs.is_empty() {
        entry.xattrs.retain(|name, _| name == CAPABILITY);
    }
}

fn key(path: &[u8]) -> Walked {
    Walked(path.to_vec())
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."))
}

/// A file of this machine as a body. One that was hashed for the key must still be the same.
pub(super) fn file_body(file: OnDisk, content: Option<ContentHash>) -> Body {
    match content {
        Some(content) => Body::Known(file, content),
        None => Body::Path(file),
    }
}
