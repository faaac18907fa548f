//! The layer that a place in a Dockerfile made last, kept to make the next one of it faster.

use crate::{
    LayerRecord, Store, error::StoreError, files::touch, layers::compression_name, record,
};
use std::path::PathBuf;
use strake_layer::{Blocks, Compression};
use strake_oci::{DiffId, Digest};

/// A layer to start from.
#[derive(Clone, Debug)]
pub struct EarlierLayer {
    /// Its blob.
    pub blob: PathBuf,
    /// What the blob consists of.
    pub blocks: Blocks,
    /// The time, in seconds since 1970, that it gives to what has none of its own.
    pub now: i64,
}

impl Store {
    /// The layer that `place` made last with this compression, if the store still has its blob. It
    /// counts as used now.
    pub fn earlier(&self, place: &str, compression: Compression) -> Option<EarlierLayer> {
        let path = self.earlier_path(place, compression);
        touch(&path).ok()?;
        let (diff_id, now, blocks) = record::read_with(&path, parse)?;
        let layer = self.layer(&diff_id, compression)?;
        Some(EarlierLayer { blob: self.blob_path(&layer.descriptor.digest), blocks, now })
    }

    /// Notes what `place` made.
    pub fn insert_earlier(
        &self,
        place: &str,
        layer: &LayerRecord,
        blocks: &Blocks,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut body = format!("{} {now}\n", layer.diff_id).into_bytes();
        body.extend_from_slice(&blocks.to_bytes());
        record::write_bytes(self, &self.earlier_path(place, layer.compression), &body)
    }

    fn earlier_path(&self, place: &str, compression: Compression) -> PathBuf {
        let name = format!("{} {place}", compression_name(compression));
        self.path("earlier").join(Digest::of(name.as_bytes()).hex())
    }
}

fn parse(body: &[u8]) -> Option<(DiffId, i64, Blocks)> {
    let end = body.iter().position(|it| *it == b'\n')?;
    let (diff_id, now) = std::str::from_utf8(&body[..end]).ok()?.split_once(' ')?;
    let blocks = Blocks::load(&body[end + 1..]).ok()?;
    Some((DiffId(diff_id.parse().ok()?), now.parse().ok()?, blocks))
}
