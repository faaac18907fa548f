//! Logins to ECR, asked for when needed and renewed before they end.

use crate::{
    CreateOptions, EcrHost,
    api::{Answer, Api, Failed},
    recognise, repository,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, UNIX_EPOCH},
};
use strake_registry::{Credentials, Keychain, KeychainError, OnRetry, Retries, WebOptions};
use tokio::runtime::Runtime;

/// A login is renewed so long before it ends: the last request with it needs time, too.
const MARGIN: Duration = Duration::from_secs(15 * 60);
/// No login is taken for shorter than this, whatever the service says of its end.
const SHORTEST: Duration = Duration::from_secs(5);
/// A login that was refused and is younger than this would come out the same.
const FRESH: Duration = Duration::from_secs(2);

/// The call that logs in.
const LOGIN: &str = "GetAuthorizationToken";

/// What the keychain works with.
#[derive(Clone)]
pub struct EcrOptions {
    /// Connections to AWS.
    pub web: WebOptions,
    /// Seconds since 1970, for signatures.
    pub clock: fn() -> i64,
    /// How often a service of Amazon's that fails is asked.
    pub retries: Retries,
    /// Told of each such attempt that will be repeated.
    pub on_retry: Option<OnRetry>,
    /// Asked where AWS gives no login or one that is refused, and for all registries that are not Amazon's.
    pub other: Arc<dyn Keychain>,
}

/// Logins to ECR from AWS credentials; to other registries from another keychain.
///
/// To ECR, too, where AWS gives no login, or one that the registry refuses: somebody may have logged in as
/// another. The public registry is asked without a login then.
pub struct Ecr {
    options: EcrOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    runtime: Option<Runtime>,
    /// By region.
    apis: BTreeMap<String, Arc<Api>>,
    /// By region and account.
    tokens: BTreeMap<EcrHost, Token>,
    /// Where there are no AWS credentials.
    without: bool,
    /// Where AWS gives no login, and why.
    failed: BTreeMap<EcrHost, Failed>,
    /// What `other` said, which may run programs.
    others: BTreeMap<(String, String), Credentials>,
    /// Which source is tried first; another one once a login was refused.
    first: BTreeMap<EcrHost, Source>,
    /// Where the last login came from.
    given: BTreeMap<EcrHost, Source>,
    made: BTreeMap<(EcrHost, String), ()>,
}

/// Where logins to ECR come from, in the order in which they are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    #[default]
    Aws,
    /// A login that somebody has left, e.g. by `docker login`.
    Other,
    /// The public registry gives to everybody.
    Nobody,
    /// Aws again, and the reason where it gives none.
    Last,
}

impl Source {
    fn next(self) -> Source {
        match self {
            Source::Aws => Source::Other,
            Source::Other => Source::Nobody,
            Source::Nobody | Source::Last => Source::Last,
        }
    }
}

#[derive(Clone)]
struct Token {
    credentials: Credentials,
    since: Instant,
    until: Instant,
}

impl fmt::Debug for Ecr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ecr")
    }
}

impl Ecr {
    /// A keychain that has asked nobody yet.
    pub fn new(options: EcrOptions) -> Ecr {
        Ecr { options, state: Mutex::default() }
    }

    /// Makes a repository that is missing, once. Returns `false` where the registry is not Amazon's.
    ///
    /// A repository that somebody else makes at the same time is fine.
    pub fn create(
        &self,
        registry: &str,
        repository: &str,
        options: &CreateOptions,
    ) -> Result<bool, KeychainError> {
        let Some(host) = recognise(registry) else { return Ok(false) };
        let mut state = self.state();
        if state.made.contains_key(&(host.clone(), repository.to_owned())) {
            return Ok(true);
        }
        for (action, body) in repository::requests(&host, repository, options)? {
            let called = state.call(&self.options, &host, action, &body);
            match called {
                Ok(_) => {}
                Err(Failed::Said { code, .. }) if code == "RepositoryAlreadyExistsException" => {
                    break;
                }
                Err(failed) => return Err(failed.told(&host, action)),
            }
        }
        state.made.insert((host, repository.to_owned()), ());
        Ok(true)
    }

    fn login(&self, host: &EcrHost) -> Result<Credentials, Failed> {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(token) = state.tokens.get(host).filter(|it| it.until > now) {
            return Ok(token.credentials.clone());
        }
        if state.without {
            return Err(Failed::NoCredentials);
        }
        if let Some(failed) = state.failed.get(host) {
            return Err(failed.clone());
        }
        let answer = state.call(&self.options, host, LOGIN, &json!({}));
        match answer.and_then(|it| read(&it).map_err(Failed::said)) {
            Ok(token) => {
                let credentials = token.credentials.clone();
                state.tokens.insert(host.clone(), token);
                Ok(credentials)
            }
            Err(failed) => {
                state.without |= matches!(failed, Failed::NoCredentials);
                state.failed.insert(host.clone(), failed.clone());
                Err(failed)
            }
        }
    }

    /// What the other keychain has, which is asked once.
    fn other(&self, registry: &str, repository: &str) -> Result<Credentials, KeychainError> {
        let key = (registry.to_owned(), repository.to_owned());
        if let Some(known) = self.state().others.get(&key) {
            return Ok(known.clone());
        }
        let credentials = self.options.other.credentials_for(registry, repository)?;
        self.state().others.insert(key, credentials.clone());
        Ok(credentials)
    }

    /// The first source from `first` on that has something.
    fn find(
        &self,
        host: &EcrHost,
        registry: &str,
        repository: &str,
        first: Source,
    ) -> Result<(Source, Credentials), KeychainError> {
        if first == Source::Aws
            && let Ok(credentials) = self.login(host)
        {
            return Ok((Source::Aws, credentials));
        }
        if first <= Source::Other {
            match self.other(registry, repository) {
                Ok(Credentials::Anonymous) => {}
                Ok(credentials) => return Ok((Source::Other, credentials)),
                // Why AWS has refused tells more.
                Err(_) if *host != EcrHost::Public && !self.state().without => {}
                Err(error) => return Err(error),
            }
        }
        if first <= Source::Nobody && *host == EcrHost::Public {
            return Ok((Source::Nobody, Credentials::Anonymous));
        }
        match (self.login(host), self.other(registry, repository)) {
            (Ok(credentials), _) => Ok((Source::Aws, credentials)),
            // The only login there is: what the registry says of it is to be told.
            (Err(Failed::NoCredentials), Ok(left))
                if left != Credentials::Anonymous && *host != EcrHost::Public =>
            {
                Ok((Source::Other, left))
            }
            (Err(failed), _) => Err(failed.told(host, LOGIN)),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failed {
    fn said(why: &str) -> Failed {
        Failed::Said { code: String::new(), message: why.to_owned() }
    }
}

impl Drop for Ecr {
    fn drop(&mut self) {
        if let Some(runtime) = self.state().runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl State {
    fn call(
        &mut self,
        options: &EcrOptions,
        host: &EcrHost,
        action: &str,
        body: &serde_json::Value,
    ) -> Result<Answer, Failed> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|it| Failed::Chain(it.to_string()))?,
        };
        let known = self.apis.get(host.region()).cloned();
        let (api, answer) = runtime.block_on(async {
            let api = match known {
                Some(api) => api,
                None => Arc::new(Api::new(host.region(), options).await),
            };
            let answer = api.call(host, action, body).await;
            (api, answer)
        });
        self.apis.insert(host.region().to_owned(), api);
        self.runtime = Some(runtime);
        answer
    }
}

/// The token and how long it lives, by the service's own clock.
fn read(answer: &Answer) -> Result<Token, &'static str> {
    let data = &answer.body["authorizationData"];
    let data = if data.is_array() { &data[0] } else { data };
    let token = data["authorizationToken"].as_str().ok_or("the answer has no token")?;
    let bytes = BASE64_STANDARD.decode(token).map_err(|_| "the token is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "the token is not text")?;
    let (user, password) = text.split_once(':').ok_or("the token has no user")?;
    let expires = data["expiresAt"].as_f64().unwrap_or_default().max(0.0);
    let expires = UNIX_EPOCH + Duration::try_from_secs_f64(expires).unwrap_or_default();
    let life = match answer.date {
        Some(date) => expires.duration_since(date).unwrap_or_default(),
        None => Duration::ZERO,
    };
    let since = Instant::now();
    // A short life keeps three quarters.
    let kept = life - (life / 4).min(MARGIN);
    let until = since + kept.max(SHORTEST);
    let credentials = Credentials::Basic { user: user.to_owned(), password: password.to_owned() };
    Ok(Token { credentials, since, until })
}

impl Keychain for Ecr {
    fn credentials(&self, registry: &str) -> Result<Credentials, KeychainError> {
        self.credentials_for(registry, "")
    }

    fn credentials_for(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Credentials, KeychainError> {
        let Some(host) = recognise(registry) else {
            return self.options.other.credentials_for(registry, repository);
        };
        let first = self.state().first.get(&host).copied().unwrap_or_default();
        let (source, credentials) = self.find(&host, registry, repository, first)?;
        self.state().given.insert(host, source);
        Ok(credentials)
    }

    fn renews(&self, registry: &str) -> bool {
        recognise(registry).is_some() || self.options.other.renews(registry)
    }

    fn refused(&self, registry: &str) {
        let Some(host) = recognise(registry) else { return self.options.other.refused(registry) };
        let mut state = self.state();
        let given = state.given.get(&host).copied().unwrap_or_default();
        let old = state.tokens.get(&host).is_some_and(|it| it.since.elapsed() > FRESH);
        if given == Source::Aws && old {
            state.tokens.remove(&host);
        } else {
            state.first.insert(host, given.next());
            // Somebody may have logged in anew.
            state.others.retain(|(other, _), _| other != registry);
        }
    }
}
