//! Copies from registry to registry: indexes, what is attached, and where lists of it are kept.

use crate::{
    fake::{Fake, Reply},
    support::{amd64, image, options_of, reference},
};
use serde_json::{Value, json};
use std::sync::Mutex;
use strake_oci::{Digest, media_type};
use strake_registry::{Client, Error, Part, PushEvent, PushImage, PushOutcome};

/// A client that knows that neither has TLS.
fn client(a: &Fake, b: &Fake) -> Client {
    let mut options = options_of(a);
    options.plain_http.insert(b.host());
    Client::new(options).unwrap()
}

/// Puts an image with these layers into `fake`, without a request.
fn put(fake: &Fake, repository: &str, layers: &[&[u8]]) -> PushImage {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), layers);
    layers.iter().for_each(|it| fake.put_blob(repository, it));
    fake.put_blob(repository, &image.config);
    let name = image.manifest.digest().to_string();
    fake.put_manifest(repository, &name, media_type::OCI_MANIFEST, &image.manifest.bytes);
    image
}

fn entry(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len() })
}

fn index(entries: &[Value]) -> Vec<u8> {
    let kind = media_type::OCI_INDEX;
    serde_json::to_vec(&json!({ "schemaVersion": 2, "mediaType": kind, "manifests": entries }))
        .unwrap()
}

/// A signature of `subject`, put into `fake`.
fn attach(fake: &Fake, repository: &str, subject: &[u8], word: &str) -> Vec<u8> {
    let blob = format!("signature {word}");
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": "application/vnd.test.signature",
        "config": entry("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [entry("application/vnd.test", blob.as_bytes())],
        "subject": entry(media_type::OCI_MANIFEST, subject),
        "annotations": { "word": word },
    }))
    .unwrap();
    fake.put_blob(repository, b"{}");
    fake.put_blob(repository, blob.as_bytes());
    let name = Digest::of(&manifest).to_string();
    fake.put_manifest(repository, &name, media_type::OCI_MANIFEST, &manifest);
    manifest
}

/// An index of two images in `a`, the first signed, the signature signed itself.
struct Signed {
    index: Vec<u8>,
    signatures: [Vec<u8>; 2],
    images: [PushImage; 2],
}

fn signed(fake: &Fake) -> Signed {
    let images = [put(fake, "a", &[b"one", b"two"]), put(fake, "a", &[b"one", b"three"])];
    let [one, two] = &images;
    let mut entries = vec![
        entry(media_type::OCI_MANIFEST, &one.manifest.bytes),
        entry(media_type::OCI_MANIFEST, &two.manifest.bytes),
    ];
    entries[0]["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    entries[1]["platform"] = json!({ "os": "linux", "architecture": "arm64" });
    let index = index(&entries);
    fake.put_manifest("a", "1", media_type::OCI_INDEX, &index);
    let first = attach(fake, "a", &one.manifest.bytes, "first");
    let second = attach(fake, "a", &first, "second");
    for (subject, referrer) in [(&one.manifest.bytes, &first), (&first, &second)] {
        let tag = format!("sha256-{}", Digest::of(subject).hex());
        let list = self::index(&[entry(media_type::OCI_MANIFEST, referrer)]);
        fake.put_manifest("a", &tag, media_type::OCI_INDEX, &list);
    }
    Signed { index, signatures: [first, second], images }
}

#[test]
fn an_index_comes_whole_with_what_is_attached() {
    let (from, to) = (Fake::honest(), Fake::honest());
    let signed = signed(&from);
    let client = client(&from, &to);
    let (source, target) = (reference(&from.name("a:1")), reference(&to.name("b:2")));
    let targets = [target.clone()];
    let copied = client.copy(&source, &Part::Whole, true, &targets, &|_| {}).unwrap();
    assert_eq!((copied.digest, copied.referrers), (Digest::of(&signed.index), 2));
    for bytes in [&signed.index, &signed.signatures[0], &signed.signatures[1]] {
        let named = target.at(Digest::of(bytes));
        assert_eq!(client.document(&named).unwrap().0, *bytes);
    }
    for blob in [&b"one"[..], b"two", b"three", b"{}", b"signature first", b"signature second"] {
        assert!(to.has_blob("b", &Digest::of(blob)));
    }
    // The target keeps no lists: clients find the signatures under the tag.
    let subject = signed.images[0].manifest.digest();
    let listed = client.referrers(&target, &subject).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].digest, Digest::of(&signed.signatures[0]));
    assert_eq!(listed[0].annotations["word"], "first");
    let tags = to.tags();
    assert!(tags.contains(&"b:2".to_owned()) && tags.len() == 3, "{tags:?}");
    // Names are last: nobody sees the image without its signatures.
    let writes: Vec<_> = to.log().into_iter().filter(|it| it.method == "PUT").collect();
    assert!(writes.last().unwrap().is("PUT", "/b/manifests/2"));
    // Nothing was kept here and nothing fetched twice.
    assert_eq!(from.count("GET", "/blobs/"), 3 + 2 + 3, "layers, configs, signatures");

    let before = to.log().len();
    client.copy(&source, &Part::Whole, true, &targets, &|_| {}).unwrap();
    assert!(to.log()[before..].iter().all(|it| it.method == "HEAD" || it.method == "GET"));
    assert_eq!(from.count("GET", "/blobs/"), 8, "the second copy moves no blob");
}

#[test]
fn within_a_registry_all_is_mounted() {
    let fake = Fake::honest();
    signed(&fake);
    let outcomes = Mutex::new(Vec::new());
    let targets = [reference(&fake.name("b:1")), reference(&fake.name("c:1"))];
    let client = client(&fake, &fake);
    client
        .copy(&reference(&fake.name("a:1")), &Part::Whole, true, &targets, &|event| {
            if let PushEvent::LayerDone { outcome, .. } = event {
                outcomes.lock().unwrap().push(outcome);
            }
        })
        .unwrap();
    let outcomes = outcomes.into_inner().unwrap();
    assert!(outcomes.len() == 10 && outcomes.iter().all(|it| *it == PushOutcome::Mounted));
    assert_eq!((fake.count("PUT", "/blobs/"), fake.count("GET", "/blobs/")), (0, 0));
}

#[test]
fn signatures_under_tags_made_of_digests_come_along() {
    let (from, to) = (Fake::honest(), Fake::honest());
    let image = put(&from, "a", &[b"one"]);
    from.put_manifest("a", "1", media_type::OCI_MANIFEST, &image.manifest.bytes);
    let base = format!("sha256-{}", image.manifest.digest().hex());
    let of_others = format!("sha256-{}", "0".repeat(64));
    for (tag, layer) in [
        (format!("{base}.sig"), &b"signature"[..]),
        (format!("{base}.att"), b"attestation"),
        (format!("{of_others}.sig"), b"other"),
    ] {
        let attached = put(&from, "a", &[layer]);
        from.put_manifest("a", &tag, media_type::OCI_MANIFEST, &attached.manifest.bytes);
    }
    let (source, target) = (reference(&from.name("a:1")), reference(&to.name("b:2")));
    let client = client(&from, &to);
    let targets = [target.clone()];
    let copied = client.copy(&source, &Part::Whole, true, &targets, &|_| {}).unwrap();
    assert_eq!(copied.referrers, 2);
    let want = ["b:2".to_owned(), format!("b:{base}.att"), format!("b:{base}.sig")];
    assert_eq!(to.tags(), want);
    assert!(to.has_blob("b", &Digest::of(b"signature")));
    assert!(!to.has_blob("b", &Digest::of(b"other")));
    let writes: Vec<_> = to.log().into_iter().filter(|it| it.method == "PUT").collect();
    assert!(writes.last().unwrap().is("PUT", "/b/manifests/2"), "names are last");

    let other = [reference(&to.name("c:1"))];
    client.copy(&source, &Part::Whole, false, &other, &|_| {}).unwrap();
    assert_eq!(to.tags().len(), 4, "left out when that is asked for");
}

#[test]
fn one_platform_alone() {
    let (from, to) = (Fake::honest(), Fake::honest());
    let signed = signed(&from);
    let platform = amd64();
    let targets = [reference(&to.name("b:1"))];
    let copied = client(&from, &to)
        .copy(&reference(&from.name("a:1")), &Part::Platform(&platform), false, &targets, &|_| {})
        .unwrap();
    assert_eq!(copied.digest, signed.images[0].manifest.digest());
    assert!(!to.has_blob("b", &Digest::of(b"three")));
    assert_eq!(to.tags(), ["b:1"]);
}

#[test]
fn lists_of_a_registry_are_read_page_by_page() {
    let page = |words: &[&str]| {
        let entries: Vec<Value> =
            words.iter().map(|it| entry(media_type::OCI_MANIFEST, it.as_bytes())).collect();
        Reply::status(200).with("Content-Type", media_type::OCI_INDEX).body(index(&entries))
    };
    let fake = Fake::start(move |request, _| {
        let next = |it: &str| format!("</v2/a/referrers/x?n=1&last={it}>; rel=\"next\"");
        request.path.contains("/referrers/").then(|| match request.query.as_str() {
            "" => page(&["one", "two"]).with("Link", &next("two")),
            "n=1&last=two" => page(&["three"]).with("Link", &next("three")),
            _ => page(&["four"]),
        })
    });
    let found = client(&fake, &fake).referrers(&reference(&fake.name("a")), &Digest::of(b""));
    let digests: Vec<Digest> = found.unwrap().iter().map(|it| it.digest).collect();
    assert_eq!(digests, [&b"one"[..], b"two", b"three", b"four"].map(Digest::of));
}

#[test]
fn lists_that_do_not_end_are_refused() {
    let fake = Fake::start(|request, seen| {
        let link = format!("</v2/a/referrers/x?n={}>; rel=next", seen + request.query.len());
        let reply = Reply::status(200).with("Content-Type", media_type::OCI_INDEX);
        let reply = reply.with("Link", &link).body(index(&[]));
        request.path.contains("/referrers/").then_some(reply)
    });
    let found = client(&fake, &fake).referrers(&reference(&fake.name("a")), &Digest::of(b""));
    assert!(matches!(found, Err(Error::Malformed { .. })), "{found:?}");
    assert!(fake.log().len() < 200);
}

#[test]
fn a_registry_that_keeps_lists_gets_no_tag() {
    let to = Fake::start(|request, _| {
        let subject = request.body.windows(9).any(|it| it == b"\"subject\"");
        let digest = Digest::of(&request.body).to_string();
        let reply = Reply::status(201).with("OCI-Subject", &digest);
        (request.is("PUT", "/manifests/") && subject).then_some(reply)
    });
    let from = Fake::honest();
    signed(&from);
    let targets = [reference(&to.name("b:1"))];
    let source = reference(&from.name("a:1"));
    client(&from, &to).copy(&source, &Part::Whole, true, &targets, &|_| {}).unwrap();
    assert_eq!(to.tags(), ["b:1"]);
}

#[test]
fn hostile_indexes_end() {
    // Each lists the next twice, and deeper than any honest index.
    let fake = Fake::honest();
    let mut inner = index(&[]);
    for depth in 0..8 {
        fake.put_manifest("a", &format!("d{depth}"), media_type::OCI_INDEX, &inner);
        inner =
            index(&[entry(media_type::OCI_INDEX, &inner), entry(media_type::OCI_INDEX, &inner)]);
    }
    fake.put_manifest("a", "deep", media_type::OCI_INDEX, &inner);
    let wide: Vec<Value> =
        (0..2000).map(|at| entry(media_type::OCI_MANIFEST, format!("{at}").as_bytes())).collect();
    fake.put_manifest("a", "wide", media_type::OCI_INDEX, &index(&wide));
    let lying = json!({ "mediaType": media_type::OCI_MANIFEST, "size": 1u64 << 60,
        "digest": Digest::of(b"x").to_string() });
    fake.put_manifest("a", &Digest::of(b"x").to_string(), media_type::OCI_MANIFEST, b"{}");
    fake.put_manifest("a", "lying", media_type::OCI_INDEX, &index(&[lying]));
    let client = client(&fake, &fake);
    for name in ["deep", "wide", "lying"] {
        let before = fake.log().len();
        let tree = client.tree(&reference(&fake.name(&format!("a:{name}"))), &Part::Whole);
        assert!(tree.is_err(), "{name}");
        assert!(fake.log().len() - before < 20, "{name}");
    }
}
