//! A finished image, and where its layers are.

use crate::{StepError, Workbench, history, state::State, time};
use std::{collections::BTreeMap, path::PathBuf};
use strake_oci::{Descriptor, DiffId, ImageConfig, Manifest, Raw, Reference, RootFs, media_type};
use strake_plan::{ContentId, Stage};

/// A finished image. Base layers may still be where they came from.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest.
    pub manifest: Raw<Manifest>,
    /// The config.
    pub config: Raw<ImageConfig>,
    /// Base layer first.
    pub layers: Vec<ImageLayer>,
    /// How many of the history's entries are the base's.
    pub base_history: usize,
}

/// A finished layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayer {
    /// SHA-256 of its tar.
    pub diff_id: DiffId,
    /// Its blob, under an OCI media type.
    pub descriptor: Descriptor,
    /// Identity of what it holds.
    pub content: ContentId,
    /// Seconds since 1970, where it was made here.
    pub created: Option<i64>,
    /// Where the blob is.
    pub origin: LayerOrigin,
}

/// Where a layer's blob is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerOrigin {
    /// In the store.
    Store,
    /// In a registry's repository: not fetched before somebody has to read it.
    Registry(Reference),
    /// In an OCI layout folder.
    Layout(PathBuf),
}

/// The path of a layer's blob, fetched into the store first where it is remote.
pub fn local_blob(layer: &ImageLayer, bench: &Workbench) -> Result<PathBuf, StepError> {
    let digest = &layer.descriptor.digest;
    if let Some(path) = bench.store.blob(digest) {
        return Ok(path);
    }
    let _only_one = bench.store.lock(&format!("blob {digest}"))?;
    if let Some(path) = bench.store.blob(digest) {
        return Ok(path);
    }
    match &layer.origin {
        LayerOrigin::Store => Err(StepError::BlobMissing { digest: *digest }),
        LayerOrigin::Layout(folder) => {
            let layout = strake_registry::Layout::open(folder)?;
            if let Some(path) = layout.blob_path(digest) {
                return Ok(path);
            }
            let dir = bench.store.temp_dir("layout")?;
            let file = dir.path().join("blob");
            layout.copy_blob(&layer.descriptor, &mut fs_err::File::create(&file)?, &|_| ())?;
            Ok(bench.store.insert_blob(&file, digest)?)
        }
        LayerOrigin::Registry(reference) => {
            let dir = bench.store.temp_dir("pull")?;
            let file = dir.path().join("blob");
            bench.client.pull_blob_to(reference, &layer.descriptor, &file, &|_| ())?;
            Ok(bench.store.insert_blob(&file, digest)?)
        }
    }
}

/// Config and manifest of the target stage.
pub(crate) fn assemble(stage: &Stage, state: State, epoch: Option<i64>) -> Image {
    let State {
        layers,
        root: _,
        mut history,
        base_history,
        made_by,
        os_features,
        author,
        made: _,
        told: _,
    } = state;
    history::count_layers(&mut history, made_by);
    let times: Vec<Option<String>> =
        layers.iter().map(|it| it.created.map(time::rfc3339)).collect();
    if let Some(epoch) = epoch {
        let new = history.iter_mut().filter(|it| it.created.is_none());
        new.for_each(|it| it.created = Some(time::rfc3339(epoch)));
    }
    let created = history::fill_times(&mut history, &times);
    let platform = stage.image_platform.clone();
    let config = ImageConfig {
        author: stage.author.clone().or(author),
        architecture: platform.architecture,
        variant: platform.variant,
        config: stage.config.clone(),
        created,
        history,
        os: platform.os,
        os_version: platform.os_version,
        os_features,
        rootfs: RootFs {
            diff_ids: layers.iter().map(|it| it.diff_id).collect(),
            ..RootFs::default()
        },
        extra: BTreeMap::new(),
    };
    described(config, layers, base_history)
}

/// The image of a config and its layers: the manifest follows from them.
pub(crate) fn described(
    config: ImageConfig,
    layers: Vec<ImageLayer>,
    base_history: usize,
) -> Image {
    let config = Raw::write(config);
    let manifest = Raw::write(Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.to_owned()),
        config: Descriptor::new(media_type::OCI_CONFIG, config.digest(), config.bytes.len() as u64),
        layers: layers.iter().map(|it| it.descriptor.clone()).collect(),
        annotations: BTreeMap::new(),
    });
    Image { manifest, config, layers, base_history }
}
