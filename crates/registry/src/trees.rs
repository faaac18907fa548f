//! Trees of documents read from a registry or a layout, and copies from one registry to another.

use crate::{
    Client, Error, Layout, PushDocument, PushEvent, PushSource, PushTree, Pushed, Resolved,
    document::{self, Document},
    select::select,
    tagged::Tagged,
    tree::MAX_DOCUMENTS,
};
use std::{collections::BTreeSet, sync::Arc};
use strake_oci::{Descriptor, Digest, Platform, Reference};

/// What of a name is meant.
#[derive(Clone, Debug)]
pub enum Part<'a> {
    /// Everything: all images of an index, and what else it lists.
    Whole,
    /// The image for one platform.
    Platform(&'a Platform),
}

/// The image for a platform below the document `root`, which `read` gives like all others.
pub fn resolve_with(
    place: &str,
    root: Digest,
    platform: &Platform,
    read: &mut dyn FnMut(&Digest) -> Result<Vec<u8>, Error>,
) -> Result<Resolved, Error> {
    let (mut at, mut outermost) = (root, None);
    for _ in 0..=document::MAX_DEPTH {
        let bytes = read(&at)?;
        let got = Digest::of(&bytes);
        if got != at {
            return Err(Error::WrongDigest { place: place.to_owned(), asked: at, got });
        }
        let size = bytes.len() as u64;
        match document::read(place, bytes, None)? {
            Document::Manifest(manifest, media_type) => {
                let manifest_descriptor = Descriptor::new(&media_type, at, size);
                let (manifest, index) = (*manifest, outermost);
                return Ok(Resolved { digest: root, manifest, manifest_descriptor, index });
            }
            Document::Index(index) => {
                at = select(&index.value, platform)
                    .map_err(|available| Error::PlatformMissing {
                        reference: place.to_owned(),
                        wanted: Box::new(platform.clone()),
                        available,
                    })?
                    .digest;
                outermost.get_or_insert(index);
            }
        }
    }
    let why = "its indexes are nested too deeply".to_owned();
    Err(Error::Malformed { place: place.to_owned(), what: "index", why })
}

/// What a copy copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// What the targets' names stand for.
    pub digest: Digest,
    /// How many referrers came along, and what else is found by a tag made of the digest.
    pub referrers: usize,
}

impl Client {
    /// The document that `reference` names, unread and whole: its bytes and media type.
    pub fn document(&self, reference: &Reference) -> Result<(Vec<u8>, String), Error> {
        let inner = self.inner()?;
        let (bytes, kind) = inner.block_on(inner.manifest(reference))?;
        if let Some(asked) = reference.digest
            && asked != Digest::of(&bytes)
        {
            let (place, got) = (reference.registry.clone(), Digest::of(&bytes));
            return Err(Error::WrongDigest { place, asked, got });
        }
        let below = document::below(&reference.to_string(), &bytes, kind.as_deref())?;
        Ok((bytes, below.media_type))
    }

    /// The documents of what `reference` names; blobs stay where they are.
    pub fn tree(&self, reference: &Reference, part: &Part<'_>) -> Result<PushTree, Error> {
        let (bytes, kind) = match part {
            Part::Whole => self.document(reference)?,
            Part::Platform(platform) => {
                let found = self.resolve(reference, platform)?;
                (found.manifest.bytes, found.manifest_descriptor.media_type)
            }
        };
        self.tree_of(reference, bytes, &kind)
    }

    fn tree_of(
        &self,
        reference: &Reference,
        bytes: Vec<u8>,
        kind: &str,
    ) -> Result<PushTree, Error> {
        let root = Descriptor::new(kind, Digest::of(&bytes), bytes.len() as u64);
        let mut first = Some(bytes);
        let mut read = |descriptor: &Descriptor| {
            if let Some(bytes) = first.take() {
                return Ok(bytes);
            }
            let named = reference.at(descriptor.digest);
            let inner = self.inner()?;
            let (bytes, _) = inner.block_on(inner.manifest(&named))?;
            document::verify(&reference.registry, descriptor, &bytes)?;
            Ok(bytes)
        };
        let place = reference.to_string();
        let source = |_: &Descriptor| Ok(PushSource::Remote(reference.clone()));
        PushTree::read(&place, &root, &mut read, &source)
    }

    /// Copies what `from` names to all `targets`, with all that is attached to it. Blobs are mounted
    /// where source and target share a registry, and else streamed through.
    pub fn copy(
        &self,
        from: &Reference,
        part: &Part<'_>,
        with_referrers: bool,
        targets: &[Reference],
        events: &(dyn Fn(PushEvent) + Sync),
    ) -> Result<Copied, Error> {
        let tree = self.tree(from, part)?;
        // Before the names: who finds the image finds its signatures.
        let (attached, tagged) = match with_referrers {
            true => (self.attached(from, &tree)?, self.tagged(from, &tree)?),
            false => (Vec::new(), Vec::new()),
        };
        let mut repositories = BTreeSet::new();
        let mut places: Vec<Reference> = targets.to_vec();
        places.retain(|it| repositories.insert((it.registry.clone(), it.repository.clone())));
        let by_digest = |digest: Digest| places.iter().map(|it| it.at(digest)).collect::<Vec<_>>();
        self.push_tree(&tree, &by_digest(tree.root().digest()), events)?;
        for referrer in &attached {
            self.push_tree(referrer, &by_digest(referrer.root().digest()), events)?;
        }
        for Tagged { tree, tag } in &tagged {
            let by_tag =
                |it: &Reference| Reference { tag: Some(tag.clone()), digest: None, ..it.clone() };
            let places: Vec<Reference> = places.iter().map(by_tag).collect();
            self.push_tree(tree, &places, events)?;
        }
        let named: Vec<Reference> =
            targets.iter().filter(|it| it.digest.is_none()).cloned().collect();
        let Pushed { digest } = self.name_tree(&tree, &named, events)?;
        Ok(Copied { digest, referrers: attached.len() + tagged.len() })
    }

    /// The trees of all that has a document of `tree` as its subject, and of what is attached to those.
    fn attached(&self, from: &Reference, tree: &PushTree) -> Result<Vec<PushTree>, Error> {
        let mut seen: BTreeSet<Digest> = BTreeSet::new();
        let mut waiting: Vec<Digest> = tree.documents().iter().map(PushDocument::digest).collect();
        seen.extend(&waiting);
        let mut found = Vec::new();
        while let Some(subject) = waiting.pop() {
            for descriptor in self.referrers(from, &subject)? {
                if !seen.insert(descriptor.digest) {
                    continue;
                }
                if seen.len() > MAX_DOCUMENTS {
                    let why = "more than 1000 documents are attached to it".to_owned();
                    return Err(Error::Malformed { place: from.to_string(), what: "index", why });
                }
                let (bytes, kind) = self.document(&from.at(descriptor.digest))?;
                document::verify(&from.registry, &descriptor, &bytes)?;
                waiting.push(descriptor.digest);
                found.push(self.tree_of(&from.at(descriptor.digest), bytes, &kind)?);
            }
        }
        Ok(found)
    }
}

impl Layout {
    /// The bytes of the one document that `wanted` means.
    pub fn document_of(&self, wanted: Option<&str>) -> Result<Vec<u8>, Error> {
        self.read_document(&self.entry(wanted)?)
    }

    /// The documents of the image called `wanted`, a tag or a digest. Without a name: the only image,
    /// else the one called `latest`.
    pub fn tree(
        self: Arc<Layout>,
        wanted: Option<&str>,
        part: &Part<'_>,
    ) -> Result<PushTree, Error> {
        let root = match part {
            Part::Whole => self.entry(wanted)?,
            Part::Platform(platform) => self.resolve(wanted, platform)?.manifest_descriptor,
        };
        let place = self.place();
        let layout = Arc::clone(&self);
        let mut read = |descriptor: &Descriptor| layout.read_document(descriptor);
        let source = |it: &Descriptor| {
            Ok(match self.blob_path(&it.digest) {
                Some(path) => PushSource::File(path),
                None => PushSource::Layout(Arc::clone(&self)),
            })
        };
        PushTree::read(&place, &root, &mut read, &source)
    }
}
