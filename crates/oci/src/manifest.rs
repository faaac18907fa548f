//! Descriptors, manifests and indexes, as the OCI image specification and Docker's schema 2 have them.

use crate::{Digest, Platform, config::null_is_default};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Media types, named for what they are.
pub mod media_type {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image config.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, not compressed.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker image manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, not compressed.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, zstd.
    pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
}

/// Points at a blob: media type, digest, size. OCI image specification, *descriptor.md*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Media type of the blob.
    #[serde(rename = "mediaType")]
    pub media_type: String,
    /// Digest of the blob's bytes.
    pub digest: Digest,
    /// Size of the blob, in bytes.
    pub size: u64,
    /// Free-form notes, sorted.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub annotations: BTreeMap<String, String>,
    /// In an index: what the manifest is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Where a foreign layer may be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub urls: Vec<String>,
}

impl Descriptor {
    /// A descriptor with nothing but the three obligatory fields.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
            urls: Vec::new(),
        }
    }
}

/// An image manifest. OCI image specification, *manifest.md*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always 2.
    #[serde(rename = "schemaVersion")]
    pub schema_version: u32,
    /// Media type of the manifest itself.
    #[serde(rename = "mediaType", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The config blob.
    pub config: Descriptor,
    /// Base layer first.
    pub layers: Vec<Descriptor>,
    /// Free-form notes, sorted.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// An image index or manifest list. OCI image specification, *image-index.md*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Always 2.
    #[serde(rename = "schemaVersion")]
    pub schema_version: u32,
    /// Media type of the index itself.
    #[serde(rename = "mediaType", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// One a platform, as a rule.
    pub manifests: Vec<Descriptor>,
    /// Free-form notes, sorted.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// A parsed document together with the bytes it was parsed from, whose digest is its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw<T> {
    /// What the bytes say.
    pub value: T,
    /// The bytes, unchanged.
    pub bytes: Vec<u8>,
}

impl<T: DeserializeOwned> Raw<T> {
    /// Parses `bytes` and keeps them.
    pub fn parse(bytes: Vec<u8>) -> Result<Raw<T>, serde_json::Error> {
        Ok(Raw { value: serde_json::from_slice(&bytes)?, bytes })
    }
}

impl<T: Serialize> Raw<T> {
    /// Serialises `value` once; the bytes are the document from now on.
    pub fn write(value: T) -> Raw<T> {
        let bytes = serde_json::to_vec(&value).expect("maps have string keys");
        Raw { value, bytes }
    }
}

impl<T> Raw<T> {
    /// The digest of the bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Index, Manifest};

    #[test]
    fn null_means_none() {
        let zeros = "0".repeat(64);
        let descriptor = format!(
            r#"{{"mediaType":"a","digest":"sha256:{zeros}","size":1,"annotations":null,"urls":null,"platform":null}}"#
        );
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor}],"annotations":null}}"#
        );
        assert_eq!(serde_json::from_str::<Manifest>(&manifest).unwrap().layers.len(), 1);
        let index =
            format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}],"annotations":null}}"#);
        assert_eq!(serde_json::from_str::<Index>(&index).unwrap().manifests.len(), 1);
    }
}
