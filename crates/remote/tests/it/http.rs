//! Files of web servers.

use crate::server::{Server, response};
use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use strake_cache::Store;
use strake_oci::Digest;
use strake_plan::HttpSource;
use strake_registry::Retries;
use strake_remote::{HttpFile, Options, Remote, RemoteError};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

fn remote(secrets: &[(&str, &str)]) -> Remote {
    let mut options = Options::standard();
    let moment = Duration::from_millis(1);
    options.retries = Retries { attempts: 3, base: moment, ceiling: moment, patience: moment };
    let secrets = secrets.iter().map(|(id, value)| ((*id).to_owned(), value.as_bytes().to_vec()));
    Remote::new(options, secrets.collect::<BTreeMap<_, _>>())
}

fn fetch(store: &Store, url: &str) -> Result<HttpFile, RemoteError> {
    remote(&[]).http(store, &HttpSource { url: url.to_owned(), checksum: None })
}

#[test]
fn a_file_has_the_url_s_name_and_the_server_s_time() {
    let server = Server::new(|_| {
        let headers = ["Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT"];
        response("200 OK", &headers, b"hello")
    });
    let (_dir, store) = store();
    let file = fetch(&store, &server.url("/some/a%20file.txt?x=y")).unwrap();
    assert_eq!(file.name, b"a file.txt");
    assert_eq!((file.mtime, file.size), (1_445_412_480, 5));
    assert_eq!(file.digest, Digest::of(b"hello"));
    assert_eq!(fs::read(&file.path).unwrap(), b"hello");
}

#[test]
fn without_a_time_it_is_1970() {
    let server = Server::new(|_| response("200 OK", &[], b""));
    let (_dir, store) = store();
    assert_eq!(fetch(&store, &server.url("/a")).unwrap().mtime, 0);
}

#[test]
fn what_did_not_change_is_not_sent_again() {
    for tag in ["ETag: \"1\"", "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT"] {
        let server = Server::new(move |asked| {
            let known = asked.header("if-none-match").or(asked.header("if-modified-since"));
            match known {
                Some(_) => response("304 Not Modified", &[], b""),
                None => response("200 OK", &[tag], b"hello"),
            }
        });
        let (_dir, store) = store();
        let first = fetch(&store, &server.url("/a")).unwrap();
        let second = fetch(&store, &server.url("/a")).unwrap();
        assert_eq!(first, second);
        let asked = server.asked();
        assert_eq!(asked.len(), 2);
        let (_, value) = tag.split_once(": ").unwrap();
        assert!(asked[1].headers.iter().any(|it| it.1 == value), "{asked:?}");
    }
}

#[test]
fn a_new_file_takes_the_old_one_s_place() {
    let count = AtomicU32::new(0);
    let server = Server::new(move |_| {
        let count = count.fetch_add(1, Ordering::SeqCst);
        response("200 OK", &[&format!("ETag: \"{count}\"")], format!("body {count}").as_bytes())
    });
    let (_dir, store) = store();
    assert_eq!(fetch(&store, &server.url("/a")).unwrap().digest, Digest::of(b"body 0"));
    assert_eq!(fetch(&store, &server.url("/a")).unwrap().digest, Digest::of(b"body 1"));
}

#[test]
fn one_build_asks_once() {
    let server = Server::new(|_| response("200 OK", &[], b"hello"));
    let (_dir, store) = store();
    let remote = remote(&[]);
    let source = HttpSource { url: server.url("/a"), checksum: None };
    assert_eq!(remote.http(&store, &source).unwrap(), remote.http(&store, &source).unwrap());
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_checksum_is_verified_and_saves_the_next_request() {
    let server = Server::new(|_| response("200 OK", &[], b"hello"));
    let (_dir, store) = store();
    let with = |checksum| {
        let source = HttpSource { url: server.url("/a?token=x"), checksum: Some(checksum) };
        remote(&[]).http(&store, &source)
    };
    let error = with(Digest::of(b"other")).unwrap_err();
    let (wanted, got) = (Digest::of(b"other"), Digest::of(b"hello"));
    let url = server.url("/a");
    assert_eq!(error.to_string(), format!("{url} is {got}, not {wanted} as --checksum says"));
    assert_eq!(
        error.hint().unwrap(),
        format!("if the new file is the right one, write --checksum={got}")
    );
    with(got).unwrap();
    with(got).unwrap();
    assert_eq!(server.asked().len(), 1, "the store has that file");
}

#[test]
fn a_short_body_is_tried_again_and_then_an_error() {
    let server = Server::new(|_| response("200 OK", &["content-length: 10"], b"hello"));
    let (_dir, store) = store();
    let error = fetch(&store, &server.url("/a")).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot fetch {}: ", server.url("/a"))), "{error}");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let count = AtomicU32::new(0);
    let server = Server::new(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => response("503 Service Unavailable", &[], b""),
        _ => response("200 OK", &[], b"hello"),
    });
    let (_dir, store) = store();
    fetch(&store, &server.url("/a")).unwrap();
}

#[test]
fn refusals_are_named() {
    let server = Server::new(|asked| match asked.path.as_str() {
        "/private" => response("403 Forbidden", &[], b""),
        "/loop" => response("302 Found", &["Location: /loop"], b""),
        "/nowhere" => response("302 Found", &["Location: ftp://h/a"], b""),
        _ => response("404 Not Found", &[], b""),
    });
    let (_dir, store) = store();
    let error = |path: &str| fetch(&store, &server.url(path)).unwrap_err();
    let url = |path: &str| server.url(path);
    assert_eq!(
        error("/none").to_string(),
        format!("cannot fetch {}: the server answered 404 Not Found", url("/none"))
    );
    let hint = "give credentials with --secret id=HTTP_AUTH_TOKEN_127.0.0.1,src=FILE";
    assert_eq!(error("/private").hint().unwrap(), hint);
    assert_eq!(
        error("/loop").to_string(),
        format!("cannot fetch {}: more than 10 redirects", url("/loop"))
    );
    assert_eq!(
        error("/nowhere").to_string(),
        format!("cannot fetch {}: it redirects to ftp://h/a", url("/nowhere"))
    );
}

#[test]
fn a_server_that_is_down_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    drop(listener);
    let (_dir, store) = store();
    let error = fetch(&store, &url).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot fetch {url}: ")), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn credentials_go_to_their_host_only() {
    let server = Server::new(|asked| match asked.path.as_str() {
        "/a" => response("302 Found", &["Location: /b"], b""),
        path => match path.strip_prefix("/to/") {
            Some(host) => response("302 Found", &[&format!("Location: http://{host}/c")], b""),
            None => response("200 OK", &[], b"hello"),
        },
    });
    let (_dir, store) = store();
    let secrets = [("HTTP_AUTH_TOKEN_127.0.0.1", "geheim\n"), ("HTTP_AUTH_HEADER_localhost", "x")];
    let fetch = |url: String| {
        remote(&secrets).http(&store, &HttpSource { url, checksum: None }).unwrap();
    };
    fetch(server.url("/a"));
    let other = server.other_url("").replace("http://", "");
    fetch(server.url(&format!("/to/{other}")));
    fetch(server.url("/a").replace("http://", "http://user:pass@"));
    let sent: Vec<(String, Option<String>)> = server
        .asked()
        .into_iter()
        .map(|it| (it.path.clone(), it.header("authorization").map(str::to_owned)))
        .collect();
    let bearer = Some("Bearer geheim".to_owned());
    assert_eq!(sent[0], ("/a".to_owned(), bearer.clone()));
    assert_eq!(sent[1], ("/b".to_owned(), bearer.clone()));
    assert_eq!(sent[2].1, bearer);
    assert_eq!(sent[3], ("/c".to_owned(), None), "another host gets nothing");
    let records = fs::read_dir(store.root().join("fetched")).unwrap();
    for record in records {
        let text = fs::read_to_string(record.unwrap().path()).unwrap();
        assert!(!text.contains("geheim") && !text.contains("pass"), "{text}");
    }
}
