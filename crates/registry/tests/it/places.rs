//! Mirrors and certificates of single registries.

use crate::{
    debian_registry::DebianRegistry,
    fake::{Fake, Reply},
    support::{amd64, anonymous, image, noise, options, reference},
};
use std::sync::{Arc, Mutex};
use strake_oci::media_type;
use strake_registry::{Anonymous, Certificates, Client, Error, Mirror, Options};

/// A fake with an image in repository `a`, and the image.
fn filled(fake: &Fake, repository: &str) -> strake_registry::PushImage {
    let folder = tempfile::tempdir().unwrap();
    let layer = noise(1, 3 << 20);
    let image = image(folder.path(), &[&layer]);
    fake.put_blob(repository, &layer);
    fake.put_blob(repository, &image.config);
    fake.put_manifest(repository, "1", media_type::OCI_MANIFEST, &image.manifest.bytes);
    image
}

fn reading(prefix: &str, places: &[String], falls_back: bool) -> (Client, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let mirrors = vec![Mirror { prefix: prefix.to_owned(), places: places.to_vec(), falls_back }];
    let options = Options {
        mirrors,
        on_retry: Some(Arc::new(move |it| hears.lock().unwrap().push(it.cause.clone()))),
        ..options(Arc::new(Anonymous))
    };
    (Client::new(options).unwrap(), told)
}

fn pull(client: &Client, name: &str) -> Result<Vec<u8>, Error> {
    let found = client.resolve(&reference(name), &amd64())?;
    let mut layer = Vec::new();
    let descriptor = &found.manifest.value.layers[0];
    client.pull_blob(&reference(name), descriptor, &mut layer, &|_| {})?;
    Ok(layer)
}

#[test]
fn a_mirror_is_asked_first_and_passed_over_when_it_fails() {
    let (registry, good, empty) = (Fake::honest(), Fake::honest(), Fake::honest());
    // Breaks in the middle of each blob.
    let broken = Fake::start(|request, _| {
        let whole = Reply::status(200).with("Content-Length", "3145728").body(noise(1, 1 << 20));
        let cut = Reply { cut: Some(1 << 20), ..whole };
        request.is("GET", "/blobs/").then_some(cut)
    });
    for (fake, repository) in [(&registry, "a"), (&good, "hub/a"), (&broken, "a")] {
        filled(fake, repository);
    }
    let (client, _) = reading(&registry.host(), &[good.name("hub")], true);
    assert!(pull(&client, &registry.name("a:1")).unwrap() == noise(1, 3 << 20));
    assert!(registry.log().is_empty(), "the mirror had it all");

    let dead = "127.0.0.1:1".to_owned();
    let (client, told) = reading(&registry.host(), &[dead, empty.host(), broken.host()], true);
    assert!(pull(&client, &registry.name("a:1")).unwrap() == noise(1, 3 << 20));
    let told = told.lock().unwrap().join("\n");
    assert!(told.contains("127.0.0.1:1/a:1 is passed over"), "{told}");
    let last = registry.log().last().cloned().unwrap();
    assert!(!last.header("range").is_empty(), "what the mirror had sent was kept");
}

#[test]
fn a_map_takes_the_names_place() {
    let (registry, corp) = (Fake::honest(), Fake::honest());
    filled(&registry, "a");
    let prefix = registry.host();
    let (client, _) = reading(&prefix, &[corp.name("base")], false);
    let error = pull(&client, &registry.name("a:1")).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert!(error.to_string().contains(&corp.host()) && registry.log().is_empty(), "{error}");
}

#[test]
fn certificates_are_for_their_registry_only() {
    let registry = DebianRegistry::with_tls();
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[b"small"]);
    let target = reference(&registry.name("tls:1"));
    assert!(anonymous().push_image(&image, std::slice::from_ref(&target), &|_| {}).is_err());
    let ca = fs_err::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ca.pem")).unwrap();
    for (host, good) in [(registry.host(), true), ("other.io".to_owned(), false)] {
        let ca = ca.clone();
        let own = Certificates { ca: vec![ca], client: None };
        let options = Options {
            host_tls: Some(Arc::new(move |it| (it == host).then(|| own.clone()))),
            ..options(Arc::new(Anonymous))
        };
        let pushed = Client::new(options).unwrap().push_image(
            &image,
            std::slice::from_ref(&target),
            &|_| {},
        );
        assert_eq!(pushed.is_ok(), good);
    }
    let broken = Options {
        host_tls: Some(Arc::new(|_| {
            let client = Some((b"no".to_vec(), b"key".to_vec()));
            Some(Certificates { ca: Vec::new(), client })
        })),
        ..options(Arc::new(Anonymous))
    };
    let error = Client::new(broken).unwrap().head_manifest(&target).unwrap_err();
    assert!(matches!(error, Error::BadOption { what: "client certificate", .. }), "{error}");
}

#[test]
fn why_the_mirrors_were_no_help() {
    let (empty, busy) = (Fake::honest(), Fake::start(|_, _| Some(Reply::status(502))));
    let (client, _) = reading("127.0.0.1:1", &[empty.host(), busy.host()], true);
    let error = pull(&client, "127.0.0.1:1/a:1").unwrap_err();
    let text = format!("{error} {}", error.hint().unwrap());
    for word in [
        "cannot reach 127.0.0.1:1:",
        &format!("its mirror: {} was not found; ", empty.name("a:1")),
        &format!("http://{}/v2/a/manifests/1: 502", busy.host()),
        "nothing listens there",
    ] {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
}
