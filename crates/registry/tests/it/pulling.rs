//! What pulls believe, what they do not, and what they resume.

use crate::{
    fake::{Fake, Reply, Request},
    support::{amd64, client_of, image, noise, options_of, reference},
};
use strake_oci::{Descriptor, Digest, Index, Platform, Raw, Reference, media_type};
use strake_registry::{Client, Error, Options, Proxies, PushImage};

/// A blob of this client, from repository `a`.
fn pull(client: &Client, fake: &Fake, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let blob = Descriptor::new(media_type::OCI_LAYER, Digest::of(bytes), bytes.len() as u64);
    let mut got = Vec::new();
    client.pull_blob(&reference(&fake.name("a")), &blob, &mut got, &|_| {})?;
    Ok(got)
}

fn is_get(request: &Request) -> bool {
    request.is("GET", "/blobs/")
}

#[test]
fn a_broken_connection_costs_only_what_is_missing() {
    let bytes = noise(11, 300_000);
    let body = bytes.clone();
    let fake = Fake::start(move |request, seen| {
        let whole = Reply::status(200).body(body.clone());
        (is_get(request) && seen == 0).then_some(Reply { cut: Some(200_000), ..whole })
    });
    fake.put_blob("a", &bytes);
    assert!(pull(&client_of(&fake), &fake, &bytes).unwrap() == bytes);
    let gets: Vec<_> = fake.log().into_iter().filter(is_get).collect();
    assert_eq!(gets.len(), 2);
    let start: u64 =
        gets[1].header("range")["bytes=".len()..].split('-').next().unwrap().parse().unwrap();
    assert!(start > 0 && start <= 200_000, "{start}");
}

#[test]
fn a_stalled_transfer_goes_on_elsewhere() {
    let bytes = noise(17, 300_000);
    let body = bytes.clone();
    let fake = Fake::start(move |request, seen| {
        let whole = Reply::status(200).body(body.clone());
        let stalled = Reply { cut: Some(200_000), stalls: true, ..whole };
        (is_get(request) && seen == 0).then_some(stalled)
    });
    fake.put_blob("a", &bytes);
    let mut options = options_of(&fake);
    options.patience.idle = std::time::Duration::from_millis(400);
    assert!(pull(&Client::new(options).unwrap(), &fake, &bytes).unwrap() == bytes);
    assert_eq!(fake.count("GET", "/blobs/"), 2);
}

#[test]
fn a_registry_without_ranges_sends_it_again() {
    let bytes = noise(12, 300_000);
    let body = bytes.clone();
    let fake = Fake::start(move |request, seen| {
        let whole = Reply::status(200).body(body.clone());
        let cut = (seen == 0).then_some(150_000);
        is_get(request).then_some(Reply { cut, ..whole })
    });
    assert!(pull(&client_of(&fake), &fake, &bytes).unwrap() == bytes);
}

#[test]
fn damaged_blobs_are_refused_and_asked_for_again_when_a_file_is_written() {
    let bytes = noise(13, 1000);
    let other = noise(14, 1000);
    let fake = Fake::start(move |request, seen| {
        (is_get(request) && seen < 2).then(|| Reply::status(200).body(other.clone()))
    });
    fake.put_blob("a", &bytes);
    let client = client_of(&fake);
    let error = pull(&client, &fake, &bytes).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    let blob = Descriptor::new(media_type::OCI_LAYER, Digest::of(&bytes), 1000);
    client.pull_blob_to(&reference(&fake.name("a")), &blob, &path, &|_| {}).unwrap();
    assert!(fs_err::read(path).unwrap() == bytes);
}

#[test]
fn endless_and_short_blobs_are_refused() {
    let bytes = noise(15, 1000);
    for length in [999, 1001, 1 << 20] {
        let body = noise(15, length);
        let fake = Fake::start(move |request, _| {
            is_get(request).then(|| Reply::status(200).body(body.clone()))
        });
        let error = pull(&client_of(&fake), &fake, &bytes).unwrap_err();
        let refused = matches!(error, Error::WrongSize { .. } | Error::WrongDigest { .. });
        assert!(refused, "{length}: {error}");
    }
}

#[test]
fn credentials_do_not_follow_a_redirect() {
    let bytes = noise(16, 1000);
    let body = bytes.clone();
    let storage = Fake::start(move |_, _| Some(Reply::status(200).body(body.clone())));
    let location = format!("http://localhost:{}/signed?sig=secret", storage.port);
    let fake = Fake::start(move |request, _| {
        if request.header("authorization").is_empty() {
            return Some(Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\""));
        }
        is_get(request).then(|| Reply::status(307).with("Location", &location))
    });
    let mut options = options_of(&fake);
    options.keychain = crate::support::basic("ann", "hunter2");
    let client = Client::new(options).unwrap();
    assert!(pull(&client, &fake, &bytes).unwrap() == bytes);
    let seen = storage.log();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), "");
    assert_eq!(seen[0].query, "sig=secret");
    assert!(fake.log().iter().any(|it| it.header("authorization").starts_with("Basic ")));
}

#[test]
fn errors_after_a_redirect_do_not_show_the_signature() {
    let storage = Fake::start(|_, _| Some(Reply::status(403).body("<Error/>")));
    let location = format!("http://localhost:{}/signed?sig=secret", storage.port);
    let fake = Fake::start(move |request, _| {
        is_get(request).then(|| Reply::status(307).with("Location", &location))
    });
    let error = pull(&client_of(&fake), &fake, b"x").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}

#[test]
fn redirects_in_a_circle_end() {
    let fake = Fake::start(|request, _| {
        is_get(request).then(|| Reply::status(302).with("Location", &request.path))
    });
    let error = pull(&client_of(&fake), &fake, b"x").unwrap_err();
    assert!(matches!(error, Error::BadLocation { .. }), "{error}");
}

fn serve(fake: &Fake, image: &PushImage, tag: &str) -> Descriptor {
    let bytes = &image.manifest.bytes;
    fake.put_manifest("a", tag, media_type::OCI_MANIFEST, bytes);
    fake.put_blob("a", &image.config);
    Descriptor::new(media_type::OCI_MANIFEST, image.manifest.digest(), bytes.len() as u64)
}

fn resolve(fake: &Fake, name: &Reference) -> Result<strake_registry::Resolved, Error> {
    client_of(fake).resolve(name, &amd64())
}

#[test]
fn the_platforms_manifest_is_found_in_an_index() {
    let fake = Fake::honest();
    let folder = tempfile::tempdir().unwrap();
    let (arm, amd) = (image(folder.path(), &[b"arm"]), image(folder.path(), &[b"amd"]));
    let at = |platform: &str, it: Descriptor| Descriptor {
        platform: Some(platform.parse::<Platform>().unwrap()),
        ..it
    };
    let index = Raw::write(Index {
        schema_version: 2,
        media_type: Some(media_type::DOCKER_INDEX.to_owned()),
        manifests: vec![
            at("unknown/unknown", serve(&fake, &arm, "x")),
            at("linux/arm64", serve(&fake, &arm, "arm")),
            at("linux/amd64", serve(&fake, &amd, "amd")),
        ],
        annotations: Default::default(),
    });
    fake.put_manifest("a", "1", media_type::DOCKER_INDEX, &index.bytes);
    let name = reference(&fake.name("a:1"));
    let resolved = resolve(&fake, &name).unwrap();
    assert_eq!((resolved.digest, &resolved.manifest), (index.digest(), &amd.manifest));
    assert_eq!(resolved.index.unwrap().bytes, index.bytes);
    let config = client_of(&fake).config(&name, &resolved.manifest.value.config).unwrap();
    assert_eq!(config.bytes, amd.config);
    let pinned = resolve(&fake, &name.at(index.digest())).unwrap();
    assert_eq!(pinned.manifest, amd.manifest);

    let windows = "windows/amd64".parse().unwrap();
    let error = client_of(&fake).resolve(&name, &windows).unwrap_err();
    assert!(error.to_string().contains("linux/amd64, linux/arm64"), "{error}");
}

#[test]
fn manifests_that_lie_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (image(folder.path(), &[b"1"]), image(folder.path(), &[b"2"]));
    // Asked for by digest, and another came.
    let bytes = two.manifest.bytes.clone();
    let fake = Fake::start(move |request, _| {
        request.is("GET", "/manifests/").then(|| Reply::status(200).body(bytes.clone()))
    });
    let error = resolve(&fake, &reference(&fake.name("a")).at(one.manifest.digest())).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    // The header says another digest than the body has.
    let bytes = two.manifest.bytes.clone();
    let said = one.manifest.digest().to_string();
    let fake = Fake::start(move |request, _| {
        let reply = Reply::status(200).with("Docker-Content-Digest", &said).body(bytes.clone());
        request.is("GET", "/manifests/").then_some(reply)
    });
    let error = resolve(&fake, &reference(&fake.name("a:1"))).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
}

#[test]
fn hostile_manifests_are_refused() {
    let endless = vec![b' '; 5 << 20];
    let circle = r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","size":2,"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}]}"#;
    for (kind, body, words) in [
        (media_type::OCI_MANIFEST, endless.as_slice(), "larger than 4194304 bytes"),
        (media_type::OCI_MANIFEST, b"<html>", "cannot be read"),
        (media_type::OCI_INDEX, circle.as_bytes(), "returned"),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", b"{}", "schema 1"),
        ("text/html", b"{}", "`text/html`, not an image"),
    ] {
        let body = body.to_vec();
        let fake = Fake::start(move |request, _| {
            let reply = Reply::status(200).with("Content-Type", kind).body(body.clone());
            request.is("GET", "/manifests/").then_some(reply)
        });
        let error = resolve(&fake, &reference(&fake.name("a:1"))).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let fake = Fake::honest();
    let error = resolve(&fake, &reference(&fake.name("a:1"))).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let error = pull(&client_of(&fake), &fake, b"x").unwrap_err();
    assert!(error.to_string().contains(&Digest::of(b"x").to_string()), "{error}");
    assert_eq!(client_of(&fake).head_manifest(&reference(&fake.name("a:1"))).unwrap(), None);
}

/// A proxy that answers twice gives the answers of earlier requests, of a PUT of the same bytes say: a name
/// that seems to be there already would not be written.
#[test]
fn an_answer_to_another_question_is_asked_for_again() {
    let digest = Digest::of(b"{}").to_string();
    let fake = Fake::start(move |request, number| {
        let stale = Reply::status(201).with("Docker-Content-Digest", &digest);
        (request.is("HEAD", "/manifests/") && number == 0).then_some(stale)
    });
    assert_eq!(client_of(&fake).head_manifest(&reference(&fake.name("a:1"))).unwrap(), None);
}

#[test]
fn a_registry_that_is_down_is_named() {
    let name = reference("127.0.0.1:1/a:1");
    let error = crate::support::anonymous().resolve(&name, &amd64()).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn loopback_without_tls_needs_no_option() {
    let fake = Fake::honest();
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[b"1"]);
    serve(&fake, &image, "1");
    for host in ["127.0.0.1", "localhost"] {
        let name = reference(&format!("{host}:{}/a:1", fake.port));
        let resolved = crate::support::anonymous().resolve(&name, &amd64()).unwrap();
        assert_eq!(resolved.manifest, image.manifest);
    }
}

#[test]
fn a_proxy_is_used_and_told_nothing_it_need_not_know() {
    let proxy = Fake::start(|_, _| Some(Reply::status(404)));
    let options = |except: &str| Options {
        plain_http: ["registry.invalid".to_owned()].into(),
        proxies: Proxies::Explicit {
            http: Some(format!("http://{}", proxy.host())),
            https: None,
            except: except.to_owned(),
        },
        ..options_of(&proxy)
    };
    let name = reference("registry.invalid/a:1");
    let error = Client::new(options("")).unwrap().resolve(&name, &amd64()).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert_eq!(proxy.log()[0].path, "http://registry.invalid/v2/a/manifests/1");

    let error = Client::new(options(".invalid")).unwrap().resolve(&name, &amd64()).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert_eq!(proxy.log().len(), 1);
}

#[test]
fn broken_options_are_named() {
    let broken = Options { user_agent: "a\nb".to_owned(), ..options_of(&Fake::honest()) };
    assert!(matches!(Client::new(broken), Err(Error::BadOption { what: "user agent", .. })));
    let pem = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n".to_vec();
    let broken = Options { ca: vec![pem], ..options_of(&Fake::honest()) };
    let error = Client::new(broken).unwrap().head_manifest(&reference("localhost:1/a"));
    assert!(matches!(error, Err(Error::BadOption { what: "certificate bundle", .. })));
}
