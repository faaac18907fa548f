//! One request and its answer: scheme, login, redirects, time limits, errors.

use crate::{
    Error,
    auth::{Login, Place},
    cause::cause,
    challenge::Scopes,
    client::{Host, Inner, is_loopback},
    feed::Feed,
    retry_after::retry_after,
};
use bytes::Bytes;
use reqwest::{
    Method, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, LOCATION},
};
use std::time::Duration;

/// More hops than any registry needs.
const MAX_REDIRECTS: usize = 8;
/// Three refusals in a row are answered (an old token, an old password, somebody else's), no more.
const MAX_LOGINS: usize = 3;
/// Enough of an error document to show its message.
const ERROR_LIMIT: usize = 64 << 10;

/// A request.
pub(crate) struct Call<'a> {
    pub(crate) host: &'a Host,
    pub(crate) scopes: &'a Scopes,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) payload: Payload<'a>,
    /// Whether a blob goes either way.
    pub(crate) bulk: bool,
    /// Whether the registry stores a blob before it answers.
    pub(crate) commits: bool,
}

/// What a request carries.
pub(crate) enum Payload<'a> {
    Empty,
    Bytes(Bytes),
    Feed(&'a Feed<'a>),
}

impl<'a> Call<'a> {
    pub(crate) fn new(host: &'a Host, scopes: &'a Scopes, method: Method, url: Url) -> Call<'a> {
        let payload = Payload::Empty;
        let (bulk, commits) = (false, false);
        Call { host, scopes, method, url, headers: Vec::new(), payload, bulk, commits }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Call<'a> {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn carrying(self, payload: Payload<'a>) -> Call<'a> {
        Call { payload, ..self }
    }

    /// The answer may take as long as storing a blob does.
    pub(crate) fn committing(self) -> Call<'a> {
        Call { commits: true, ..self }
    }

    pub(crate) fn bulk(self) -> Call<'a> {
        Call { bulk: true, ..self }
    }
}

impl Inner {
    /// The URL of `path` at `host`; finds out on the way whether the host speaks TLS.
    pub(crate) async fn url(&self, host: &Host, path: &str) -> Result<Url, Error> {
        let base = host.base.get_or_try_init(|| self.base(&host.name)).await?;
        base.join(path).map_err(|_| Error::BadLocation {
            registry: host.name.clone(),
            method: "GET".to_owned(),
            why: "the path is not a URL",
        })
    }

    async fn base(&self, name: &str) -> Result<Url, Error> {
        let address = if name == "docker.io" { "registry-1.docker.io" } else { name };
        let url = |scheme: &str| {
            Url::parse(&format!("{scheme}://{address}/")).map_err(|_| Error::BadOption {
                what: "registry",
                why: format!("`{name}` is not a host with an optional port"),
            })
        };
        let tls = url("https")?;
        if self.options.plain_http.contains(name) {
            return url("http");
        }
        let loopback = is_loopback(tls.host_str().unwrap_or_default());
        if !loopback && !self.options.insecure.contains(name) {
            return Ok(tls);
        }
        let plain = url("http")?;
        let Err(refused) = self.knock(name, &tls).await else { return Ok(tls) };
        match refused {
            Error::Unreachable { connecting: true, .. } => {
                self.knock(name, &plain).await.map(|()| plain)
            }
            other => Err(other),
        }
    }

    /// Whether anybody speaks HTTP there.
    async fn knock(&self, name: &str, base: &Url) -> Result<(), Error> {
        let url = base.join("v2/").expect("a path");
        let sent = self.client(&url, name, false)?.get(url).send();
        let waited = self.options.patience.connect;
        match tokio::time::timeout(waited, sent).await {
            Ok(answer) => answer.map(drop).map_err(|error| cause(name, error)),
            Err(_) => Err(Error::Stalled { registry: name.to_owned(), waited }),
        }
    }

    /// Sends `call`, logging in where asked to, following redirects without the login.
    ///
    /// Any status but those is an answer, for the caller to judge.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Response, Error> {
        let home = self.url(call.host, "").await?;
        let place = Place { registry: &call.host.name, plain: home.scheme() == "http" };
        let mut url = call.url.clone();
        let (mut hops, mut logins) = (0, 0);
        loop {
            let at_home = url.origin() == home.origin();
            let login = match at_home {
                true => call.host.auth.lock().await.login(self, place, call.scopes).await?,
                false => None,
            };
            let response = self.once(call, &url, login.as_ref()).await?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && at_home && logins < MAX_LOGINS {
                logins += 1;
                let headers = response.headers();
                let mut auth = call.host.auth.lock().await;
                if auth.challenged(self, place, call.scopes, headers, login.as_ref()).await? {
                    continue;
                }
            } else if status == StatusCode::FORBIDDEN
                && at_home
                && logins < MAX_LOGINS
                && login.is_some()
            {
                // ECR says 403 to a token that has expired.
                logins += 1;
                let mut auth = call.host.auth.lock().await;
                if auth.renewed(self, place, call.scopes, login.as_ref()).await? {
                    continue;
                }
            } else if let Some(next) = redirect(call, &url, &response)? {
                hops += 1;
                if hops > MAX_REDIRECTS {
                    return Err(bad_location(call, "it redirects in a circle"));
                }
                url = next;
                continue;
            }
            return Ok(response);
        }
    }

    /// The error that the answer to a HEAD is. Such answers have no words: why it was denied is asked for
    /// where everybody may ask.
    pub(crate) async fn failed_head(
        &self,
        host: &Host,
        scopes: &Scopes,
        answer: Response,
    ) -> Error {
        let error = answer.failure().await;
        let Error::Denied { registry, request, signed_in, message: None } = error else {
            return error;
        };
        let asked = match self.url(host, "v2/").await {
            Ok(url) => self.send(&Call::new(host, scopes, Method::GET, url)).await,
            Err(error) => Err(error),
        };
        let message = match asked {
            Ok(answer) if answer.status() == StatusCode::FORBIDDEN => answer.message().await,
            _ => None,
        };
        Error::Denied { registry, request, signed_in, message }
    }

    async fn once(
        &self,
        call: &Call<'_>,
        url: &Url,
        login: Option<&Login>,
    ) -> Result<Response, Error> {
        let registry = call.host.name.as_str();
        let client = self.client(url, registry, call.bulk)?;
        let mut request = client.request(call.method.clone(), url.clone());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(login) = login {
            request = request.header(AUTHORIZATION, login.header.clone());
        }
        let patience = &self.options.patience;
        let answer = match &call.payload {
            Payload::Feed(feed) => feed.send(request, patience, registry).await?,
            payload => {
                if let Payload::Bytes(bytes) = payload {
                    request = request.body(bytes.clone());
                } else if call.method != Method::GET && call.method != Method::HEAD {
                    request = request.header(CONTENT_LENGTH, 0);
                }
                let waited = if call.commits { patience.commit } else { patience.answer };
                tokio::time::timeout(waited, request.send())
                    .await
                    .map_err(|_| stalled(registry, waited))?
                    .map_err(|error| cause(registry, error))?
            }
        };
        let signed_in = login.is_some_and(|it| it.signed_in);
        Ok(Response::new(self, answer, registry, call.method.as_str(), url, signed_in))
    }
}

/// Where `response` sends us, if it does and we may go.
fn redirect(call: &Call<'_>, from: &Url, response: &Response) -> Result<Option<Url>, Error> {
    let reading = call.method == Method::GET || call.method == Method::HEAD;
    match response.status().as_u16() {
        307 | 308 => {}
        301..=303 if reading => {}
        _ => return Ok(None),
    }
    let location = response.header(LOCATION).unwrap_or_default();
    let next = from.join(location).map_err(|_| bad_location(call, "it is not a URL"))?;
    match (from.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(Some(next)),
        // The bytes of a blob are checked against its digest, whatever they came through.
        ("https", "http") if reading && call.bulk => Ok(Some(next)),
        ("https", "http") => Err(bad_location(call, "it leaves TLS")),
        _ => Err(bad_location(call, "it is neither http nor https")),
    }
}

pub(crate) fn bad_location(call: &Call<'_>, why: &'static str) -> Error {
    let (registry, method) = (call.host.name.clone(), call.method.to_string());
    Error::BadLocation { registry, method, why }
}

pub(crate) fn stalled(registry: &str, waited: Duration) -> Error {
    Error::Stalled { registry: registry.to_owned(), waited }
}

/// An answer, and what is needed to tell what is wrong with it.
pub(crate) struct Response {
    response: reqwest::Response,
    registry: String,
    method: String,
    url: Url,
    signed_in: bool,
    idle: Duration,
}

impl Response {
    pub(crate) fn new(
        inner: &Inner,
        response: reqwest::Response,
        registry: &str,
        method: &str,
        url: &Url,
        signed_in: bool,
    ) -> Response {
        let (registry, method, url) = (registry.to_owned(), method.to_owned(), url.clone());
        Response { response, registry, method, url, signed_in, idle: inner.options.patience.idle }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    pub(crate) fn named(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Whether the request stood for somebody.
    pub(crate) fn signed_in(&self) -> bool {
        self.signed_in
    }

    /// The address that answered in the end.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The next bytes of the body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        tokio::time::timeout(self.idle, self.response.chunk())
            .await
            .map_err(|_| stalled(&self.registry, self.idle))?
            .map_err(|error| cause(&self.registry, error))
    }

    /// The whole body, of which there may be `limit` bytes.
    pub(crate) async fn limited(
        mut self,
        limit: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(Error::TooLarge { place: self.registry, what, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The error that this answer is.
    pub(crate) async fn failure(self) -> Error {
        let status = self.status().as_u16();
        let retry_after = retry_after(self.headers());
        let (registry, request) = (self.registry.clone(), self.request());
        let signed_in = self.signed_in;
        let (code, message) = self.words().await;
        match status {
            // Docker Hub says 401 to an account that may not push there.
            401 if code.as_deref() == Some("DENIED") && signed_in => {
                Error::Denied { registry, request, signed_in, message }
            }
            401 => Error::Unauthorized { registry, signed_in, message },
            403 => Error::Denied { registry, request, signed_in, message },
            _ => Error::UnexpectedStatus { registry, request, status, code, message, retry_after },
        }
    }

    /// The registry's own words.
    pub(crate) async fn message(self) -> Option<String> {
        self.words().await.1
    }

    fn request(&self) -> String {
        format!("{} {}", self.method, shown(&self.url))
    }

    /// The error of a login that failed.
    pub(crate) async fn unauthorized(self) -> Error {
        let (registry, signed_in) = (self.registry.clone(), self.signed_in);
        let (_, message) = self.words().await;
        Error::Unauthorized { registry, signed_in, message }
    }

    /// Code and message of the registry's error document. Distribution specification, *Error Codes*.
    async fn words(mut self) -> (Option<String>, Option<String>) {
        #[derive(serde::Deserialize, Default)]
        #[serde(default)]
        struct Document {
            errors: Vec<Line>,
            details: Option<String>,
        }
        #[derive(serde::Deserialize, Default, Clone)]
        #[serde(default)]
        struct Line {
            code: Option<String>,
            message: Option<String>,
        }
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            let room = ERROR_LIMIT - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() >= room {
                break;
            }
        }
        let document: Document = serde_json::from_slice(&body).unwrap_or_default();
        let line = document.errors.first().cloned().unwrap_or_default();
        (line.code.map(clean), line.message.or(document.details).map(clean))
    }
}

/// Text from outside, fit for a terminal.
fn clean(text: String) -> String {
    text.chars().filter(|it| !it.is_control()).take(300).collect()
}

/// A URL without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.into()
}
