//! Files of web servers.

use crate::server::{Server, response};
use flate2::{Compression, write::GzEncoder};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use strake_cache::Store;
use strake_oci::Digest;
use strake_plan::HttpSource;
use strake_registry::{Patience, Retries};
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
    for tag in ["\"1\"", "W/\"1\""] {
        let server = Server::new(move |asked| match asked.header("if-none-match") == Some(tag) {
            true => response("304 Not Modified", &[], b""),
            false => response("200 OK", &[&format!("ETag: {tag}")], b"hello"),
        });
        let (_dir, store) = store();
        let first = fetch(&store, &server.url("/a")).unwrap();
        let second = fetch(&store, &server.url("/a")).unwrap();
        assert_eq!(first, second);
        assert_eq!(server.asked().len(), 2);
    }
}

/// A file that is put back has an old time, files made reproducibly all have one: a time alone does not
/// say that a file is the same.
#[test]
fn a_time_alone_is_no_proof() {
    let count = AtomicU32::new(0);
    let server = Server::new(move |asked| {
        let body = format!("body {}", count.fetch_add(1, Ordering::SeqCst));
        match asked.header("if-modified-since") {
            Some(_) => response("304 Not Modified", &[], b""),
            None => {
                let time = "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT";
                response("200 OK", &[time], body.as_bytes())
            }
        }
    });
    let (_dir, store) = store();
    assert_eq!(fetch(&store, &server.url("/a")).unwrap().digest, Digest::of(b"body 0"));
    assert_eq!(fetch(&store, &server.url("/a")).unwrap().digest, Digest::of(b"body 1"));
}

#[test]
fn a_body_that_is_packed_for_the_way_is_taken_out() {
    let server = Server::new(|asked| {
        let coding = "Content-Encoding: gzip";
        let packed = gzip(b"hello");
        match asked.path.as_str() {
            "/packed" => response("200 OK", &[coding], &packed),
            "/twice" => response("200 OK", &[coding], &[&packed[..], &gzip(b" you")].concat()),
            "/empty" => response("200 OK", &[coding], b""),
            "/file.gz" => response("200 OK", &[], &packed),
            "/cut" => response("200 OK", &[coding], &packed[..packed.len() - 6]),
            _ => response("200 OK", &[coding], b"hello"),
        }
    });
    let (_dir, store) = store();
    let content = |path: &str| fs::read(fetch(&store, &server.url(path)).unwrap().path).unwrap();
    assert_eq!(content("/packed"), b"hello");
    assert_eq!(content("/twice"), b"hello you");
    assert_eq!(content("/empty"), b"");
    assert_eq!(content("/file.gz"), gzip(b"hello"), "what is no coding is the file");
    assert!(server.asked().iter().all(|it| it.header("accept-encoding") == Some("gzip")));
    for path in ["/cut", "/plain"] {
        let error = fetch(&store, &server.url(path)).unwrap_err().to_string();
        let told =
            format!("cannot fetch {}: the server calls it gzip, and it is not", server.url(path));
        assert!(error.starts_with(&told), "{error}");
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(content).unwrap();
    packed.finish().unwrap()
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
    let error = fetch(&store, &server.url("/a")).unwrap_err();
    let told = "the connection ended after 5 of 10 bytes";
    assert_eq!(error.to_string(), format!("cannot fetch {}: {told}", server.url("/a")));
    assert!(error.hint().is_some());
    assert_eq!(server.asked().len(), 3);
    assert_eq!(fs::read_dir(store.root().join("fetched")).map_or(0, Iterator::count), 0);
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
fn a_server_that_wants_to_be_left_alone_for_long_is_not_asked_again() {
    for after in ["Retry-After: 3600", "Retry-After: Wed, 21 Oct 2015 08:28:00 GMT"] {
        let server = Server::new(move |_| {
            let headers = ["Date: Wed, 21 Oct 2015 07:28:00 GMT", after];
            response("503 Service Unavailable", &headers, b"")
        });
        let (_dir, store) = store();
        fetch(&store, &server.url("/a")).unwrap_err();
        assert_eq!(server.asked().len(), 1, "{after}");
    }
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

/// A server that says something, and nothing more.
fn silent_after(words: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(words);
            open.push(stream);
        }
    });
    url
}

#[test]
fn a_server_that_falls_silent_is_left() {
    for words in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"] {
        let url = silent_after(words);
        let mut options = Options::standard();
        let moment = Duration::from_millis(30);
        options.patience = Patience { answer: moment, idle: moment, ..Patience::STANDARD };
        options.retries = Retries { attempts: 2, base: moment, ceiling: moment, patience: moment };
        let (_dir, store) = store();
        let source = HttpSource { url: url.clone(), checksum: None };
        let error = Remote::new(options, BTreeMap::new()).http(&store, &source).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot fetch {url}: the server sent nothing for 0 seconds")
        );
    }
}

#[test]
fn a_build_that_ends_does_not_wait() {
    let url = silent_after(b"");
    let remote = remote(&[]);
    let clone = remote.clone();
    let (_dir, store) = store();
    let waiting = std::thread::spawn(move || {
        clone.http(&store, &HttpSource { url, checksum: None }).unwrap_err()
    });
    remote.cancel();
    assert!(matches!(waiting.join().unwrap(), RemoteError::Cancelled));
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

/// As in Docker, a secret is for a host by its name: on whatever port, and not for another one.
#[test]
fn a_secret_follows_its_host_to_another_port() {
    let last = Server::new(|_| response("200 OK", &[], b"hello"));
    let to = last.url("/b");
    let other = last.other_url("/c");
    let first = Server::new(move |asked| match asked.path.as_str() {
        "/a" => response("302 Found", &[&format!("Location: {to}")], b""),
        _ => response("302 Found", &[&format!("Location: {other}")], b""),
    });
    let (_dir, store) = store();
    let secrets = [("HTTP_AUTH_HEADER_127.0.0.1", "Basic geheim")];
    for path in ["/a", "/elsewhere"] {
        let source = HttpSource { url: first.url(path), checksum: None };
        remote(&secrets).http(&store, &source).unwrap();
    }
    let sent: Vec<Option<String>> =
        last.asked().iter().map(|it| it.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent, [Some("Basic geheim".to_owned()), None]);
}
