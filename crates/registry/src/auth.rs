//! One registry's login: what it asks for, who we are, and the tokens so far.

use crate::{
    Credentials, Error,
    cause::cause,
    challenge::{self, Challenge, Scopes},
    client::Inner,
    transport::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{
    Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// A token server's answer is small.
const TOKEN_LIMIT: u64 = 1 << 20;
/// distribution's token specification: a token without `expires_in` lives for 60 seconds.
const DEFAULT_LIFE: u64 = 60;

/// What is known about logging in to one registry.
#[derive(Default)]
pub(crate) struct Auth {
    challenge: Option<Challenge>,
    /// By repository.
    credentials: BTreeMap<String, Credentials>,
    tokens: BTreeMap<Scopes, Token>,
}

struct Token {
    header: HeaderValue,
    /// When to ask for another.
    until: Instant,
}

/// What a request carries.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) header: HeaderValue,
    /// Whether it stands for somebody.
    pub(crate) signed_in: bool,
}

/// The registry that a login is for.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) registry: &'a str,
    /// Whether the registry itself is reached without TLS.
    pub(crate) plain: bool,
}

impl Auth {
    /// The header for the next request; `None` while the registry has not asked for one.
    pub(crate) async fn login(
        &mut self,
        inner: &Inner,
        place: Place<'_>,
        scopes: &Scopes,
    ) -> Result<Option<Login>, Error> {
        let Some(challenge) = self.challenge.clone() else { return Ok(None) };
        let credentials = self.credentials(inner, place, &scopes.repository).await?;
        let mut signed_in = credentials != Credentials::Anonymous;
        let header = match (challenge, credentials) {
            (_, Credentials::RegistryToken(token)) => secret(place, &format!("Bearer {token}"))?,
            (Challenge::Basic, Credentials::Basic { user, password }) => {
                basic(place, &user, &password)?
            }
            (Challenge::Basic, _) => return Ok(None),
            (Challenge::Bearer { realm, service, scope }, credentials) => {
                if let Some(token) = self.tokens.get(scopes).filter(|it| it.until > Instant::now())
                {
                    return Ok(Some(Login { header: token.header.clone(), signed_in }));
                }
                let ask = Ask { place, service, scopes: scopes.texts(scope.as_deref()) };
                let mut token = ask.token(inner, &realm, &credentials).await;
                if matches!(token, Err(Error::Unauthorized { .. }))
                    && inner.options.keychain.renews(place.registry)
                {
                    inner.options.keychain.refused(place.registry);
                    let other = self.credentials(inner, place, &scopes.repository).await?;
                    if other != credentials {
                        signed_in = other != Credentials::Anonymous;
                        token = ask.token(inner, &realm, &other).await;
                    }
                }
                if token.is_err() {
                    // A password that changed is asked for again.
                    self.credentials.remove(&scopes.repository);
                }
                let token = token?;
                let header = token.header.clone();
                self.tokens.insert(scopes.clone(), token);
                header
            }
        };
        Ok(Some(Login { header, signed_in }))
    }

    /// Learns from a 401. Returns whether another attempt makes sense.
    pub(crate) async fn challenged(
        &mut self,
        inner: &Inner,
        place: Place<'_>,
        scopes: &Scopes,
        headers: &HeaderMap,
        sent: Option<&Login>,
    ) -> Result<bool, Error> {
        let lines = headers.get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes);
        let Some(challenge) = challenge::parse(lines) else {
            // Without a challenge there is nothing to answer.
            return Ok(false);
        };
        self.challenge = Some(challenge);
        let Some(sent) = sent else {
            let anonymous =
                self.credentials(inner, place, &scopes.repository).await? == Credentials::Anonymous;
            return Ok(!anonymous || self.challenge != Some(Challenge::Basic));
        };
        let known = self.credentials(inner, place, &scopes.repository).await?;
        let finished = matches!(known, Credentials::RegistryToken(_));
        if !finished && self.challenge != Some(Challenge::Basic) {
            // Unless another thread has renewed it meanwhile.
            if self.tokens.get(scopes).is_some_and(|it| it.header == sent.header) {
                self.tokens.remove(scopes);
            }
            return Ok(true);
        }
        // A keychain whose credentials expire may have new ones.
        if inner.options.keychain.renews(place.registry) {
            return self.renewed(inner, place, scopes, Some(sent)).await;
        }
        self.credentials.remove(&scopes.repository);
        Ok(self.credentials(inner, place, &scopes.repository).await? != known)
    }

    /// Whether a keychain that renews its credentials has others now than those that were refused.
    pub(crate) async fn renewed(
        &mut self,
        inner: &Inner,
        place: Place<'_>,
        scopes: &Scopes,
        sent: Option<&Login>,
    ) -> Result<bool, Error> {
        if !inner.options.keychain.renews(place.registry) {
            return Ok(false);
        }
        // Another transfer may have found out before.
        let now = self.login(inner, place, scopes).await?.map(|it| it.header);
        if now.as_ref() != sent.map(|it| &it.header) {
            return Ok(true);
        }
        inner.options.keychain.refused(place.registry);
        // Nor does the token that came of them count any longer.
        if self.tokens.get(scopes).map(|it| &it.header) == sent.map(|it| &it.header) {
            self.tokens.remove(scopes);
        }
        let login = self.login(inner, place, scopes).await?;
        Ok(login.map(|it| it.header) != sent.map(|it| it.header.clone()))
    }

    async fn credentials(
        &mut self,
        inner: &Inner,
        place: Place<'_>,
        repository: &str,
    ) -> Result<Credentials, Error> {
        let renews = inner.options.keychain.renews(place.registry);
        if let Some(known) = self.credentials.get(repository).filter(|_| !renews) {
            return Ok(known.clone());
        }
        let keychain = Arc::clone(&inner.options.keychain);
        let (registry, name) = (place.registry.to_owned(), repository.to_owned());
        let ask = move || keychain.credentials_for(&registry, &name);
        let asked = tokio::task::spawn_blocking(ask).await;
        let credentials = match asked {
            Ok(answer) => answer.map_err(|source| Error::Keychain {
                registry: place.registry.to_owned(),
                source,
            })?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        self.credentials.insert(repository.to_owned(), credentials.clone());
        Ok(credentials)
    }
}

/// One request for a token.
struct Ask<'a> {
    place: Place<'a>,
    service: Option<String>,
    scopes: Vec<String>,
}

impl Ask<'_> {
    async fn token(
        &self,
        inner: &Inner,
        realm: &str,
        credentials: &Credentials,
    ) -> Result<Token, Error> {
        let realm = challenge::realm(realm, self.place.plain).map_err(|why| self.bad(why))?;
        let client = inner.client(&realm, self.place.registry, false)?;
        let request = match credentials {
            Credentials::IdentityToken(token) => client
                .post(realm.clone())
                .header("content-type", "application/x-www-form-urlencoded")
                .body(self.form(token)),
            Credentials::Basic { user, password } => client
                .get(self.query(realm.clone(), Some(user)))
                .header(AUTHORIZATION, basic(self.place, user, password)?),
            Credentials::Anonymous | Credentials::RegistryToken(_) => {
                client.get(self.query(realm.clone(), None))
            }
        };
        let signed_in = *credentials != Credentials::Anonymous;
        let sent = tokio::time::timeout(
            inner.options.patience.answer,
            request.header(ACCEPT, "application/json").send(),
        );
        let place = realm.host_str().unwrap_or(self.place.registry);
        let response = sent
            .await
            .map_err(|_| Error::Stalled {
                registry: place.to_owned(),
                waited: inner.options.patience.answer,
            })?
            .map_err(|error| cause(place, error))?;
        let method =
            if matches!(credentials, Credentials::IdentityToken(_)) { "POST" } else { "GET" };
        let response =
            Response::new(inner, response, self.place.registry, method, &realm, signed_in);
        if !response.status().is_success() {
            return Err(match response.status().as_u16() {
                // Token servers answer a wrong password with any of these.
                400 | 401 | 403 => response.unauthorized().await,
                _ => response.failure().await,
            });
        }
        self.read(&response.limited(TOKEN_LIMIT, "token").await?)
    }

    fn query(&self, mut realm: Url, user: Option<&str>) -> Url {
        {
            let mut query = realm.query_pairs_mut();
            if let Some(service) = &self.service {
                query.append_pair("service", service);
            }
            for scope in &self.scopes {
                query.append_pair("scope", scope);
            }
            if let Some(user) = user {
                query.append_pair("account", user);
            }
        }
        realm
    }

    fn form(&self, refresh_token: &str) -> String {
        let mut form = Url::parse("form:").expect("a URL");
        form.query_pairs_mut()
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", "strake")
            .append_pair("service", self.service.as_deref().unwrap_or_default())
            .append_pair("scope", &self.scopes.join(" "))
            .append_pair("refresh_token", refresh_token);
        form.query().unwrap_or_default().to_owned()
    }

    fn read(&self, body: &[u8]) -> Result<Token, Error> {
        #[derive(serde::Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<u64>,
        }
        let answer: Answer =
            serde_json::from_slice(body).map_err(|_| self.bad("its token server sends no JSON"))?;
        let text = answer.token.or(answer.access_token).filter(|it| !it.is_empty());
        let text = text.ok_or_else(|| self.bad("its token server sends no token"))?;
        let life = answer.expires_in.filter(|it| *it > 0).unwrap_or(DEFAULT_LIFE).min(86_400);
        // Renewed early, so that it does not run out on its way; short lives keep three quarters.
        let life = life - (life / 4).min(30);
        Ok(Token {
            header: secret(self.place, &format!("Bearer {text}"))?,
            until: Instant::now() + Duration::from_secs(life),
        })
    }

    fn bad(&self, why: &str) -> Error {
        Error::BadChallenge { registry: self.place.registry.to_owned(), why: why.to_owned() }
    }
}

fn basic(place: Place<'_>, user: &str, password: &str) -> Result<HeaderValue, Error> {
    secret(place, &format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
}

fn secret(place: Place<'_>, text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Error::BadChallenge {
        registry: place.registry.to_owned(),
        why: "the token cannot stand in a header".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}
