//! An image as `docker load` takes it: an OCI layout with a `manifest.json` beside it.
//!
//! Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format"; the same
//! shape as BuildKit's `type=docker`. Old engines read `manifest.json`, new ones `index.json`.

use crate::{ExportError, Image, oci_layout::layout_tar};
use serde::Serialize;
use std::io::Write;
use strake_oci::{Digest, Reference};

/// Writes the archive as a tar.
pub fn docker_archive(image: &Image, sink: &mut dyn Write) -> Result<(), ExportError> {
    let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let document = [Loaded {
        config: blob(&image.config.digest()),
        repo_tags: image.names.iter().map(repo_tag).collect(),
        layers: image.layers.iter().map(|it| blob(&it.descriptor.digest)).collect(),
    }];
    let bytes = serde_json::to_vec(&document).expect("strings only");
    layout_tar(&image.into(), sink, &[("manifest.json", bytes)])
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Loaded {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// As `docker images` shows it. A digest cannot be given to an image by name.
fn repo_tag(name: &Reference) -> String {
    let tag = Some(name.tag_or_latest().to_owned());
    Reference { tag, digest: None, ..name.clone() }.familiar()
}
