//! The merged view of stacked layers, from their indexes alone.
//!
//! Invariant: nodes are sorted component by component, so a subtree is contiguous.
//! Invariant: every node's parent is a directory of the tree; the root is always there.

use crate::{ContentHash, Entry, Index, Kind, name};
use std::{collections::BTreeMap, sync::Arc};

/// What a container would see of a stack of layers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) files: BTreeMap<Vec<u8>, Arc<[u8]>>,
}

/// A file system object of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is. Never a whiteout, never opaque. A hard link is a [`Kind::File`] (or whatever the
    /// first name is) like its first name; only one whose first name is nowhere stays
    /// a [`Kind::Hardlink`].
    pub entry: Entry,
    /// For regular files.
    pub content: Option<ContentHash>,
    /// The layer that it is from, as given to [`Tree::push`].
    pub layer: usize,
    /// Shared by all names of a file that has, or had, several.
    pub group: Option<LinkGroup>,
}

/// Which names are one file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LinkGroup {
    /// The layer of the names.
    pub layer: usize,
    /// The place of the first name in the layer's index.
    pub entry: usize,
}

/// A path cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// More than 255 symbolic links, as in a circle.
    #[error("too many symbolic links in `{path}`")]
    Loop {
        /// As asked for.
        path: crate::EntryName,
    },
}

const LINKS_AT_MOST: usize = 255;

impl Default for Tree {
    fn default() -> Tree {
        let root =
            Node { entry: implied_directory(Vec::new()), content: None, layer: 0, group: None };
        Tree { nodes: vec![Arc::new(root)], files: BTreeMap::new() }
    }
}

/// A directory that no entry describes: 0755, root's, from 1970.
pub(crate) fn implied_directory(path: Vec<u8>) -> Entry {
    Entry {
        path,
        kind: Kind::Directory { opaque: false },
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: BTreeMap::new(),
    }
}

impl Tree {
    /// Stacks layers, the base first; the first is layer 0.
    pub fn stack(layers: &[Arc<Index>]) -> Tree {
        let mut tree = Tree::default();
        layers.iter().enumerate().for_each(|(layer, index)| tree.push(index, layer));
        tree
    }

    /// Puts one more layer on top. `layer` is what [`Node::layer`] will say.
    ///
    /// Whiteouts and opaque directories apply to what is below, wherever in the layer they stand.
    /// Where a layer has a path but not its parents, the parents below are kept, and symbolic links
    /// among them followed.
    pub fn push(&mut self, index: &Index, layer: usize) {
        crate::stack::push(self, index, layer);
    }

    /// The node at exactly this path: no link is followed. Empty is the root.
    pub fn get(&self, path: &[u8]) -> Option<&Node> {
        self.find(path).ok().map(|at| &*self.nodes[at])
    }

    pub(crate) fn find(&self, path: &[u8]) -> Result<usize, usize> {
        self.nodes.binary_search_by(|it| name::compare(&it.entry.path, path))
    }

    /// Follows every symbolic link, the last included, without leaving the root. What does not exist
    /// is kept as it is. A leading `/` does not matter; `..` of the root is the root.
    pub fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, ResolveError> {
        self.follow(path, true)
    }

    /// Like [`Tree::resolve`], but the last component is not followed.
    pub fn resolve_parent(&self, path: &[u8]) -> Result<Vec<u8>, ResolveError> {
        self.follow(path, false)
    }

    fn follow(&self, path: &[u8], last_too: bool) -> Result<Vec<u8>, ResolveError> {
        let mut real: Vec<u8> = Vec::with_capacity(path.len());
        // In reverse, so that the next component is popped.
        let mut ahead: Vec<&[u8]> = components(path).collect();
        let mut links = 0;
        while let Some(component) = ahead.pop() {
            if component == b".." {
                real.truncate(name::split(&real).0.len());
                continue;
            }
            let parent = real.len();
            real = name::join(&real, component);
            if ahead.is_empty() && !last_too {
                break;
            }
            let Some(Node { entry: Entry { kind: Kind::Symlink { target }, .. }, .. }) =
                self.get(&real)
            else {
                continue;
            };
            links += 1;
            if links > LINKS_AT_MOST {
                return Err(ResolveError::Loop { path: crate::EntryName(path.to_vec()) });
            }
            real.truncate(if target.starts_with(b"/") { 0 } else { parent });
            ahead.extend(components(target));
        }
        Ok(real)
    }

    /// What is directly in a directory, with its name there, in order.
    pub fn children<'a>(
        &'a self,
        path: &[u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a Node)> + use<'a> {
        let mut rest = self.below(path);
        let skipped = if path.is_empty() { 0 } else { path.len() + 1 };
        std::iter::from_fn(move || {
            let (first, others) = rest.split_first()?;
            let own = &first.entry.path;
            let deeper = run_length(others, |it| name::is_below(&it.entry.path, own));
            rest = &others[deeper..];
            Some((&own[skipped..], &**first))
        })
    }

    /// The node at `path` and everything below it, parents before children.
    pub fn walk<'a>(&'a self, path: &[u8]) -> impl Iterator<Item = &'a Node> + use<'a> {
        self.get(path).into_iter().chain(self.below(path).iter().map(|it| &**it))
    }

    /// The nodes strictly below a path.
    fn below(&self, path: &[u8]) -> &[Arc<Node>] {
        let start = self.find(path).map_or_else(|at| at, |at| at + 1);
        let rest = &self.nodes[start..];
        &rest[..run_length(rest, |it| name::is_below(&it.entry.path, path))]
    }

    /// The content of `etc/passwd` or `etc/group`, if it is a regular file here.
    pub fn file(&self, path: &[u8]) -> Option<&[u8]> {
        self.files.get(path).map(|it| &**it)
    }

    /// Follows symbolic links to the node that has the content.
    pub fn content_node(&self, path: &[u8]) -> Option<&Node> {
        self.get(&self.resolve(path).ok()?)
    }

    /// How many nodes there are, the root included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }
}

/// The components of a path from the last to the first, without empty ones and `.`.
pub(crate) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.rsplit(|it| *it == b'/').filter(|it| !it.is_empty() && *it != b".")
}

/// How many nodes at the start of a slice satisfy a condition that the others do not: short runs are
/// found in few steps, long ones in logarithmically many.
fn run_length(nodes: &[Arc<Node>], condition: impl Fn(&Node) -> bool) -> usize {
    let mut reach = 1;
    while reach <= nodes.len() && condition(&nodes[reach - 1]) {
        reach *= 2;
    }
    let (from, to) = (reach / 2, reach.min(nodes.len()));
    from + nodes[from..to].partition_point(|it| condition(it))
}
