//! The fetcher: options, and what is made of them when they are first needed.

use crate::{Commit, RemoteError, http::HttpFile, secrets::Secrets};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use strake_registry::{Patience, Proxies, Retries};
use tokio::{runtime::Runtime, sync::watch};

/// How to reach servers.
#[derive(Clone, Debug)]
pub struct Options {
    /// PEM bundles of certificate authorities, beside the compiled-in ones.
    pub ca: Vec<Vec<u8>>,
    /// Proxies.
    pub proxies: Proxies,
    /// How the client introduces itself.
    pub user_agent: String,
    /// What is tried again.
    pub retries: Retries,
    /// What is waited for.
    pub patience: Patience,
    /// For repositories.
    pub git: GitOptions,
}

/// What the `git` program gets to see.
#[derive(Clone, Debug, Default)]
pub struct GitOptions {
    /// Its environment, to which its own variables are added: `PATH`, proxies, certificates.
    pub env: Vec<(OsString, OsString)>,
    /// Socket of the agent for addresses of ssh.
    pub ssh_agent: Option<PathBuf>,
    /// Files with the keys of known hosts. The key of an unknown one is taken as it comes, once.
    pub known_hosts: Vec<PathBuf>,
}

impl Options {
    /// The environment's proxies, and the patience that registries are met with.
    pub fn standard() -> Options {
        Options {
            ca: Vec::new(),
            proxies: Proxies::Environment,
            user_agent: concat!("strake/", env!("CARGO_PKG_VERSION")).to_owned(),
            retries: Retries::STANDARD,
            patience: Patience::STANDARD,
            git: GitOptions::default(),
        }
    }
}

/// Fetches files and repositories; each address once in its life. Cheap to make and to clone.
///
/// Its methods block, and may be called from several threads at once.
#[derive(Clone)]
pub struct Remote {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) secrets: Secrets,
    runtime: OnceLock<Result<Runtime, RemoteError>>,
    cancelled: watch::Sender<bool>,
    /// What was fetched, by address: whoever asks second waits for the first.
    pub(crate) files: Mutex<BTreeMap<String, Slot<HttpFile>>>,
    /// Connections, with and without proxies.
    pub(crate) clients: Mutex<BTreeMap<bool, reqwest::Client>>,
    /// What references were found to be.
    pub(crate) commits: Mutex<BTreeMap<String, Slot<Commit>>>,
}

/// A place for one result.
pub(crate) type Slot<T> = Arc<Mutex<Option<T>>>;

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.shared.options).finish()
    }
}

impl Remote {
    /// A fetcher that has done nothing yet. `secrets` are those of the build, by id.
    pub fn new(options: Options, secrets: BTreeMap<String, Vec<u8>>) -> Remote {
        let shared = Shared {
            options,
            secrets: Secrets(secrets),
            runtime: OnceLock::new(),
            cancelled: watch::Sender::new(false),
            files: Mutex::default(),
            commits: Mutex::default(),
            clients: Mutex::default(),
        };
        Remote { shared: Arc::new(shared) }
    }

    /// Ends what this fetcher and its clones do, now and later, with [`RemoteError::Cancelled`].
    pub fn cancel(&self) {
        self.shared.cancelled.send_replace(true);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.shared.cancelled.borrow()
    }

    /// Runs `work` on this thread until it is done or the fetcher is cancelled.
    pub(crate) fn block_on<T>(
        &self,
        work: impl Future<Output = Result<T, RemoteError>>,
    ) -> Result<T, RemoteError> {
        let mut cancelled = self.shared.cancelled.subscribe();
        let runtime = self.shared.runtime.get_or_init(runtime).as_ref().map_err(Clone::clone)?;
        runtime.block_on(async {
            tokio::select! {
                biased;
                Ok(_) = cancelled.wait_for(|it| *it) => Err(RemoteError::Cancelled),
                done = work => done,
            }
        })
    }
}

fn runtime() -> Result<Runtime, RemoteError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("strake-remote")
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| RemoteError::Options(format!("cannot start a thread: {error}")))
}

/// The result of `make`, which runs once for each key; a failure is not kept.
pub(crate) fn once<T: Clone>(
    slots: &Mutex<BTreeMap<String, Slot<T>>>,
    key: &str,
    make: impl FnOnce() -> Result<T, RemoteError>,
) -> Result<T, RemoteError> {
    let slot = {
        let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(key.to_owned()).or_default())
    };
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(done) = &*slot {
        return Ok(done.clone());
    }
    let made = make()?;
    *slot = Some(made.clone());
    Ok(made)
}
