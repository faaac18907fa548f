//! Results of steps by key, early cutoff, and the last record of each place.

use crate::{Store, error::StoreError, files::touch, record};
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf};
use strake_oci::{DiffId, Digest};
use strake_plan::{ContentId, KeyRecord, RootId, StepKey};

/// What a step made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResult {
    /// The layer; `None` for a step that changed nothing.
    pub layer: Option<DiffId>,
    /// What the layer holds, times of its own making aside.
    pub content: Option<ContentId>,
    /// All that the key was made from.
    pub record: KeyRecord,
    /// How long the step took.
    pub millis: u64,
}

impl Store {
    /// The result of a step, if the store has it and its layer. Both count as used now.
    pub fn step(&self, key: &StepKey) -> Option<StepResult> {
        let path = self.step_path(key);
        let _shared = self.share().ok()?;
        let result: StepResult = record::read(&path)?;
        if let Some(diff_id) = &result.layer
            && self.any_layer_shared(diff_id).is_none()
        {
            let _ = fs::remove_file(&path);
            return None;
        }
        touch(&path).ok().map(|()| result)
    }

    /// Records the result of a step whose layer is in the store.
    pub fn insert_step(&self, key: &StepKey, result: &StepResult) -> Result<(), StoreError> {
        record::write(self, &self.step_path(key), result)
    }

    /// A stored layer with this content, made on top of `below`: early cutoff.
    pub fn equal_layer(&self, below: RootId, content: ContentId) -> Option<DiffId> {
        let path = self.equal_path(below, content);
        let _shared = self.share().ok()?;
        let diff_id: DiffId = record::read(&path)?;
        if self.any_layer_shared(&diff_id).is_none() {
            let _ = fs::remove_file(&path);
            return None;
        }
        touch(&path).ok().map(|()| diff_id)
    }

    /// Records the layer that others with the same content on top of `below` shall give way to.
    pub fn insert_equal(
        &self,
        below: RootId,
        content: ContentId,
        diff_id: DiffId,
    ) -> Result<(), StoreError> {
        record::write(self, &self.equal_path(below, content), &diff_id)
    }

    /// The key record of the last build of a place in a Dockerfile; `slot` is any text that names it.
    pub fn last_record(&self, slot: &str) -> Option<KeyRecord> {
        let path = self.last_path(slot);
        let last = record::read(&path)?;
        touch(&path).ok().map(|()| last)
    }

    /// Keeps the key record of this build of a place.
    pub fn insert_last(&self, slot: &str, last: &KeyRecord) -> Result<(), StoreError> {
        record::write(self, &self.last_path(slot), last)
    }

    pub(crate) fn step_path(&self, key: &StepKey) -> PathBuf {
        self.path("steps").join(key.0.hex())
    }

    fn equal_path(&self, below: RootId, content: ContentId) -> PathBuf {
        let mut bytes = below.0.as_bytes().to_vec();
        bytes.extend_from_slice(content.0.as_bytes());
        self.path("equal").join(Digest::of(&bytes).hex())
    }

    fn last_path(&self, slot: &str) -> PathBuf {
        self.path("last").join(Digest::of(slot.as_bytes()).hex())
    }
}
