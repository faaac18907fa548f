//! Indexes and snapshots of layers, made when somebody needs them.

use crate::{ImageLayer, StepError, Workbench, engine::Engine, local_blob};
use std::{
    collections::BTreeSet, fs::File, io::BufReader, path::PathBuf, sync::Arc,
    thread::ScopedJoinHandle,
};
use strake_cache::StoreError;
use strake_layer::{Form, Index, Tree};
use strake_sandbox::Privilege;

/// The merged view of a stack of layers.
pub(crate) fn tree(layers: &[ImageLayer], engine: &Engine<'_>) -> Result<Arc<Tree>, StepError> {
    let bench = engine.bench;
    engine.known.tree(layers, |others| {
        let known = |it: &ImageLayer| match engine.known.index(&it.diff_id) {
            Some(index) => Ok(Some(index)),
            None => bench.store.index(&it.diff_id),
        };
        side_by_side(others, known, |at| index(&others[at], bench))
    })
}

/// What is known of each layer, or made of it. What is not known is made of all such layers at once:
/// while one is downloaded another one is unpacked.
fn side_by_side<T: Send>(
    layers: &[ImageLayer],
    known: impl Fn(&ImageLayer) -> Result<Option<T>, StoreError>,
    make: impl Fn(usize) -> Result<T, StepError> + Sync,
) -> Result<Vec<T>, StepError> {
    let known = layers.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    let make = &make;
    std::thread::scope(|scope| {
        let start = |(at, known): (usize, Option<T>)| match known {
            Some(known) => Started::Known(known),
            None => Started::Thread(scope.spawn(move || make(at))),
        };
        let started: Vec<_> = known.into_iter().enumerate().map(start).collect();
        let finish = |it| match it {
            Started::Known(known) => Ok(known),
            Started::Thread(thread) => {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
        };
        started.into_iter().map(finish).collect()
    })
}

enum Started<'scope, T> {
    Known(T),
    Thread(ScopedJoinHandle<'scope, Result<T, StepError>>),
}

/// The index of a layer; its blob's headers are read where it is not known yet.
fn index(layer: &ImageLayer, bench: &Workbench) -> Result<Arc<Index>, StepError> {
    if let Some(index) = bench.store.index(&layer.diff_id)? {
        return Ok(index);
    }
    let _only_one = bench.store.lock(&format!("index {}", layer.diff_id))?;
    if let Some(index) = bench.store.index(&layer.diff_id)? {
        return Ok(index);
    }
    let blob = BufReader::with_capacity(1 << 20, File::open(local_blob(layer, bench)?)?);
    let index = strake_layer::read_index(blob, Some(layer.diff_id))?;
    bench.store.insert_index(&layer.diff_id, &index)?;
    Ok(Arc::new(index))
}

/// Overlay-ready folders of the layers, in the order of `layers`.
pub(crate) fn snapshots(
    layers: &[ImageLayer],
    engine: &Engine<'_>,
) -> Result<Vec<PathBuf>, StepError> {
    let (_, name) = form(&engine.bench.privilege);
    let known = |it: &ImageLayer| {
        let found = || engine.bench.store.snapshot(name, &it.diff_id);
        Ok(engine.known.snapshot(&it.diff_id).or_else(found))
    };
    let paths = side_by_side(layers, known, |at| snapshot(&layers[at], &layers[..at], engine))?;
    engine.known.keep_snapshots(layers, &paths);
    Ok(paths)
}

fn snapshot(
    layer: &ImageLayer,
    below: &[ImageLayer],
    engine: &Engine<'_>,
) -> Result<PathBuf, StepError> {
    let bench = engine.bench;
    let (form, name) = form(&bench.privilege);
    if let Some(path) = bench.store.snapshot(name, &layer.diff_id) {
        return Ok(path);
    }
    let _only_one = bench.store.lock(&format!("snapshot {name} {}", layer.diff_id))?;
    if let Some(path) = bench.store.snapshot(name, &layer.diff_id) {
        return Ok(path);
    }
    let blob = BufReader::with_capacity(1 << 20, File::open(local_blob(layer, bench)?)?);
    let dir = bench.store.temp_dir("unpack")?;
    let root = dir.path().join("root");
    fs_err::create_dir(&root)?;
    let below = tree(below, engine)?;
    let expected = Some(layer.diff_id);
    let index = strake_layer::unpack_onto(blob, None, expected, &root, form, &below)?;
    if bench.store.index(&layer.diff_id)?.is_none() {
        bench.store.insert_index(&layer.diff_id, &index)?;
    }
    Ok(bench.store.insert_snapshot(name, &layer.diff_id, &root)?)
}

/// Topmost first, and each once: overlayfs refuses a folder that is there twice, as that of the empty
/// layer is after two steps that changed nothing. The upper of two shows everything of the lower.
pub(crate) fn once(snapshots: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    snapshots.into_iter().rev().filter(|it| seen.insert(it.clone())).collect()
}

/// How snapshots look for this privilege, and the name of that form in the store.
pub(crate) fn form(privilege: &Privilege) -> (Form, &'static str) {
    match privilege {
        Privilege::Root => (Form::Root, "root"),
        Privilege::SubIds => (Form::SubIds, "subids"),
        Privilege::SingleId => (Form::SingleId, "single"),
        Privilege::Chroot => (Form::Chroot, "chroot"),
        Privilege::Emulated | Privilege::None { .. } => (Form::Unprivileged, "unprivileged"),
    }
}
