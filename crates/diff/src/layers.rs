//! Each layer by itself: what it carries and what it deletes.

use crate::{Difference, entry};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use strake_layer::{EntryName, Index};

type Carried = BTreeMap<Vec<u8>, entry::Facts>;

pub(crate) fn compare(left: &[Arc<Index>], right: &[Arc<Index>], times: bool) -> Vec<Difference> {
    let mut found = Vec::new();
    for number in 0..left.len().max(right.len()) {
        let [one, two] =
            [left, right].map(|it| it.get(number).map(|it| carried(it, times)).unwrap_or_default());
        let paths: BTreeSet<&Vec<u8>> = one.keys().chain(two.keys()).collect();
        for path in paths {
            let at = format!("layer[{number}]/{}", EntryName(path.clone()));
            found.extend(entry::compare(&at, one.get(path), two.get(path)));
        }
    }
    found
}

/// Of several entries with one path the last counts.
fn carried(index: &Index, times: bool) -> Carried {
    let entries = index.entries.iter();
    entries
        .map(|it| (it.entry.path.clone(), entry::facts(&it.entry, it.content.as_ref(), times)))
        .collect()
}
