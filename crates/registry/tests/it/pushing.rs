//! What pushes send, in which order, and what survives which fault.

use crate::{
    fake::{Fake, Reply},
    support::{client_of, image, noise, reference},
};
use std::sync::Mutex;
use strake_oci::{Digest, media_type};
use strake_registry::{
    Client, Error, MountOutcome, Patience, PushEvent, PushImage, PushOutcome, PushSource,
};

fn push(client: &Client, image: &PushImage, target: &str) -> Result<Vec<PushOutcome>, Error> {
    let outcomes = Mutex::new(Vec::new());
    client.push_image(image, &[reference(target)], &|event| {
        if let PushEvent::LayerDone { outcome, .. } = event {
            outcomes.lock().unwrap().push(outcome);
        }
    })?;
    Ok(outcomes.into_inner().unwrap())
}

#[test]
fn three_requests_a_blob_and_tags_last() {
    let fake = Fake::honest();
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[b"one", b"two", b"one"]);
    let targets = ["a:1", "b:2", "a:3"].map(|it| reference(&fake.name(it)));
    client_of(&fake).push_image(&image, &targets, &|_| {}).unwrap();

    let log = fake.log();
    assert_eq!(fake.count("PUT", "/a/blobs/uploads/"), 3, "two layers and a config");
    assert_eq!(fake.count("HEAD", "/a/blobs/"), 3);
    assert_eq!(fake.count("PATCH", ""), 0);
    let first_tag = log
        .iter()
        .position(|it| it.is("PUT", "/manifests/") && !it.path.contains("sha256:"))
        .unwrap();
    let after = &log[first_tag..];
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|it| it.is("PUT", "/manifests/")), "only tags follow a tag");
    assert_eq!(fake.tags(), ["a:1", "a:3", "b:2"]);
    // The second repository takes everything from the first.
    assert_eq!(fake.count("PUT", "/b/blobs/uploads/"), 0);
}

#[test]
fn the_second_push_sends_nothing() {
    let fake = Fake::honest();
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[b"one", b"two"]);
    let target = fake.name("a:1");
    assert_eq!(push(&client_of(&fake), &image, &target).unwrap(), [PushOutcome::Uploaded; 2]);
    let before = fake.log().len();
    assert_eq!(push(&client_of(&fake), &image, &target).unwrap(), [PushOutcome::Exists; 2]);
    let second = &fake.log()[before..];
    assert!(second.len() == 1 && second[0].is("HEAD", "/manifests/1"), "{second:?}");
    // Another name is all that is written for the same image.
    let before = fake.log().len();
    push(&client_of(&fake), &image, &fake.name("a:2")).unwrap();
    let third = &fake.log()[before..];
    assert_eq!(third.iter().filter(|it| it.is("HEAD", "/manifests/2")).count(), 1, "{third:?}");
    let written: Vec<_> = third.iter().filter(|it| it.method != "HEAD").collect();
    assert!(written.len() == 1 && written[0].is("PUT", "/manifests/2"), "{written:?}");
}

#[test]
fn each_transient_fault_at_each_verb_is_survived() {
    for verb in ["HEAD", "POST", "PUT"] {
        for status in [408, 429, 500, 502, 503, 504] {
            let fake = Fake::start(move |request, seen| {
                (request.method == verb && seen == 0).then(|| Reply::status(status))
            });
            let folder = tempfile::tempdir().unwrap();
            let image = image(folder.path(), &[b"one"]);
            push(&client_of(&fake), &image, &fake.name("a:1"))
                .unwrap_or_else(|error| panic!("{verb} {status}: {error}"));
            assert!(fake.has_blob("a", &Digest::of(b"one")), "{verb} {status}");
            assert_eq!(fake.tags(), ["a:1"]);
        }
    }
}

#[test]
fn a_connection_that_breaks_in_an_upload_starts_it_over() {
    let fake = Fake::start(|request, seen| {
        let broken = Reply { cut: Some(0), ..Reply::status(201).with("Content-Length", "5") };
        (request.is("PUT", "/blobs/uploads/") && seen < 2).then_some(broken)
    });
    // The same, closed before the status line.
    let silent = Fake::start(|request, seen| {
        let nothing = Reply { cut: Some(0), status: 0, ..Reply::default() };
        (request.is("PUT", "/blobs/uploads/") && seen < 2).then_some(nothing)
    });
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[&noise(7, 2 << 20)]);
    for fake in [fake, silent] {
        push(&client_of(&fake), &image, &fake.name("a:1")).unwrap();
        assert_eq!(fake.tags(), ["a:1"]);
    }
}

#[test]
fn permanent_faults_are_one_clear_error_and_no_tag() {
    for (status, words) in [(503, "503"), (403, "denied"), (413, "413"), (400, "DIGEST_INVALID")] {
        let fake = Fake::start(move |request, _| {
            let error = r#"{"errors":[{"code":"DIGEST_INVALID","message":"no \u001b[31mway"}]}"#;
            let reply = Reply::status(status).body(error);
            request.is("PUT", "/blobs/uploads/").then_some(reply)
        });
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path(), &[b"one", b"two", b"three", b"four", b"five", b"six"]);
        let error = push(&client_of(&fake), &image, &fake.name("a:1")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(words) && text.contains(&fake.host()), "{text}");
        assert!(text.contains("no [31mway"), "{text}");
        assert!(!text.contains("state="), "queries stay out of messages: {text}");
        assert!(error.hint().is_some() || status == 400, "{text}");
        assert_eq!(fake.count("PUT", "/manifests/"), 0, "{status}");
    }
}

#[test]
fn a_registry_that_trips_over_another_push_is_asked_again() {
    let fake = Fake::start(|request, seen| {
        let error = r#"{"errors":[{"code":"DIGEST_INVALID","message":"digest invalid"}]}"#;
        let trips = request.is("PUT", "/manifests/") && seen == 0;
        trips.then(|| Reply::status(400).body(error))
    });
    let folder = tempfile::tempdir().unwrap();
    push(&client_of(&fake), &image(folder.path(), &[b"one"]), &fake.name("a:1")).unwrap();
    assert_eq!(fake.tags(), ["a:1"]);
}

#[test]
fn the_registrys_wish_to_wait_is_granted_or_told() {
    let limited = |after: &'static str| {
        Fake::start(move |request, seen| {
            let reply = Reply::status(429).with("Retry-After", after);
            (request.method == "HEAD" && seen == 0).then_some(reply)
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), &[b"one"]);
    let fake = limited("1");
    let waits = std::sync::Arc::new(Mutex::new(Vec::new()));
    let told = std::sync::Arc::clone(&waits);
    let mut options = crate::support::options_of(&fake);
    options.on_retry = Some(std::sync::Arc::new(move |it| told.lock().unwrap().push(it.wait)));
    push(&Client::new(options).unwrap(), &image, &fake.name("a:1")).unwrap();
    let waits = waits.lock().unwrap();
    assert!(!waits.is_empty() && waits.iter().all(|it| it.as_secs() >= 1), "{waits:?}");

    let fake = limited("86400");
    let error = push(&client_of(&fake), &image, &fake.name("a:1")).unwrap_err();
    assert!(matches!(error, Error::UnexpectedStatus { status: 429, .. }), "{error}");
    assert!(fake.tags().is_empty());
}

#[test]
fn a_refused_mount_is_an_upload() {
    for status in [202, 400, 401, 403, 404, 405] {
        let fake = Fake::start(move |request, _| {
            let reply = Reply::status(status).with("Location", "/v2/to/blobs/uploads/x");
            request.query.contains("mount=").then_some(reply)
        });
        fake.put_blob("from", b"one");
        let folder = tempfile::tempdir().unwrap();
        let mut image = image(folder.path(), &[b"one"]);
        image.layers[0].source = PushSource::Remote(reference(&fake.name("from:1")));
        let outcomes = push(&client_of(&fake), &image, &fake.name("to:1"));
        assert_eq!(outcomes.unwrap(), [PushOutcome::Uploaded], "{status}");
        assert!(fake.has_blob("to", &Digest::of(b"one")));
        // The session that came with a 202 is used.
        let posts = fake.count("POST", "/to/blobs/uploads/");
        assert_eq!(posts, if status == 202 { 2 } else { 3 }, "{status}");
    }
}

#[test]
fn a_mount_moves_no_byte() {
    let fake = Fake::honest();
    fake.put_blob("from", b"one");
    let folder = tempfile::tempdir().unwrap();
    let mut image = image(folder.path(), &[b"one"]);
    image.layers[0].source = PushSource::Remote(reference(&fake.name("from:1")));
    let outcomes = push(&client_of(&fake), &image, &fake.name("to:1"));
    assert_eq!(outcomes.unwrap(), [PushOutcome::Mounted]);
    assert_eq!((fake.count("GET", "/blobs/"), fake.count("PUT", "/blobs/")), (0, 1), "the config");

    let (client, digest) = (client_of(&fake), Digest::of(b"one"));
    let third = reference(&fake.name("third"));
    assert_eq!(client.mount_blob(&third, &digest, "from").unwrap(), MountOutcome::Mounted);
    assert_eq!(
        client.mount_blob(&third, &Digest::of(b"x"), "from").unwrap(),
        MountOutcome::Refused
    );
}

#[test]
fn sessions_are_found_wherever_they_are() {
    for form in ["path", "path?query", "url", "url?query", "relative"] {
        let port = std::sync::Arc::new(std::sync::OnceLock::<u16>::new());
        let known = std::sync::Arc::clone(&port);
        let fake = Fake::start(move |request, _| {
            let port = known.get()?;
            let location = match form {
                "path" => "/v2/a/blobs/uploads/x".to_owned(),
                "path?query" => "/v2/a/blobs/uploads/x?_state=a%3D&b".to_owned(),
                "url" => format!("http://127.0.0.1:{port}/v2/a/blobs/uploads/x"),
                "url?query" => format!("http://127.0.0.1:{port}/v2/a/blobs/uploads/x?c=d"),
                _ => "x".to_owned(),
            };
            let reply = Reply::status(202).with("Location", &location);
            (request.method == "POST").then_some(reply)
        });
        port.set(fake.port).unwrap();
        let folder = tempfile::tempdir().unwrap();
        push(&client_of(&fake), &image(folder.path(), &[b"one"]), &fake.name("a:1"))
            .unwrap_or_else(|error| panic!("{form}: {error}"));
        if form == "path?query" {
            let put = fake.log().into_iter().find(|it| it.is("PUT", "/uploads/")).unwrap();
            assert!(put.query.starts_with("_state=a%3D&b&digest=sha256"), "{}", put.query);
        }
    }
}

#[test]
fn a_session_without_a_place_is_an_error() {
    for reply in [
        Reply::status(202),
        Reply::status(202).with("Location", "ftp://x/"),
        Reply::status(202).with("Location", "http://["),
    ] {
        let fake = Fake::start(move |request, _| (request.method == "POST").then(|| reply.clone()));
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path(), &[b"one"]);
        let error = push(&client_of(&fake), &image, &fake.name("a:1")).unwrap_err();
        assert!(matches!(error, Error::BadLocation { .. }), "{error}");
    }
}

#[test]
fn a_file_that_changed_its_size_is_noticed() {
    for bytes in [&b"on"[..], b"onee"] {
        let fake = Fake::honest();
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path(), &[b"one"]);
        let PushSource::File(path) = &image.layers[0].source else { panic!("a file") };
        fs_err::write(path, bytes).unwrap();
        let error = push(&client_of(&fake), &image, &fake.name("a:1")).unwrap_err();
        assert!(matches!(error, Error::Read { .. }), "{error}");
        assert!(fake.tags().is_empty());
    }
}

#[test]
fn a_manifest_stored_under_another_digest_is_an_error() {
    let fake = Fake::start(|request, _| {
        let reply = Reply::status(201).with("Docker-Content-Digest", &Digest::of(b"").to_string());
        request.is("PUT", "/manifests/").then_some(reply)
    });
    let target = reference(&fake.name("a:1"));
    let stored = client_of(&fake).push_manifest(&target, media_type::OCI_MANIFEST, b"{}");
    assert!(matches!(stored, Err(Error::WrongDigest { .. })), "{stored:?}");
}

#[test]
fn an_image_without_one_of_its_layers_is_not_begun() {
    let fake = Fake::honest();
    let folder = tempfile::tempdir().unwrap();
    let mut image = image(folder.path(), &[b"one", b"two"]);
    image.layers.pop();
    let error = push(&client_of(&fake), &image, &fake.name("a:1")).unwrap_err();
    assert!(matches!(error, Error::Incomplete { .. }), "{error}");
    assert!(fake.log().is_empty());
}

#[test]
fn silence_is_not_waited_for_forever() {
    for verb in ["HEAD", "POST", "PUT"] {
        let fake = Fake::start(move |request, seen| {
            (request.method == verb && seen == 0).then(Reply::silence)
        });
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path(), &[b"one"]);
        let mut options = crate::support::options_of(&fake);
        let short = std::time::Duration::from_millis(400);
        options.patience = Patience { answer: short, commit: short, ..options.patience };
        push(&Client::new(options).unwrap(), &image, &fake.name("a:1")).unwrap();
        assert_eq!(fake.tags(), ["a:1"], "{verb}");
    }
}

#[test]
fn a_source_that_fails_is_the_error() {
    let (from, to) = (Fake::honest(), Fake::honest());
    let folder = tempfile::tempdir().unwrap();
    let mut image = image(folder.path(), &[b"one"]);
    image.layers[0].source = PushSource::Remote(reference(&from.name("base:1")));
    let mut options = crate::support::options_of(&to);
    options.plain_http.insert(from.host());
    let error = push(&Client::new(options).unwrap(), &image, &to.name("a:1")).unwrap_err();
    assert!(matches!(error, Error::BlobMissing { .. }), "{error:?}");
    assert!(error.to_string().contains(&from.host()), "{error}");
    assert!(to.tags().is_empty());
}

#[test]
fn an_immutable_tag_is_fine_when_it_is_this_image() {
    let fake = Fake::start(|request, seen| {
        let error = r#"{"errors":[{"code":"TAG_INVALID","message":"the tag is immutable"}]}"#;
        (request.is("PUT", "/manifests/1") && seen > 0).then(|| Reply::status(400).body(error))
    });
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (image(folder.path(), &[b"one"]), image(folder.path(), &[b"two"]));
    let target = fake.name("a:1");
    push(&client_of(&fake), &one, &target).unwrap();
    push(&client_of(&fake), &one, &target).unwrap();
    let error = push(&client_of(&fake), &two, &target).unwrap_err();
    assert!(matches!(error, Error::TagTaken { .. }), "{error:?}");
    for digest in [one.manifest.digest(), two.manifest.digest()] {
        assert!(error.to_string().contains(&digest.to_string()), "{error}");
    }
}
