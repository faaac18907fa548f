//! What people are told when a registry cannot be used: what happened, where, and what to do.

use crate::{
    debian_registry::DebianRegistry,
    fake::{Fake, Reply},
    support::{basic, options, reference},
};
use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
};
use strake_oci::Digest;
use strake_registry::{Anonymous, Client, Error, Keychain, Options, Proxies, Retries};

const CA: &[u8] = include_bytes!("../data/ca.pem");
const NAMED: &str = "registry.test";

struct Told {
    error: Error,
    text: String,
}

impl Told {
    /// Asks a registry for a blob, which fails.
    fn by(host: &str, more: impl FnOnce(&mut Options)) -> Told {
        Told::with(host, Arc::new(Anonymous), more)
    }

    fn with(host: &str, keychain: Arc<dyn Keychain>, more: impl FnOnce(&mut Options)) -> Told {
        let mut options = options(keychain);
        options.retries = Retries { attempts: 1, ..options.retries };
        options.resolve.insert(NAMED.to_owned(), ([127, 0, 0, 1], 0).into());
        more(&mut options);
        let name = reference(&format!("{host}/team/app:1"));
        let asked = Client::new(options).unwrap().blob_exists(&name, &Digest::of(b""));
        let error = asked.unwrap_err();
        let hint = error.hint().expect("something can be done");
        Told { text: format!("{error}\nhint: {hint}"), error }
    }

    /// Each word is there, and no secret is.
    fn says(&self, words: &[&str]) {
        for word in words {
            assert!(self.text.contains(word), "no `{word}` in:\n{}", self.text);
        }
        let all = format!("{:?} {}", self.error, self.text);
        assert!(!all.contains("wr0ng-word"), "{all}");
    }
}

#[test]
fn without_a_login_and_with_a_wrong_one() {
    let registry = DebianRegistry::with_login();
    let host = registry.host();
    let login = format!("strake login {host}");
    Told::by(&host, |_| {}).says(&[&host, "asks for credentials", &login]);
    let wrong = Told::with(&host, basic("ann", "wr0ng-word"), |_| {});
    wrong.says(&[&host, "refused the credentials", &login]);
}

#[test]
fn certificates() {
    let registry = DebianRegistry::with_tls();
    let host = registry.host();
    Told::by(&host, |_| {}).says(&[
        &format!("the certificate of {host} is not trusted: its issuer is not known"),
        &format!("--registry-ca {host}=FILE"),
        &format!("--insecure-registry {host}"),
    ]);
    let named = format!("{NAMED}:{}", registry.port);
    let told = Told::by(&named, |it| it.ca = vec![CA.to_vec()]);
    told.says(&[&named, "but for localhost, 127.0.0.1", "by a name that its certificate has"]);
}

#[test]
fn tls_where_there_is_none_and_none_where_there_is() {
    let plain = DebianRegistry::start();
    let named = format!("{NAMED}:{}", plain.port);
    let told = Told::by(&named, |_| {});
    told.says(&[&named, "it does not speak TLS", &format!("--plain-http {named}")]);
    let tls = DebianRegistry::with_tls();
    let host = tls.host();
    let told = Told::by(&host, |it| it.plain_http = [host.clone()].into());
    told.says(&[&host, "may want TLS", &format!("leave out `--plain-http {host}`")]);
}

#[test]
fn nobody_there_and_no_such_name() {
    let registry = DebianRegistry::start();
    let named = format!("{NAMED}:{}", registry.port);
    drop(registry);
    Told::by(&named, |_| {}).says(&[&named, "Connection refused", "check host and port"]);
    let told = Told::by("registry.invalid", |_| {});
    told.says(&["registry.invalid", "its name cannot be resolved", "/etc/resolv.conf"]);
}

#[test]
fn proxies() {
    let asked = |https: String| {
        let except = String::new();
        Told::by(NAMED, |it| {
            it.proxies = Proxies::Explicit { http: None, https: Some(https), except };
        })
    };
    let gone = asked("http://127.0.0.1:1".to_owned());
    gone.says(&[NAMED, "the proxy for https cannot be reached", "HTTPS_PROXY", "NO_PROXY"]);
    for (status, why) in [(407, "wants a user and a password"), (502, "refuses to connect")] {
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = proxy.local_addr().unwrap().port();
        let answering = std::thread::spawn(move || {
            let (mut near, _) = proxy.accept().unwrap();
            let _ = near.read(&mut [0; 4096]);
            let _ = write!(near, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
        });
        let told = asked(format!("http://ann:wr0ng-word@127.0.0.1:{port}"));
        told.says(&[NAMED, "the proxy for https", why, "HTTPS_PROXY"]);
        answering.join().unwrap();
    }
}

#[test]
fn why_a_question_without_a_body_was_denied() {
    let words = r#"{"errors":[{"code":"DENIED","message":"the token has expired"}]}"#;
    let fake = Fake::start(move |_, _| Some(Reply::status(403).body(words)));
    Told::by(&fake.host(), |_| {}).says(&[&fake.host(), "denied HEAD", "the token has expired"]);
}
