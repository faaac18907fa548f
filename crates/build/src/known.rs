//! What a build has looked up once: snapshots and merged trees of layers.
//!
//! A running build's lease keeps what it found in the store from being collected, so what was found
//! once is there. Without this every step would read the indexes of all layers below it again.

use crate::ImageLayer;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use strake_layer::{Index, Tree};
use strake_oci::DiffId;

/// How many trees are kept. They share what is the same in them.
const TREES: usize = 16;

/// Larger trees cost more memory than they save time.
const NODES: usize = 50_000;

/// What was looked up.
#[derive(Debug, Default)]
pub(crate) struct Known {
    snapshots: Mutex<BTreeMap<DiffId, PathBuf>>,
    trees: Mutex<Vec<(Vec<DiffId>, Arc<Tree>)>>,
    /// Of layers whose indexes the store does not have yet.
    indexes: Mutex<BTreeMap<DiffId, Arc<Index>>>,
}

impl Known {
    pub(crate) fn snapshot(&self, diff_id: &DiffId) -> Option<PathBuf> {
        lock(&self.snapshots).get(diff_id).cloned()
    }

    pub(crate) fn keep_snapshots(&self, layers: &[ImageLayer], paths: &[PathBuf]) {
        let mut known = lock(&self.snapshots);
        for (layer, path) in layers.iter().zip(paths) {
            known.entry(layer.diff_id).or_insert_with(|| path.clone());
        }
    }

    /// What was given by [`Known::keep_index`] and not taken back.
    pub(crate) fn index(&self, diff_id: &DiffId) -> Option<Arc<Index>> {
        lock(&self.indexes).get(diff_id).cloned()
    }

    pub(crate) fn keep_index(&self, diff_id: DiffId, index: &Arc<Index>) {
        lock(&self.indexes).insert(diff_id, Arc::clone(index));
    }

    /// To be called when the store has the index.
    pub(crate) fn forget_index(&self, diff_id: &DiffId) {
        lock(&self.indexes).remove(diff_id);
    }

    /// The merged view of a stack of layers: of as many as are known, and of the others by their
    /// indexes.
    pub(crate) fn tree<E>(
        &self,
        layers: &[ImageLayer],
        indexes: impl FnOnce(&[ImageLayer]) -> Result<Vec<Arc<Index>>, E>,
    ) -> Result<Arc<Tree>, E> {
        let ids: Vec<DiffId> = layers.iter().map(|it| it.diff_id).collect();
        let best = lock(&self.trees)
            .iter()
            .filter(|(known, _)| ids.starts_with(known))
            .max_by_key(|(known, _)| known.len())
            .map(|(known, tree)| (known.len(), Arc::clone(tree)));
        let (done, mut tree) = match best {
            Some((done, tree)) if done == ids.len() => return Ok(tree),
            Some((done, tree)) => (done, Tree::clone(&tree)),
            None => (0, Tree::stack(&[])),
        };
        for (number, index) in indexes(&layers[done..])?.into_iter().enumerate() {
            tree.push(&index, done + number);
        }
        let tree = Arc::new(tree);
        if tree.len() <= NODES {
            let mut trees = lock(&self.trees);
            trees.retain(|(known, _)| *known != ids);
            trees.push((ids, Arc::clone(&tree)));
            let excess = trees.len().saturating_sub(TREES);
            trees.drain(..excess);
        }
        Ok(tree)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
