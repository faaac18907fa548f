//! Transfers that are no build: how they are shown and summed up.

use crate::{
    args_registry::{EcrArgs, TransferArgs},
    environment,
    failure::Failure,
    progress::{self, Notes},
    registries, say,
    signals::{Signals, cancelled},
    units::people,
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Instant,
};
use strake_build::{Event, VertexId};
use strake_cache::Store;
use strake_oci::Digest;
use strake_registry::{Client, PushEvent, PushOutcome};

/// The only line of a transfer.
const VERTEX: VertexId = VertexId(0);

/// What a transfer works with.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) client: Client,
    signals: Signals,
    quiet: bool,
    notes: Notes,
    verbose: bool,
    progress: Option<String>,
}

impl Bench {
    /// For what reads only.
    pub(crate) fn new(args: TransferArgs) -> Result<Bench, Failure> {
        Bench::pushing(args, &EcrArgs::default())
    }

    pub(crate) fn pushing(args: TransferArgs, ecr: &EcrArgs) -> Result<Bench, Failure> {
        let TransferArgs { progress, quiet, verbose, registry, store } = args;
        let signals = Signals::new()?;
        let store = Store::open(&store_folder(store.store))?;
        let notes = Notes::default();
        let client = registries::pushing(&registry, ecr, Some(&store), verbose.then_some(&notes))?;
        let stopped = client.clone();
        signals.watch(move || stopped.cancel(), store.leftovers());
        Ok(Bench { store, client, signals, notes, quiet, verbose, progress })
    }

    /// Does `work` under a line of progress; what was moved is summed up when it is done.
    pub(crate) fn shown<T>(
        &self,
        title: String,
        work: impl FnOnce(&Tally<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let reader =
            progress::reader(self.progress.as_deref(), self.quiet, self.verbose, &self.notes)?;
        let emit = |event| reader.event(event);
        emit(Event::Started { vertex: VERTEX, name: title });
        let tally = Tally { emit: &emit, layers: Mutex::default(), began: Instant::now() };
        let done = work(&tally);
        emit(match &done {
            Ok(_) => Event::Done { vertex: VERTEX },
            Err(failure) => Event::Failed { vertex: VERTEX, error: failure.message.clone() },
        });
        let told = tally.told();
        reader.finish();
        match (self.signals.received(), done) {
            (Some(signal), Err(_)) => Err(cancelled(signal)),
            (_, Err(failure)) => Err(failure),
            (_, Ok(done)) => {
                if let Some(told) = told.filter(|_| !self.quiet) {
                    say::note(&told);
                }
                Ok(done)
            }
        }
    }
}

/// The folder of the store, where none was written.
fn store_folder(flag: Option<PathBuf>) -> PathBuf {
    environment::store(flag, rustix::process::getuid().as_raw())
}

/// By repository and digest: what became of a blob, and its size.
type Moved = BTreeMap<(String, Digest), (&'static str, u64)>;

/// Counts what is moved and what is not.
pub(crate) struct Tally<'a> {
    emit: &'a (dyn Fn(Event) + Sync),
    layers: Mutex<Moved>,
    began: Instant,
}

impl Tally<'_> {
    /// Shows what a push does.
    pub(crate) fn pushed(&self, event: PushEvent) {
        if let PushEvent::LayerDone { repository, descriptor, outcome } = &event {
            self.count(repository, descriptor.digest, word(*outcome), descriptor.size);
        }
        if let Some(event) = shown(VERTEX, event) {
            (self.emit)(event);
        }
    }

    /// Shows a blob on its way here.
    pub(crate) fn pulling(&self, digest: Digest, current: u64, total: u64) {
        let (id, what) = (digest.to_string(), "pulling".to_owned());
        (self.emit)(Event::Progress { vertex: VERTEX, id, current, total: Some(total), what });
    }

    /// Shows that a blob is here.
    pub(crate) fn pulled(&self, digest: Digest, size: u64, fetched: bool) {
        let what = if fetched { "pulled" } else { "exists" };
        self.count("", digest, what, size);
        let (id, total) = (digest.to_string(), Some(size));
        let what = what.to_owned();
        (self.emit)(Event::Progress { vertex: VERTEX, id, current: size, total, what });
    }

    fn count(&self, repository: &str, digest: Digest, what: &'static str, size: u64) {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.insert((repository.to_owned(), digest), (what, size));
    }

    /// `2 pushed (3.1MB, 12MB/s), 1 mounted, 4 exist`.
    fn told(&self) -> Option<String> {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |wanted: &str| {
            let some = layers.values().filter(|it| it.0 == wanted);
            some.fold((0, 0), |(count, size), it| (count + 1, size + it.1))
        };
        let mut parts = Vec::new();
        for word in ["pushed", "pulled"] {
            if let (count @ 1.., size) = of(word) {
                let rate = rate(size, self.began.elapsed().as_millis());
                parts.push(format!("{count} {word} ({}, {}/s)", people(size), people(rate)));
            }
        }
        let skipped = [("mounted", "mounted"), ("exists", "there already")];
        for (word, told) in skipped {
            if let (count @ 1.., _) = of(word) {
                parts.push(format!("{count} {told}"));
            }
        }
        let many = if layers.len() == 1 { "blob" } else { "blobs" };
        (!layers.is_empty()).then(|| format!("{} {many}: {}", layers.len(), parts.join(", ")))
    }
}

fn rate(bytes: u64, millis: u128) -> u64 {
    let rate = u128::from(bytes) * 1000 / millis.max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

fn word(outcome: PushOutcome) -> &'static str {
    match outcome {
        PushOutcome::Exists => "exists",
        PushOutcome::Mounted => "mounted",
        PushOutcome::Uploaded => "pushed",
    }
}

/// What of a push is worth a line.
pub(crate) fn shown(vertex: VertexId, event: PushEvent) -> Option<Event> {
    let (id, current, total, what) = match event {
        PushEvent::LayerProgress { digest, sent, size, .. } => {
            (digest.to_string(), sent, size, "pushing")
        }
        PushEvent::LayerDone { descriptor, outcome, .. } => {
            (descriptor.digest.to_string(), descriptor.size, descriptor.size, word(outcome))
        }
        _ => return None,
    };
    Some(Event::Progress { vertex, id, current, total: Some(total), what: what.to_owned() })
}
