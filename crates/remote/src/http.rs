//! A file of a web server: asked for with what is known of it, streamed into the store.

use crate::{
    Remote, RemoteError,
    address::{self, file_name, shown},
    body::{Body, is_corrupt},
    remote::once,
};
use reqwest::{
    StatusCode, Url,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, ETAG, HeaderMap, HeaderName, HeaderValue,
        IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
    },
};
use std::{path::PathBuf, sync::PoisonError, time::Duration};
use strake_cache::{FetchedFile, Store};
use strake_oci::Digest;
use strake_plan::HttpSource;
use strake_registry::{WebOptions, http_date, is_loopback, retry_after, web_client, web_error};

/// As many as Go's HTTP client follows.
const MAX_REDIRECTS: usize = 10;

/// A fetched file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpFile {
    /// Its content, in the store.
    pub path: PathBuf,
    /// The digest of its content.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// The name that the URL gives it.
    pub name: Vec<u8>,
    /// `Last-Modified`, in seconds since 1970; 0 where the server does not say.
    pub mtime: i64,
}

/// What the server sent.
enum Answer {
    /// The file is what it was.
    Unchanged,
    /// A file, in the store now.
    File(FetchedFile),
}

impl Remote {
    /// The file at a URL, as it is now. A file whose checksum is known and that the store has is not
    /// asked for again.
    pub fn http(&self, store: &Store, source: &HttpSource) -> Result<HttpFile, RemoteError> {
        let HttpSource { url, checksum } = source;
        let parsed = address::parse(url)?;
        let known = store.fetched_file(&without_login(&parsed));
        if let Some(known) = &known
            && *checksum == Some(known.digest)
        {
            return finished(store, &parsed, known);
        }
        let file = once(&self.shared.files, url, || {
            let file = self.block_on(self.fetch(store, &parsed, known.as_ref()))?;
            finished(store, &parsed, &file)
        })?;
        match checksum {
            Some(expected) if *expected != file.digest => Err(RemoteError::WrongChecksum {
                url: shown(url),
                expected: *expected,
                got: file.digest,
            }),
            _ => Ok(file),
        }
    }

    async fn fetch(
        &self,
        store: &Store,
        url: &Url,
        known: Option<&FetchedFile>,
    ) -> Result<FetchedFile, RemoteError> {
        let mut attempt = 1;
        loop {
            let failed = match (self.attempt(store, url, known).await, known) {
                (Ok(Answer::File(file)), _) => return Ok(file),
                (Ok(Answer::Unchanged), Some(known)) => return Ok(known.clone()),
                // 304 to a question without conditions.
                (Ok(Answer::Unchanged), None) => {
                    return Err(status(url, StatusCode::NOT_MODIFIED, false, None));
                }
                (Err(error), _) => error,
            };
            let Some(wait) = self.wait(attempt, &failed) else { return Err(failed) };
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// How long to wait before the next attempt; `None` when there shall be none.
    fn wait(&self, attempt: u32, error: &RemoteError) -> Option<Duration> {
        let policy = &self.shared.options.retries;
        let (attempts, asked) = match error {
            RemoteError::Unreachable { connecting: true, .. } => (policy.attempts.min(3), None),
            RemoteError::Unreachable { .. }
            | RemoteError::Truncated { .. }
            | RemoteError::Stalled { .. } => (policy.attempts, None),
            RemoteError::Status {
                status: 408 | 425 | 429 | 500 | 502 | 503 | 504,
                retry_after,
                ..
            } => (policy.attempts, *retry_after),
            _ => return None,
        };
        if attempt >= attempts || asked.is_some_and(|it| it > policy.patience) {
            return None;
        }
        let doubled = policy.base.saturating_mul(1 << (attempt - 1).min(16)).min(policy.ceiling);
        Some(asked.unwrap_or_default().max(doubled))
    }

    async fn attempt(
        &self,
        store: &Store,
        url: &Url,
        known: Option<&FetchedFile>,
    ) -> Result<Answer, RemoteError> {
        let (response, at, signed_in) = self.follow(url, known).await?;
        let status_code = response.status();
        if status_code == StatusCode::NOT_MODIFIED {
            return Ok(Answer::Unchanged);
        }
        if !status_code.is_success() {
            let after = retry_after(response.headers());
            return Err(status(&at, status_code, signed_in, after));
        }
        let etag = header(response.headers(), ETAG);
        let last_modified = header(response.headers(), LAST_MODIFIED);
        // There are servers that name the version and do not compare it.
        if let (Some(known), Some(etag)) = (known, &etag)
            && known.etag.as_ref().is_some_and(|it| strong(it) == strong(etag))
            && known.last_modified == last_modified
        {
            return Ok(Answer::Unchanged);
        }
        let digest = self.save(store, &at, response).await?;
        let file = FetchedFile { url: without_login(url), digest, etag, last_modified };
        store.insert_fetched_file(&file)?;
        Ok(Answer::File(file))
    }

    /// Asks, and follows redirects. Secrets stay with the host they are for, user and password of the
    /// address with its port too.
    async fn follow(
        &self,
        first: &Url,
        known: Option<&FetchedFile>,
    ) -> Result<(reqwest::Response, Url, bool), RemoteError> {
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            let login = match may_hear_of(&url, first) {
                true => self.login(first)?,
                false => None,
            };
            let response = self.ask(&url, known, login.as_ref()).await?;
            if !matches!(response.status().as_u16(), 301..=303 | 307 | 308) {
                return Ok((response, url, login.is_some()));
            }
            let location = header(response.headers(), LOCATION).unwrap_or_default();
            let bad = || RemoteError::BadRedirect {
                url: shown(url.as_str()),
                to: if location.is_empty() { "nowhere".to_owned() } else { shown(&location) },
            };
            let mut next = url.join(&location).map_err(|_| bad())?;
            if location.is_empty() || !matches!(next.scheme(), "http" | "https") {
                return Err(bad());
            }
            if next.origin() == first.origin() && next.username().is_empty() {
                let _ = next.set_username(first.username());
                let _ = next.set_password(first.password());
            }
            url = next;
        }
        Err(RemoteError::Redirects { url: shown(first.as_str()), limit: MAX_REDIRECTS })
    }

    fn login(&self, url: &Url) -> Result<Option<HeaderValue>, RemoteError> {
        let host = url.host_str().unwrap_or_default();
        let Some(login) = self.shared.secrets.http(host) else { return Ok(None) };
        let mut value = HeaderValue::from_str(&login)
            .map_err(|_| RemoteError::BadSecret { host: host.to_owned() })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    async fn ask(
        &self,
        url: &Url,
        known: Option<&FetchedFile>,
        login: Option<&HeaderValue>,
    ) -> Result<reqwest::Response, RemoteError> {
        let options = &self.shared.options;
        let client = self.client(url)?;
        let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "gzip");
        // By its tag alone, as Docker does: a time says too little. Files that are put back, or that are
        // all of one time, change and look the same.
        if let Some(etag) = known.and_then(|it| it.etag.as_ref()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(login) = login {
            request = request.header(AUTHORIZATION, login.clone());
        }
        let waited = options.patience.answer;
        tokio::time::timeout(waited, request.send())
            .await
            .map_err(|_| RemoteError::Stalled { url: shown(url.as_str()), waited })?
            .map_err(|error| failure(url, error))
    }

    /// Connections for `url`, kept for the next one of its kind.
    fn client(&self, url: &Url) -> Result<reqwest::Client, RemoteError> {
        let options = &self.shared.options;
        let mut clients = self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let direct = is_loopback(url);
        if let Some(client) = clients.get(&direct) {
            return Ok(client.clone());
        }
        let web = WebOptions {
            ca: options.ca.clone(),
            proxies: options.proxies.clone(),
            user_agent: options.user_agent.clone(),
            connect: options.patience.connect,
        };
        let client = web_client(&web, direct).map_err(|it| RemoteError::Options(it.to_string()))?;
        clients.insert(direct, client.clone());
        Ok(client)
    }

    /// Streams the body into the store.
    async fn save(
        &self,
        store: &Store,
        url: &Url,
        mut response: reqwest::Response,
    ) -> Result<Digest, RemoteError> {
        let dir = store.temp_dir("fetch")?;
        let path = dir.path().join("file");
        let packed = header(response.headers(), CONTENT_ENCODING);
        let packed = packed.is_some_and(|it| it.eq_ignore_ascii_case("gzip"));
        let mut body = Body::new(fs_err::File::create_new(&path)?, packed);
        let failed = |error| match is_corrupt(&error) {
            true => RemoteError::Coding { url: shown(url.as_str()), why: error.to_string() },
            false => RemoteError::from(error),
        };
        let (promised, mut come) = (response.content_length(), 0);
        let waited = self.shared.options.patience.idle;
        loop {
            let chunk = tokio::time::timeout(waited, response.chunk())
                .await
                .map_err(|_| RemoteError::Stalled { url: shown(url.as_str()), waited })?
                .map_err(|error| match promised {
                    Some(promised) if come < promised => {
                        RemoteError::Truncated { url: shown(url.as_str()), promised, come }
                    }
                    _ => failure(url, error),
                })?;
            let Some(chunk) = chunk else { break };
            come += chunk.len() as u64;
            body.take(&chunk).map_err(failed)?;
        }
        let digest = body.finish().map_err(failed)?;
        store.insert_blob(&path, &digest)?;
        Ok(digest)
    }
}

fn finished(store: &Store, url: &Url, file: &FetchedFile) -> Result<HttpFile, RemoteError> {
    let gone = || RemoteError::Gone { url: shown(url.as_str()) };
    let path = store.blob(&file.digest).ok_or_else(gone)?;
    let size = fs_err::metadata(&path)?.len();
    let mtime = file.last_modified.as_deref().and_then(http_date).unwrap_or(0);
    Ok(HttpFile { path, digest: file.digest, size, name: file_name(url), mtime })
}

fn failure(url: &Url, error: reqwest::Error) -> RemoteError {
    let shown = shown(url.as_str());
    match web_error(&address::host(url), error) {
        strake_registry::Error::Certificate { registry: _, cause } => {
            RemoteError::Certificate { url: shown, why: cause }
        }
        strake_registry::Error::Unreachable { registry: _, cause, connecting } => {
            match cause.contains("does not speak TLS") {
                true => RemoteError::NoTls { url: shown },
                false => RemoteError::Unreachable { url: shown, why: cause, connecting },
            }
        }
        other => RemoteError::Unreachable { url: shown, why: other.to_string(), connecting: false },
    }
}

fn status(
    url: &Url,
    status: StatusCode,
    signed_in: bool,
    retry_after: Option<Duration>,
) -> RemoteError {
    RemoteError::Status {
        url: shown(url.as_str()),
        status: status.as_u16(),
        reason: status.canonical_reason(),
        signed_in,
        retry_after,
    }
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Whether a server may have the secret for that of `first`: it is the same host, on whatever port as in
/// Docker, and what came over TLS does not go on without.
fn may_hear_of(url: &Url, first: &Url) -> bool {
    let weaker = first.scheme() == "https" && url.scheme() == "http";
    url.host_str() == first.host_str() && !weaker
}

/// An entity tag without the mark of a weak one.
fn strong(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag)
}

/// The URL that a record may keep.
fn without_login(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.into()
}
