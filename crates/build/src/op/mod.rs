//! One file per op. Here: look-up, early cutoff, packing, storing.

pub(crate) mod copy;
mod run;
mod workdir;

use crate::{
    Event, ImageLayer, LayerOrigin, StepError,
    behind::Behind,
    engine::{At, Engine},
    run_folders,
    state::State,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use strake_cache::{EarlierLayer, LayerRecord, StepResult, explain};
use strake_layer::{Blocks, Change, Index, PackOptions, Packed, Previous};
use strake_oci::{DiffId, Digest};
use strake_plan::{ContentId, Op, RootId, step_key};

/// What a step made, before it is a layer.
pub(crate) struct Made {
    /// The layer's content.
    pub(crate) changes: Vec<Change>,
    /// The same as an overlay-ready folder, where there is one.
    pub(crate) snapshot: Option<PathBuf>,
    /// Kept until the changes are packed.
    pub(crate) guard: Option<strake_cache::TempDir>,
    /// Seconds since 1970, first and last: times within count as "now".
    pub(crate) window: (i64, i64),
    /// What the author of the Dockerfile should know.
    pub(crate) warnings: Vec<String>,
}

/// The layer of a step.
pub(crate) struct Done {
    pub(crate) layer: ImageLayer,
    /// Whether the step was not found in the cache.
    pub(crate) made: bool,
}

impl Done {
    fn found(layer: ImageLayer) -> Done {
        Done { layer, made: false }
    }
}

/// Returns the layer of the step: a stored one where the key is known or the content is equal.
pub(crate) fn execute<'it>(
    engine: &'it Engine<'_>,
    at: At<'_>,
    state: &State,
    behind: &Behind<'it, '_>,
) -> Result<Done, StepError> {
    match &at.step.op {
        Op::Run(op) => {
            let sources = run::sources(engine, op)?;
            cached(engine, at, state, &sources, behind, |_| run::run(engine, at, op, state))
        }
        Op::Copy(op) => {
            let prepared = copy::Prepared::new(engine, op)?;
            let records = prepared.records();
            cached(engine, at, state, &records, behind, move |earlier| {
                prepared.run(engine, state, earlier)
            })
        }
        Op::Workdir(op) => {
            cached(engine, at, state, &[], behind, |_| workdir::run(engine, op, state))
        }
        Op::Config => unreachable!("the engine handles metadata itself"),
    }
}

fn cached<'it>(
    engine: &'it Engine<'_>,
    at: At<'_>,
    state: &State,
    sources: &[(String, String)],
    behind: &Behind<'it, '_>,
    make: impl FnOnce(Option<&EarlierLayer>) -> Result<Made, StepError>,
) -> Result<Done, StepError> {
    let bench = engine.bench;
    let record = step_key(&at.step.op, state.root, &at.stage.platform, sources);
    let key = record.key();
    let may_hit = || bench.may_hit(&at.stage.name, &key);
    if may_hit()
        && let Some(layer) = look_up(engine, &key)
    {
        (engine.emit)(Event::Cached { vertex: at.vertex });
        return Ok(Done::found(layer));
    }
    // What waits there holds the lock of the step before.
    behind.release()?;
    // Concurrent builds that need the same step wait here for the one that makes it.
    let only_one = bench.store.lock(&format!("step {key}"))?;
    if may_hit()
        && let Some(layer) = look_up(engine, &key)
    {
        (engine.emit)(Event::Cached { vertex: at.vertex });
        return Ok(Done::found(layer));
    }
    let slot = format!("{} {}", at.stage.name, at.step.text);
    let reason = explain(bench.store.last_record(&slot).as_ref(), &record);
    tracing_miss(engine, at, &reason);
    let began = std::time::Instant::now();
    let place = Place::new(engine, at, &slot, may_hit());
    let mut made = make(place.earlier.as_ref())?;
    let (changes, told) = crate::marks::read(made.changes);
    if !told.is_empty() {
        // The folder has files where the layer has marks.
        made.snapshot = None;
        made.warnings.extend(told);
    }
    let made = Made { changes, ..made };
    for warning in &made.warnings {
        let bytes = format!("warning: {warning}\n").into_bytes();
        (engine.emit)(Event::Output { vertex: at.vertex, stderr: true, bytes });
    }
    let Stored { layer, new, folder } = store(engine, state, made, place)?;
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    bench.note_made(key);
    let (layer_id, content) = (Some(layer.diff_id), Some(layer.content));
    behind.add(move || {
        if let Some(new) = new {
            new.write(engine)?;
        }
        engine.bench.store.insert_last(&slot, &record)?;
        let result = StepResult { layer: layer_id, content, record, millis };
        engine.bench.store.insert_step(&key, &result)?;
        // Who waited for it finds all of it.
        drop(only_one);
        if let Some(folder) = folder {
            engine.run_folders.give(folder);
        }
        Ok(())
    });
    Ok(Done { layer, made: true })
}

fn tracing_miss(engine: &Engine<'_>, at: At<'_>, reason: &strake_cache::MissReason) {
    (engine.emit)(Event::Missed { vertex: at.vertex, reason: reason.to_string() });
}

/// What the key of an op stands on besides the root and the op itself.
pub(crate) fn sources(engine: &Engine<'_>, op: &Op) -> Result<Vec<(String, String)>, StepError> {
    match op {
        Op::Run(op) => run::sources(engine, op),
        Op::Copy(op) => Ok(copy::Prepared::new(engine, op)?.records()),
        Op::Workdir(_) | Op::Config => Ok(Vec::new()),
    }
}

pub(crate) fn look_up(engine: &Engine<'_>, key: &strake_plan::StepKey) -> Option<ImageLayer> {
    let result = engine.bench.store.step(key)?;
    let layer = stored(engine, result.layer?)?;
    // Another step may have made the same bytes at another time, which is another identity.
    Some(ImageLayer { content: result.content.unwrap_or(layer.content), ..layer })
}

fn stored(engine: &Engine<'_>, diff_id: DiffId) -> Option<ImageLayer> {
    let store = &engine.bench.store;
    // However it is packed: outputs have it packed anew where they want another way.
    let record = store.layer(&diff_id, engine.bench.compression);
    let record = record.or_else(|| store.any_layer(&diff_id))?;
    Some(image_layer(&record))
}

fn image_layer(record: &LayerRecord) -> ImageLayer {
    ImageLayer {
        diff_id: record.diff_id,
        descriptor: record.descriptor.clone(),
        content: record.content,
        created: Some(record.created),
        origin: LayerOrigin::Store,
    }
}

/// A place in a Dockerfile with its context, and the layer that it made last.
struct Place {
    name: String,
    earlier: Option<EarlierLayer>,
}

/// From so many changes on the memory that went into them counts.
const MANY: usize = 10_000;

/// Layers of fewer blocks are packed as fast as blocks are looked up.
const WORTH_KEEPING: usize = 8;

impl Place {
    fn new(engine: &Engine<'_>, at: At<'_>, slot: &str, may_hit: bool) -> Place {
        let bench = engine.bench;
        let reads_context =
            matches!(&at.step.op, Op::Copy(copy) if copy.from == strake_plan::Source::Context);
        let root = bench.context.as_ref().filter(|_| reads_context).map(|it| it.root().display());
        let name = root.map_or_else(|| slot.to_owned(), |root| format!("{slot} {root}"));
        let earlier = if may_hit { bench.store.earlier(&name, bench.compression) } else { None };
        Place { name, earlier }
    }
}

/// Keeps a copied root for the next RUN; returns the folders of an overlay.
fn keep(
    engine: &Engine<'_>,
    state: &State,
    made: DiffId,
    guard: Option<strake_cache::TempDir>,
) -> Option<strake_cache::TempDir> {
    let guard = guard?;
    let root_of_run = run_folders::root(&guard).join("root");
    if !engine.bench.copies_roots() || !root_of_run.is_dir() {
        return Some(guard);
    }
    let layers = state.layers.iter().map(|it| it.diff_id).chain([made]).collect();
    engine.bench.keep(layers, guard);
    None
}

/// A layer in its place.
struct Stored {
    layer: ImageLayer,
    /// What is to be written about it, unless it was there before.
    new: Option<New>,
    /// What the RUN worked in.
    folder: Option<strake_cache::TempDir>,
}

/// What the store keeps about a layer.
struct New {
    record: LayerRecord,
    /// Large ones are written at once.
    index: Option<Arc<Index>>,
    blocks: Blocks,
    below: RootId,
    place: String,
    /// Seconds since 1970 when it was finished.
    now: i64,
}

impl New {
    fn write(&self, engine: &Engine<'_>) -> Result<(), StepError> {
        let New { record, index, blocks, below, place, now } = self;
        let store = &engine.bench.store;
        if let Some(index) = index {
            store.insert_index(&record.diff_id, index)?;
            engine.known.forget_index(&record.diff_id);
        }
        store.insert_layer(record)?;
        if blocks.len() >= WORTH_KEEPING {
            store.insert_earlier(place, record, blocks, *now)?;
        }
        Ok(store.insert_equal(*below, record.content, record.diff_id)?)
    }
}

/// Packs a layer and puts it into its place, or finds the stored one that holds the same.
fn store(
    engine: &Engine<'_>,
    state: &State,
    made: Made,
    place: Place,
) -> Result<Stored, StepError> {
    let bench = engine.bench;
    let Made { changes, snapshot, guard, window, warnings: _ } = made;
    // A step that changed nothing has the one layer that holds nothing.
    if changes.is_empty()
        && let Some(layer) = stored(engine, DiffId(Digest::of(&[0; 1024])))
    {
        let folder = keep(engine, state, layer.diff_id, guard);
        return Ok(Stored { layer, new: None, folder });
    }
    // A folder of its own only where the step has none.
    let own = guard.is_none().then(|| bench.store.temp_dir("pack")).transpose()?;
    let dir = own.as_ref().or(guard.as_ref()).expect("one of them").path().to_owned();
    let packed = pack(engine, changes, place.earlier.as_ref(), &dir)?;
    let content = ContentId(strake_layer::content_id(&packed.index, Some(window)));
    if let Some(equal) = bench.store.equal_layer(state.root, content)
        && let Some(layer) = stored(engine, equal)
    {
        let folder = keep(engine, state, equal, guard);
        return Ok(Stored { layer: ImageLayer { content, ..layer }, new: None, folder });
    }
    bench.store.insert_blob(&packed.file, &packed.descriptor.digest)?;
    if let Some(folder) = snapshot {
        let (_, form) = crate::materialise::form(&bench.privilege);
        bench.store.insert_snapshot(form, &packed.diff_id, &folder)?;
    }
    let folder = keep(engine, state, packed.diff_id, guard);
    let index = if packed.index.entries.len() > MANY {
        bench.store.insert_index(&packed.diff_id, &packed.index)?;
        None
    } else {
        let index = Arc::new(packed.index);
        engine.known.keep_index(packed.diff_id, &index);
        Some(index)
    };
    let record = LayerRecord {
        diff_id: packed.diff_id,
        descriptor: packed.descriptor,
        compression: bench.compression,
        content,
        // Not that of the earlier layer, which times of entries may be taken from.
        created: if place.earlier.is_some() { (bench.clock)() } else { window.1 },
    };
    let layer = image_layer(&record);
    let (blocks, below, now) = (packed.blocks, state.root, window.1);
    let new = New { record, index, blocks, below, place: place.name, now };
    Ok(Stored { layer, new: Some(new), folder })
}

fn pack(
    engine: &Engine<'_>,
    changes: Vec<Change>,
    earlier: Option<&EarlierLayer>,
    dir: &Path,
) -> Result<Packed, StepError> {
    let many = changes.len() > MANY;
    if many {
        // What the changes were made from is gone: packing is not to take its place besides.
        strake_sandbox::trim_memory();
    }
    let options =
        PackOptions { compression: engine.bench.compression, threads: engine.bench.threads };
    let packed = match earlier {
        Some(EarlierLayer { blob, blocks, now: _ }) => {
            strake_layer::repack(changes, &options, dir, Previous { blob, blocks })?
        }
        None => strake_layer::pack(changes, &options, dir)?,
    };
    if many {
        // Nor the index that of packing's buffers.
        strake_sandbox::trim_memory();
    }
    Ok(packed)
}
