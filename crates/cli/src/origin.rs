//! A finished image where it lies, in a layout, the store or a registry, as documents and blobs.

use crate::{
    failure::Failure,
    images::{Written, parse},
};
use std::{path::Path, sync::Arc};
use strake_cache::Store;
use strake_oci::{Descriptor, Digest, ImageConfig, Platform, Raw, Reference};
use strake_registry::{Client, Error, Layout, Part, PushSource, PushTree, Resolved};

/// Where an image was found.
pub(crate) enum Origin {
    /// A layout, and what of it.
    Layout(Arc<Layout>, Option<String>),
    /// The store, under this digest.
    Store(Digest),
    /// A registry.
    Registry(Reference),
}

impl Origin {
    /// Finds what `written` names: a layout, else an image of the store, else, unasked, one of a registry.
    pub(crate) fn find(written: &str, store: &Store) -> Result<Origin, Failure> {
        let name = match parse(written)? {
            Written::Path(path, what) => return layout(&path, what),
            Written::Reference(name) => name,
        };
        if let Ok(digest) = name.parse::<Digest>()
            && store.blob(&digest).is_some()
        {
            return Ok(Origin::Store(digest));
        }
        let reference: Reference = name.parse()?;
        Ok(match store.image(&reference.to_string()) {
            Some(digest) => Origin::Store(digest),
            None => Origin::Registry(reference),
        })
    }

    /// The image's documents. `place` names it in messages.
    pub(crate) fn tree(
        &self,
        place: &str,
        part: &Part<'_>,
        store: &Store,
        client: &Client,
    ) -> Result<PushTree, Failure> {
        Ok(match self {
            Origin::Layout(layout, what) => Arc::clone(layout).tree(what.as_deref(), part)?,
            Origin::Registry(reference) => client.tree(reference, part)?,
            Origin::Store(digest) => {
                let digest = match part {
                    Part::Whole => *digest,
                    Part::Platform(platform) => {
                        in_store(place, *digest, platform, store)?.manifest_descriptor.digest
                    }
                };
                let root = Descriptor::new("", digest, document(store, &digest)?.len() as u64);
                let missing = |it: &Descriptor| Error::Incomplete { digest: it.digest };
                let mut read = |it: &Descriptor| {
                    let path = store.blob(&it.digest).ok_or_else(|| missing(it))?;
                    let what = it.digest.to_string();
                    fs_err::read(path).map_err(|source| Error::Read { what, source })
                };
                let source = |it: &Descriptor| {
                    let path = store.blob(&it.digest);
                    path.map(PushSource::File).ok_or_else(|| missing(it))
                };
                PushTree::read(place, &root, &mut read, &source)?
            }
        })
    }

    /// The bytes of what the name stands for, and the image for a platform.
    pub(crate) fn resolve(
        &self,
        place: &str,
        platform: &Platform,
        store: &Store,
        client: &Client,
    ) -> Result<Resolved, Failure> {
        Ok(match self {
            Origin::Layout(layout, what) => layout.resolve(what.as_deref(), platform)?,
            Origin::Registry(reference) => client.resolve(reference, platform)?,
            Origin::Store(digest) => in_store(place, *digest, platform, store)?,
        })
    }

    /// The bytes of what the name stands for.
    pub(crate) fn document(&self, store: &Store, client: &Client) -> Result<Vec<u8>, Failure> {
        Ok(match self {
            Origin::Layout(layout, what) => layout.document_of(what.as_deref())?,
            Origin::Registry(reference) => client.document(reference)?.0,
            Origin::Store(digest) => document(store, digest)?,
        })
    }

    /// The bytes of a config that a manifest of the image names.
    pub(crate) fn config(
        &self,
        descriptor: &Descriptor,
        store: &Store,
        client: &Client,
    ) -> Result<Raw<ImageConfig>, Failure> {
        match self {
            Origin::Layout(layout, _) => Ok(layout.config(descriptor)?),
            Origin::Registry(reference) => Ok(client.config(reference, descriptor)?),
            Origin::Store(_) => {
                let bytes = document(store, &descriptor.digest)?;
                Raw::parse(bytes).map_err(|it| Failure::new(format!("the config: {it}")))
            }
        }
    }
}

fn layout(path: &Path, what: Option<String>) -> Result<Origin, Failure> {
    match Layout::open(path) {
        Ok(layout) => Ok(Origin::Layout(Arc::new(layout), what)),
        Err(error @ Error::NotALayout { .. }) if path.is_file() => Err(Failure::from(error).hint(
            "an archive of an older `docker save` has no manifest: build with \
             `-o type=oci`, or save it again with Docker 25 or newer",
        )),
        Err(error) => Err(error.into()),
    }
}

/// The image for the platform, of an image or an index in the store.
pub(crate) fn in_store(
    place: &str,
    digest: Digest,
    platform: &Platform,
    store: &Store,
) -> Result<Resolved, Error> {
    let mut read = |digest: &Digest| {
        let path = store.blob(digest).ok_or(Error::Incomplete { digest: *digest })?;
        let what = digest.to_string();
        fs_err::read(path).map_err(|source| Error::Read { what, source })
    };
    strake_registry::resolve_with(place, digest, platform, &mut read)
}

fn document(store: &Store, digest: &Digest) -> Result<Vec<u8>, Failure> {
    let missing = || Failure::new(format!("the store has no blob {digest}"));
    Ok(fs_err::read(store.blob(digest).ok_or_else(missing)?)?)
}
