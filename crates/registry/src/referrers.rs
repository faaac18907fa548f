//! What is attached to an image: signatures, attestations and the like, and how registries list it.
//!
//! Distribution specification 1.1, *Listing Referrers* and *Pushing Manifests with Subject*: a registry
//! keeps the list itself, or clients keep it as an index under the tag `sha256-HEX`.

use crate::{
    Client, Error, PushDocument,
    challenge::Scopes,
    client::Inner,
    document, link,
    retry::Failed,
    transport::{Call, Response},
};
use reqwest::{Method, Url, header::ACCEPT};
use serde_json::{Value, json};
use strake_oci::{Descriptor, Digest, Index, Raw, Reference, media_type};

/// Pages of one list; more is no honest registry.
const MAX_PAGES: usize = 100;
/// Referrers of one image.
const MAX_REFERRERS: usize = 10_000;

impl Client {
    /// The documents whose subject is the one at `reference`'s digest.
    pub fn referrers(
        &self,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        let inner = self.inner()?;
        inner.block_on(inner.referrers(reference, digest))
    }

    /// Stores a document by digest, and sees to it that it is found as a referrer of its subject.
    pub(crate) fn push_document(
        &self,
        named: &Reference,
        document: &PushDocument,
    ) -> Result<(), Error> {
        let inner = self.inner()?;
        inner.block_on(async {
            let stored = inner.put_manifest(named, &document.media_type, &document.bytes).await?;
            match document.subject {
                Some(subject) if !stored.lists_subject => {
                    inner.list_referrer(named, &subject, document).await
                }
                _ => Ok(()),
            }
        })
    }
}

impl Inner {
    async fn referrers(
        &self,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        let host = self.host(&reference.registry);
        let path = format!("v2/{}/referrers/{digest}", reference.repository);
        let mut page = Some(self.url(&host, &path).await?);
        let mut found: Vec<Descriptor> = Vec::new();
        for _ in 0..MAX_PAGES {
            let Some(url) = page.take() else { return Ok(found) };
            let Some((index, next)) = self.page(reference, &url).await? else {
                // A registry of the days before the list was its own.
                let kept = self.kept_referrers(reference, digest).await?;
                return Ok(kept.map_or(found, |it| it.value.manifests));
            };
            found.extend(index.value.manifests);
            if found.len() > MAX_REFERRERS {
                break;
            }
            page = next;
        }
        match page {
            None if found.len() <= MAX_REFERRERS => Ok(found),
            _ => Err(Error::Malformed {
                place: reference.registry.clone(),
                what: "list of referrers",
                why: "it does not end".to_owned(),
            }),
        }
    }

    /// One page of a list and where it goes on; `None` where the registry has no such lists.
    async fn page(
        &self,
        reference: &Reference,
        url: &Url,
    ) -> Result<Option<(Raw<Index>, Option<Url>)>, Error> {
        let host = self.host(&reference.registry);
        let scopes = Scopes::pull(&reference.repository);
        let answer = self
            .retry(url.path(), async || {
                let call = Call::new(&host, &scopes, Method::GET, url.clone());
                let answer = self.send(&call.header(ACCEPT, media_type::OCI_INDEX)).await?;
                match answer.status().as_u16() {
                    200 => Ok(Some(answer)),
                    // What registries say that never heard of it.
                    400 | 404 | 405 => Ok(None),
                    _ => Err(Failed::from(answer.failure().await)),
                }
            })
            .await?;
        let Some(answer) = answer else { return Ok(None) };
        // Pages of other kinds come from registries that answer everything.
        let is_index = answer.named("content-type").is_some_and(|it| it.contains("index.v1+json"));
        if !is_index {
            return Ok(None);
        }
        let next = link::next(answer.headers(), url);
        let bytes = answer.limited(document::LIMIT, "list of referrers").await?;
        let index = Raw::parse(bytes).map_err(|error| Error::Malformed {
            place: reference.registry.clone(),
            what: "list of referrers",
            why: error.to_string(),
        })?;
        Ok(Some((index, next)))
    }

    /// The list under the fallback tag.
    async fn kept_referrers(
        &self,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<Option<Raw<Index>>, Error> {
        let named = fallback(reference, digest);
        match self.manifest(&named).await {
            Ok((bytes, _)) => {
                let parsed = Raw::parse(bytes).map_err(|error| Error::Malformed {
                    place: named.to_string(),
                    what: "list of referrers",
                    why: error.to_string(),
                });
                parsed.map(Some)
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds a document to the list under the fallback tag.
    ///
    /// Two who add at once may lose one another's entry: the protocol has no lock. The list is read
    /// again after it was written, and written again when the entry is not there.
    async fn list_referrer(
        &self,
        named: &Reference,
        subject: &Digest,
        document: &PushDocument,
    ) -> Result<(), Error> {
        let list = fallback(named, subject);
        for _ in 0..3 {
            let kept = self.kept_referrers(named, subject).await?;
            let known = kept.as_ref().map_or(&[][..], |it| &it.value.manifests);
            if known.iter().any(|it| it.digest == document.digest()) {
                return Ok(());
            }
            let bytes = with_entry(kept.as_ref().map(|it| it.bytes.as_slice()), document);
            self.put_manifest(&list, media_type::OCI_INDEX, &bytes).await?;
        }
        Ok(())
    }
}

/// Where clients keep the list for registries that keep none.
fn fallback(reference: &Reference, digest: &Digest) -> Reference {
    let tag = Some(format!("sha256-{}", digest.hex()));
    Reference { tag, digest: None, ..reference.clone() }
}

/// A list with one more entry. Entries keep what this program does not know of.
fn with_entry(list: Option<&[u8]>, document: &PushDocument) -> Vec<u8> {
    let empty =
        || json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [] });
    let mut list: Value = list.and_then(|it| serde_json::from_slice(it).ok()).unwrap_or_else(empty);
    let body: Value = serde_json::from_slice(&document.bytes).unwrap_or_default();
    let mut entry = json!({
        "mediaType": document.media_type,
        "digest": document.digest(),
        "size": document.bytes.len(),
    });
    let config = &body["config"]["mediaType"];
    let kind = if body["artifactType"].is_string() { &body["artifactType"] } else { config };
    if kind.is_string() {
        entry["artifactType"] = kind.clone();
    }
    if body["annotations"].is_object() {
        entry["annotations"] = body["annotations"].clone();
    }
    if let Some(entries) = list["manifests"].as_array_mut() {
        entries.push(entry);
    }
    serde_json::to_vec(&list).expect("maps have string keys")
}

/// Whether the registry keeps the list of referrers itself.
pub(crate) fn lists_subject(answer: &Response) -> bool {
    answer.named("oci-subject").is_some()
}
