//! Every fault at every verb, between strake and Debian's registry: the table in `FAULTS.md`.
//!
//! `UPDATE=1` writes the table anew, to be read before it is kept.

mod kinds;
mod verbs;

use crate::{
    debian_registry::DebianRegistry,
    proxy::{Fault, Head, Proxy},
    support::{amd64, anonymous, image, noise, options, reference},
};
use kinds::{KINDS, Kind, Site, challenge};
use std::{
    fmt::Write,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use strake_registry::{
    Chunks, Client, Credentials, Error, Keychain, KeychainError, Options, Part, Patience, Proxies,
    PushImage, Retries,
};
use verbs::{Does, VERBS, Verb};

const LARGE: usize = 300_000;
const CHUNK: u64 = 100_000;

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
    /// Bytes of bodies that came by.
    bodies: u64,
    tagged: bool,
    took: Duration,
}

/// What to run.
#[derive(Clone, Copy)]
struct Case {
    verb: &'static Verb,
    kind: Option<&'static Kind>,
    /// At the first such request only, or at each.
    once: bool,
    /// How long nothing may come.
    patience: Duration,
    number: usize,
}

struct Lab {
    registry: DebianRegistry,
    /// Without a fault.
    direct: Client,
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
        let direct = anonymous();
        direct.push_image(&image, &[name], &|_| {}).unwrap();
        Lab { registry, direct, image, layers, _folder: folder }
    }

    fn client(&self, told: &Arc<AtomicUsize>, case: &Case, hosts: [String; 3]) -> Client {
        let told = Arc::clone(told);
        let short = case.patience;
        let above = if case.verb.chunks() { CHUNK } else { u64::MAX };
        let base = Duration::from_millis(20);
        let attempts = if case.kind.is_some_and(|it| it.stalls) { 2 } else { 3 };
        let options = Options {
            retries: Retries { attempts, base, ..Retries::STANDARD },
            patience: Patience { answer: short, idle: short, commit: short, ..Patience::STANDARD },
            chunks: Chunks { above, size: CHUNK },
            concurrency: 1,
            proxies: Proxies::Direct,
            plain_http: hosts.into(),
            on_retry: Some(Arc::new(move |_| {
                told.fetch_add(1, Ordering::SeqCst);
            })),
            ..options(Arc::new(Ann))
        };
        Client::new(options).unwrap()
    }

    fn run(&self, case: Case) -> Run {
        let elsewhere = Proxy::start(self.registry.port, |_, _| Fault::default());
        let proxy = self.faulty(case, elsewhere.port);
        let told = Arc::new(AtomicUsize::new(0));
        let local = |port: u16| format!("127.0.0.1:{port}");
        let hosts = [local(proxy.port), local(elsewhere.port), self.registry.host()];
        let client = self.client(&told, &case, hosts);
        let began = Instant::now();
        let outcome = self.does(&client, &case, &proxy);
        let took = began.elapsed();
        let bodies = |it: &Proxy| it.log().iter().map(|it| it.up + it.down).sum::<u64>();
        let tagged = case.verb.does.writes() && self.is_tagged(&case, outcome.is_ok());
        for seen in elsewhere.log() {
            assert_eq!(seen.head.header("authorization"), "", "a token for somebody else");
        }
        let bodies = bodies(&proxy) + bodies(&elsewhere);
        Run { outcome, retries: told.load(Ordering::SeqCst), bodies, tagged, took }
    }

    /// A way to the registry that wants a token and has the case's fault.
    fn faulty(&self, case: Case, elsewhere: u16) -> Proxy {
        let (token, done) = (AtomicUsize::new(1), AtomicUsize::new(0));
        Proxy::start(self.registry.port, move |head: &Head, _| {
            let good = token.load(Ordering::SeqCst);
            if head.target.starts_with("/token") {
                return Fault::status(200, &[], &format!(r#"{{"token":"t{good}"}}"#));
            }
            if head.header("authorization") != format!("Bearer t{good}") {
                return challenge(head);
            }
            let Some(kind) = case.kind.filter(|_| case.verb.is(head)) else {
                return Fault::default();
            };
            if done.fetch_add(1, Ordering::SeqCst) > 0 && case.once {
                return Fault::default();
            }
            (kind.make)(&Site { head, elsewhere, token: &token })
        })
    }

    fn does(&self, client: &Client, case: &Case, proxy: &Proxy) -> Result<(), Error> {
        let (from, to) = (reference(&proxy.name("pulled:1")), self.pushed(case));
        let way = reference(&proxy.name(&format!("r{}:1", case.number)));
        let copy = |from, to| client.copy(&from, &Part::Whole, false, &[to], &|_| {}).map(drop);
        match case.verb.does {
            Does::Push => client.push_image(&self.image, &[way], &|_| {}).map(drop),
            Does::Pull => self.pull(client, &from),
            Does::Ask => {
                let found = client.head_manifest(&from)?;
                assert_eq!(found, Some(self.image.manifest.digest()));
                Ok(())
            }
            Does::Mount => copy(from, way),
            Does::CopyFrom => copy(from, to),
            Does::CopyTo => copy(reference(&self.registry.name("pulled:1")), way),
        }
    }

    /// Where a case's image is in the end.
    fn pushed(&self, case: &Case) -> strake_oci::Reference {
        reference(&self.registry.name(&format!("r{}:1", case.number)))
    }

    /// Whether the image has its tag; `soon`, if the last answer may have come before it.
    fn is_tagged(&self, case: &Case, soon: bool) -> bool {
        let soon = soon && case.kind.is_some_and(|it| it.loose);
        for _ in 0..if soon { 200 } else { 1 } {
            if self.direct.head_manifest(&self.pushed(case)).unwrap().is_some() {
                return true;
            }
            thread::sleep(Duration::from_millis(u64::from(soon) * 50));
        }
        false
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

    /// All cases, so many at a time, in their order.
    fn run_all(&self, cases: &[Case], threads: usize) -> Vec<Run> {
        let next = AtomicUsize::new(0);
        let done: Vec<Mutex<Option<Run>>> = cases.iter().map(|_| Mutex::default()).collect();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(index) = Some(next.fetch_add(1, Ordering::SeqCst))
                        && let Some(case) = cases.get(index)
                    {
                        *done[index].lock().unwrap() = Some(self.run(*case));
                    }
                });
            }
        });
        done.into_iter().map(|it| it.into_inner().unwrap().unwrap()).collect()
    }

    fn judge(&self, case: &Case, run: &Run) {
        let what = format!("{} {}: {:?}", case.verb.name, case.kind.unwrap().name, run.outcome);
        assert!(!what.contains("hunter2") && !what.contains("Bearer"), "{what}");
        if case.verb.does.writes() {
            assert_eq!(run.outcome.is_ok(), run.tagged, "{what}");
            assert!(!run.tagged || self.pull(&self.direct, &self.pushed(case)).is_ok(), "{what}");
        }
    }
}

/// A fault at a verb.
struct Row {
    verb: &'static Verb,
    kind: &'static Kind,
    /// What runs without a fault send.
    clean: u64,
}

#[test]
fn the_table_of_faults_is_as_written() {
    let lab = Lab::new();
    let (mut rows, mut plain, mut stalls) = (Vec::new(), Vec::new(), Vec::new());
    for (at, verb) in VERBS.iter().enumerate() {
        let patience = Duration::from_secs(60);
        let clean = Case { verb, kind: None, once: true, patience, number: at };
        let clean = lab.run(clean);
        clean.outcome.unwrap();
        for kind in KINDS.iter().filter(|it| (it.at)(verb)) {
            // Who waits for nothing must not take a slow machine for a stall.
            let waits = (clean.took * 10).max(Duration::from_secs(1));
            let patience = if kind.stalls { waits } else { patience };
            for once in [true, false] {
                let number = 100 + rows.len() * 2 + usize::from(once);
                let cases = if kind.stalls { &mut stalls } else { &mut plain };
                cases.push(Case { verb, kind: Some(kind), once, patience, number });
            }
            rows.push(Row { verb, kind, clean: clean.bodies });
        }
    }
    let mut ran: Vec<(Case, Run)> = Vec::new();
    for (cases, threads) in [(plain, 4), (stalls, 20)] {
        let runs = lab.run_all(&cases, threads);
        ran.extend(cases.into_iter().zip(runs));
    }
    ran.iter().for_each(|(case, run)| lab.judge(case, run));
    ran.sort_by_key(|it| it.0.number);
    let mut text = String::new();
    for (row, runs) in rows.iter().zip(ran.chunks(2)) {
        let [(_, ever), (_, once)] = runs else { panic!("two runs a row") };
        let ever = if row.kind.loose { "whole or an error".to_owned() } else { said(ever) };
        let (first, second) = (told(row, once), ever);
        writeln!(text, "| {} | {} | {first} | {second} |", row.verb.name, row.kind.name).unwrap();
    }
    compare(&text);
}

/// `whole, 1 retry, 50 kB again`. Small sums are answers and manifests, and differ with their texts.
fn told(row: &Row, run: &Run) -> String {
    if row.kind.loose {
        return said(run);
    }
    let retries = match run.retries {
        0 => String::new(),
        1 => ", 1 retry".to_owned(),
        many => format!(", {many} retries"),
    };
    let again = match run.bodies.saturating_sub(row.clean) {
        0..5000 => String::new(),
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
         `UPDATE=1 cargo test -p strake-registry faults`, and kept true by that test. Three attempts, two \
         where time runs out, blobs \
         of 300 kB and 1 kB, one transfer at a time. Where an image is *whole* its digest was checked; after \
         an *error* no tag was written. \"Again\" is what came by beyond a run without the fault. The registry \
         wants a token, which nobody else is shown.\n\n| verb | \
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
