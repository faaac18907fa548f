//! An index to all its names, after the images that it lists.

use crate::{
    Client, Error, PushEvent, PushImage, Pushed,
    tree::{PushDocument, PushTree},
};
use std::collections::BTreeSet;
use strake_oci::{Digest, Index, Raw, Reference, media_type};

/// An index to push, and the images that it lists.
#[derive(Clone, Debug)]
pub struct PushIndex {
    /// The index, whose bytes are sent as they are.
    pub index: Raw<Index>,
    /// All images of the index.
    pub images: Vec<PushImage>,
}

impl Client {
    /// Pushes all images of an index by digest to the repositories of `targets`, then the index, then
    /// the names: no tag is written before everything below all tags is there.
    pub fn push_index(
        &self,
        push: &PushIndex,
        targets: &[Reference],
        events: &(dyn Fn(PushEvent) + Sync),
    ) -> Result<Pushed, Error> {
        let brought: BTreeSet<Digest> = push.images.iter().map(|it| it.manifest.digest()).collect();
        let listed = &push.index.value.manifests;
        if let Some(missing) = listed.iter().find(|it| !brought.contains(&it.digest)) {
            return Err(Error::Incomplete { digest: missing.digest });
        }
        let mut documents =
            push.images.iter().map(PushImage::document).collect::<Result<Vec<_>, _>>()?;
        let kind = push.index.value.media_type.as_deref().unwrap_or(media_type::OCI_INDEX);
        documents.push(PushDocument {
            media_type: kind.to_owned(),
            bytes: push.index.bytes.clone(),
            layers: Vec::new(),
            config: None,
            subject: None,
        });
        self.push_tree(&PushTree::of(documents), targets, events)
    }
}
