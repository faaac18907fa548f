//! A whole image to all its names: layers side by side, config, manifests by digest, tags last.

use crate::{Client, Error, PushOutcome};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use strake_oci::{Descriptor, Digest, Manifest, Raw, Reference, media_type};

/// An image to push. Every layer that its manifest names is among `layers`.
#[derive(Clone, Debug)]
pub struct PushImage {
    /// The manifest, whose bytes are sent as they are.
    pub manifest: Raw<Manifest>,
    /// The bytes of the config.
    pub config: Vec<u8>,
    /// The layers.
    pub layers: Vec<PushLayer>,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct PushLayer {
    /// As in the manifest.
    pub descriptor: Descriptor,
    /// Where its bytes are.
    pub source: PushSource,
}

/// Where a layer's bytes are.
#[derive(Clone, Debug)]
pub enum PushSource {
    /// A file with the blob's bytes.
    File(PathBuf),
    /// A repository: mounted from on the same registry, else streamed through.
    Remote(Reference),
}

/// What happens during a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushEvent {
    /// A layer is about to be looked up at the target.
    LayerStarted {
        /// Registry and repository.
        repository: String,
        /// The layer.
        descriptor: Descriptor,
    },
    /// Bytes have left; `sent` is of this layer, and falls when an upload starts over.
    LayerProgress {
        /// Registry and repository.
        repository: String,
        /// The layer.
        digest: Digest,
        /// Bytes sent.
        sent: u64,
        /// Bytes in all.
        size: u64,
    },
    /// The target has the layer.
    LayerDone {
        /// Registry and repository.
        repository: String,
        /// The layer.
        descriptor: Descriptor,
        /// How it came there.
        outcome: PushOutcome,
    },
    /// The manifest is stored under its digest.
    ManifestPushed {
        /// Registry and repository.
        repository: String,
        /// Its digest.
        digest: Digest,
    },
    /// The name stands for the image now.
    Tagged {
        /// The name.
        reference: Reference,
        /// What it stands for.
        digest: Digest,
    },
}

/// An image that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the manifest.
    pub digest: Digest,
}

impl Client {
    /// Pushes `image` to all `targets`. No tag is written before everything below all tags is there.
    ///
    /// What a registry has already is only looked at.
    pub fn push_image(
        &self,
        image: &PushImage,
        targets: &[Reference],
        events: &(dyn Fn(PushEvent) + Sync),
    ) -> Result<Pushed, Error> {
        complete(image)?;
        let kind = image.manifest.value.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        let (digest, bytes) = (image.manifest.digest(), &image.manifest.bytes);
        // The first repository of a registry gets the bytes; the others mount them from there.
        let mut first_of: BTreeMap<&str, &str> = BTreeMap::new();
        // Per repository, whether the manifest was there before.
        let mut held: BTreeMap<(&str, &str), bool> = BTreeMap::new();
        for target in targets {
            if held.contains_key(&(&*target.registry, &*target.repository)) {
                continue;
            }
            let sibling = *first_of.entry(&target.registry).or_insert(&target.repository);
            let config = self.push_blobs(image, target, sibling, events)?;
            // A repository that was without the config had no manifest that names it.
            let here = config == PushOutcome::Exists && self.holds(&target.at(digest), digest);
            if !here {
                self.push_manifest(&target.at(digest), kind, bytes)?;
            }
            held.insert((&target.registry, &target.repository), here);
            events(PushEvent::ManifestPushed { repository: place(target), digest });
        }
        for target in targets {
            if target.digest.is_none() {
                let named =
                    Reference { tag: Some(target.tag_or_latest().to_owned()), ..target.clone() };
                let held = held[&(&*target.registry, &*target.repository)];
                if !(held && self.holds(&named, digest)) {
                    self.tag(&named, kind, bytes)?;
                }
                events(PushEvent::Tagged { reference: named, digest });
            }
        }
        Ok(Pushed { digest })
    }

    /// Whether `reference` names `digest` already; where that cannot be told, writing it will tell.
    pub(crate) fn holds(&self, reference: &Reference, digest: Digest) -> bool {
        matches!(self.head_manifest(reference), Ok(Some(held)) if held == digest)
    }

    /// Writes a tag. One that may not be written again and stands for this image already is fine.
    pub(crate) fn tag(&self, named: &Reference, kind: &str, bytes: &[u8]) -> Result<(), Error> {
        let Err(refused) = self.push_manifest(named, kind, bytes) else { return Ok(()) };
        let immutable = match &refused {
            Error::UnexpectedStatus { status, message, .. } if (400..500).contains(status) => {
                *status == 409 || message.as_ref().is_some_and(|it| it.contains("immutable"))
            }
            Error::Denied { message, .. } => {
                message.as_ref().is_some_and(|it| it.contains("immutable"))
            }
            _ => return Err(refused),
        };
        let pushed = Digest::of(bytes);
        match self.head_manifest(named) {
            Ok(Some(holds)) if holds == pushed => Ok(()),
            Ok(Some(holds)) if immutable => {
                Err(Error::TagTaken { reference: named.to_string(), holds, pushed })
            }
            _ => Err(refused),
        }
    }

    /// Returns how the config came there.
    fn push_blobs(
        &self,
        image: &PushImage,
        target: &Reference,
        sibling: &str,
        events: &(dyn Fn(PushEvent) + Sync),
    ) -> Result<PushOutcome, Error> {
        let mut seen = BTreeSet::new();
        let layers: Vec<&PushLayer> = image
            .layers
            .iter()
            .filter(|it| !is_foreign(&it.descriptor) && seen.insert(it.descriptor.digest))
            .collect();
        side_by_side(self.concurrency(), &layers, |layer, stop| {
            self.push_layer(layer, target, sibling, stop, events)
        })?;
        let config = &image.config;
        let from = (sibling != target.repository).then_some(sibling);
        let open = || Ok(Box::new(std::io::Cursor::new(config.clone())) as Box<dyn Read + Send>);
        self.push_blob(target, &image.manifest.value.config, from, &open, &|_| {})
    }

    fn push_layer(
        &self,
        layer: &PushLayer,
        target: &Reference,
        sibling: &str,
        stop: &AtomicBool,
        events: &(dyn Fn(PushEvent) + Sync),
    ) -> Result<(), Error> {
        let (repository, descriptor) = (place(target), &layer.descriptor);
        let (digest, size) = (descriptor.digest, descriptor.size);
        events(PushEvent::LayerStarted {
            repository: repository.clone(),
            descriptor: descriptor.clone(),
        });
        let progress = |sent| {
            let repository = repository.clone();
            events(PushEvent::LayerProgress { repository, digest, sent, size });
        };
        let mut from = (sibling != target.repository).then_some(sibling);
        let outcome = match &layer.source {
            PushSource::File(path) => {
                let open = || Ok(Box::new(fs_err::File::open(path)?) as Box<dyn Read + Send>);
                self.push_until(stop, target, descriptor, from, &open, &progress)?
            }
            PushSource::Remote(source) => {
                if source.registry == target.registry {
                    from = Some(&source.repository);
                }
                let open =
                    || Ok(Box::new(self.open_blob(source, descriptor)) as Box<dyn Read + Send>);
                self.push_until(stop, target, descriptor, from, &open, &progress)?
            }
        };
        let descriptor = descriptor.clone();
        events(PushEvent::LayerDone { repository, descriptor, outcome });
        Ok(())
    }
}

/// Whether everything that the manifest names was brought along.
fn complete(image: &PushImage) -> Result<(), Error> {
    let manifest = &image.manifest.value;
    let brought: BTreeSet<Digest> = image.layers.iter().map(|it| it.descriptor.digest).collect();
    let missing =
        manifest.layers.iter().find(|it| !is_foreign(it) && !brought.contains(&it.digest));
    if let Some(missing) = missing {
        return Err(Error::Incomplete { digest: missing.digest });
    }
    crate::document::verify("the image", &manifest.config, &image.config)
}

/// Layers that may not be given on, and are had from elsewhere. OCI image specification, *layer.md*.
fn is_foreign(descriptor: &Descriptor) -> bool {
    let kind = descriptor.media_type.as_str();
    kind.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || kind.starts_with("application/vnd.docker.image.rootfs.foreign.")
}

pub(crate) fn place(target: &Reference) -> String {
    format!("{}/{}", target.registry, target.repository)
}

/// Does `work` for all `items`, `width` at a time. After a failure none is begun, and those under way
/// are told to stop; the first failure counts.
fn side_by_side<T: Sync>(
    width: usize,
    items: &[T],
    work: impl Fn(&T, &AtomicBool) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..width.min(items.len()) {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        return;
                    };
                    if let Err(error) = work(item, &failed) {
                        let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        first.get_or_insert(error);
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
