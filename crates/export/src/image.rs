//! A finished image with its blobs at hand: what every exporter takes.

use crate::{ExportError, MediaTypes, with_media_types};
use std::path::PathBuf;
use strake_oci::{Descriptor, DiffId, Digest, ImageConfig, Manifest, Raw, Reference, media_type};

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
        Image { manifest: Raw::write(value), config: self.config, layers, names: self.names }
    }

    /// The descriptor under which the manifest stands in an index.
    pub(crate) fn manifest_descriptor(&self) -> Descriptor {
        let media_type =
            self.manifest.value.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        Descriptor {
            platform: Some(self.config.value.platform()),
            ..Descriptor::new(media_type, self.manifest.digest(), length(&self.manifest.bytes))
        }
    }

    /// Everything that belongs under `blobs/`, by digest and so without repetition.
    pub(crate) fn blobs(&self) -> Result<Vec<(Digest, Blob<'_>)>, ExportError> {
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
