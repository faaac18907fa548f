//! An index to all its names, after the images that it lists.

use crate::{Client, Error, PushEvent, PushImage, Pushed, image::place};
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
        for image in &push.images {
            let digest = image.manifest.digest();
            let by_digest: Vec<Reference> = targets.iter().map(|it| it.at(digest)).collect();
            self.push_image(image, &by_digest, events)?;
        }
        let kind = push.index.value.media_type.as_deref().unwrap_or(media_type::OCI_INDEX);
        let (digest, bytes) = (push.index.digest(), &push.index.bytes);
        let mut repositories = BTreeSet::new();
        for target in targets {
            if repositories.insert(place(target)) {
                if !self.holds(&target.at(digest), digest) {
                    self.push_manifest(&target.at(digest), kind, bytes)?;
                }
                events(PushEvent::ManifestPushed { repository: place(target), digest });
            }
        }
        for target in targets.iter().filter(|it| it.digest.is_none()) {
            let named =
                Reference { tag: Some(target.tag_or_latest().to_owned()), ..target.clone() };
            if !self.holds(&named, digest) {
                self.tag(&named, kind, bytes)?;
            }
            events(PushEvent::Tagged { reference: named, digest });
        }
        Ok(Pushed { digest })
    }
}
