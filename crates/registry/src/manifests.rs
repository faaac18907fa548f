//! Manifests over the wire: resolve, head, push; and the config blob.

use crate::{
    Client, Error, Resolved,
    challenge::Scopes,
    client::{Host, Inner},
    document::{self, Document},
    referrers::lists_subject,
    retry::Failed,
    select::select,
    transport::{Call, Payload, Response},
};
use bytes::Bytes;
use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_TYPE},
};
use strake_oci::{Descriptor, Digest, ImageConfig, Platform, Raw, Reference};

impl Client {
    /// What `reference` names, for `platform`.
    ///
    /// Only documents are read, and their digests checked; no layer is touched.
    pub fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved, Error> {
        let inner = self.inner()?;
        inner.block_on(inner.resolve(reference, platform))
    }

    /// The config that a manifest of `reference`'s repository names.
    pub fn config(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Raw<ImageConfig>, Error> {
        let place = reference.to_string();
        if descriptor.size > document::LIMIT {
            return Err(Error::TooLarge { place, what: "config", limit: document::LIMIT });
        }
        let mut bytes = Vec::new();
        self.pull_blob(reference, descriptor, &mut bytes, &|_| {})?;
        document::config(&place, bytes)
    }

    /// The digest of what `reference` names, or `None` when the registry has no such manifest.
    ///
    /// The registry itself is asked, and no mirror: the answer is about what a push would find. Whoever
    /// wants to read an image resolves it.
    pub fn head_manifest(&self, reference: &Reference) -> Result<Option<Digest>, Error> {
        let inner = self.inner()?;
        let scopes = Scopes::pull(&reference.repository);
        inner.block_on(inner.head_manifest(reference, &scopes))
    }

    /// The same, by somebody who is to push there: with the rights for that a token is had already, or
    /// is needed anyway.
    pub(crate) fn head_to_push(&self, reference: &Reference) -> Result<Option<Digest>, Error> {
        let inner = self.inner()?;
        let scopes = Scopes::push(&reference.repository);
        inner.block_on(inner.head_manifest(reference, &scopes))
    }

    /// Stores a manifest or index under `reference`'s tag, or its digest where it has one.
    pub fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        let inner = self.inner()?;
        inner.block_on(inner.put_manifest(reference, media_type, bytes)).map(|it| it.digest)
    }
}

impl Inner {
    async fn resolve(&self, reference: &Reference, wanted: &Platform) -> Result<Resolved, Error> {
        let place = reference.to_string();
        let (mut bytes, mut content_type) = self.manifest(reference).await?;
        let digest = Digest::of(&bytes);
        if let Some(asked) = reference.digest.filter(|it| *it != digest) {
            return Err(Error::WrongDigest {
                place: reference.registry.clone(),
                asked,
                got: digest,
            });
        }
        let mut outermost = None;
        for _ in 0..=document::MAX_DEPTH {
            let size = bytes.len() as u64;
            match document::read(&place, bytes, content_type.as_deref())? {
                Document::Manifest(manifest, media_type) => {
                    let manifest = *manifest;
                    let manifest_descriptor = Descriptor::new(&media_type, manifest.digest(), size);
                    let index = outermost;
                    return Ok(Resolved { digest, manifest, manifest_descriptor, index });
                }
                Document::Index(index) => {
                    let chosen = select(&index.value, wanted).map_err(|available| {
                        let (reference, wanted) = (place.clone(), Box::new(wanted.clone()));
                        Error::PlatformMissing { reference, wanted, available }
                    })?;
                    (bytes, content_type) = self.manifest(&reference.at(chosen.digest)).await?;
                    document::verify(&reference.registry, chosen, &bytes)?;
                    outermost.get_or_insert(index);
                }
            }
        }
        let why = "its indexes are nested too deeply".to_owned();
        Err(Error::Malformed { place, what: "index", why })
    }

    /// The bytes and content type of what `reference` names, from the first place that has it.
    pub(crate) async fn manifest(
        &self,
        reference: &Reference,
    ) -> Result<(Vec<u8>, Option<String>), Error> {
        self.at_places(reference, async |it| self.manifest_at(it).await).await
    }

    async fn manifest_at(&self, reference: &Reference) -> Result<(Vec<u8>, Option<String>), Error> {
        let host = self.host(&reference.registry);
        let name = reference.to_string();
        let scopes = Scopes::pull(&reference.repository);
        self.retry(&name, async || {
            let answer = self.ask(&host, reference, &scopes, Method::GET).await?;
            if answer.status() == 404 {
                return Err(Failed::from(Error::NotFound { reference: name.clone() }));
            }
            if answer.status() != 200 {
                return Err(Failed::from(answer.failure().await));
            }
            let content_type = answer.header(CONTENT_TYPE).map(str::to_owned);
            let asked = reference.digest.or(said_digest(&answer));
            let bytes = answer.limited(document::LIMIT, "manifest").await?;
            let got = Digest::of(&bytes);
            match asked {
                Some(asked) if asked != got => {
                    let place = host.name.clone();
                    Err(Failed::from(Error::WrongDigest { place, asked, got }))
                }
                _ => Ok((bytes, content_type)),
            }
        })
        .await
    }

    async fn head_manifest(
        &self,
        reference: &Reference,
        scopes: &Scopes,
    ) -> Result<Option<Digest>, Error> {
        let host = self.host(&reference.registry);
        let found = self
            .retry(&reference.to_string(), async || {
                let answer = self.ask(&host, reference, scopes, Method::HEAD).await?;
                match answer.status().as_u16() {
                    200 => Ok(Some(said_digest(&answer))),
                    404 => Ok(None),
                    _ => Err(Failed::from(self.failed_head(&host, scopes, answer).await)),
                }
            })
            .await?;
        match found {
            None => Ok(None),
            Some(Some(digest)) => Ok(Some(digest)),
            // Some registries leave the digest out of a HEAD.
            Some(None) => self.manifest(reference).await.map(|it| Some(Digest::of(&it.0))),
        }
    }

    async fn ask(
        &self,
        host: &Host,
        reference: &Reference,
        scopes: &Scopes,
        method: Method,
    ) -> Result<Response, Error> {
        let path = format!("v2/{}/manifests/{}", reference.repository, reference.manifest_name());
        let url = self.url(host, &path).await?;
        let call = Call::new(host, scopes, method, url);
        self.send(&call.header(ACCEPT, document::ACCEPT.join(", "))).await
    }

    pub(crate) async fn put_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Stored, Error> {
        let host = self.host(&reference.registry);
        let digest = Digest::of(bytes);
        let scopes = Scopes::push(&reference.repository);
        let path = format!("v2/{}/manifests/{}", reference.repository, reference.manifest_name());
        let body = Bytes::copy_from_slice(bytes);
        self.retry(&reference.to_string(), async || {
            let url = self.url(&host, &path).await?;
            let call = Call::new(&host, &scopes, Method::PUT, url)
                .header(CONTENT_TYPE, media_type)
                .carrying(Payload::Bytes(body.clone()));
            let answer = self.send(&call).await?;
            if !answer.status().is_success() {
                return Err(Failed::from(answer.failure().await));
            }
            let place = || host.name.clone();
            let wrong =
                |got| Failed::from(Error::WrongDigest { place: place(), asked: digest, got });
            match said_digest(&answer) {
                Some(got) if got != digest => return Err(wrong(got)),
                _ if answer.status() == 201 => {}
                // It may be the answer to another question: is it there?
                _ => match self.ask(&host, reference, &scopes, Method::HEAD).await? {
                    found if found.status() != 200 => {
                        return Err(Failed::from(answer.failure().await));
                    }
                    found => match said_digest(&found) {
                        Some(got) if got != digest => return Err(wrong(got)),
                        _ => {}
                    },
                },
            }
            Ok(Stored { digest, lists_subject: lists_subject(&answer) })
        })
        .await
    }
}

/// A document that the registry has taken.
pub(crate) struct Stored {
    pub(crate) digest: Digest,
    /// The registry keeps the list of referrers of the document's subject.
    pub(crate) lists_subject: bool,
}

/// What the registry says that it sent or stored.
pub(crate) fn said_digest(answer: &Response) -> Option<Digest> {
    answer.named("docker-content-digest")?.trim().parse().ok()
}
