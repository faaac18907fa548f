//! What a process changed: read from an overlay's upper directory, or from a tree that was copied.

use crate::{
    error::{Context, RootError},
    inspect::{CAPABILITY, Found, Owners, Seen, look},
    plain::{Stamps, find as find_lower, in_root},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufReader, Read},
    os::unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};
use strake_layer::{Body, Change, Entry, Kind, Node, OnDisk, Tree, join};

pub(crate) struct Changed {
    pub(crate) changes: Vec<Change>,
    pub(crate) sockets: Vec<PathBuf>,
}

/// Compares `dir` with what was below. With `stamps` it is the whole tree, else an upper directory.
pub(crate) fn find(
    dir: &Path,
    stamps: Option<&Stamps>,
    lowers: &[PathBuf],
    tree: &Tree,
    owners: Owners,
) -> Result<Changed, RootError> {
    let mut walk = Walk {
        dir,
        stamps,
        lowers,
        tree,
        owners,
        parents: Vec::new(),
        links: BTreeMap::new(),
        out: Changed { changes: Vec::new(), sockets: Vec::new() },
    };
    walk.directory(b"", stamps.is_some())?;
    Ok(walk.out)
}

struct Walk<'a> {
    dir: &'a Path,
    stamps: Option<&'a Stamps>,
    lowers: &'a [PathBuf],
    tree: &'a Tree,
    owners: Owners,
    /// The unchanged directories that the walk is in; they go into the layer with the first change
    /// below them.
    parents: Vec<Option<Parent>>,
    /// The first names of files that have several.
    links: BTreeMap<(u64, u64), Vec<u8>>,
    out: Changed,
}

enum Parent {
    Seen(Entry),
    /// The name of one that nothing happened to, and that was not looked at further.
    Untouched(Vec<u8>),
}

impl Walk<'_> {
    /// `whole`: the directory shows all there is, so what is not in it was deleted.
    fn directory(&mut self, name: &[u8], whole: bool) -> Result<(), RootError> {
        let path = in_root(self.dir, name);
        let mut here = BTreeSet::new();
        for entry in fs::read_dir(&path).context("read", &path)? {
            here.insert(entry.context("read", &path)?.file_name().into_vec());
        }
        let mut all = here.clone();
        if whole {
            all.extend(self.tree.children(name).map(|(child, _)| child.to_vec()));
        }
        for child in all {
            let full = join(name, &child);
            if here.contains(&child) {
                self.child(full, whole)?;
            } else {
                self.delete(full)?;
            }
        }
        Ok(())
    }

    fn child(&mut self, name: Vec<u8>, whole: bool) -> Result<(), RootError> {
        let path = in_root(self.dir, &name);
        let metadata = fs::symlink_metadata(&path).context("read", &path)?;
        // Of a whole tree most is as it was, which this one call tells.
        if self.stamps.is_some_and(|it| it.is_untouched(&name, &metadata)) {
            return if metadata.is_dir() { self.untouched(name, whole) } else { Ok(()) };
        }
        match look(&path, metadata, &name, &self.owners)? {
            Found::Whiteout => self.delete(name)?,
            // No layer has one: what it took the place of is there again, but for a copied tree, from
            // which that is gone.
            Found::Socket => {
                self.out.sockets.push(path);
                if self.stamps.is_some() {
                    self.delete(name)?;
                }
            }
            Found::Object(seen) if matches!(seen.entry.kind, Kind::Directory { .. }) => {
                self.subdirectory(*seen, whole)?;
            }
            Found::Object(seen) => self.object(*seen, path)?,
        }
        Ok(())
    }

    fn untouched(&mut self, name: Vec<u8>, whole: bool) -> Result<(), RootError> {
        self.parents.push(Some(Parent::Untouched(name.clone())));
        self.directory(&name, whole)?;
        self.parents.pop();
        Ok(())
    }

    fn subdirectory(&mut self, seen: Seen, whole: bool) -> Result<(), RootError> {
        let name = seen.entry.path.clone();
        let below = self.tree.get(&name);
        let merged = below.is_some_and(|it| matches!(it.entry.kind, Kind::Directory { .. }));
        let same = below.is_some_and(|it| same_header(&seen.entry, &it.entry));
        if same {
            self.parents.push(Some(Parent::Seen(seen.entry)));
        } else {
            self.emit(Change { entry: seen.entry, body: Body::Empty })?;
            self.parents.push(None);
        }
        // Inside of what hides the layers below, everything is shown by this directory alone.
        self.directory(&name, whole || seen.opaque || !merged)?;
        self.parents.pop();
        Ok(())
    }

    fn object(&mut self, mut seen: Seen, path: PathBuf) -> Result<(), RootError> {
        self.known_owner(&mut seen);
        let name = seen.entry.path.clone();
        if self.is_unchanged(&seen, &path)? {
            return Ok(());
        }
        let inode = (seen.metadata.dev(), seen.metadata.ino());
        if seen.metadata.nlink() > 1 {
            if let Some(first) = self.links.get(&inode) {
                seen.entry.kind = Kind::Hardlink { target: first.clone() };
                return self.emit(Change { entry: seen.entry, body: Body::Empty });
            }
            self.links.insert(inode, name);
        }
        let body = match seen.entry.kind {
            Kind::File { size } if size > 0 => Body::Path(OnDisk::file(path)),
            _ => Body::Empty,
        };
        self.emit(Change { entry: seen.entry, body })
    }

    /// A symbolic link without a record that was there before belongs to whom it belonged to.
    fn known_owner(&self, seen: &mut Seen) {
        if seen.owned || !matches!(seen.entry.kind, Kind::Symlink { .. } | Kind::Fifo) {
            return;
        }
        if let Some(below) = self.tree.get(&seen.entry.path)
            && below.entry.kind == seen.entry.kind
        {
            (seen.entry.uid, seen.entry.gid) = (below.entry.uid, below.entry.gid);
        }
    }

    /// Whether the layer below has the very same: moved away and back, or opened for writing and
    /// not written to.
    fn is_unchanged(&self, seen: &Seen, path: &Path) -> Result<bool, RootError> {
        let (entry, metadata) = (&seen.entry, &seen.metadata);
        let linked = match self.stamps {
            Some(stamps) => stamps.has_new_links(&entry.path, metadata),
            // A file that is copied up is alone at first.
            None => metadata.nlink() > 1,
        };
        let Some(Node { entry: below, .. }) = self.tree.get(&entry.path) else { return Ok(false) };
        if linked || entry.mtime != below.mtime || !same_header(entry, below) {
            return Ok(false);
        }
        match entry.kind {
            Kind::File { size } if size > 0 => {
                let (lower, _) = find_lower(self.lowers, &entry.path)?;
                same_content(&lower, path)
            }
            _ => Ok(true),
        }
    }

    /// A deletion is a change only where there was something.
    fn delete(&mut self, name: Vec<u8>) -> Result<(), RootError> {
        if self.tree.get(&name).is_none() {
            return Ok(());
        }
        let entry = Entry {
            path: name,
            kind: Kind::Whiteout,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: BTreeMap::new(),
        };
        self.emit(Change { entry, body: Body::Empty })
    }

    fn emit(&mut self, change: Change) -> Result<(), RootError> {
        for parent in self.parents.iter_mut().filter_map(Option::take) {
            let entry = match parent {
                Parent::Seen(entry) => entry,
                Parent::Untouched(name) => {
                    let path = in_root(self.dir, &name);
                    let metadata = fs::symlink_metadata(&path).context("read", &path)?;
                    match look(&path, metadata, &name, &self.owners)? {
                        Found::Object(seen) => seen.entry,
                        Found::Whiteout | Found::Socket => continue,
                    }
                }
            };
            self.out.changes.push(Change { entry, body: Body::Empty });
        }
        self.out.changes.push(change);
        Ok(())
    }
}

/// Whether all but time and content is equal. Of attributes, what a layer would carry.
fn same_header(one: &Entry, other: &Entry) -> bool {
    let Entry { path: _, kind, mode, uid, gid, mtime: _, xattrs } = one;
    // A symbolic link's mode means nothing.
    let modes = *mode == other.mode || matches!(kind, Kind::Symlink { .. });
    let kinds = match (kind, &other.kind) {
        (Kind::Directory { .. }, Kind::Directory { .. }) => true,
        (one, other) => one == other,
    };
    let capabilities = xattrs.get(CAPABILITY) == other.xattrs.get(CAPABILITY);
    kinds && modes && (*uid, *gid) == (other.uid, other.gid) && capabilities
}

fn same_content(one: &Path, other: &Path) -> Result<bool, RootError> {
    let open = |path: &Path| File::open(path).context("read", path).map(BufReader::new);
    let (mut ours, mut theirs) = (open(one)?, open(other)?);
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let read = fill(&mut ours, &mut a).context("read", one)?;
        if fill(&mut theirs, &mut b).context("read", other)? != read || a[..read] != b[..read] {
            return Ok(false);
        }
        if read < a.len() {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
