//! A finished image with its blobs at hand: what every exporter takes.

use crate::{ExportError, MediaTypes, with_media_types};
use std::{collections::BTreeMap, path::PathBuf};
use strake_oci::{
    Descriptor, DiffId, Digest, ImageConfig, Index, Manifest, Raw, Reference, media_type,
};

/// An image whose blobs are all local files.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest and its bytes.
    pub manifest: Raw<Manifest>,
    /// The config and its bytes.
    pub config: Raw<ImageConfig>,
    /// Base layer first; in the order of the manifest.
    pub layers: Vec<ImageLayer>,
    /// What the image is to be called. May be empty.
    pub names: Vec<Reference>,
    /// Notes on the descriptor under which the manifest stands in an index.
    pub annotations: BTreeMap<String, String>,
}

/// One layer and where its blob is.
#[derive(Clone, Debug)]
pub struct ImageLayer {
    /// As the manifest has it.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// The file that holds the blob.
    pub blob: PathBuf,
}

impl Image {
    /// The same image under OCI's or Docker's media types. The bytes stay as they are where nothing
    /// changes.
    pub fn with_media_types(self, to: MediaTypes) -> Image {
        let value = with_media_types(&self.manifest.value, to);
        if value == self.manifest.value {
            return self;
        }
        let mut layers = self.layers;
        for (layer, descriptor) in layers.iter_mut().zip(&value.layers) {
            layer.descriptor = descriptor.clone();
        }
        Image { manifest: Raw::write(value), layers, ..self }
    }

    /// The descriptor under which the manifest stands in an index.
    pub fn manifest_descriptor(&self) -> Descriptor {
        let media_type =
            self.manifest.value.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        Descriptor {
            platform: Some(self.config.value.platform()),
            annotations: self.annotations.clone(),
            ..Descriptor::new(media_type, self.manifest.digest(), length(&self.manifest.bytes))
        }
    }

    /// Everything that belongs under `blobs/`, by digest and so without repetition.
    fn blobs(&self) -> Result<Vec<(Digest, Blob<'_>)>, ExportError> {
        let mut blobs = vec![
            (self.manifest.digest(), Blob::Bytes(&self.manifest.bytes)),
            (self.config.digest(), Blob::Bytes(&self.config.bytes)),
        ];
        for layer in &self.layers {
            let found = fs_err::metadata(&layer.blob)?.len();
            let Descriptor { digest, size, .. } = layer.descriptor;
            if found != size {
                return Err(ExportError::BlobSize { digest, size, found });
            }
            blobs.push((digest, Blob::File { path: &layer.blob, size }));
        }
        Ok(blobs)
    }
}

/// One image a platform, under an index.
#[derive(Clone, Debug)]
pub struct MultiImage {
    /// The index and its bytes.
    pub index: Raw<Index>,
    /// In the order of the index.
    pub images: Vec<Image>,
    /// What the whole is to be called. May be empty.
    pub names: Vec<Reference>,
    /// Notes on the descriptor under which the index stands in a layout.
    pub annotations: BTreeMap<String, String>,
}

impl MultiImage {
    /// The descriptor of the index.
    pub fn descriptor(&self) -> Descriptor {
        let media_type = self.index.value.media_type.as_deref().unwrap_or(media_type::OCI_INDEX);
        Descriptor {
            annotations: self.annotations.clone(),
            ..Descriptor::new(media_type, self.index.digest(), length(&self.index.bytes))
        }
    }
}

/// The index of manifests for as many platforms.
pub fn index(
    manifests: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
    media_types: MediaTypes,
) -> Raw<Index> {
    let media_type = match media_types {
        MediaTypes::Oci => media_type::OCI_INDEX,
        MediaTypes::Docker => media_type::DOCKER_INDEX,
    };
    Raw::write(Index {
        schema_version: 2,
        media_type: Some(media_type.to_owned()),
        manifests,
        annotations,
    })
}

/// What a layout holds: one image, or an index with its images.
#[derive(Clone, Debug)]
pub struct Package<'a> {
    /// Of the manifest or index.
    pub(crate) root: Descriptor,
    pub(crate) names: &'a [Reference],
    index: Option<&'a Raw<Index>>,
    images: &'a [Image],
}

impl<'a> From<&'a Image> for Package<'a> {
    fn from(image: &'a Image) -> Package<'a> {
        let images = std::slice::from_ref(image);
        Package { root: image.manifest_descriptor(), names: &image.names, index: None, images }
    }
}

impl<'a> From<&'a MultiImage> for Package<'a> {
    fn from(multi: &'a MultiImage) -> Package<'a> {
        Package {
            root: multi.descriptor(),
            names: &multi.names,
            index: Some(&multi.index),
            images: &multi.images,
        }
    }
}

impl<'a> Package<'a> {
    /// When the latest of the images was made.
    pub(crate) fn created(&self) -> Option<&'a str> {
        self.images.iter().filter_map(|it| it.config.value.created.as_deref()).max()
    }

    /// Everything that belongs under `blobs/`, by digest and so without repetition.
    pub(crate) fn blobs(&self) -> Result<Vec<(Digest, Blob<'a>)>, ExportError> {
        let mut blobs = Vec::new();
        blobs.extend(self.index.map(|it| (it.digest(), Blob::Bytes(&it.bytes))));
        for image in self.images {
            blobs.extend(image.blobs()?);
        }
        blobs.sort_by_key(|it| it.0);
        blobs.dedup_by_key(|it| it.0);
        Ok(blobs)
    }
}

/// Where a blob's bytes are.
#[derive(Clone, Copy)]
pub(crate) enum Blob<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a file of so many bytes.
    File { path: &'a PathBuf, size: u64 },
}

impl Blob<'_> {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Blob::Bytes(bytes) => length(bytes),
            Blob::File { path: _, size } => *size,
        }
    }
}

/// A length as descriptors have it.
pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a length fits 64 bits")
}
