//! Challenges, tokens, and who gets to see a password.

use crate::{
    fake::{Fake, Reply, Request},
    support::{Fixed, basic, image, options_of, reference},
};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};
use strake_registry::{Anonymous, Client, Credentials, DockerConfig, Error, Keychain};

/// A registry that wants a token from its own `/token`, which gives out `t0`, `t1`, ...
///
/// `valid` decides whether a token is good for a request.
fn with_tokens(
    grant: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    valid: impl Fn(&Request, &str) -> bool + Send + Sync + 'static,
) -> Fake {
    let port = Arc::new(OnceLock::<u16>::new());
    let known = Arc::clone(&port);
    let given = AtomicUsize::new(0);
    let fake = Fake::start(move |request, _| {
        if request.path == "/token" {
            return Some(grant(request).unwrap_or_else(|| {
                let number = given.fetch_add(1, Ordering::SeqCst);
                Reply::status(200).body(format!(r#"{{"token":"t{number}","expires_in":300}}"#))
            }));
        }
        let token = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        if valid(request, token) {
            return None;
        }
        let challenge = format!(
            r#"Bearer realm="http://127.0.0.1:{}/token",service="fake",scope="repository:a:pull""#,
            known.get()?
        );
        Some(Reply::status(401).with("WWW-Authenticate", &challenge))
    });
    port.set(fake.port).unwrap();
    fake
}

fn client(fake: &Fake, keychain: Arc<dyn Keychain>) -> Client {
    let mut options = options_of(fake);
    options.keychain = keychain;
    Client::new(options).unwrap()
}

fn push(fake: &Fake, keychain: Arc<dyn Keychain>) -> Result<(), Error> {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[b"one", b"two", b"three"]);
    client(fake, keychain).push_image(&image, &[reference(&fake.name("a:1"))], &|_| {}).map(drop)
}

#[test]
fn a_token_is_asked_for_once_and_the_password_goes_only_there() {
    let fake = with_tokens(|_| None, |_, token| token.starts_with('t'));
    push(&fake, basic("ann", "secret")).unwrap();
    let log = fake.log();
    let asked: Vec<_> = log.iter().filter(|it| it.path == "/token").collect();
    assert_eq!(asked.len(), 1, "one scope, one token");
    assert_eq!(asked[0].header("authorization"), "Basic YW5uOnNlY3JldA==");
    assert!(asked[0].query.contains("service=fake"), "{}", asked[0].query);
    assert!(asked[0].query.contains("scope=repository%3Aa%3Apull%2Cpush"), "{}", asked[0].query);
    let elsewhere = log.iter().filter(|it| it.path != "/token");
    assert!(elsewhere.into_iter().all(|it| !it.header("authorization").starts_with("Basic")));
    assert_eq!(fake.tags(), ["a:1"]);
}

#[test]
fn without_credentials_the_token_is_anonymous() {
    let fake = with_tokens(|_| None, |_, token| token.starts_with('t'));
    push(&fake, Arc::new(Anonymous)).unwrap();
    let asked = fake.log().into_iter().find(|it| it.path == "/token").unwrap();
    assert_eq!(asked.header("authorization"), "");
}

#[test]
fn a_token_that_runs_out_in_the_middle_is_renewed() {
    let uses = AtomicUsize::new(0);
    let fake = with_tokens(
        |_| None,
        move |_, token| match token {
            "t0" => uses.fetch_add(1, Ordering::SeqCst) < 6,
            token => token.starts_with('t'),
        },
    );
    push(&fake, basic("ann", "secret")).unwrap();
    assert_eq!(fake.count("GET", "/token"), 2, "however many requests found it out");
    assert_eq!(fake.tags(), ["a:1"]);
}

#[test]
fn an_identity_token_is_exchanged() {
    let fake = with_tokens(
        |request| {
            let form = String::from_utf8_lossy(&request.body).into_owned();
            let good = request.method == "POST"
                && form.contains("grant_type=refresh_token")
                && form.contains("refresh_token=r%2Fe%2Ff");
            let token = Reply::status(200).body(r#"{"access_token":"t","expires_in":1}"#);
            Some(if good { token } else { Reply::status(400) })
        },
        |_, token| token == "t",
    );
    push(&fake, Arc::new(Fixed(Credentials::IdentityToken("r/e/f".to_owned())))).unwrap();
    let uris = fake.log().into_iter().map(|it| it.query).collect::<String>();
    assert!(!uris.contains("r%2Fe%2Ff"), "never in a URL");
}

#[test]
fn a_registry_token_is_used_as_it_is() {
    let fake = with_tokens(|_| Some(Reply::status(500)), |_, token| token == "mine");
    push(&fake, Arc::new(Fixed(Credentials::RegistryToken("mine".to_owned())))).unwrap();
    assert_eq!(fake.count("GET", "/token"), 0);
}

#[test]
fn a_wrong_password_is_one_clear_error() {
    for status in [400, 401, 403] {
        let refuse = move |_: &Request| {
            let error = r#"{"errors":[{"code":"UNAUTHORIZED","message":"bad login"}]}"#;
            Some(Reply::status(status).body(error))
        };
        let fake = with_tokens(refuse, |_, _| false);
        let error = push(&fake, basic("ann", "hunter2")).unwrap_err();
        assert!(matches!(error, Error::Unauthorized { signed_in: true, .. }), "{error:?}");
        let text = format!("{error} {error:?} {:?}", error.hint());
        assert!(text.contains(&fake.host()) && text.contains("strake login"), "{text}");
        assert!(text.contains("bad login") && !text.contains("hunter2"), "{text}");
        assert_eq!(fake.count("PUT", ""), 0);
    }
}

#[test]
fn a_token_server_that_hiccups_is_asked_again() {
    let hiccups = AtomicUsize::new(0);
    let fake = with_tokens(
        move |_| (hiccups.fetch_add(1, Ordering::SeqCst) == 0).then(|| Reply::status(503)),
        |_, token| token.starts_with('t'),
    );
    push(&fake, basic("ann", "secret")).unwrap();
}

#[test]
fn hostile_challenges_and_tokens_are_refused() {
    for challenge in [
        "Bearer",
        "Bearer realm=\"\"",
        "Bearer realm=\"file:///etc/passwd\"",
        "Negotiate x",
        "Bearer realm=\"https://u:p@x/\"",
        "\"",
        "",
    ] {
        let fake =
            Fake::start(move |_, _| Some(Reply::status(401).with("WWW-Authenticate", challenge)));
        let error = push(&fake, basic("ann", "hunter2")).unwrap_err();
        let refused = matches!(error, Error::BadChallenge { .. } | Error::Unauthorized { .. });
        assert!(refused, "{challenge}: {error:?}");
    }
    for answer in ["", "{}", r#"{"token":""}"#, r#"{"token":"a\nb"}"#, r#"{"token":7}"#] {
        let fake = with_tokens(move |_| Some(Reply::status(200).body(answer)), |_, _| false);
        let error = push(&fake, basic("ann", "hunter2")).unwrap_err();
        assert!(matches!(error, Error::BadChallenge { .. }), "{answer}: {error:?}");
    }
    let endless = with_tokens(|_| Some(Reply::status(200).body(vec![b'a'; 2 << 20])), |_, _| false);
    let error = push(&endless, basic("ann", "hunter2")).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

#[test]
fn a_registry_that_never_asks_never_learns() {
    struct Refusing;
    impl Keychain for Refusing {
        fn credentials(&self, _: &str) -> Result<Credentials, strake_registry::KeychainError> {
            panic!("nobody asked")
        }
    }
    let fake = Fake::honest();
    push(&fake, Arc::new(Refusing)).unwrap();
}

#[test]
fn a_denied_push_is_not_a_failed_login() {
    let fake = Fake::start(|request, _| {
        let error = r#"{"errors":[{"code":"DENIED","message":"no push for you"}]}"#;
        (request.method == "POST").then(|| Reply::status(403).body(error))
    });
    let error = push(&fake, basic("ann", "secret")).unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("no push for you"), "{error}");
    assert!(fake.tags().is_empty());
}

#[test]
fn the_entry_of_the_repository_logs_in() {
    let fake = Fake::start(|request, _| {
        let wanted = "Basic YW5uOnNlY3JldA==";
        (request.header("authorization") != wanted)
            .then(|| Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\""))
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.json");
    let text = format!(
        r#"{{"auths":{{"{0}":{{"username":"bob","password":"x"}},"{0}/a":{{"auth":"YW5uOnNlY3JldA=="}}}}}}"#,
        fake.host()
    );
    fs_err::write(&path, text).unwrap();
    push(&fake, Arc::new(DockerConfig::new(vec![path], "".into()))).unwrap();
    assert_eq!(fake.tags(), ["a:1"]);
}
