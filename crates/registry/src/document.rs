//! Manifests and indexes as they arrive: which of the two it is, and whether it may be believed.

use crate::Error;
use serde::Deserialize;
use strake_oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Raw, media_type};

/// No manifest, index or config may be larger. Distribution specification, *Pushing Manifests*.
pub(crate) const LIMIT: u64 = 4 << 20;
/// Indexes within indexes; more is no honest image.
pub(crate) const MAX_DEPTH: usize = 4;

/// What `Accept` asks for.
pub(crate) const ACCEPT: [&str; 4] = [
    media_type::OCI_INDEX,
    media_type::DOCKER_INDEX,
    media_type::OCI_MANIFEST,
    media_type::DOCKER_MANIFEST,
];

/// A name, resolved for a platform.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Digest of what the name stands for: the index where there is one, else the manifest.
    pub digest: Digest,
    /// The manifest for the platform.
    pub manifest: Raw<Manifest>,
    /// Media type, digest and size of the manifest.
    pub manifest_descriptor: Descriptor,
    /// The index that the manifest was chosen from.
    pub index: Option<Raw<Index>>,
}

/// A manifest or an index.
pub(crate) enum Document {
    Manifest(Box<Raw<Manifest>>, String),
    Index(Raw<Index>),
}

/// Reads `bytes`, which `place` sent as `content_type`.
pub(crate) fn read(
    place: &str,
    bytes: Vec<u8>,
    content_type: Option<&str>,
) -> Result<Document, Error> {
    #[derive(Deserialize)]
    struct Outline {
        #[serde(rename = "schemaVersion", default)]
        schema_version: u64,
        #[serde(rename = "mediaType", default)]
        media_type: Option<String>,
        #[serde(default)]
        manifests: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        layers: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        config: Option<serde::de::IgnoredAny>,
    }
    let malformed =
        |why: String| Error::Malformed { place: place.to_owned(), what: "manifest", why };
    let outline: Outline =
        serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    let sent =
        content_type.map(|it| it.split(';').next().unwrap_or(it).trim().to_ascii_lowercase());
    if outline.schema_version == 1 || sent.as_deref().is_some_and(is_schema_one) {
        return Err(Error::SchemaOne { reference: place.to_owned() });
    }
    let (is_index, is_manifest) =
        (outline.manifests.is_some(), outline.layers.is_some() || outline.config.is_some());
    if is_index && is_manifest {
        // OCI image specification: such a document could mean one thing here and another there.
        return Err(malformed("it is both a manifest and an index".to_owned()));
    }
    let known = |it: &&String| ACCEPT.contains(&it.as_str());
    let kind = outline.media_type.as_ref().or(sent.as_ref().filter(known)).cloned();
    let kind = match kind {
        Some(kind) => kind,
        None if is_index => media_type::OCI_INDEX.to_owned(),
        None if is_manifest => media_type::OCI_MANIFEST.to_owned(),
        None => sent.unwrap_or_default(),
    };
    let parsed = |error: serde_json::Error| malformed(error.to_string());
    match kind.as_str() {
        media_type::OCI_INDEX | media_type::DOCKER_INDEX => {
            Ok(Document::Index(Raw::parse(bytes).map_err(parsed)?))
        }
        media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => {
            Ok(Document::Manifest(Box::new(Raw::parse(bytes).map_err(parsed)?), kind))
        }
        _ => Err(Error::NotAnImage {
            reference: place.to_owned(),
            media_type: kind.chars().filter(|it| !it.is_control()).take(100).collect(),
        }),
    }
}

/// What a document names.
pub(crate) struct Below {
    /// What it is sent as.
    pub(crate) media_type: String,
    /// Manifests and indexes.
    pub(crate) children: Vec<Descriptor>,
    /// Blobs. BuildKit's caches have them in indexes, too.
    pub(crate) layers: Vec<Descriptor>,
    pub(crate) config: Option<Descriptor>,
    pub(crate) subject: Option<Digest>,
}

/// Reads what the document in `bytes` names.
pub(crate) fn below(place: &str, bytes: &[u8], content_type: Option<&str>) -> Result<Below, Error> {
    #[derive(Deserialize)]
    struct About {
        #[serde(default)]
        subject: Option<Descriptor>,
    }
    let read = read(place, bytes.to_vec(), content_type)?;
    let about: About = serde_json::from_slice(bytes).map_err(|error| Error::Malformed {
        place: place.to_owned(),
        what: "manifest",
        why: error.to_string(),
    })?;
    let subject = about.subject.map(|it| it.digest);
    Ok(match read {
        Document::Manifest(manifest, media_type) => {
            let Manifest { config, layers, .. } = manifest.value;
            Below { media_type, children: Vec::new(), layers, config: Some(config), subject }
        }
        Document::Index(index) => {
            let Index { media_type, manifests, .. } = index.value;
            let (children, layers) =
                manifests.into_iter().partition(|it| ACCEPT.contains(&it.media_type.as_str()));
            let sent = content_type.filter(|it| ACCEPT.contains(it)).map(str::to_owned);
            let media_type =
                media_type.or(sent).unwrap_or_else(|| media_type::OCI_INDEX.to_owned());
            Below { media_type, children, layers, config: None, subject }
        }
    })
}

fn is_schema_one(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.distribution.manifest.v1+")
}

/// Reads an image config.
pub(crate) fn config(place: &str, bytes: Vec<u8>) -> Result<Raw<ImageConfig>, Error> {
    Raw::parse(bytes).map_err(|error| Error::Malformed {
        place: place.to_owned(),
        what: "config",
        why: error.to_string(),
    })
}

/// Whether `bytes` are what `descriptor` names.
pub(crate) fn verify(place: &str, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
    let place = || place.to_owned();
    let (asked, got) = (descriptor.size, bytes.len() as u64);
    if asked != got {
        return Err(Error::WrongSize { place: place(), digest: descriptor.digest, asked, got });
    }
    let (asked, got) = (descriptor.digest, Digest::of(bytes));
    if asked != got {
        return Err(Error::WrongDigest { place: place(), asked, got });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Document, read};
    use crate::Error;
    use strake_oci::media_type;

    #[test]
    fn by_what_it_says_and_holds() {
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"sha256:{}","size":1}},"layers":[]}}"#,
            "0".repeat(64)
        );
        for content_type in [None, Some("application/json"), Some(media_type::DOCKER_MANIFEST)] {
            let got = read("a", manifest.clone().into_bytes(), content_type);
            assert!(matches!(got, Ok(Document::Manifest(..))), "{content_type:?}");
        }
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(read("a", index.into(), None), Ok(Document::Index(_))));
    }

    #[test]
    fn refused() {
        for (text, content_type) in [
            ("", None),
            ("{", None),
            ("[]", None),
            ("{}", None),
            (r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, Some(media_type::OCI_INDEX)),
            (r#"{"schemaVersion":2,"manifests":[{"digest":"sha512:00"}]}"#, None),
            (r#"{"schemaVersion":2,"mediaType":"application/x","layers":[]}"#, None),
        ] {
            assert!(read("a", text.into(), content_type).is_err(), "{text}");
        }
        let old = read("a", br#"{"schemaVersion":1}"#.to_vec(), None);
        assert!(matches!(old, Err(Error::SchemaOne { .. })));
    }
}
