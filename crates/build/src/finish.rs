//! An image as one of its outputs wants it: compression, times that end at an epoch.

use crate::{Image, ImageLayer, LayerOrigin, StepError, Workbench, image, local_blob, time};
use std::fs::File;
use strake_cache::{LayerRecord, StepResult};
use strake_layer::{Compression, PackOptions, Rewritten};
use strake_oci::{DiffId, media_type};
use strake_plan::{ContentId, KeyRecord};

/// What an output wants of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// How the layers that the build made are compressed.
    pub compression: Compression,
    /// Whether they become eStargz, and at which level of gzip.
    pub estargz: Option<u32>,
    /// Whether the base's layers are too, where they are compressed in another way.
    pub force_compression: bool,
    /// SOURCE_DATE_EPOCH: times that the build has given end there.
    pub epoch: Option<u32>,
    /// Whether times of files that the build made end at the epoch too.
    pub rewrite_timestamp: bool,
}

/// The image as `how` says. Layers that have to be packed anew are kept in the store.
///
/// The base's layers and history entries keep their times, as in BuildKit.
pub fn finish(image: &Image, how: &Finish, bench: &Workbench) -> Result<Image, StepError> {
    let Finish { compression, estargz, force_compression, epoch, rewrite_timestamp } = *how;
    let mut layers = Vec::new();
    for layer in &image.layers {
        let is_new = layer.created.is_some();
        let other = kind(&layer.descriptor.media_type) != kind(compression.media_type());
        let layer = match epoch {
            Some(epoch) if rewrite_timestamp && is_new => until(layer, epoch, compression, bench)?,
            _ if estargz.is_some() => layer.clone(),
            _ if is_new || (force_compression && other) => packed(layer, compression, bench)?,
            _ => layer.clone(),
        };
        layers.push(match estargz {
            Some(level) if is_new || force_compression => lazy(layer, level, bench)?,
            _ => layer,
        });
    }
    let mut config = image.config.value.clone();
    config.rootfs.diff_ids = layers.iter().map(|it| it.diff_id).collect();
    if let Some(epoch) = epoch {
        let epoch = time::rfc3339(i64::from(epoch));
        let new = config.history.iter_mut().skip(image.base_history);
        // All of these were written by this build, in one form and one time zone.
        let mut any = false;
        for entry in new {
            any = true;
            if entry.created.as_ref().is_none_or(|it| *it > epoch) {
                entry.created = Some(epoch.clone());
            }
        }
        if any && config.created.as_ref().is_none_or(|it| *it > epoch) {
            config.created = Some(epoch);
        }
    }
    Ok(image::described(config, layers, image.base_history))
}

/// gzip, zstd or neither: levels do not count.
fn kind(media_type: &str) -> u8 {
    match media_type {
        media_type::OCI_LAYER_GZIP | media_type::DOCKER_LAYER_GZIP => 1,
        media_type::OCI_LAYER_ZSTD | media_type::DOCKER_LAYER_ZSTD => 2,
        _ => 0,
    }
}

/// The layer with this compression.
fn packed(
    layer: &ImageLayer,
    compression: Compression,
    bench: &Workbench,
) -> Result<ImageLayer, StepError> {
    let known = |diff_id: &DiffId| bench.store.layer(diff_id, compression);
    if let Some(record) = known(&layer.diff_id) {
        return Ok(with(layer, &record));
    }
    let _only_one = bench.store.lock(&format!("pack {}", layer.diff_id))?;
    if let Some(record) = known(&layer.diff_id) {
        return Ok(with(layer, &record));
    }
    let dir = bench.store.temp_dir("pack")?;
    let options = PackOptions { compression, threads: bench.threads };
    let made =
        strake_layer::recompress(File::open(local_blob(layer, bench)?)?, &options, dir.path())?;
    if made.diff_id != layer.diff_id {
        return Err(StepError::OtherDiffId { expected: layer.diff_id, found: made.diff_id });
    }
    let record = keep(made, layer.content, layer.created, compression, bench)?;
    Ok(with(layer, &record))
}

/// The layer with no time later than `epoch`.
fn until(
    layer: &ImageLayer,
    epoch: u32,
    compression: Compression,
    bench: &Workbench,
) -> Result<ImageLayer, StepError> {
    let field = |name: &str, value: String| (name.to_owned(), value);
    let record = KeyRecord {
        fields: vec![
            field("rewrite.version", "1".to_owned()),
            field("rewrite.layer", layer.diff_id.to_string()),
            field("rewrite.epoch", epoch.to_string()),
        ],
    };
    let key = record.key();
    let _only_one = bench.store.lock(&format!("rewrite {key}"))?;
    let known = bench.store.step(&key).and_then(|it| bench.store.any_layer(&it.layer?));
    if let Some(known) = known {
        return packed(&with(layer, &known), compression, bench);
    }
    let dir = bench.store.temp_dir("pack")?;
    let options = PackOptions { compression, threads: bench.threads };
    let blob = File::open(local_blob(layer, bench)?)?;
    let made = strake_layer::clamp_times(blob, epoch, &options, dir.path())?;
    let content = ContentId::of_base(made.diff_id);
    let kept = keep(made, content, Some(i64::from(epoch)), compression, bench)?;
    let (layer_id, content) = (Some(kept.diff_id), Some(kept.content));
    let result = StepResult { layer: layer_id, content, record, millis: 0 };
    bench.store.insert_step(&key, &result)?;
    Ok(with(layer, &kept))
}

/// The layer as eStargz, unless it is one.
fn lazy(layer: ImageLayer, level: u32, bench: &Workbench) -> Result<ImageLayer, StepError> {
    if strake_layer::is_estargz(&layer.descriptor) {
        return Ok(layer);
    }
    let field = |name: &str, value: String| (name.to_owned(), value);
    let record = KeyRecord {
        fields: vec![
            field("estargz.version", "1".to_owned()),
            field("estargz.layer", layer.diff_id.to_string()),
            field("estargz.level", level.to_string()),
        ],
    };
    let key = record.key();
    let _only_one = bench.store.lock(&format!("estargz {key}"))?;
    let known = bench.store.step(&key).and_then(|it| bench.store.any_layer(&it.layer?));
    if let Some(known) = known {
        return Ok(with(&layer, &known));
    }
    let dir = bench.store.temp_dir("pack")?;
    let blob = File::open(local_blob(&layer, bench)?)?;
    let made = strake_layer::estargz(blob, level, bench.threads, dir.path())?;
    let compression = Compression::Gzip(level);
    let kept = keep(made, layer.content, layer.created, compression, bench)?;
    let (layer_id, content) = (Some(kept.diff_id), Some(kept.content));
    let result = StepResult { layer: layer_id, content, record, millis: 0 };
    bench.store.insert_step(&key, &result)?;
    Ok(with(&layer, &kept))
}

/// Puts a layer into the store, unless it is there.
fn keep(
    made: Rewritten,
    content: ContentId,
    created: Option<i64>,
    compression: Compression,
    bench: &Workbench,
) -> Result<LayerRecord, StepError> {
    let Rewritten { diff_id, descriptor, file } = made;
    if let Some(known) = bench.store.layer(&diff_id, compression) {
        return Ok(known);
    }
    bench.store.insert_blob(&file, &descriptor.digest)?;
    let created = created.unwrap_or_else(|| (bench.clock)());
    let record = LayerRecord { diff_id, descriptor, compression, content, created };
    bench.store.insert_layer(&record)?;
    Ok(record)
}

/// `layer` as the store has it.
fn with(layer: &ImageLayer, record: &LayerRecord) -> ImageLayer {
    ImageLayer {
        diff_id: record.diff_id,
        descriptor: record.descriptor.clone(),
        content: layer.content,
        created: layer.created,
        origin: LayerOrigin::Store,
    }
}
