//! COPY and ADD: what is copied, and where to.

use super::Made;
use crate::{
    ImageLayer, StepError,
    copy::{self, CopyError, Fetched, Selection, SourceTree},
    engine::Engine,
    materialise, mounts,
    state::State,
};
use std::{path::Path, sync::Arc};
use strake_context::Context;
use strake_layer::Tree;
use strake_plan::{CopyOp, CopySource, Source};

/// A COPY whose sources have been looked up.
pub(crate) struct Prepared<'a> {
    op: &'a CopyOp,
    selection: Selection,
    /// The layers of the stage that is copied from: unpacked only when something is copied.
    layers: Vec<ImageLayer>,
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(engine: &Engine<'_>, op: &'a CopyOp) -> Result<Prepared<'a>, StepError> {
        let mut layers = Vec::new();
        let fetched = fetch(engine, op)?;
        let of_context = |name: &str, context: Option<&Context>| {
            let none = || StepError::NoContext { name: name.to_owned() };
            let source = SourceTree::Context(context.ok_or_else(none)?);
            Ok::<_, StepError>(copy::select(op, &source, &fetched)?)
        };
        let selection = match &op.from {
            Source::Context => of_context("context", engine.bench.context.as_ref())?,
            Source::Named(name) => of_context(name, engine.bench.named.get(name))?,
            Source::Stage(id) => {
                let state = engine.wait(*id)?;
                let tree = materialise::tree(&state.layers, engine)?;
                layers.clone_from(&state.layers);
                copy::select(op, &SourceTree::Stage(&tree), &fetched)?
            }
        };
        Ok(Prepared { op, selection, layers })
    }

    pub(crate) fn records(&self) -> Vec<(String, String)> {
        self.selection.records()
    }

    pub(crate) fn run(
        self,
        engine: &Engine<'_>,
        state: &State,
        earlier: Option<&strake_cache::EarlierLayer>,
    ) -> Result<Made, StepError> {
        let below = if self.op.link {
            Arc::new(Tree::stack(&[]))
        } else {
            materialise::tree(&state.layers, engine)?
        };
        // What has no time of its own keeps the one it had, so that what does not change stays the
        // same to the last bit. Within a layer's identity such times are "now" anyway.
        let now = earlier.map_or_else(|| (engine.bench.clock)(), |it| it.now);
        self.onto(engine, &below, &state.layers, now)
    }

    /// The changes that the copy makes to `below`.
    pub(crate) fn onto(
        mut self,
        engine: &Engine<'_>,
        below: &Tree,
        names: &[ImageLayer],
        now: i64,
    ) -> Result<Made, StepError> {
        let mut warnings = Vec::new();
        let owner = match &self.op.chown {
            None => None,
            Some(written) => Some(self.owner(engine, written, names, &mut warnings)?),
        };
        let scratch = engine.bench.store.temp_dir("copy")?;
        let folders = if self.selection.reads_layers() {
            materialise::snapshots(&self.layers, engine)?
        } else {
            Vec::new()
        };
        let dir = scratch.path();
        self.fill(engine, dir, now)?;
        let Prepared { op, selection, layers: _ } = self;
        let placed = copy::changes(op, selection, below, owner, now, dir, &folders)?;
        let copy::Placed { changes, overwritten } = placed;
        warnings.extend(overwritten.map(|it| {
            format!("several files are copied to `{it}` and the last is kept: write `{it}/`")
        }));
        Ok(Made { changes, snapshot: None, guard: Some(scratch), window: (now, now), warnings })
    }

    /// Puts the files of commits into the selection; they are checked out below `dir`.
    fn fill(&mut self, engine: &Engine<'_>, dir: &Path, now: i64) -> Result<(), StepError> {
        let repositories = self.op.sources.iter().filter_map(|it| match it {
            CopySource::Git(source) => Some(source),
            CopySource::Path(_) | CopySource::Heredoc(_) | CopySource::Http(_) => None,
        });
        for (number, source) in repositories.enumerate() {
            let (remote, store) = (&engine.bench.remote, &engine.bench.store);
            let commit = remote.commit(store, source)?;
            let folder = dir.join(format!("checkout{number}"));
            let checkout = remote.checkout(store, source, &commit, &folder)?;
            let context = Context::open(&checkout.folder, None).map_err(CopyError::from)?;
            let time = (!source.commit_mtime).then_some(now);
            self.selection.fill(number, &context, &self.op.excludes, time)?;
        }
        Ok(())
    }

    fn owner(
        &self,
        engine: &Engine<'_>,
        written: &str,
        names: &[ImageLayer],
        warnings: &mut Vec<String>,
    ) -> Result<(u32, u32), StepError> {
        if let Some(numbers) = strake_rootfs::numeric_owner(written) {
            return Ok(numbers);
        }
        let tree = materialise::tree(names, engine)?;
        let (passwd, group) = mounts::user_files(&tree);
        found(strake_rootfs::lookup_chown(passwd, group, written)?, names, warnings)
    }
}

/// What BuildKit makes of a name that the image lacks: an error only where there is no image.
pub(super) fn found(
    owner: strake_rootfs::Owner,
    layers: &[ImageLayer],
    warnings: &mut Vec<String>,
) -> Result<(u32, u32), StepError> {
    let strake_rootfs::Owner { uid, gid, unknown } = owner;
    match unknown.into_iter().next() {
        Some(error) if layers.is_empty() => Err(error.into()),
        Some(error) => {
            warnings.push(format!("{error}: the files are {uid}:{gid}, as with Docker"));
            Ok((uid, gid))
        }
        None => Ok((uid, gid)),
    }
}

/// Fetches the sources that are not of the context: a step's key stands on what they are now.
fn fetch(engine: &Engine<'_>, op: &CopyOp) -> Result<Vec<Fetched>, StepError> {
    let bench = engine.bench;
    let mut fetched = Vec::new();
    for source in &op.sources {
        match source {
            CopySource::Path(_) | CopySource::Heredoc(_) => (),
            CopySource::Http(source) => {
                fetched.push(Fetched::File(bench.remote.http(&bench.store, source)?));
            }
            CopySource::Git(source) => {
                fetched.push(Fetched::Commit(bench.remote.commit(&bench.store, source)?));
            }
        }
    }
    Ok(fetched)
}
