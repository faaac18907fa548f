//! `WWW-Authenticate` and token scopes. RFC 9110 section 11; distribution's token specification.

use reqwest::Url;
use std::collections::{BTreeMap, BTreeSet};

/// How a registry wants to be logged in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from the server at `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Reads all `WWW-Authenticate` headers of a response; the strongest scheme that is known wins.
///
/// Whatever does not follow the grammar is passed over: a header is never a reason to panic.
pub(crate) fn parse<'a>(headers: impl Iterator<Item = &'a [u8]>) -> Option<Challenge> {
    let mut found = None;
    for header in headers {
        // 8 KiB is more than any honest challenge has.
        let text = String::from_utf8_lossy(&header[..header.len().min(8 << 10)]);
        for (scheme, params) in challenges(&text) {
            match scheme.as_str() {
                "bearer" if !matches!(found, Some(Challenge::Bearer { .. })) => {
                    let Some(realm) = params.get("realm") else { continue };
                    let get = |name: &str| params.get(name).filter(|it| !it.is_empty()).cloned();
                    found = Some(Challenge::Bearer {
                        realm: realm.clone(),
                        service: get("service"),
                        scope: get("scope"),
                    });
                }
                "basic" if found.is_none() => found = Some(Challenge::Basic),
                _ => {}
            }
        }
    }
    found
}

/// Splits `Scheme a=b, c="d", Other e=f` into its challenges.
fn challenges(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut all: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return all;
        }
        let (word, after) = token(rest);
        if word.is_empty() {
            // Not a token: skip one character, whatever it is.
            let mut chars = rest.chars();
            chars.next();
            rest = chars.as_str();
            continue;
        }
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        match (value, all.last_mut()) {
            (Some(value), Some((_, params))) => {
                let (value, after) = parameter(value.trim_start_matches([' ', '\t']));
                params.entry(word.to_ascii_lowercase()).or_insert(value);
                rest = after;
            }
            (Some(value), None) => rest = value,
            (None, _) => {
                all.push((word.to_ascii_lowercase(), BTreeMap::new()));
                rest = after;
            }
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    let end = text
        .find(|it: char| !(it.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(it)))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A quoted string or a bare value, and what follows it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(it) = chars.next() {
        match it {
            '"' => break,
            '\\' => value.extend(chars.next()),
            it => value.push(it),
        }
    }
    (value, chars.as_str())
}

/// Where tokens come from, if that is a place that may be asked.
///
/// A registry that is reached by TLS may not send credentials over plain HTTP.
pub(crate) fn realm(text: &str, plain_allowed: bool) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "its realm is not a URL")?;
    match url.scheme() {
        "https" => {}
        "http" if plain_allowed => {}
        "http" => return Err("its realm is not https"),
        _ => return Err("its realm is neither http nor https"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its realm contains a user name");
    }
    Ok(url)
}

/// What a token shall allow: actions by resource. Ordered, so that equal scopes are equal keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scopes {
    /// The repository that a request is about; credentials are looked up for it.
    pub(crate) repository: String,
    actions: BTreeMap<String, BTreeSet<String>>,
}

impl Scopes {
    /// Reading from `repository`.
    pub(crate) fn pull(repository: &str) -> Scopes {
        Scopes::none(repository).and(repository, &["pull"])
    }

    /// Writing to `repository`.
    pub(crate) fn push(repository: &str) -> Scopes {
        Scopes::none(repository).and(repository, &["pull", "push"])
    }

    /// Nothing but being known.
    pub(crate) fn none(repository: &str) -> Scopes {
        Scopes { repository: repository.to_owned(), actions: BTreeMap::new() }
    }

    /// These, and `actions` on `repository`.
    pub(crate) fn and(mut self, repository: &str, actions: &[&str]) -> Scopes {
        let known = self.actions.entry(format!("repository:{repository}")).or_default();
        known.extend(actions.iter().map(|it| (*it).to_owned()));
        self
    }

    /// These, and what a challenge asks for, one string a resource: `repository:a:pull,push`.
    pub(crate) fn texts(&self, asked: Option<&str>) -> Vec<String> {
        let mut all = self.actions.clone();
        let mut odd = BTreeSet::new();
        for scope in asked.unwrap_or_default().split(' ').filter(|it| !it.is_empty()) {
            match scope.rsplit_once(':') {
                Some((resource, actions)) if resource.contains(':') => all
                    .entry(resource.to_owned())
                    .or_default()
                    .extend(actions.split(',').map(str::to_owned)),
                _ => {
                    odd.insert(scope.to_owned());
                }
            }
        }
        let list =
            |it: &BTreeSet<String>| it.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let known = all.iter().map(|(resource, actions)| format!("{resource}:{}", list(actions)));
        known.chain(odd).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Challenge, Scopes, parse, realm};

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        })
    }

    #[test]
    fn what_registries_send() {
        for (text, want) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull,push"),
                ),
            ),
            (r#"Basic realm="Registry Realm""#, Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (r#"Basic realm="x", Bearer realm="https://t/""#, bearer("https://t/", None, None)),
            ("BEARER realm=https://t/,service=", bearer("https://t/", None, None)),
            (r#"Bearer realm="a\"b" , service = "s""#, bearer("a\"b", Some("s"), None)),
        ] {
            assert_eq!(parse([text.as_bytes()].into_iter()), want, "{text}");
        }
    }

    #[test]
    fn hostile_headers_are_passed_over() {
        for text in [
            "",
            "=",
            "\"",
            "Bearer",
            "Bearer realm",
            "Bearer =x",
            "Bearer realm=\"",
            ",,,=,\"\\",
            "Negotiate abc==",
            "\u{fffd}\u{1f600}",
            "Digest realm=\"x\"",
        ] {
            let read = parse([text.as_bytes()].into_iter());
            assert!(!matches!(read, Some(Challenge::Basic)), "{text}: {read:?}");
        }
        let endless = vec![b'"'; 1 << 20];
        assert_eq!(
            parse([endless.as_slice(), b"\xff\xfe Basic"].into_iter()),
            Some(Challenge::Basic)
        );
    }

    #[test]
    fn credentials_do_not_leave_tls() {
        assert!(realm("http://t/", false).is_err());
        assert!(realm("http://t/", true).is_ok());
        assert!(realm("https://t/token?a=b", false).is_ok());
        for bad in ["", "t", "file:///etc/passwd", "https://u:p@t/"] {
            assert!(realm(bad, true).is_err(), "{bad}");
        }
    }

    #[test]
    fn scopes_join_with_what_is_asked() {
        let scopes = Scopes::push("a/b").and("c", &["pull"]);
        assert_eq!(
            scopes.texts(Some("aws repository:a/b:delete registry:catalog:*")),
            ["registry:catalog:*", "repository:a/b:delete,pull,push", "repository:c:pull", "aws"]
        );
    }
}
