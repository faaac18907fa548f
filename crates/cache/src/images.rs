//! Names of images in the store.

use crate::{Store, error::StoreError, files::names, record};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use strake_oci::Digest;

/// An image that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedImage {
    /// The name, as it was given.
    pub name: String,
    /// The manifest or index.
    pub manifest: Digest,
}

impl Store {
    /// Names an image, taking the name from whichever had it.
    pub fn tag_image(&self, name: &str, manifest: &Digest) -> Result<(), StoreError> {
        let image = TaggedImage { name: name.to_owned(), manifest: *manifest };
        record::write(self, &self.image_path(name), &image)
    }

    /// The manifest of the image with this name, if its blob is there.
    pub fn image(&self, name: &str) -> Option<Digest> {
        let image: TaggedImage = record::read(&self.image_path(name))?;
        self.blob(&image.manifest).map(|_| image.manifest)
    }

    /// All names, sorted.
    pub fn images(&self) -> Vec<TaggedImage> {
        let folder = self.path("images");
        let mut images: Vec<TaggedImage> =
            names(&folder).iter().filter_map(|it| record::read(&folder.join(it))).collect();
        images.sort_by(|a, b| a.name.cmp(&b.name));
        images
    }

    pub(crate) fn image_path(&self, name: &str) -> PathBuf {
        self.path("images").join(Digest::of(name.as_bytes()).hex())
    }
}
