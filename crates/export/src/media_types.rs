//! The same manifest under OCI's or Docker's media types.

use strake_oci::{Manifest, media_type as mt};

/// Whose media types a manifest carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaTypes {
    /// OCI image specification 1.
    Oci,
    /// Docker image manifest, version 2, schema 2.
    Docker,
}

/// Each thing under its OCI and its Docker name.
const PAIRS: &[(&str, &str)] = &[
    (mt::OCI_MANIFEST, mt::DOCKER_MANIFEST),
    (mt::OCI_CONFIG, mt::DOCKER_CONFIG),
    (mt::OCI_LAYER, mt::DOCKER_LAYER),
    (mt::OCI_LAYER_GZIP, mt::DOCKER_LAYER_GZIP),
    (mt::OCI_LAYER_ZSTD, mt::DOCKER_LAYER_ZSTD),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ),
];

/// The manifest with media types of one kind throughout. Types that are in neither list stay.
pub fn with_media_types(manifest: &Manifest, to: MediaTypes) -> Manifest {
    let mut manifest = manifest.clone();
    manifest.media_type = Some(match to {
        MediaTypes::Oci => mt::OCI_MANIFEST.to_owned(),
        MediaTypes::Docker => mt::DOCKER_MANIFEST.to_owned(),
    });
    for descriptor in std::iter::once(&mut manifest.config).chain(&mut manifest.layers) {
        descriptor.media_type = translated(&descriptor.media_type, to).to_owned();
    }
    manifest
}

fn translated(media_type: &str, to: MediaTypes) -> &str {
    let pair = PAIRS.iter().find(|(oci, docker)| [*oci, *docker].contains(&media_type));
    match (pair, to) {
        (Some((oci, _)), MediaTypes::Oci) => oci,
        (Some((_, docker)), MediaTypes::Docker) => docker,
        (None, _) => media_type,
    }
}

#[cfg(test)]
mod tests {
    use super::{MediaTypes, PAIRS, translated, with_media_types};
    use strake_oci::{Descriptor, Digest, Manifest};

    #[test]
    fn there_and_back() {
        for (oci, docker) in PAIRS {
            assert_eq!(translated(oci, MediaTypes::Docker), *docker);
            assert_eq!(translated(docker, MediaTypes::Oci), *oci);
            assert_eq!(translated(oci, MediaTypes::Oci), *oci);
        }
        assert_eq!(translated("text/plain", MediaTypes::Docker), "text/plain");
    }

    #[test]
    fn a_whole_manifest() {
        let blob = |it: &str| Descriptor::new(it, Digest::of(b""), 0);
        let oci = Manifest {
            schema_version: 2,
            media_type: Some(PAIRS[0].0.to_owned()),
            config: blob(PAIRS[1].0),
            layers: vec![blob(PAIRS[3].0), blob(PAIRS[4].0)],
            annotations: [("a".to_owned(), "b".to_owned())].into(),
        };
        let docker = with_media_types(&oci, MediaTypes::Docker);
        assert_eq!(docker.media_type.as_deref(), Some(PAIRS[0].1));
        assert_eq!(docker.config.media_type, PAIRS[1].1);
        assert_eq!(docker.layers[1].media_type, PAIRS[4].1);
        assert_eq!(with_media_types(&docker, MediaTypes::Oci), oci);
    }
}
