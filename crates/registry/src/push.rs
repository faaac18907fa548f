//! Blobs to a registry: asked for first, mounted where that is possible, else one streamed PUT.

use crate::{
    Client, Error,
    challenge::Scopes,
    chunks::{Chunked, Upload},
    client::{Host, Inner},
    feed::{Feed, Open},
    manifests::said_digest,
    retry::Failed,
    transport::{Call, Payload, Response},
};
use reqwest::{
    Method, Url,
    header::{CONTENT_TYPE, LOCATION},
};
use std::sync::atomic::{AtomicBool, Ordering};
use strake_oci::{Descriptor, Digest, Reference};

/// How a blob came to be at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// It was there.
    Exists,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was sent.
    Uploaded,
}

/// The answer to asking for a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountOutcome {
    /// The target has the blob now.
    Mounted,
    /// The registry would rather have the bytes.
    Refused,
}

/// The answer to a POST.
enum Opened {
    Mounted,
    /// Where the bytes go.
    Session(Url),
}

impl Client {
    /// Whether the repository has the blob.
    pub fn blob_exists(&self, reference: &Reference, digest: &Digest) -> Result<bool, Error> {
        let inner = self.inner()?;
        let host = inner.host(&reference.registry);
        let scopes = Scopes::pull(&reference.repository);
        inner.block_on(inner.retry(&digest.to_string(), async || {
            inner.exists(&host, &scopes, reference, digest).await.map_err(Failed::from)
        }))
    }

    /// Asks the registry to take a blob from its repository `from` into `target`'s.
    pub fn mount_blob(
        &self,
        target: &Reference,
        digest: &Digest,
        from: &str,
    ) -> Result<MountOutcome, Error> {
        let inner = self.inner()?;
        let host = inner.host(&target.registry);
        inner.block_on(inner.retry(&digest.to_string(), async || {
            Ok(match inner.mount(&host, target, digest, from).await? {
                Some(Opened::Mounted) => MountOutcome::Mounted,
                Some(Opened::Session(_)) | None => MountOutcome::Refused,
            })
        }))
    }

    /// Makes sure that `target`'s repository has a blob, at the least cost.
    ///
    /// `from` is another repository of the same registry that may have it. `open` is called when
    /// bytes are to be sent, and again when an upload starts over. `progress` is told how many bytes
    /// of the blob have been sent; the number falls when an upload starts over.
    pub fn push_blob(
        &self,
        target: &Reference,
        descriptor: &Descriptor,
        from: Option<&str>,
        open: &Open<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<PushOutcome, Error> {
        let never = AtomicBool::new(false);
        self.push_until(&never, target, descriptor, from, open, progress)
    }

    /// [`Client::push_blob`], unless `stop` is set meanwhile.
    pub(crate) fn push_until(
        &self,
        stop: &AtomicBool,
        target: &Reference,
        descriptor: &Descriptor,
        from: Option<&str>,
        open: &Open<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<PushOutcome, Error> {
        let inner = self.inner()?;
        let what = descriptor.digest.to_string();
        let feed = Feed { what: what.clone(), size: descriptor.size, open, progress, stop };
        let host = inner.host(&target.registry);
        let place = format!("{}/{}", target.registry, target.repository);
        inner.block_on(async {
            let _turn = inner.pushes.acquire().await;
            let upload = Upload::new(&inner, &host, &place, &descriptor.digest, descriptor.size);
            inner
                .retry(&what, async || {
                    let tried = inner.push(&host, target, &descriptor.digest, from, &feed, &upload);
                    let progress = |error| {
                        let progress = upload.progress.swap(false, Ordering::Relaxed);
                        Failed { error, progress }
                    };
                    tried.await.map_err(progress)
                })
                .await
        })
    }
}

impl Inner {
    /// One attempt, from the question to the answer. A session that broke is trusted again for what the
    /// registry says that it has of it.
    async fn push(
        &self,
        host: &Host,
        target: &Reference,
        digest: &Digest,
        from: Option<&str>,
        feed: &Feed<'_>,
        upload: &Upload,
    ) -> Result<PushOutcome, Error> {
        let scopes = Scopes::push(&target.repository);
        if self.exists(host, &scopes, target, digest).await? {
            upload.forget();
            return Ok(PushOutcome::Exists);
        }
        let resumed = self.resume(host, &scopes, digest, feed, upload).await?;
        if let Some(Chunked::Done(outcome)) = resumed {
            return Ok(outcome);
        }
        let mut opened = None;
        if let Some(from) = from.filter(|it| *it != target.repository) {
            opened = self.mount(host, target, digest, from).await?;
        }
        let opened = match opened {
            Some(opened) => opened,
            None => self.open_session(host, &scopes, target).await?,
        };
        let Opened::Session(mut session) = opened else { return Ok(PushOutcome::Mounted) };
        match self.begin_chunks(host, &scopes, digest, feed, upload, &session).await? {
            Some(Chunked::Done(outcome)) => return Ok(outcome),
            Some(Chunked::Refused) => {
                // A session that half of a blob went to is no good for the whole.
                let Opened::Session(fresh) = self.open_session(host, &scopes, target).await? else {
                    return Ok(PushOutcome::Mounted);
                };
                session = fresh;
            }
            None => {}
        }
        let call = Call::new(host, &scopes, Method::PUT, closing(session, digest))
            .header(CONTENT_TYPE, "application/octet-stream")
            .carrying(Payload::Feed(feed))
            .bulk();
        self.stored(host, digest, self.send(&call).await?).await
    }

    /// Ends a session that has all bytes.
    pub(crate) async fn close_session(
        &self,
        host: &Host,
        scopes: &Scopes,
        digest: &Digest,
        session: Url,
    ) -> Result<PushOutcome, Error> {
        let call = Call::new(host, scopes, Method::PUT, closing(session, digest)).committing();
        self.stored(host, digest, self.send(&call).await?).await
    }

    /// What the answer to the last request of an upload says.
    async fn stored(
        &self,
        host: &Host,
        digest: &Digest,
        answer: Response,
    ) -> Result<PushOutcome, Error> {
        // 202 is the answer to what came before.
        if !matches!(answer.status().as_u16(), 200 | 201 | 204) {
            return Err(answer.failure().await);
        }
        match said_digest(&answer) {
            Some(got) if got != *digest => {
                Err(Error::WrongDigest { place: host.name.clone(), asked: *digest, got })
            }
            _ => Ok(PushOutcome::Uploaded),
        }
    }

    async fn exists(
        &self,
        host: &Host,
        scopes: &Scopes,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let path = format!("v2/{}/blobs/{digest}", reference.repository);
        let url = self.url(host, &path).await?;
        let asked = url.origin();
        let answer = self.send(&Call::new(host, scopes, Method::HEAD, url)).await?;
        match answer.status().as_u16() {
            200 => match said_digest(&answer) {
                Some(got) if got != *digest => {
                    Err(Error::WrongDigest { place: host.name.clone(), asked: *digest, got })
                }
                _ => Ok(true),
            },
            404 => Ok(false),
            // Storage elsewhere may allow a GET and no HEAD: not known to be there.
            _ if answer.url().origin() != asked => Ok(false),
            _ => Err(self.failed_head(host, scopes, answer).await),
        }
    }

    /// Asks for a mount; `None` where the registry does not know what that is, or will not.
    async fn mount(
        &self,
        host: &Host,
        target: &Reference,
        digest: &Digest,
        from: &str,
    ) -> Result<Option<Opened>, Error> {
        let scopes = Scopes::push(&target.repository).and(from, &["pull"]);
        let mut url = self.uploads(host, target).await?;
        url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", from);
        let call = Call::new(host, &scopes, Method::POST, url);
        let answer = match self.send(&call).await {
            // A token for both repositories may be refused where one for the target is given.
            Err(Error::Unauthorized { .. } | Error::Denied { .. }) => return Ok(None),
            answer => answer?,
        };
        match answer.status().as_u16() {
            201 => Ok(Some(Opened::Mounted)),
            202 => session(host, &answer).map(|it| Some(Opened::Session(it))),
            400 | 401 | 403 | 404 | 405 | 415 | 501 => Ok(None),
            _ => Err(answer.failure().await),
        }
    }

    async fn open_session(
        &self,
        host: &Host,
        scopes: &Scopes,
        target: &Reference,
    ) -> Result<Opened, Error> {
        let url = self.uploads(host, target).await?;
        let post = || Call::new(host, scopes, Method::POST, url.clone());
        let mut answer = self.send(&post()).await?;
        if answer.status() == 404 && self.make_repository(target).await? {
            answer = self.send(&post()).await?;
        }
        match answer.status().as_u16() {
            200..=202 => session(host, &answer).map(Opened::Session),
            404 => {
                let message = answer.message().await;
                let (registry, repository) = (target.registry.clone(), target.repository.clone());
                Err(Error::RepositoryMissing { registry, repository, message })
            }
            _ => Err(answer.failure().await),
        }
    }

    /// Has a missing repository made, where somebody can. Returns whether it is there now.
    async fn make_repository(&self, target: &Reference) -> Result<bool, Error> {
        let Some(make) = self.options.make_repository.clone() else { return Ok(false) };
        let (registry, repository) = (target.registry.clone(), target.repository.clone());
        let asked = tokio::task::spawn_blocking(move || make(&registry, &repository)).await;
        let registry = target.registry.clone();
        match asked {
            Ok(made) => made.map_err(|source| Error::Repository {
                registry,
                repository: target.repository.clone(),
                source,
            }),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    async fn uploads(&self, host: &Host, target: &Reference) -> Result<Url, Error> {
        self.url(host, &format!("v2/{}/blobs/uploads/", target.repository)).await
    }
}

/// The address that ends a session.
fn closing(mut session: Url, digest: &Digest) -> Url {
    session.query_pairs_mut().append_pair("digest", &digest.to_string());
    session
}

/// Where the upload goes on: `Location` may be a path or a URL, with a query or without.
pub(crate) fn session(host: &Host, answer: &Response) -> Result<Url, Error> {
    let bad =
        |why| Error::BadLocation { registry: host.name.clone(), method: "POST".to_owned(), why };
    let location = answer.header(LOCATION).ok_or_else(|| bad("there is no Location"))?;
    let from = answer.url();
    let mut url = from.join(location).map_err(|_| bad("it is not a URL"))?;
    match (from.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => Ok(url),
        // A registry behind a proxy that ends TLS often does not know of it.
        ("https", "http") if url.host() == from.host() && url.port().is_none() => {
            url.set_scheme("https").map_err(|()| bad("it leaves TLS"))?;
            url.set_port(from.port()).map_err(|()| bad("it leaves TLS"))?;
            Ok(url)
        }
        ("https", "http") => Err(bad("it leaves TLS")),
        _ => Err(bad("it is neither http nor https")),
    }
}
