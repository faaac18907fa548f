//! A whole image to all its names: layers side by side, config, manifests by digest, tags last.

use crate::{
    Client, Error, Layout, PushOutcome,
    tree::{PushDocument, PushTree, is_foreign},
};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
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
    /// A file with the blob's bytes, which a repository has, too: mounted from on the same registry.
    FileOf(PathBuf, Reference),
    /// Memory.
    Bytes(Arc<[u8]>),
    /// An image layout.
    Layout(Arc<Layout>),
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
        self.push_tree(&PushTree::of(vec![image.document()?]), targets, events)
    }

    /// Whether `reference` names `digest` already; where that cannot be told, writing it will tell.
    pub(crate) fn holds(&self, reference: &Reference, digest: Digest) -> bool {
        matches!(self.head_to_push(reference), Ok(Some(held)) if held == digest)
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
        match self.head_to_push(named) {
            Ok(Some(holds)) if holds == pushed => Ok(()),
            Ok(Some(holds)) if immutable => {
                Err(Error::TagTaken { reference: named.to_string(), holds, pushed })
            }
            _ => Err(refused),
        }
    }
}

impl PushImage {
    /// The manifest, if everything that it names was brought along.
    pub(crate) fn document(&self) -> Result<PushDocument, Error> {
        let manifest = &self.manifest.value;
        let brought: BTreeSet<Digest> = self.layers.iter().map(|it| it.descriptor.digest).collect();
        let missing =
            manifest.layers.iter().find(|it| !is_foreign(it) && !brought.contains(&it.digest));
        if let Some(missing) = missing {
            return Err(Error::Incomplete { digest: missing.digest });
        }
        crate::document::verify("the image", &manifest.config, &self.config)?;
        let kind = manifest.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        Ok(PushDocument {
            media_type: kind.to_owned(),
            bytes: self.manifest.bytes.clone(),
            layers: self.layers.clone(),
            config: Some(PushLayer {
                descriptor: manifest.config.clone(),
                source: PushSource::Bytes(self.config.as_slice().into()),
            }),
            subject: None,
        })
    }
}

pub(crate) fn place(target: &Reference) -> String {
    format!("{}/{}", target.registry, target.repository)
}

/// Does `work` for all `items`, `width` at a time. After a failure none is begun, and those under way
/// are told to stop; the first failure counts.
pub(crate) fn side_by_side<T: Sync>(
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
