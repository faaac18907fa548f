//! Every fault at every verb, between strake and Debian's registry: the table in `FAULTS.md`.
//!
//! `UPDATE=1` writes the table anew, to be read before it is kept.

use crate::{
    debian_registry::DebianRegistry,
    proxy::{Fault, Head, Proxy},
    support::{amd64, anonymous, image, noise, options, reference},
};
use std::{
    fmt::Write,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use strake_oci::Digest;
use strake_registry::{
    Chunks, Client, Credentials, Error, Keychain, KeychainError, Options, Patience, Proxies,
    PushImage, Retries,
};

const LARGE: usize = 300_000;
const CHUNK: u64 = 100_000;

/// A request that something goes wrong with.
struct Verb {
    name: &'static str,
    method: &'static str,
    part: &'static str,
    /// Whether it belongs to a pull.
    pulls: bool,
    /// What goes along: bytes up, down, or neither.
    body: Body,
}

#[derive(Clone, Copy, PartialEq)]
enum Body {
    None,
    Up,
    Down,
}

const VERBS: [Verb; 8] = [
    verb("HEAD blob", "HEAD", "/blobs/sha256", false, Body::None),
    verb("POST upload", "POST", "/blobs/uploads/", false, Body::None),
    verb("PUT blob", "PUT", "/blobs/uploads/", false, Body::Up),
    verb("PATCH chunk", "PATCH", "/blobs/uploads/", false, Body::Up),
    verb("HEAD manifest", "HEAD", "/manifests/", false, Body::None),
    verb("PUT manifest", "PUT", "/manifests/", false, Body::Up),
    verb("GET manifest", "GET", "/manifests/", true, Body::Down),
    verb("GET blob", "GET", "/blobs/sha256", true, Body::Down),
];

const fn verb(
    name: &'static str,
    method: &'static str,
    part: &'static str,
    pulls: bool,
    body: Body,
) -> Verb {
    Verb { name, method, part, pulls, body }
}

/// What goes wrong, and at which verbs it can.
struct Kind {
    name: &'static str,
    at: fn(&Verb) -> bool,
    make: fn() -> Fault,
}

fn always(_: &Verb) -> bool {
    true
}

const KINDS: [Kind; 17] = [
    Kind { name: "429, Retry-After", at: always, make: || status(429, &[("Retry-After", "0")]) },
    Kind { name: "500", at: always, make: || status(500, &[]) },
    Kind { name: "502", at: always, make: || status(502, &[]) },
    Kind { name: "503", at: always, make: || status(503, &[]) },
    Kind { name: "reset before an answer", at: always, make: reset },
    Kind { name: "stall before an answer", at: always, make: stall },
    Kind {
        name: "reset in the body",
        at: |it| it.body == Body::Up,
        make: || Fault { request_ends: Some(50), ..Fault::default() },
    },
    Kind {
        name: "stall in the body",
        at: |it| it.body == Body::Up && !it.part.contains("manifests"),
        make: || Fault { request_stalls: Some(50), ..Fault::default() },
    },
    Kind {
        name: "answer ends early",
        at: |it| it.body == Body::Down,
        make: || Fault { answer_ends: Some(50), ..Fault::default() },
    },
    Kind {
        name: "answer stalls",
        at: |it| it.body == Body::Down,
        make: || Fault { answer_stalls: Some(50), ..Fault::default() },
    },
    Kind {
        name: "a byte is another",
        at: |it| it.body == Body::Down,
        make: || Fault { corrupts: Some(50), ..Fault::default() },
    },
    Kind {
        name: "answer comes twice",
        at: |it| it.body != Body::Down,
        make: || Fault { twice: true, ..Fault::default() },
    },
    Kind { name: "401 in the middle", at: always, make: unauthorized },
    Kind { name: "403", at: always, make: || status(403, &[]) },
    Kind {
        name: "another digest",
        at: |it| matches!(it.method, "PUT" | "GET") && it.name != "GET blob",
        make: || {
            let other = Digest::of(b"another").to_string();
            Fault::edit(move |answer| answer.put("Docker-Content-Digest", &other))
        },
    },
    Kind {
        name: "no Location",
        at: |it| matches!(it.method, "POST" | "PATCH"),
        make: || Fault::edit(|answer| answer.drop("Location")),
    },
    Kind {
        name: "201 to a chunk",
        at: |it| it.method == "PATCH",
        make: || Fault::edit(|answer| answer.status = 201),
    },
];

fn status(status: u16, headers: &[(&str, &str)]) -> Fault {
    Fault::status(status, headers, r#"{"errors":[{"code":"TEST","message":"as the test wants"}]}"#)
}

fn reset() -> Fault {
    Fault { request_ends: Some(0), ..Fault::default() }
}

fn stall() -> Fault {
    Fault { silent: true, ..Fault::default() }
}

fn unauthorized() -> Fault {
    status(401, &[("WWW-Authenticate", "Basic realm=\"x\"")])
}

struct Ann;

impl Keychain for Ann {
    fn credentials(&self, _: &str) -> Result<Credentials, KeychainError> {
        Ok(Credentials::Basic { user: "ann".to_owned(), password: "hunter2".to_owned() })
    }
}

/// What came of one run.
struct Run {
    outcome: Result<(), Error>,
    retries: usize,
    /// Bytes of bodies beyond those of a run without a fault.
    again: u64,
    tagged: bool,
}

struct Lab {
    registry: DebianRegistry,
    image: PushImage,
    layers: Vec<Vec<u8>>,
    _folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let layers = vec![noise(1, LARGE), noise(2, 1000)];
        let image = image(folder.path(), &[&layers[0], &layers[1]]);
        let registry = DebianRegistry::start();
        // What pulls read lies there without a fault.
        let name = reference(&registry.name("pulled:1"));
        anonymous().push_image(&image, &[name], &|_| {}).unwrap();
        Lab { registry, image, layers, _folder: folder }
    }

    fn client(&self, told: &Arc<Mutex<usize>>, verb: &Verb, stalls: bool) -> Client {
        let told = Arc::clone(told);
        // Who waits for nothing must not take a slow machine for a stall.
        let short = Duration::from_millis(if stalls { 700 } else { 30_000 });
        let above = if verb.method == "PATCH" { CHUNK } else { u64::MAX };
        let options = Options {
            retries: Retries { attempts: 3, ..options(Arc::new(Ann)).retries },
            patience: Patience { answer: short, idle: short, commit: short, ..Patience::STANDARD },
            chunks: Chunks { above, size: CHUNK },
            concurrency: 1,
            proxies: Proxies::Direct,
            on_retry: Some(Arc::new(move |_| *told.lock().unwrap() += 1)),
            ..options(Arc::new(Ann))
        };
        Client::new(options).unwrap()
    }

    /// Pushes or pulls with `fault` at the verb's first request, or at each.
    fn run(
        &self,
        verb: &'static Verb,
        fault: Option<fn() -> Fault>,
        once: bool,
        number: usize,
    ) -> Run {
        let done = Mutex::new(0);
        let proxy = Proxy::start(self.registry.port, move |head: &Head, _| {
            let mut done = done.lock().unwrap();
            match fault {
                Some(make) if head.is(verb.method, verb.part) && !(once && *done > 0) => {
                    *done += 1;
                    make()
                }
                _ => Fault::default(),
            }
        });
        let told = Arc::new(Mutex::new(0));
        let stalls = fault
            .is_some_and(|it| it().silent || it().request_stalls.or(it().answer_stalls).is_some());
        let client = self.client(&told, verb, stalls);
        let repository = if verb.pulls { "pulled".to_owned() } else { format!("r{number}") };
        let name = reference(&proxy.name(&format!("{repository}:1")));
        let outcome = match verb.pulls {
            true => self.pull(&client, &name),
            false => client.push_image(&self.image, &[name], &|_| {}).map(drop),
        };
        let bodies = proxy.log().iter().map(|it| it.up + it.down).sum();
        let direct = reference(&self.registry.name(&format!("{repository}:1")));
        let tagged = anonymous().head_manifest(&direct).unwrap().is_some();
        let retries = *told.lock().unwrap();
        Run { outcome, retries, again: bodies, tagged }
    }

    fn pull(&self, client: &Client, name: &strake_oci::Reference) -> Result<(), Error> {
        let found = client.resolve(name, &amd64())?;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layer");
        for (descriptor, want) in found.manifest.value.layers.iter().zip(&self.layers) {
            client.pull_blob_to(name, descriptor, &path, &|_| {})?;
            assert!(fs_err::read(&path).unwrap() == *want, "what is pulled is whole");
        }
        Ok(())
    }

    /// Whether an image that was pushed is there in all its parts.
    fn whole(&self, number: usize) -> bool {
        let name = reference(&self.registry.name(&format!("r{number}:1")));
        self.pull(&anonymous(), &name).is_ok()
    }
}

#[test]
fn the_table_of_faults_is_as_written() {
    let lab = Lab::new();
    let mut rows = String::new();
    let mut number = 0;
    for verb in &VERBS {
        number += 2;
        let clean = lab.run(verb, None, true, number);
        clean.outcome.unwrap();
        for kind in KINDS.iter().filter(|it| (it.at)(verb)) {
            number += 2;
            let once = lab.run(verb, Some(kind.make), true, number);
            if once.outcome.is_ok() && !verb.pulls {
                assert!(once.tagged && lab.whole(number), "{} {}", verb.name, kind.name);
            }
            let ever = lab.run(verb, Some(kind.make), false, number + 1);
            if ever.outcome.is_err() && !verb.pulls {
                assert!(!ever.tagged, "{} {}: a tag after an error", verb.name, kind.name);
            }
            for run in [&once, &ever] {
                let text = format!("{:?}", run.outcome);
                assert!(!text.contains("hunter2"), "{text}");
            }
            let again = once.again.saturating_sub(clean.again);
            let (first, second) = (told(&once, again), said(&ever));
            writeln!(rows, "| {} | {} | {first} | {second} |", verb.name, kind.name).unwrap();
        }
    }
    compare(&rows);
}

/// `whole, 1 retry, 50 bytes again`. Small sums are answers and manifests, and differ with their texts.
fn told(run: &Run, again: u64) -> String {
    let retries = match run.retries {
        0 => String::new(),
        1 => ", 1 retry".to_owned(),
        many => format!(", {many} retries"),
    };
    let again = match again {
        0..2000 => String::new(),
        many => format!(", {} kB again", many / 1000),
    };
    match &run.outcome {
        Ok(()) => format!("whole{retries}{again}"),
        Err(error) => format!("error: {}{retries}", short(error)),
    }
}

fn said(run: &Run) -> String {
    match &run.outcome {
        Ok(()) => "whole".to_owned(),
        Err(error) => format!("error: {}", short(error)),
    }
}

/// The variant, which is what a person has to tell apart.
fn short(error: &Error) -> String {
    let text = format!("{error:?}");
    let name = text.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
    match error {
        Error::UnexpectedStatus { status, .. } => format!("{name} {status}"),
        _ => name,
    }
}

fn compare(rows: &str) {
    let text = format!(
        "# Faults\n\nWhat comes of each fault at each verb, between strake and Debian's registry: written by \
         `UPDATE=1 cargo test -p strake-registry faults`, and kept true by that test. Three attempts, blobs \
         of 300 kB and 1 kB, one transfer at a time. Where an image is *whole* its digest was checked; after \
         an *error* no tag was written. \"Again\" is what was sent beyond a run without the fault.\n\n| verb | \
         fault | once | each time |\n|---|---|---|---|\n{rows}"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("FAULTS.md");
    #[expect(clippy::disallowed_methods, reason = "asked for by who runs the test")]
    let update = std::env::var("UPDATE").is_ok();
    if update {
        return fs_err::write(&path, text).unwrap();
    }
    let written = fs_err::read_to_string(&path).unwrap_or_default();
    for (written, now) in written.lines().zip(text.lines()) {
        assert_eq!(written, now, "FAULTS.md: see its head for how to write it anew");
    }
    assert_eq!(written.lines().count(), text.lines().count());
}
