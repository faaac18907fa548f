//! Finished layers by diff id, and what they hold.

use crate::{
    Store,
    blobs::{SMALL, holds},
    error::StoreError,
    files::{names, touch},
    record,
};
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf, sync::Arc};
use strake_layer::{Compression, Index, load_index, write_index};
use strake_oci::{Descriptor, DiffId};
use strake_plan::ContentId;

/// A layer whose blob is in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Of the uncompressed tar.
    pub diff_id: DiffId,
    /// The blob: media type, digest, size.
    pub descriptor: Descriptor,
    /// As packed.
    pub compression: Compression,
    /// What the layer holds, times of its own making aside.
    pub content: ContentId,
    /// When it was made, in seconds since 1970: the time that histories give.
    pub created: i64,
}

impl Store {
    /// The layer packed like this, if the store has its blob. It counts as used now.
    pub fn layer(&self, diff_id: &DiffId, compression: Compression) -> Option<LayerRecord> {
        let _shared = self.share().ok()?;
        self.read_layer(self.layer_folder(diff_id).join(compression_name(compression)))
    }

    /// The layer packed in any way, if the store has its blob. It counts as used now.
    pub fn any_layer(&self, diff_id: &DiffId) -> Option<LayerRecord> {
        let _shared = self.share().ok()?;
        self.any_layer_shared(diff_id)
    }

    /// Records a layer whose blob is in the store.
    pub fn insert_layer(&self, layer: &LayerRecord) -> Result<(), StoreError> {
        let path = self.layer_folder(&layer.diff_id).join(compression_name(layer.compression));
        record::write(self, &path, layer)
    }

    /// What the layer holds, where it was ever seen. It counts as used now.
    pub fn index(&self, diff_id: &DiffId) -> Result<Option<Arc<Index>>, StoreError> {
        let path = self.index_path(diff_id);
        let _shared = self.share()?;
        if touch(&path).is_err() {
            return Ok(None);
        }
        Ok(record::read_with(&path, |body| load_index(body).ok()).map(Arc::new))
    }

    /// Keeps what the layer holds.
    pub fn insert_index(&self, diff_id: &DiffId, index: &Index) -> Result<(), StoreError> {
        let mut body = Vec::new();
        write_index(index, &mut body).expect("writing to memory does not fail");
        record::write_bytes(self, &self.index_path(diff_id), &body)
    }

    /// As [`Store::any_layer`], for those who keep pruning out already.
    pub(crate) fn any_layer_shared(&self, diff_id: &DiffId) -> Option<LayerRecord> {
        let folder = self.layer_folder(diff_id);
        names(&folder).into_iter().find_map(|name| self.read_layer(folder.join(name)))
    }

    fn read_layer(&self, path: PathBuf) -> Option<LayerRecord> {
        let layer: LayerRecord = record::read(&path)?;
        let blob = self.blob_path(&layer.descriptor.digest);
        let whole = match layer.descriptor.size {
            ..=SMALL => holds(&blob, &layer.descriptor.digest),
            size => fs::metadata(&blob).is_ok_and(|it| it.len() == size),
        };
        if whole && touch(&blob).is_ok() {
            return Some(layer);
        }
        // Pruned, or cut short by a crash.
        let _ = fs::remove_file(&blob);
        let _ = fs::remove_file(path);
        None
    }

    pub(crate) fn layer_folder(&self, diff_id: &DiffId) -> PathBuf {
        self.path("layers").join(diff_id.0.hex())
    }

    pub(crate) fn index_path(&self, diff_id: &DiffId) -> PathBuf {
        self.path("indexes").join(diff_id.0.hex())
    }
}

pub(crate) fn compression_name(compression: Compression) -> String {
    match compression {
        // Named anew whenever the bytes of a blob change.
        Compression::None => "none".to_owned(),
        Compression::Gzip(level) => format!("gzip2-{level}"),
        Compression::Zstd(level) => format!("zstd-{level}"),
    }
}
