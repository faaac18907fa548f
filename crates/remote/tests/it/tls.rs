//! Servers with TLS, and what is told of those that cannot be trusted.

use crate::server::response;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    sync::Arc,
};
use strake_cache::Store;
use strake_plan::HttpSource;
use strake_remote::{Options, Remote, RemoteError};

/// Certificates of the registry's tests: for localhost and 127.0.0.1, by an authority of their own.
fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../registry/tests/data").join(name)
}

/// Answers each request with `hello`, on every address of this machine. Returns the port.
fn serve() -> u16 {
    let certificates = CertificateDer::pem_file_iter(data("server.pem")).unwrap();
    let certificates: Vec<_> = certificates.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(data("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            // Whoever does not trust the certificate goes away here.
            if stream.read(&mut [0; 4096]).is_ok() {
                let _ = stream.write_all(&response("200 OK", &[], b"hello"));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    port
}

fn fetch(url: &str, ca: Vec<Vec<u8>>) -> Result<u64, RemoteError> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let remote = Remote::new(Options { ca, ..Options::standard() }, BTreeMap::new());
    let file = remote.http(&store, &HttpSource { url: url.to_owned(), checksum: None })?;
    Ok(file.size)
}

#[test]
fn the_caller_says_whom_to_trust() {
    let port = serve();
    let ca = || vec![fs::read(data("ca.pem")).unwrap()];
    assert_eq!(fetch(&format!("https://localhost:{port}/a"), ca()).unwrap(), 5);

    let url = format!("https://localhost:{port}/a");
    let error = fetch(&url, Vec::new()).unwrap_err();
    let told =
        format!("cannot fetch {url}: the certificate is not trusted: its issuer is not known");
    assert_eq!(error.to_string(), told);
    assert!(error.hint().unwrap().ends_with("in SSL_CERT_FILE"), "{error}");

    let error = fetch(&format!("https://127.0.0.2:{port}/a"), ca()).unwrap_err();
    assert!(error.to_string().contains("not valid for name \"127.0.0.2\""), "{error}");
    assert_eq!(error.hint().unwrap(), "write the name that the certificate is for");
}

#[test]
fn a_server_without_tls_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = format!("http://{}/a", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&response("400 Bad Request", &[], b""));
        }
    });
    let url = plain.replacen("http", "https", 1);
    let error = fetch(&url, Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot fetch {url}: the server does not speak TLS"));
    assert_eq!(error.hint().unwrap(), format!("write {plain}, if it may come unprotected"));
}
