//! What a container would see.

use crate::{Difference, entry};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use strake_layer::{EntryName, Index, LinkGroup, Tree};

type Seen = BTreeMap<Vec<u8>, entry::Facts>;

pub(crate) fn compare(left: &[Arc<Index>], right: &[Arc<Index>], times: bool) -> Vec<Difference> {
    let (left, right) = (seen(left, times), seen(right, times));
    let paths: BTreeSet<&Vec<u8>> = left.keys().chain(right.keys()).collect();
    paths
        .into_iter()
        .flat_map(|path| {
            let at = format!("/{}", EntryName(path.clone()));
            entry::compare(&at, left.get(path), right.get(path))
        })
        .collect()
}

/// The facts of each path. The root's are left out: few builders write them.
fn seen(layers: &[Arc<Index>], times: bool) -> Seen {
    let tree = Tree::stack(layers);
    let mut groups: BTreeMap<LinkGroup, Vec<String>> = BTreeMap::new();
    for node in tree.walk(b"") {
        if let Some(group) = node.group {
            groups.entry(group).or_default().push(EntryName(node.entry.path.clone()).to_string());
        }
    }
    let mut seen = Seen::new();
    for node in tree.walk(b"").filter(|it| !it.entry.path.is_empty()) {
        let mut facts = entry::facts(&node.entry, node.content.as_ref(), times);
        let names = node.group.and_then(|it| groups.get(&it)).filter(|it| it.len() > 1);
        if let Some(names) = names {
            let mut names = names.clone();
            names.sort();
            facts.push(("names", names.join(" ")));
        }
        seen.insert(node.entry.path.clone(), facts);
    }
    seen
}
