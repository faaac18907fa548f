//! Puts a layer's index on top of a tree.

use crate::{
    Entry, Index, IndexEntry, Kind, LinkGroup, Node, Tree, name,
    tree::{components, implied_directory},
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

/// What a layer says about a path.
struct Item {
    path: Vec<u8>,
    /// Whether everything that was here, or below here, is gone.
    hides: bool,
    /// What is here now.
    node: Option<Node>,
    /// Its place in the layer.
    order: usize,
}

pub(crate) fn push(tree: &mut Tree, index: &Index, layer: usize) {
    let mut items = items(tree, index, layer);
    // Most layers are sorted already.
    items.sort_by(|left, right| name::compare(&left.path, &right.path));
    if !is_plain(tree, &items) {
        items = place(tree, items, layer);
    }
    let lower = std::mem::take(&mut tree.nodes);
    tree.nodes = merge(lower, items);
    keep_files(tree, index, layer);
}

/// The items of a layer by path, hard links made equal to their first names. Of several entries with
/// one path the last will count.
fn items(tree: &Tree, index: &Index, layer: usize) -> Vec<Item> {
    let linked = linked_names(index);
    let mut firsts: BTreeMap<&[u8], (usize, Node)> = BTreeMap::new();
    let mut items: Vec<Item> = Vec::with_capacity(index.entries.len());
    for (at, IndexEntry { entry, content }) in index.entries.iter().enumerate() {
        let mut node = Node { entry: entry.clone(), content: *content, layer, group: None };
        let mut hides = true;
        match &mut node.entry.kind {
            Kind::Whiteout => {
                items.push(Item { path: node.entry.path, hides, node: None, order: at });
                continue;
            }
            Kind::Directory { opaque } => hides = std::mem::take(opaque),
            Kind::Hardlink { target } => {
                if let Some((first, original)) = firsts.get(target.as_slice()) {
                    node = renamed(original, entry.path.clone());
                    node.group = Some(LinkGroup { layer, entry: *first });
                } else if let Some(original) = tree.get(target) {
                    node = Node { layer, ..renamed(original, entry.path.clone()) };
                }
            }
            Kind::File { .. } | Kind::Symlink { .. } | Kind::Fifo => {}
            Kind::Character { .. } | Kind::Block { .. } => {}
        }
        if linked.contains(entry.path.as_slice()) {
            let first = node.group.map_or(at, |it| it.entry);
            node.group = Some(LinkGroup { layer, entry: first });
            firsts.insert(&entry.path, (first, node.clone()));
        }
        items.push(Item { path: entry.path.clone(), hides, node: Some(node), order: at });
    }
    items
}

/// The paths that hard links of the layer refer to.
fn linked_names(index: &Index) -> BTreeSet<&[u8]> {
    let targets = index.entries.iter().filter_map(|it| match &it.entry.kind {
        Kind::Hardlink { target } => Some(target.as_slice()),
        _ => None,
    });
    targets.collect()
}

fn renamed(node: &Node, path: Vec<u8>) -> Node {
    let Node { entry, content, layer, group } = node;
    let entry = Entry { path, ..entry.clone() };
    Node { entry, content: *content, layer: *layer, group: *group }
}

/// Whether sorted items can be taken as they are: no path occurs twice, and every parent is
/// a directory, of this layer or of one below.
fn is_plain(tree: &Tree, sorted: &[Item]) -> bool {
    let mut known: &[u8] = b"";
    let mut previous: Option<&[u8]> = None;
    for item in sorted {
        if previous.replace(&item.path) == Some(&item.path) {
            return false;
        }
        let parent = name::split(&item.path).0;
        if parent != known {
            if !is_directory(tree, sorted, parent) {
                return false;
            }
            known = parent;
        }
    }
    true
}

fn is_directory(tree: &Tree, sorted: &[Item], path: &[u8]) -> bool {
    let find = |path: &[u8]| {
        let at = sorted.binary_search_by(|it| name::compare(&it.path, path));
        at.ok().map(|at| &sorted[at])
    };
    let is_directory = |node: &Node| matches!(node.entry.kind, Kind::Directory { .. });
    match find(path) {
        Some(Item { node: Some(node), .. }) => is_directory(node),
        Some(Item { node: None, .. }) => false,
        None => {
            let mut hidden = ancestors(path).filter_map(find).map(|it| it.hides);
            tree.get(path).is_some_and(is_directory) && !hidden.any(|it| it)
        }
    }
}

/// The parents of a path from the nearest to the root.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut path = path;
    std::iter::from_fn(move || {
        let below_root = !path.is_empty();
        path = name::split(path).0;
        below_root.then_some(path)
    })
}

/// A path in the order of [`name::compare`].
#[derive(PartialEq, Eq)]
struct Key(Vec<u8>);

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        name::compare(&self.0, &other.0)
    }
}

type Upper = BTreeMap<Key, Item>;

/// Puts items where they really go: parents that are links are followed, parents that are missing
/// are made, and what one entry replaces is gone. Deletions are placed first.
fn place(tree: &Tree, items: Vec<Item>, layer: usize) -> Vec<Item> {
    let mut upper = Upper::new();
    let (mut nodes, deletions): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|it| it.node.is_some());
    for mut item in deletions {
        let real = tree.resolve_parent(&item.path);
        item.path = real.unwrap_or(item.path);
        upper.insert(Key(item.path.clone()), item);
    }
    nodes.sort_by_key(|it| it.order);
    for mut item in nodes {
        let (parent, last) = name::split(&item.path);
        item.path = name::join(&make_parents(tree, &mut upper, parent, layer), last);
        item.node.iter_mut().for_each(|it| it.entry.path.clone_from(&item.path));
        add(&mut upper, item);
    }
    upper.into_values().collect()
}

/// Returns the real path of a directory, made where it is missing.
fn make_parents(tree: &Tree, upper: &mut Upper, path: &[u8], layer: usize) -> Vec<u8> {
    let mut real = Vec::new();
    let mut ahead: Vec<Vec<u8>> = components(path).map(<[u8]>::to_vec).collect();
    let mut links = 0;
    while let Some(component) = ahead.pop() {
        if component == b".." {
            real.truncate(name::split(&real).0.len());
            continue;
        }
        let parent = real.len();
        real = name::join(&real, &component);
        let kind = seen(tree, upper, &real).map(|it| &it.entry.kind);
        match kind {
            Some(Kind::Directory { .. }) => {}
            Some(Kind::Symlink { target }) if links < 255 => {
                links += 1;
                real.truncate(if target.starts_with(b"/") { 0 } else { parent });
                ahead.extend(components(target).map(<[u8]>::to_vec));
            }
            _ => {
                let entry = implied_directory(real.clone());
                let node = Node { entry, content: None, layer, group: None };
                let hides = kind.is_some();
                let path = real.clone();
                add(upper, Item { path, hides, node: Some(node), order: 0 });
            }
        }
    }
    real
}

/// What is at a path so far.
fn seen<'a>(tree: &'a Tree, upper: &'a Upper, path: &[u8]) -> Option<&'a Node> {
    let item = upper.get(&Key(path.to_vec()));
    if let Some(item) = item.filter(|it| it.node.is_some() || it.hides) {
        return item.node.as_ref();
    }
    let hides = |it: &[u8]| upper.get(&Key(it.to_vec())).is_some_and(|it| it.hides);
    if ancestors(path).any(hides) { None } else { tree.get(path) }
}

fn add(upper: &mut Upper, mut item: Item) {
    let is_directory = |node: &Node| matches!(node.entry.kind, Kind::Directory { .. });
    let key = Key(item.path.clone());
    if let Some(old) = upper.get(&key) {
        item.hides |= old.hides;
        let replaced = old.node.as_ref().is_some_and(is_directory);
        if replaced && !item.node.as_ref().is_some_and(is_directory) {
            let from = (Bound::Excluded(Key(item.path.clone())), Bound::Unbounded);
            let below = upper.range(from).take_while(|(it, _)| name::is_below(&it.0, &item.path));
            let below: Vec<Vec<u8>> = below.map(|(it, _)| it.0.clone()).collect();
            below.into_iter().for_each(|it| drop(upper.remove(&Key(it))));
        }
    }
    upper.insert(key, item);
}

/// Merges sorted nodes and sorted items.
fn merge(lower: Vec<Arc<Node>>, upper: Vec<Item>) -> Vec<Arc<Node>> {
    let mut merged = Vec::with_capacity(lower.len() + upper.len());
    let mut lower = lower.into_iter().peekable();
    // Nothing below this path is seen any more.
    let mut hidden: Option<Vec<u8>> = None;
    let is_hidden =
        |hidden: &Option<Vec<u8>>, path: &[u8]| hidden.iter().any(|it| name::is_below(path, it));
    for item in upper {
        let before = |it: &Arc<Node>| name::compare(&it.entry.path, &item.path) == Ordering::Less;
        while let Some(node) = lower.next_if(before) {
            if !is_hidden(&hidden, &node.entry.path) {
                merged.push(node);
            }
        }
        lower.next_if(|it| it.entry.path == item.path);
        if item.hides && !is_hidden(&hidden, &item.path) {
            hidden = Some(item.path);
        }
        merged.extend(item.node.map(Arc::new));
    }
    merged.extend(lower.filter(|it| !is_hidden(&hidden, &it.entry.path)));
    merged
}

/// Keeps the contents of `etc/passwd` and `etc/group` in step with their nodes.
fn keep_files(tree: &mut Tree, index: &Index, layer: usize) {
    for path in crate::index::KEPT {
        let Some(node) = tree.get(path) else {
            tree.files.remove(path);
            continue;
        };
        if node.layer != layer {
            continue;
        }
        let is_file = matches!(node.entry.kind, Kind::File { .. });
        match index.files.get(path).filter(|_| is_file) {
            Some(content) => drop(tree.files.insert(path.to_vec(), content.as_slice().into())),
            None => drop(tree.files.remove(path)),
        }
    }
}
