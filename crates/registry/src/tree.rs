//! A document with all below it (an image, an index of images, an artifact) to all its names.

use crate::{
    Client, Error, PushOutcome,
    document::{self, Below},
    image::{PushEvent, PushLayer, PushSource, Pushed, place, side_by_side},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Read},
    sync::{Mutex, PoisonError, atomic::AtomicBool},
};
use strake_oci::{Descriptor, Digest, Reference};

/// More documents than any honest index leads to.
pub(crate) const MAX_DOCUMENTS: usize = 1000;

/// A manifest or an index, with the blobs that it names itself.
#[derive(Clone, Debug)]
pub struct PushDocument {
    /// What it is sent as.
    pub media_type: String,
    /// Sent as they are.
    pub bytes: Vec<u8>,
    /// Layers, and whatever else is named and is no document.
    pub layers: Vec<PushLayer>,
    /// The config of a manifest; sent after the layers.
    pub config: Option<PushLayer>,
    /// What the document is about, where it is about another one. OCI image specification, *subject*.
    pub subject: Option<Digest>,
}

impl PushDocument {
    /// The digest of the bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    fn blobs(&self) -> impl Iterator<Item = &PushLayer> {
        self.layers.iter().chain(&self.config)
    }
}

/// A document and all below it.
#[derive(Clone, Debug)]
pub struct PushTree {
    /// Each once, those that others name before these. The last is what names stand for.
    documents: Vec<PushDocument>,
}

impl PushTree {
    /// Documents in the order in which they may be stored; the last is what names will stand for.
    pub(crate) fn of(documents: Vec<PushDocument>) -> PushTree {
        PushTree { documents }
    }

    /// Reads the document that `root` names, and all that lies below it.
    ///
    /// `read` gives the bytes of a document, already checked against its descriptor; `source` says
    /// where a blob is.
    pub fn read(
        place: &str,
        root: &Descriptor,
        read: &mut dyn FnMut(&Descriptor) -> Result<Vec<u8>, Error>,
        source: &dyn Fn(&Descriptor) -> Result<PushSource, Error>,
    ) -> Result<PushTree, Error> {
        let mut reading = Reading { place, read, source, seen: BTreeSet::new(), found: Vec::new() };
        reading.visit(root, 0)?;
        Ok(PushTree { documents: reading.found })
    }

    /// The documents, those that others name before these.
    pub fn documents(&self) -> &[PushDocument] {
        &self.documents
    }

    /// What names will stand for.
    pub fn root(&self) -> &PushDocument {
        self.documents.last().expect("a tree has a root")
    }

    /// Every blob once, configs last, without layers that may not be given on.
    pub fn blobs(&self) -> Vec<&PushLayer> {
        let (layers, configs) = self.layers_and_configs();
        [layers, configs].concat()
    }

    /// The same, apart: a blob that is both is a config.
    fn layers_and_configs(&self) -> (Vec<&PushLayer>, Vec<&PushLayer>) {
        let configs = self.documents.iter().flat_map(|it| &it.config);
        let digests: BTreeSet<Digest> = configs.clone().map(|it| it.descriptor.digest).collect();
        let mut seen = BTreeSet::new();
        let layers = self.documents.iter().flat_map(|it| &it.layers);
        layers
            .filter(|it| !is_foreign(&it.descriptor))
            .chain(configs)
            .filter(|it| seen.insert(it.descriptor.digest))
            .partition(|it| !digests.contains(&it.descriptor.digest))
    }
}

struct Reading<'a> {
    place: &'a str,
    read: &'a mut dyn FnMut(&Descriptor) -> Result<Vec<u8>, Error>,
    source: &'a dyn Fn(&Descriptor) -> Result<PushSource, Error>,
    seen: BTreeSet<Digest>,
    found: Vec<PushDocument>,
}

impl Reading<'_> {
    fn visit(&mut self, descriptor: &Descriptor, depth: usize) -> Result<(), Error> {
        if !self.seen.insert(descriptor.digest) {
            return Ok(());
        }
        let malformed = |why: &str| Error::Malformed {
            place: self.place.to_owned(),
            what: "index",
            why: why.to_owned(),
        };
        if depth > document::MAX_DEPTH {
            return Err(malformed("its indexes are nested too deeply"));
        }
        if self.seen.len() > MAX_DOCUMENTS {
            return Err(malformed("it leads to more than 1000 documents"));
        }
        let bytes = (self.read)(descriptor)?;
        let below = document::below(self.place, &bytes, Some(&descriptor.media_type))?;
        let Below { media_type, children, layers, config, subject } = below;
        for child in &children {
            self.visit(child, depth + 1)?;
        }
        let blob = |descriptor: Descriptor| {
            let source = (self.source)(&descriptor)?;
            Ok(PushLayer { descriptor, source })
        };
        let layers = layers.into_iter().filter(|it| !is_foreign(it));
        let layers = layers.map(blob).collect::<Result<_, Error>>()?;
        let config = config.map(blob).transpose()?;
        self.found.push(PushDocument { media_type, bytes, layers, config, subject });
        Ok(())
    }
}

impl Client {
    /// Pushes a document, after all below it, to all `targets`. No tag is written before everything
    /// below all tags is there.
    ///
    /// What a registry has already is only looked at.
    pub fn push_tree(
        &self,
        tree: &PushTree,
        targets: &[Reference],
        events: &(dyn Fn(PushEvent) + Sync),
    ) -> Result<Pushed, Error> {
        let root = tree.root();
        let digest = root.digest();
        // The first repository of a registry gets the bytes; the others mount them from there.
        let mut first_of: BTreeMap<&str, &str> = BTreeMap::new();
        // Per repository, whether the document was there before.
        let mut held: BTreeMap<(&str, &str), bool> = BTreeMap::new();
        // Of those that were asked for, whether they stand for it already.
        let mut asked: BTreeMap<&Reference, bool> = BTreeMap::new();
        for target in targets {
            if held.contains_key(&(&*target.registry, &*target.repository)) {
                continue;
            }
            let sibling = *first_of.entry(&target.registry).or_insert(&target.repository);
            let stands = self.stands(tree, target);
            asked.extend(stands.map(|it| (target, it)));
            if stands == Some(true) {
                tell_all(tree, target, events);
                held.insert((&target.registry, &target.repository), true);
                events(PushEvent::ManifestPushed { repository: place(target), digest });
                continue;
            }
            let fresh = self.push_blobs(tree, target, sibling, events)?;
            let here = self.push_documents(tree, target, &fresh)?;
            held.insert((&target.registry, &target.repository), here);
            events(PushEvent::ManifestPushed { repository: place(target), digest });
        }
        for target in targets.iter().filter(|it| it.digest.is_none()) {
            let asked = asked.get(target);
            if asked == Some(&true) {
                events(PushEvent::Tagged { reference: target.tagged(), digest });
                continue;
            }
            let held = held[&(&*target.registry, &*target.repository)];
            self.name(root, target, held && asked.is_none(), events)?;
        }
        Ok(Pushed { digest })
    }

    /// Whether the name stands for this image already, so that nothing is to be done. Only asked where
    /// it is likely: no layer was on its way before.
    fn stands(&self, tree: &PushTree, target: &Reference) -> Option<bool> {
        let [only] = &tree.documents[..] else { return None };
        if target.digest.is_some() || only.subject.is_some() {
            return None;
        }
        let place = place(target);
        let is_ahead =
            |it: &&PushLayer| self.arrived().contains_key(&(place.clone(), it.descriptor.digest));
        let likely = !tree.blobs().iter().any(is_ahead);
        likely.then(|| self.holds(&target.tagged(), only.digest()))
    }

    /// Makes names stand for a document that their repositories have.
    pub(crate) fn name_tree(
        &self,
        tree: &PushTree,
        targets: &[Reference],
        events: &(dyn Fn(PushEvent) + Sync),
    ) -> Result<Pushed, Error> {
        targets.iter().try_for_each(|it| self.name(tree.root(), it, true, events))?;
        Ok(Pushed { digest: tree.root().digest() })
    }

    /// Writes one tag; one that may be `held` already is looked at first.
    fn name(
        &self,
        root: &PushDocument,
        target: &Reference,
        held: bool,
        events: &(dyn Fn(PushEvent) + Sync),
    ) -> Result<(), Error> {
        let digest = root.digest();
        let named = target.tagged();
        if !(held && self.holds(&named, digest)) {
            self.tag(&named, &root.media_type, &root.bytes)?;
        }
        events(PushEvent::Tagged { reference: named, digest });
        Ok(())
    }

    /// Stores the documents by digest; returns whether the last was there before.
    ///
    /// A document that names a blob in `fresh`, which was not there, cannot have been there itself.
    fn push_documents(
        &self,
        tree: &PushTree,
        target: &Reference,
        fresh: &BTreeSet<Digest>,
    ) -> Result<bool, Error> {
        let mut here = false;
        for document in tree.documents() {
            let digest = document.digest();
            let named = target.at(digest);
            let is_new = document.blobs().any(|it| fresh.contains(&it.descriptor.digest));
            here = !is_new && self.holds(&named, digest);
            if !here {
                self.push_document(&named, document)?;
            }
        }
        Ok(here)
    }

    /// Returns the blobs that were not there.
    fn push_blobs(
        &self,
        tree: &PushTree,
        target: &Reference,
        sibling: &str,
        events: &(dyn Fn(PushEvent) + Sync),
    ) -> Result<BTreeSet<Digest>, Error> {
        let (first, last) = tree.layers_and_configs();
        let fresh = Mutex::new(BTreeSet::new());
        for (group, told) in [(first, true), (last, false)] {
            side_by_side(self.concurrency(), &group, |layer, stop| {
                let silent = |_: PushEvent| {};
                let events: &(dyn Fn(PushEvent) + Sync) = if told { events } else { &silent };
                let outcome = self.push_layer(layer, target, sibling, stop, events)?;
                if outcome != PushOutcome::Exists {
                    let mut fresh = fresh.lock().unwrap_or_else(PoisonError::into_inner);
                    fresh.insert(layer.descriptor.digest);
                }
                Ok(())
            })?;
        }
        Ok(fresh.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends a layer of an image that is not finished yet: when the image is pushed to `target`'s
    /// repository with this client, or a clone of it, the layer is there. Ends early once `stop` is set.
    pub fn push_ahead(
        &self,
        layer: &PushLayer,
        target: &Reference,
        stop: &AtomicBool,
        events: &(dyn Fn(PushEvent) + Sync),
    ) -> Result<PushOutcome, Error> {
        let outcome = self.push_layer(layer, target, &target.repository, stop, events)?;
        self.arrived().insert((place(target), layer.descriptor.digest), outcome);
        Ok(outcome)
    }

    fn push_layer(
        &self,
        layer: &PushLayer,
        target: &Reference,
        sibling: &str,
        stop: &AtomicBool,
        events: &(dyn Fn(PushEvent) + Sync),
    ) -> Result<PushOutcome, Error> {
        let (repository, descriptor) = (place(target), &layer.descriptor);
        let (digest, size) = (descriptor.digest, descriptor.size);
        if let Some(outcome) = self.arrived().get(&(repository.clone(), digest)) {
            return Ok(*outcome);
        }
        events(PushEvent::LayerStarted {
            repository: repository.clone(),
            descriptor: descriptor.clone(),
        });
        let progress = |sent| {
            let repository = repository.clone();
            events(PushEvent::LayerProgress { repository, digest, sent, size });
        };
        let mut from = (sibling != target.repository).then_some(sibling);
        if let PushSource::Remote(source) | PushSource::FileOf(_, source) = &layer.source
            && source.registry == target.registry
        {
            from = Some(&source.repository);
        }
        let open = || self.open_source(layer);
        let outcome = self.push_until(stop, target, descriptor, from, &open, &progress)?;
        let descriptor = descriptor.clone();
        events(PushEvent::LayerDone { repository, descriptor, outcome });
        Ok(outcome)
    }

    fn open_source(&self, layer: &PushLayer) -> std::io::Result<Box<dyn Read + Send>> {
        Ok(match &layer.source {
            PushSource::File(path) | PushSource::FileOf(path, _) => {
                Box::new(fs_err::File::open(path)?)
            }
            PushSource::Bytes(bytes) => Box::new(Cursor::new(bytes.clone())),
            PushSource::Layout(layout) => {
                let opened = layout.open_blob(&layer.descriptor.digest);
                opened.map_err(std::io::Error::other)?
            }
            PushSource::Remote(source) => Box::new(self.open_blob(source, &layer.descriptor)),
        })
    }
}

/// Tells of layers that are there.
fn tell_all(tree: &PushTree, target: &Reference, events: &(dyn Fn(PushEvent) + Sync)) {
    for layer in tree.layers_and_configs().0 {
        let (repository, descriptor) = (place(target), layer.descriptor.clone());
        events(PushEvent::LayerStarted { repository, descriptor });
        let (repository, descriptor) = (place(target), layer.descriptor.clone());
        events(PushEvent::LayerDone { repository, descriptor, outcome: PushOutcome::Exists });
    }
}

/// Layers that may not be given on, and are had from elsewhere. OCI image specification, *layer.md*.
pub(crate) fn is_foreign(descriptor: &Descriptor) -> bool {
    let kind = descriptor.media_type.as_str();
    kind.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || kind.starts_with("application/vnd.docker.image.rootfs.foreign.")
}
