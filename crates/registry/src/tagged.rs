//! What is attached to an image by a tag made of its digest: signatures, attestations and bills of materials as
//! cosign writes them where registries list no referrers. Its documentation: *Registry details*, *Object types*.

use crate::{Client, Error, Part, PushTree, image::side_by_side};
use std::sync::{Mutex, PoisonError};
use strake_oci::Reference;

/// How such tags end.
const KINDS: [&str; 3] = ["sig", "att", "sbom"];

/// Something attached, and the tag that it is found by.
pub(crate) struct Tagged {
    pub(crate) tree: PushTree,
    pub(crate) tag: String,
}

impl Client {
    /// What the repository of `from` has for the documents of `tree`, by its tags.
    pub(crate) fn tagged(&self, from: &Reference, tree: &PushTree) -> Result<Vec<Tagged>, Error> {
        let documents = tree.documents().iter().map(|it| it.digest());
        let tags: Vec<String> = documents
            .flat_map(|it| KINDS.map(|kind| format!("sha256-{}.{kind}", it.hex())))
            .collect();
        let found = Mutex::new(Vec::new());
        side_by_side(self.concurrency(), &tags, |tag, _| {
            let named = Reference { tag: Some(tag.clone()), digest: None, ..from.clone() };
            if let Some(digest) = self.head_manifest(&named)? {
                // By digest: what was asked about is what is copied.
                let tree = self.tree(&from.at(digest), &Part::Whole)?;
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.push(Tagged { tree, tag: tag.clone() });
            }
            Ok(())
        })?;
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by(|one, other| one.tag.cmp(&other.tag));
        Ok(found)
    }
}
