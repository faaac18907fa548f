//! Against Debian's docker-registry, as it is installed.

use crate::{
    debian_registry::DebianRegistry,
    support::{amd64, anonymous, basic, image, noise, options, reference},
};
use std::{
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};
use strake_registry::{
    Anonymous, Client, DockerConfig, Error, Options, PushEvent, PushOutcome, PushSource,
};

#[test]
fn an_image_goes_there_and_comes_back() {
    let registry = DebianRegistry::start();
    let folder = tempfile::tempdir().unwrap();
    let (large, small) = (noise(1, 3 << 20), noise(2, 10));
    let image = image(folder.path(), &[&large, &small, b""]);
    let client = anonymous();
    let targets = [
        reference(&registry.name("one/app:v1")),
        reference(&registry.name("one/app:v2")),
        reference(&registry.name("two/app")),
    ];

    let events = Mutex::new(Vec::new());
    let pushed =
        client.push_image(&image, &targets, &|it| events.lock().unwrap().push(it)).unwrap();
    assert_eq!(pushed.digest, image.manifest.digest());
    assert_eq!(outcomes(&events, "one/app"), [PushOutcome::Uploaded; 3]);
    assert_eq!(outcomes(&events, "two/app"), [PushOutcome::Mounted; 3]);

    for target in &targets {
        let resolved = client.resolve(target, &amd64()).unwrap();
        assert_eq!(resolved.digest, pushed.digest);
        assert_eq!(resolved.manifest, image.manifest);
        assert_eq!(client.head_manifest(target).unwrap(), Some(pushed.digest));
        let config = client.config(target, &resolved.manifest.value.config).unwrap();
        assert_eq!(config.bytes, image.config);
        let mut layer = Vec::new();
        client.pull_blob(target, &resolved.manifest.value.layers[0], &mut layer, &|_| {}).unwrap();
        assert!(layer == large);
    }

    let events = Mutex::new(Vec::new());
    client.push_image(&image, &targets, &|it| events.lock().unwrap().push(it)).unwrap();
    assert_eq!(outcomes(&events, "app"), [PushOutcome::Exists; 6]);
}

fn outcomes(events: &Mutex<Vec<PushEvent>>, repository: &str) -> Vec<PushOutcome> {
    let outcome = |it: &PushEvent| match it {
        PushEvent::LayerDone { repository: at, outcome, .. } if at.ends_with(repository) => {
            Some(*outcome)
        }
        _ => None,
    };
    events.lock().unwrap().iter().filter_map(outcome).collect()
}

#[test]
fn a_layer_streams_from_one_registry_to_another() {
    let (from, to) = (DebianRegistry::start(), DebianRegistry::start());
    let folder = tempfile::tempdir().unwrap();
    let mut image = image(folder.path(), &[&noise(3, 2 << 20)]);
    let client = anonymous();
    let source = reference(&from.name("base:1"));
    client.push_image(&image, std::slice::from_ref(&source), &|_| {}).unwrap();
    drop(folder);

    image.layers[0].source = PushSource::Remote(source);
    let target = reference(&to.name("copy:1"));
    client.push_image(&image, std::slice::from_ref(&target), &|_| {}).unwrap();
    assert!(client.blob_exists(&target, &image.layers[0].descriptor.digest).unwrap());
    assert_eq!(client.resolve(&target, &amd64()).unwrap().digest, image.manifest.digest());
}

#[test]
fn a_login_is_needed_and_enough() {
    let registry = DebianRegistry::with_login();
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[&noise(4, 100_000)]);
    let target = reference(&registry.name("private:1"));

    let error = anonymous().push_image(&image, std::slice::from_ref(&target), &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Unauthorized { signed_in: false, .. }), "{error:?}");
    let wrong = Client::new(options(basic("ann", "hunter2"))).unwrap();
    let error = wrong.resolve(&target, &amd64()).unwrap_err();
    assert!(matches!(error, Error::Unauthorized { signed_in: true, .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("hunter2"));

    let right = Client::new(options(basic("ann", "secret"))).unwrap();
    right.push_image(&image, std::slice::from_ref(&target), &|_| {}).unwrap();
    assert_eq!(right.resolve(&target, &amd64()).unwrap().digest, image.manifest.digest());
}

#[test]
fn a_credential_helper_logs_in() {
    let registry = DebianRegistry::with_login();
    let folder = tempfile::tempdir().unwrap();
    let helper = folder.path().join("docker-credential-fake");
    let script = r#"#!/bin/sh
read server
echo "$1 $server" >> "$0.log"
printf '{"ServerURL":"%s","Username":"ann","Secret":"secret"}' "$server"
"#;
    fs_err::write(&helper, script).unwrap();
    fs_err::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = folder.path().join("config.json");
    let text = format!(r#"{{"credHelpers":{{"{}":"fake"}}}}"#, registry.host());
    fs_err::write(&config, text).unwrap();
    let keychain = DockerConfig::new(vec![config], folder.path().into());
    let client = Client::new(options(Arc::new(keychain))).unwrap();

    let image = image(folder.path(), &[&noise(4, 100_000), &noise(5, 10), &noise(6, 10)]);
    let target = reference(&registry.name("private:1"));
    client.push_image(&image, std::slice::from_ref(&target), &|_| {}).unwrap();
    assert_eq!(client.resolve(&target, &amd64()).unwrap().digest, image.manifest.digest());
    let log = fs_err::read_to_string(folder.path().join("docker-credential-fake.log")).unwrap();
    assert_eq!(log, format!("get {}\n", registry.host()), "asked once");
}

#[test]
fn tls_with_an_authority_of_its_own() {
    let registry = DebianRegistry::with_tls();
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[&noise(8, 3 << 20), b"small"]);
    let target = reference(&registry.name("tls:1"));

    let error = anonymous().push_image(&image, std::slice::from_ref(&target), &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("--registry-ca"));

    let ca = fs_err::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ca.pem")).unwrap();
    let trusting = Options { ca: vec![ca], ..options(Arc::new(Anonymous)) };
    let careless = Options { insecure: [registry.host()].into(), ..options(Arc::new(Anonymous)) };
    for options in [trusting, careless] {
        let client = Client::new(options).unwrap();
        client.push_image(&image, std::slice::from_ref(&target), &|_| {}).unwrap();
        assert_eq!(client.resolve(&target, &amd64()).unwrap().digest, image.manifest.digest());
        let mut layer = Vec::new();
        client.pull_blob(&target, &image.layers[0].descriptor, &mut layer, &|_| {}).unwrap();
        assert!(layer == noise(8, 3 << 20));
    }
}

#[test]
fn what_is_not_there() {
    let registry = DebianRegistry::start();
    let client = anonymous();
    let absent = reference(&registry.name("absent:1"));
    assert_eq!(client.head_manifest(&absent).unwrap(), None);
    let error = client.resolve(&absent, &amd64()).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("absent:1"));
}
