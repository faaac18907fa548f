//! An image as an output wants it: media types, annotations, an index where there are several platforms.

use crate::{
    annotations::{Annotations, Level},
    failure::Failure,
    output::Output,
};
use std::collections::BTreeMap;
use strake_build::{Finish, Image, ImageLayer, Workbench};
use strake_export::{MediaTypes, with_media_types};
use strake_layer::Compression;
use strake_oci::{Descriptor, ImageConfig, Index, Manifest, Platform, Raw};

/// One platform's part.
pub(crate) struct Part {
    pub(crate) manifest: Raw<Manifest>,
    pub(crate) config: Raw<ImageConfig>,
    /// Each with its descriptor in the manifest.
    pub(crate) layers: Vec<(ImageLayer, Descriptor)>,
    /// Of the manifest, as an index has it.
    pub(crate) descriptor: Descriptor,
}

/// What an output writes.
pub(crate) struct Prepared {
    /// In the order of `--platform`.
    pub(crate) parts: Vec<Part>,
    /// Above the parts, where there is one.
    pub(crate) index: Option<Raw<Index>>,
    /// Of the index, or of the only manifest.
    pub(crate) descriptor: Descriptor,
}

/// What is built: an image a platform.
pub(crate) struct Built<'a> {
    pub(crate) images: &'a [Image],
    pub(crate) platforms: &'a [Platform],
    /// Whether an index stands above them.
    pub(crate) index: bool,
    /// `--annotation`.
    pub(crate) annotations: &'a Annotations,
}

impl Built<'_> {
    /// The images as `output` wants them.
    pub(crate) fn prepare(&self, output: &Output, bench: &Workbench) -> Result<Prepared, Failure> {
        let annotations = output.annotations.and(self.annotations);
        let media_types = match output.media_types {
            MediaTypes::Docker if annotations.need_oci() => MediaTypes::Oci,
            media_types => media_types,
        };
        let default = Compression::Gzip(Compression::DEFAULT_GZIP);
        let how = Finish {
            compression: output.compression().unwrap_or(default),
            estargz: output.estargz,
            force_compression: output.force_compression,
            epoch: output.epoch.or(bench.source_date_epoch.and_then(|it| u32::try_from(it).ok())),
            rewrite_timestamp: output.rewrite_timestamp,
        };
        let mut parts = Vec::new();
        for (image, platform) in self.images.iter().zip(self.platforms) {
            let image = strake_build::finish(image, &how, bench)?;
            parts.push(part(image, platform, &annotations, media_types));
        }
        let index = self.index.then(|| {
            let manifests = parts.iter().map(|it| it.descriptor.clone()).collect();
            strake_export::index(manifests, annotations.general(Level::Index), media_types)
        });
        let descriptor = match &index {
            None => parts[0].descriptor.clone(),
            Some(index) => Descriptor {
                annotations: annotations.general(Level::IndexDescriptor),
                ..described(&index.bytes, index.digest(), index.value.media_type.as_deref())
            },
        };
        Ok(Prepared { parts, index, descriptor })
    }
}

fn part(
    image: Image,
    platform: &Platform,
    annotations: &Annotations,
    media_types: MediaTypes,
) -> Part {
    let mut manifest = with_media_types(&image.manifest.value, media_types);
    manifest.annotations = annotations.of(Level::Manifest, platform);
    let manifest = Raw::write(manifest);
    let layers = image.layers.into_iter().zip(manifest.value.layers.iter().cloned()).collect();
    let media_type = manifest.value.media_type.as_deref();
    let descriptor = Descriptor {
        annotations: annotations.of(Level::ManifestDescriptor, platform),
        platform: Some(image.config.value.platform()),
        ..described(&manifest.bytes, manifest.digest(), media_type)
    };
    Part { manifest, config: image.config, layers, descriptor }
}

fn described(bytes: &[u8], digest: strake_oci::Digest, media_type: Option<&str>) -> Descriptor {
    Descriptor::new(media_type.unwrap_or_default(), digest, bytes.len() as u64)
}

impl Prepared {
    /// What `--metadata-file` says of it: the digest of the only config, and when it was made.
    pub(crate) fn notes(&self) -> BTreeMap<String, String> {
        let mut notes = BTreeMap::new();
        let created = self.parts.iter().filter_map(|it| it.config.value.created.clone()).max();
        notes.extend(created.map(|it| ("org.opencontainers.image.created".to_owned(), it)));
        notes.extend(self.config().map(|it| ("config.digest".to_owned(), it.to_string())));
        notes
    }

    /// The config, where there is one only.
    pub(crate) fn config(&self) -> Option<strake_oci::Digest> {
        match (&self.index, self.parts.as_slice()) {
            (None, [only]) => Some(only.config.digest()),
            _ => None,
        }
    }
}
