//! The documents of an OCI layout: `oci-layout` and `index.json`. OCI image specification,
//! *image-layout.md*; the annotations are those that buildx and containerd write and read.

use crate::Package;
use std::collections::BTreeMap;
use strake_oci::{Descriptor, Index, Reference, media_type};

/// The whole of the file `oci-layout`.
pub(crate) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The full name, e.g. `docker.io/library/app:latest`.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// The tag alone.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// RFC 3339.
const CREATED: &str = "org.opencontainers.image.created";

/// The index of a layout that holds `package` alone.
pub(crate) fn index(package: &Package<'_>) -> Index {
    Index {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.to_owned()),
        manifests: descriptors(package),
        annotations: BTreeMap::new(),
    }
}

/// `old` with `package` in it. An image of the same name gives way; all others stay.
pub(crate) fn merged(mut old: Index, package: &Package<'_>) -> Index {
    let new = descriptors(package);
    old.manifests.retain(|it| !new.iter().any(|new| same_place(it, new)));
    old.manifests.extend(new);
    old
}

/// One descriptor for each name, or one without any.
fn descriptors(package: &Package<'_>) -> Vec<Descriptor> {
    let mut plain = package.root.clone();
    if let Some(created) = package.created() {
        plain.annotations.entry(CREATED.to_owned()).or_insert_with(|| created.to_owned());
    }
    if package.names.is_empty() {
        return vec![plain];
    }
    package.names.iter().map(|name| named(plain.clone(), name)).collect()
}

fn named(mut descriptor: Descriptor, name: &Reference) -> Descriptor {
    let tag = name.tag_or_latest().to_owned();
    let full = Reference { tag: Some(tag.clone()), digest: None, ..name.clone() };
    descriptor.annotations.insert(IMAGE_NAME.to_owned(), full.to_string());
    descriptor.annotations.insert(REF_NAME.to_owned(), tag);
    descriptor
}

/// Whether `new` is to stand where `old` stands: they have the same name, or the same tag where one
/// of them has no name, or neither has any and both are the same manifest.
fn same_place(old: &Descriptor, new: &Descriptor) -> bool {
    let both = |key: &str| (old.annotations.get(key), new.annotations.get(key));
    match (both(IMAGE_NAME), both(REF_NAME)) {
        ((Some(old), Some(new)), _) | (_, (Some(old), Some(new))) => old == new,
        ((None, None), (None, None)) => old.digest == new.digest,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{IMAGE_NAME, REF_NAME, same_place};
    use strake_oci::{Descriptor, Digest};

    fn descriptor(annotations: &[(&str, &str)]) -> Descriptor {
        let annotations = annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Descriptor {
            annotations: annotations.collect(),
            ..Descriptor::new("t", Digest::of(b""), 0)
        }
    }

    #[test]
    fn names_before_tags_before_digests() {
        let [a, b] = ["a", "b"].map(|it| descriptor(&[(IMAGE_NAME, it), (REF_NAME, "latest")]));
        let tag = descriptor(&[(REF_NAME, "latest")]);
        let bare = descriptor(&[]);
        assert!(same_place(&a, &a));
        assert!(!same_place(&a, &b));
        assert!(same_place(&tag, &a));
        assert!(same_place(&bare, &bare));
        assert!(!same_place(&bare, &a));
        assert!(!same_place(&a, &bare));
    }
}
