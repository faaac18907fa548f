//! Large blobs in chunks: where a registry honours them, where it does not, and across processes.

use crate::{
    fake::{Fake, Reply},
    support::{client_of, image, noise, options_of, reference},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use strake_oci::Digest;
use strake_registry::{Chunks, Client, Error, Journal, JournalEntry, Options, PushImage, Retries};

const SIZE: usize = 1_000_000;
const CHUNK: usize = 100_000;

fn in_chunks(fake: &Fake) -> Options {
    let chunks = Chunks { above: 500_000, size: CHUNK as u64 };
    Options { chunks, ..options_of(fake) }
}

fn push(options: Options, image: &PushImage, fake: &Fake) -> Result<(), Error> {
    let client = Client::new(options).unwrap();
    client.push_image(image, &[reference(&fake.name("a:1"))], &|_| {}).map(drop)
}

/// Bytes of all chunks that came whole.
fn chunked(fake: &Fake) -> usize {
    fake.log().iter().filter(|it| it.method == "PATCH").map(|it| it.body.len()).sum()
}

/// An image with one large and one small layer.
fn large() -> (PushImage, Vec<u8>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(5, SIZE);
    (image(folder.path(), &[&bytes, b"small"]), bytes, folder)
}

#[test]
fn large_blobs_go_in_chunks_and_small_ones_whole() {
    let fake = Fake::honest();
    let (image, bytes, _folder) = large();
    push(in_chunks(&fake), &image, &fake).unwrap();
    assert_eq!((fake.count("PATCH", ""), chunked(&fake)), (SIZE / CHUNK, SIZE));
    assert!(fake.has_blob("a", &Digest::of(&bytes)) && fake.tags() == ["a:1"]);
    let sent: Vec<usize> =
        fake.log().iter().filter(|it| it.is("PUT", "/blobs/")).map(|it| it.body.len()).collect();
    assert!(sent.contains(&0) && sent.contains(&5), "{sent:?}");

    // As they come, no blob is large.
    let fake = Fake::honest();
    client_of(&fake).push_image(&image, &[reference(&fake.name("a:1"))], &|_| {}).unwrap();
    assert_eq!(fake.count("PATCH", ""), 0);
}

#[test]
fn a_broken_chunk_costs_that_chunk() {
    for reply in [Reply { cut: Some(0), ..Reply::default() }, Reply::status(502)] {
        let fake = Fake::start(move |request, seen| {
            (request.method == "PATCH" && seen % 4 == 3).then(|| reply.clone())
        });
        let (image, bytes, _folder) = large();
        push(in_chunks(&fake), &image, &fake).unwrap();
        let again = chunked(&fake) - SIZE;
        assert!(again <= 4 * CHUNK, "{again}");
        assert!(fake.has_blob("a", &Digest::of(&bytes)));
        assert_eq!(fake.count("POST", "/uploads/"), 3, "one session for each blob");
    }
}

#[test]
fn where_chunks_are_not_honoured_blobs_go_whole() {
    let range = Reply::status(202).with("Range", "0-9");
    for reply in [Reply::status(201), Reply::status(405), Reply::status(404), range] {
        let fake =
            Fake::start(move |request, _| (request.method == "PATCH").then(|| reply.clone()));
        let (image, bytes, _folder) = large();
        push(in_chunks(&fake), &image, &fake).unwrap();
        assert_eq!(fake.count("PATCH", ""), 1, "asked once");
        assert!(fake.has_blob("a", &Digest::of(&bytes)));
    }
    let fake = Fake::honest();
    let (image, bytes, _folder) = large();
    let whole = Options { whole: Some(Arc::new(|_| true)), ..in_chunks(&fake) };
    push(whole, &image, &fake).unwrap();
    assert!(fake.count("PATCH", "") == 0 && fake.has_blob("a", &Digest::of(&bytes)));
}

#[test]
fn a_session_that_the_registry_forgot_is_begun_anew() {
    let fake = Fake::start(|request, seen| {
        let lost = request.method == "PATCH" && request.query.ends_with("n=1");
        (lost && seen == 4).then(|| Reply::status(404))
    });
    let (image, bytes, _folder) = large();
    push(Options { concurrency: 1, ..in_chunks(&fake) }, &image, &fake).unwrap();
    assert!(fake.has_blob("a", &Digest::of(&bytes)));
}

/// A journal that outlives a client.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<BTreeMap<String, String>>>);

struct Page(Book, String);

impl Journal for Book {
    fn claim(&self, key: &str) -> Option<Box<dyn JournalEntry>> {
        Some(Box::new(Page(self.clone(), key.to_owned())))
    }
}

impl JournalEntry for Page {
    fn read(&self) -> Option<String> {
        self.0.0.lock().unwrap().get(&self.1).cloned()
    }

    fn write(&self, text: &str) {
        self.0.0.lock().unwrap().insert(self.1.clone(), text.to_owned());
    }

    fn clear(&self) {
        self.0.0.lock().unwrap().remove(&self.1);
    }
}

#[test]
fn the_next_process_goes_on() {
    let fake = Fake::start(|request, seen| {
        // The first process ends with its seventh chunk.
        (request.method == "PATCH" && (6..8).contains(&seen)).then(|| Reply::status(500))
    });
    let book = Book::default();
    let (image, bytes, _folder) = large();
    let options = || Options {
        journal: Some(Arc::new(book.clone())),
        retries: Retries { attempts: 1, ..Retries::STANDARD },
        concurrency: 1,
        ..in_chunks(&fake)
    };
    assert!(push(options(), &image, &fake).is_err());
    assert_eq!(book.0.lock().unwrap().len(), 1);
    assert!(push(options(), &image, &fake).is_err());
    push(options(), &image, &fake).unwrap();
    assert!(fake.has_blob("a", &Digest::of(&bytes)));
    assert_eq!(chunked(&fake), SIZE + 2 * CHUNK, "two chunks were refused");
    assert!(book.0.lock().unwrap().is_empty(), "nothing is left to remember");
}

#[test]
fn a_journal_that_leads_elsewhere_is_not_followed() {
    let (fake, other) = (Fake::honest(), Fake::honest());
    let book = Book::default();
    let (image, bytes, _folder) = large();
    let key = format!("{}@{}", fake.name("a"), Digest::of(&bytes));
    for text in [format!("http://{}/v2/a/blobs/uploads/x", other.host()), "nonsense".to_owned()] {
        book.0.lock().unwrap().insert(key.clone(), text);
        let options = Options { journal: Some(Arc::new(book.clone())), ..in_chunks(&fake) };
        push(options, &image, &fake).unwrap();
        assert!(other.log().is_empty() && fake.has_blob("a", &Digest::of(&bytes)));
    }
}

#[test]
fn a_large_file_that_changed_its_size_is_noticed() {
    for size in [SIZE - 1, SIZE + 1] {
        let fake = Fake::honest();
        let (image, _, folder) = large();
        let path = folder.path().join(image.layers[0].descriptor.digest.hex());
        fs_err::write(&path, noise(5, size)).unwrap();
        let error = push(in_chunks(&fake), &image, &fake).unwrap_err();
        assert!(matches!(error, Error::Read { .. }), "{error}");
        assert!(fake.tags().is_empty());
    }
}
