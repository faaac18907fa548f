//! Where files are copied from: a context on disk, or a stage's merged tree.

use super::{CopyError, shown};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use strake_context::Context;
use strake_layer::{ContentHash, Entry, Kind, Node, Tree};

/// A tree of files to copy from.
#[derive(Clone, Copy, Debug)]
pub enum SourceTree<'a> {
    /// A local directory under its ignore rules.
    Context(&'a Context),
    /// A stage or an image: what its layers show when stacked.
    Stage(&'a Tree),
}

/// A file of a source, with what is needed to copy it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// As in its source: path, mode, owner, times. Never a hard link.
    pub(super) entry: Entry,
    /// Of a regular file; of a context's file only after hashing.
    pub(super) content: Option<ContentHash>,
    /// Where the content is.
    pub(super) origin: Origin,
    /// Shared by the names of one file.
    pub(super) group: Option<Group>,
    /// For hashing a context's file.
    pub(super) on_disk: Option<Box<strake_context::Entry>>,
}

/// Device and inode, or layer and place in it.
pub(super) type Group = (u64, u64);

/// Where the content of a regular file is.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// Nowhere: it has none.
    Nothing,
    /// Here.
    Path(Arc<PathBuf>),
    /// Below a context's directory, at [`Entry::path`].
    Context(Arc<Path>),
    /// Below the folder of a layer, at [`Entry::path`].
    Layer(usize),
    /// In memory.
    Bytes(Arc<[u8]>),
}

impl SourceTree<'_> {
    /// What messages call it.
    pub(super) fn place(&self) -> &'static str {
        match self {
            SourceTree::Context(_) => "the build context",
            SourceTree::Stage(_) => "the stage that is copied from",
        }
    }

    /// The path with all symbolic links followed within the source.
    pub(super) fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, CopyError> {
        Ok(match self {
            SourceTree::Context(context) => context.resolve(path)?,
            SourceTree::Stage(tree) => tree.resolve(path)?,
        })
    }

    /// The entry at exactly this path.
    pub(super) fn get(&self, path: &[u8]) -> Result<Option<Found>, CopyError> {
        Ok(match self {
            SourceTree::Context(context) => {
                context.entry(path)?.map(|entry| from_context(context, entry))
            }
            SourceTree::Stage(tree) => tree.get(path).map(from_stage),
        })
    }

    /// Names directly in a directory, and whether each is a directory.
    pub(super) fn names(&self, path: &[u8]) -> Result<Vec<(Vec<u8>, bool)>, CopyError> {
        Ok(match self {
            SourceTree::Context(context) => {
                let children = context.children(path)?.into_iter();
                children.map(|it| (super::split(&it.path).1.to_vec(), it.is_directory())).collect()
            }
            SourceTree::Stage(tree) => tree
                .children(path)
                .map(|(name, node)| (name.to_vec(), is_directory(&node.entry)))
                .collect(),
        })
    }

    /// An entry and all below it: parents before children, in byte order of components.
    pub(super) fn walk(&self, path: &[u8]) -> Result<Vec<Found>, CopyError> {
        Ok(match self {
            SourceTree::Context(context) => {
                let entries = context.walk(path)?.into_iter();
                entries.map(|entry| from_context(context, entry)).collect()
            }
            SourceTree::Stage(tree) => tree.walk(path).map(from_stage).collect(),
        })
    }

    /// As [`SourceTree::walk`], of a context with the content hashes: all entries will be needed.
    pub(super) fn walk_hashed(&self, path: &[u8]) -> Result<Vec<Found>, CopyError> {
        let SourceTree::Context(context) = self else {
            return self.walk(path);
        };
        let entries = context.walk(path)?;
        let regular: Vec<_> = entries.iter().filter(|it| is_regular(it)).collect();
        let mut hashes = context.hashes(&regular)?.into_iter();
        let found = entries.into_iter().map(|mut entry| {
            let hash = if is_regular(&entry) { hashes.next() } else { None };
            let path = std::mem::take(&mut entry.path);
            let content = hash.map(|it| ContentHash(it.0));
            Found { content, ..described(context, path, entry) }
        });
        Ok(found.collect())
    }

    /// Fills in the content hashes of the context's regular files.
    pub(super) fn hash(&self, found: &mut [&mut Found]) -> Result<(), CopyError> {
        let SourceTree::Context(context) = self else {
            return Ok(());
        };
        let entries: Vec<_> = found.iter().filter_map(|it| it.on_disk.as_deref()).collect();
        let hashes = context.hashes(&entries)?;
        let hashed = found.iter_mut().filter(|it| it.on_disk.is_some());
        for (found, hash) in hashed.zip(hashes) {
            found.content = Some(ContentHash(hash.0));
            found.on_disk = None;
        }
        Ok(())
    }

    /// Whether a path is missing because the ignore rules leave it out.
    pub(super) fn is_ignored(&self, path: &[u8]) -> bool {
        match self {
            SourceTree::Context(context) => {
                context.is_ignored(path) && context.file(path).symlink_metadata().is_ok()
            }
            SourceTree::Stage(_) => false,
        }
    }
}

impl Found {
    /// A file or a directory of root's, from neither a context nor a stage.
    pub(super) fn roots(path: Vec<u8>, kind: Kind, mode: u32, mtime: i64, origin: Origin) -> Found {
        // What is empty has no content to be read.
        let origin = if kind == (Kind::File { size: 0 }) { Origin::Nothing } else { origin };
        let entry = Entry { path, kind, mode, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new() };
        Found { entry, content: None, origin, group: None, on_disk: None }
    }
}

pub(super) fn is_directory(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Directory { .. })
}

/// Files of a local context belong to root; a socket becomes an empty file, as BuildKit sends it.
fn from_context(context: &Context, mut entry: strake_context::Entry) -> Found {
    let on_disk = is_regular(&entry).then(|| Box::new(entry.clone()));
    let path = std::mem::take(&mut entry.path);
    Found { on_disk, ..described(context, path, entry) }
}

fn is_regular(entry: &strake_context::Entry) -> bool {
    matches!(entry.kind, strake_context::Kind::File { .. })
}

fn described(context: &Context, path: Vec<u8>, entry: strake_context::Entry) -> Found {
    use strake_context::Kind as OnDisk;
    let (uid, gid) = context.owner(&path);
    let linked = entry.names > 1 && !entry.is_directory();
    let kind = match entry.kind {
        OnDisk::File { size } => Kind::File { size },
        OnDisk::Directory => Kind::Directory { opaque: false },
        OnDisk::Symlink { target } => Kind::Symlink { target },
        OnDisk::Character { major, minor } => Kind::Character { major, minor },
        OnDisk::Block { major, minor } => Kind::Block { major, minor },
        OnDisk::Fifo => Kind::Fifo,
        OnDisk::Socket => Kind::File { size: 0 },
    };
    Found {
        content: None,
        origin: match kind {
            Kind::File { size } if size > 0 => Origin::Context(Arc::clone(context.root())),
            _ => Origin::Nothing,
        },
        group: linked.then_some(entry.inode),
        entry: Entry {
            path,
            kind,
            mode: entry.mode,
            uid,
            gid,
            mtime: entry.mtime,
            xattrs: BTreeMap::new(),
        },
        on_disk: None,
    }
}

fn from_stage(node: &Node) -> Found {
    Found {
        entry: node.entry.clone(),
        content: node.content,
        origin: match node.entry.kind {
            Kind::File { size } if size > 0 => Origin::Layer(node.layer),
            _ => Origin::Nothing,
        },
        group: node.group.map(|group| (group.layer as u64, group.entry as u64)),
        on_disk: None,
    }
}

/// The error for a source that is not there, with what is known about it.
pub(super) fn not_found(
    source: &SourceTree<'_>,
    written: &[u8],
    real: &[u8],
) -> Result<CopyError, CopyError> {
    let followed = (real != super::rooted(written)).then(|| shown(real));
    let hint = if source.is_ignored(real) {
        Some("it is there, but .dockerignore leaves it out".to_owned())
    } else {
        let (parent, name) = super::split(real);
        let names = source.names(parent)?;
        let near = names
            .iter()
            .map(|(candidate, _)| (distance(name, candidate), candidate))
            .filter(|(distance, _)| *distance <= 1 + name.len() / 5)
            .min();
        near.map(|(_, name)| format!("did you mean `{}`?", shown(&super::join(parent, name))))
    };
    Ok(CopyError::NotFound { path: shown(written), followed, place: source.place(), hint })
}

/// How many letters have to be changed, upper and lower case being half a letter apart at most.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
