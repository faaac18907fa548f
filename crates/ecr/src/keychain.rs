//! Logins to ECR, asked for when needed and renewed before they end.

use crate::{
    CreateOptions, EcrHost,
    api::{Answer, Api, Failed},
    connector::Web,
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
use strake_registry::{Credentials, Keychain, KeychainError, WebOptions};
use tokio::runtime::Runtime;

/// A login is renewed so long before it ends: the last request with it needs time, too.
const MARGIN: Duration = Duration::from_secs(15 * 60);
/// No login is taken for shorter than this, whatever the service says of its end.
const SHORTEST: Duration = Duration::from_secs(5);
/// A login that was refused and is younger than this is not at fault.
const FRESH: Duration = Duration::from_secs(2);

/// What the keychain works with.
#[derive(Clone)]
pub struct EcrOptions {
    /// Connections to AWS.
    pub web: WebOptions,
    /// Seconds since 1970, for signatures.
    pub clock: fn() -> i64,
    /// Asked where AWS knows nothing, and for all registries that are not Amazon's.
    pub other: Arc<dyn Keychain>,
}

/// Logins to ECR from AWS credentials; to other registries from another keychain.
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
    /// Where AWS has no credentials for us.
    without: bool,
    made: BTreeMap<(EcrHost, String), ()>,
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

    fn login(&self, host: &EcrHost) -> Result<Option<Credentials>, KeychainError> {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(token) = state.tokens.get(host).filter(|it| it.until > now) {
            return Ok(Some(token.credentials.clone()));
        }
        if state.without {
            return Ok(None);
        }
        let action = "GetAuthorizationToken";
        match state.call(&self.options, host, action, &json!({})) {
            Ok(answer) => {
                let token = read(&answer).map_err(|why| Failed::said(why).told(host, action))?;
                let credentials = token.credentials.clone();
                state.tokens.insert(host.clone(), token);
                Ok(Some(credentials))
            }
            Err(Failed::NoCredentials) => {
                state.without = true;
                Ok(None)
            }
            Err(failed) => Err(failed.told(host, action)),
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
                None => {
                    let web = Web(options.web.clone());
                    Arc::new(Api::new(host.region(), web, options.clock).await)
                }
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
        if let Some(credentials) = self.login(&host)? {
            return Ok(credentials);
        }
        match self.options.other.credentials_for(registry, repository)? {
            // The public registry gives to everybody.
            Credentials::Anonymous if host != EcrHost::Public => {
                Err(Failed::NoCredentials.told(&host, "GetAuthorizationToken"))
            }
            credentials => Ok(credentials),
        }
    }

    fn renews(&self, registry: &str) -> bool {
        match recognise(registry) {
            Some(_) if !self.state().without => true,
            _ => self.options.other.renews(registry),
        }
    }

    fn refused(&self, registry: &str) {
        let Some(host) = recognise(registry) else { return self.options.other.refused(registry) };
        let mut state = self.state();
        if state.tokens.get(&host).is_some_and(|it| it.since.elapsed() > FRESH) {
            state.tokens.remove(&host);
        }
    }
}
