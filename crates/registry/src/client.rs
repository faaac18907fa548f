//! The client: options, and what is made of them at the first request.

use crate::{
    Chunks, Error, Journal, Keychain, KeychainError, Mirror, PushOutcome, Retries, Retry,
    auth::Auth,
    retry::{self, Failed},
    tls,
};
use reqwest::{Url, redirect};
use rustls::RootCertStore;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use strake_oci::Digest;
use tokio::{
    runtime::Runtime,
    sync::{OnceCell, Semaphore, watch},
};

/// How to reach registries.
#[derive(Clone)]
pub struct Options {
    /// Where credentials come from.
    pub keychain: Arc<dyn Keychain>,
    /// Registries (host and port) that are spoken to without TLS. Those on the loopback address need
    /// not be named: they are tried without TLS when there is none.
    pub plain_http: BTreeSet<String>,
    /// Registries whose certificate is not checked, and that may be without TLS altogether.
    pub insecure: BTreeSet<String>,
    /// PEM bundles of certificate authorities, beside the compiled-in ones.
    pub ca: Vec<Vec<u8>>,
    /// How the client introduces itself.
    pub user_agent: String,
    /// Transfers at a time, each way.
    pub concurrency: usize,
    /// Proxies.
    pub proxies: Proxies,
    /// What is tried again.
    pub retries: Retries,
    /// What is waited for.
    pub patience: Patience,
    /// Told of each attempt that will be repeated.
    pub on_retry: Option<OnRetry>,
    /// Makes a repository that a push finds missing.
    pub make_repository: Option<MakeRepository>,
    /// What is sent in chunks.
    pub chunks: Chunks,
    /// Registries that blobs are sent to in one piece, whatever their size.
    pub whole: Option<IsWhole>,
    /// Remembers uploads for the next process.
    pub journal: Option<Arc<dyn Journal>>,
    /// Where else images may be read from, and where instead.
    pub mirrors: Vec<Mirror>,
    /// Certificates for one registry (host and port).
    pub host_tls: Option<HostTls>,
    /// Names (host and port) that are looked for at these addresses instead of by DNS.
    pub resolve: BTreeMap<String, SocketAddr>,
}

/// Whether blobs are sent to a registry (host and port) in one piece.
pub type IsWhole = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The certificates for a registry (host and port), where it has some of its own.
pub type HostTls = Arc<dyn Fn(&str) -> Option<Certificates> + Send + Sync>;

/// Certificates for one registry. `Debug` shows none.
#[derive(Clone, Default)]
pub struct Certificates {
    /// PEM bundles of certificate authorities, beside the others.
    pub ca: Vec<Vec<u8>>,
    /// PEM of a client certificate, and of its key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(..)")
    }
}

/// Makes a repository (registry, then repository within it). Returns whether it is there now; `false` where
/// that is not in its power.
pub type MakeRepository = Arc<dyn Fn(&str, &str) -> Result<bool, KeychainError> + Send + Sync>;

/// Hears of retries.
pub type OnRetry = Arc<dyn Fn(&Retry) + Send + Sync>;

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("plain_http", &self.plain_http)
            .field("insecure", &self.insecure)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// What suits most: TLS, ten seconds of retries, four transfers at a time, the environment's
    /// proxies.
    pub fn standard(keychain: Arc<dyn Keychain>) -> Options {
        Options {
            keychain,
            plain_http: BTreeSet::new(),
            insecure: BTreeSet::new(),
            ca: Vec::new(),
            user_agent: concat!("strake/", env!("CARGO_PKG_VERSION")).to_owned(),
            concurrency: 4,
            proxies: Proxies::Environment,
            retries: Retries::STANDARD,
            patience: Patience::STANDARD,
            on_retry: None,
            make_repository: None,
            chunks: Chunks::STANDARD,
            whole: None,
            journal: None,
            mirrors: Vec::new(),
            host_tls: None,
            resolve: BTreeMap::new(),
        }
    }
}

/// Which proxies to use. Registries on the loopback address are always reached directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxies {
    /// As `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say.
    Environment,
    /// None.
    Direct,
    /// These.
    Explicit {
        /// Proxy for http URLs.
        http: Option<String>,
        /// Proxy for https URLs.
        https: Option<String>,
        /// Hosts reached directly, as in `NO_PROXY`.
        except: String,
    },
}

impl Proxies {
    /// Makes connections go through these proxies; `direct` ones through none.
    pub(crate) fn apply(
        &self,
        mut builder: reqwest::ClientBuilder,
        direct: bool,
    ) -> Result<reqwest::ClientBuilder, Error> {
        if direct || *self != Proxies::Environment {
            builder = builder.no_proxy();
        }
        if let (false, Proxies::Explicit { http, https, except }) = (direct, self) {
            let except = reqwest::NoProxy::from_string(except);
            let made = http.iter().map(reqwest::Proxy::http);
            for proxy in made.chain(https.iter().map(reqwest::Proxy::https)) {
                let proxy = proxy.map_err(|error| bad_option("proxy", error))?;
                builder = builder.proxy(proxy.no_proxy(except.clone()));
            }
        }
        Ok(builder)
    }
}

/// How long to wait for what. Nothing limits the whole of a transfer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For an answer to a request.
    pub answer: Duration,
    /// For the next bytes of a transfer.
    pub idle: Duration,
    /// For the registry to store a blob after its last byte.
    pub commit: Duration,
}

impl Patience {
    /// Half a minute, one, one, and five.
    pub const STANDARD: Patience = Patience {
        connect: Duration::from_secs(30),
        answer: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        commit: Duration::from_secs(300),
    };
}

/// A client of all registries. Cheap to make and to clone; threads and TLS come with the first request.
///
/// Its methods block, and may be called from several threads at once, but not from inside an async
/// runtime.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    inner: Mutex<Option<Arc<Inner>>>,
    cancelled: watch::Sender<bool>,
    arrived: Mutex<Arrived>,
}

/// How blobs that were sent ahead of their image came to a repository.
pub(crate) type Arrived = BTreeMap<(String, Digest), PushOutcome>;

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.shared.options).finish()
    }
}

impl Client {
    /// A client that has done nothing yet.
    pub fn new(options: Options) -> Result<Client, Error> {
        if reqwest::header::HeaderValue::from_str(&options.user_agent).is_err() {
            return Err(Error::BadOption {
                what: "user agent",
                why: "it has characters that cannot stand in a header".to_owned(),
            });
        }
        let (inner, cancelled) = (Mutex::new(None), watch::Sender::new(false));
        let arrived = Mutex::default();
        Ok(Client { shared: Arc::new(Shared { options, inner, cancelled, arrived }) })
    }

    /// Ends what this client and its clones do, now and later, with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.shared.cancelled.send_replace(true);
    }

    /// The number of transfers at a time.
    pub(crate) fn concurrency(&self) -> usize {
        self.shared.options.concurrency.max(1)
    }

    /// What has been sent ahead, by registry and repository.
    pub(crate) fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.shared.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running part, made when first needed.
    pub(crate) fn inner(&self) -> Result<Arc<Inner>, Error> {
        let mut inner = self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = &*inner {
            return Ok(Arc::clone(inner));
        }
        let made =
            Arc::new(Inner::new(self.shared.options.clone(), self.shared.cancelled.subscribe())?);
        *inner = Some(Arc::clone(&made));
        Ok(made)
    }
}

/// What a client is after its first request.
pub(crate) struct Inner {
    pub(crate) options: Options,
    runtime: Option<Runtime>,
    roots: RootCertStore,
    hosts: Mutex<BTreeMap<String, Arc<Host>>>,
    clients: Mutex<BTreeMap<Kind, reqwest::Client>>,
    pub(crate) pulls: Semaphore,
    pub(crate) pushes: Semaphore,
    cancelled: watch::Receiver<bool>,
}

/// One registry.
pub(crate) struct Host {
    /// As in references.
    pub(crate) name: String,
    /// Scheme, host and port.
    pub(crate) base: OnceCell<Url>,
    pub(crate) auth: tokio::sync::Mutex<Auth>,
    /// Set when it turned out to take blobs in one piece only.
    pub(crate) whole: AtomicBool,
}

impl Host {
    pub(crate) fn takes_whole(&self) -> bool {
        self.whole.load(Ordering::Relaxed)
    }
}

/// Connections that can be shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    insecure: bool,
    direct: bool,
    /// Blobs: HTTP/1.1, so that parallel transfers have a connection each.
    bulk: bool,
    /// The registry whose own certificates are used.
    own: Option<String>,
}

impl Inner {
    fn new(options: Options, cancelled: watch::Receiver<bool>) -> Result<Inner, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("strake-registry")
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Error::BadOption { what: "threads", why: error.to_string() })?;
        Ok(Inner {
            roots: tls::roots(&options.ca)?,
            pulls: Semaphore::new(options.concurrency.max(1)),
            pushes: Semaphore::new(options.concurrency.max(1)),
            runtime: Some(runtime),
            hosts: Mutex::default(),
            clients: Mutex::default(),
            cancelled,
            options,
        })
    }

    /// Runs `work` on this thread until it is done or the client is cancelled.
    pub(crate) fn block_on<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut cancelled = self.cancelled.clone();
        let runtime = self.runtime.as_ref().expect("present until dropped");
        runtime.block_on(async {
            tokio::select! {
                biased;
                Ok(_) = cancelled.wait_for(|it| *it) => Err(Error::Cancelled),
                done = work => done,
            }
        })
    }

    /// Runs `operation` under the retry policy.
    pub(crate) async fn retry<T>(
        &self,
        salt: &str,
        operation: impl AsyncFnMut() -> Result<T, Failed>,
    ) -> Result<T, Error> {
        let notify = |it: &Retry| self.options.on_retry.iter().for_each(|tell| tell(it));
        retry::run(&self.options.retries, salt, notify, operation).await
    }

    /// The state of the registry `name`.
    pub(crate) fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Host {
                name: name.to_owned(),
                base: OnceCell::new(),
                auth: tokio::sync::Mutex::default(),
                whole: AtomicBool::new(false),
            })
        }))
    }

    /// Connections for `url`, on behalf of `registry`.
    pub(crate) fn client(
        &self,
        url: &Url,
        registry: &str,
        bulk: bool,
    ) -> Result<reqwest::Client, Error> {
        let kind = Kind {
            // Checks are off for the named registry only, not for where it sends us.
            insecure: self.options.insecure.contains(registry) && is_host(url, registry),
            direct: is_loopback(url.host_str().unwrap_or_default()),
            bulk,
            own: self.own_certificates(registry).is_some().then(|| registry.to_owned()),
        };
        // Nor are a registry's certificates for where it sends us.
        let kind = if is_host(url, registry) { kind } else { Kind { own: None, ..kind } };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&kind) {
            return Ok(client.clone());
        }
        let client = self.connect(&kind)?;
        clients.insert(kind, client.clone());
        Ok(client)
    }

    fn own_certificates(&self, registry: &str) -> Option<Certificates> {
        self.options.host_tls.as_ref()?(registry)
    }

    fn connect(&self, kind: &Kind) -> Result<reqwest::Client, Error> {
        let alpn: &[&str] = if kind.bulk { &["http/1.1"] } else { &["h2", "http/1.1"] };
        let own = kind.own.as_deref().and_then(|it| self.own_certificates(it)).unwrap_or_default();
        let config = tls::own_config(&self.roots, &own, kind.insecure, alpn)?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .user_agent(&self.options.user_agent)
            .redirect(redirect::Policy::none())
            .connect_timeout(self.options.patience.connect)
            .tcp_nodelay(true);
        if kind.bulk {
            builder = builder.http1_only();
        }
        for (name, address) in &self.options.resolve {
            let host = name.rsplit_once(':').map_or(name.as_str(), |it| it.0);
            builder = builder.resolve(host, *address);
        }
        let builder = self.options.proxies.apply(builder, kind.direct)?;
        builder.build().map_err(|error| bad_option("connection", error))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A credential helper that hangs must not keep the program from ending.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn bad_option(what: &'static str, error: reqwest::Error) -> Error {
    Error::BadOption { what, why: error.without_url().to_string() }
}

fn is_host(url: &Url, registry: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    registry == host || registry.strip_prefix(host).is_some_and(|it| it.starts_with(':'))
}

/// Whether `host` (without its port) is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}
