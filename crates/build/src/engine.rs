//! The scheduler: one thread a stage; a step waits only for the stage that it reads.

use crate::{
    BuildError, Event, Image, ImageLayer, LayerOrigin, StepError, VertexId, Workbench,
    behind::Behind, foreign::Own, image::assemble, known::Known, op, run_folders::RunFolders,
    state::State,
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError},
    thread,
};
use strake_cache::TempDir;
use strake_diag::Span;
use strake_oci::{Descriptor, History, media_type};
use strake_plan::{Base, BaseImage, ContentId, Op, Origin, Plan, Source, Stage, StageId, Step};
use strake_sandbox::{Place, Starter};

/// Runs `plan` and returns the image of its target stage.
///
/// Stages run side by side. When one fails, the others stop at their next step and the first
/// failure is returned.
pub fn run(
    plan: &Plan,
    bench: &Workbench,
    emit: &(dyn Fn(Event) + Sync),
) -> Result<Image, BuildError> {
    let engine = Engine::new(plan, bench, emit);
    thread::scope(|scope| {
        for id in 0..plan.stages.len() {
            let engine = &engine;
            scope.spawn(move || engine.stage(StageId(id)));
        }
    });
    if let Some(error) = lock(&engine.first_error).take() {
        return Err(error);
    }
    let state = lock(&engine.done)[plan.target.0].clone();
    match state {
        Some(Finished::Ok(state)) => {
            Ok(assemble(&plan.stages[plan.target.0], State::clone(&state), bench.source_date_epoch))
        }
        Some(Finished::Failed) | None => Err(BuildError::Cancelled),
    }
}

pub(crate) struct Engine<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) bench: &'a Workbench,
    pub(crate) emit: &'a (dyn Fn(Event) + Sync),
    done: Mutex<Vec<Option<Finished>>>,
    changed: Condvar,
    first_error: Mutex<Option<BuildError>>,
    /// Interpreters of foreign programs, where the build had to bring its own.
    pub(crate) interpreters: OnceLock<Option<Own>>,
    /// What was looked up in the store.
    pub(crate) known: Known,
    /// Layers below all others of RUNs, by what they hold, see [`strake_sandbox::lend_places`].
    places: Mutex<BTreeMap<Vec<Place>, TempDir>>,
    pub(crate) run_folders: RunFolders,
    pub(crate) starter: Starter,
    /// First vertex of each stage.
    vertices: Vec<usize>,
    /// The target, the stage that it begins with, and so on: their layers are the image's.
    below: Vec<StageId>,
}

#[derive(Clone)]
enum Finished {
    Ok(Arc<State>),
    Failed,
}

/// What failed, and where.
struct Failed {
    error: StepError,
    span: Span,
    text: String,
}

/// A step in its place.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) step: &'a Step,
    pub(crate) vertex: VertexId,
}

impl<'a> Engine<'a> {
    /// Nothing done yet.
    pub(crate) fn new(
        plan: &'a Plan,
        bench: &'a Workbench,
        emit: &'a (dyn Fn(Event) + Sync),
    ) -> Engine<'a> {
        Engine {
            plan,
            bench,
            emit,
            done: Mutex::new(vec![None; plan.stages.len()]),
            changed: Condvar::new(),
            first_error: Mutex::new(None),
            interpreters: OnceLock::new(),
            known: Known::default(),
            places: Mutex::default(),
            run_folders: RunFolders::default(),
            starter: Starter::new(runs(plan)),
            vertices: vertices(plan),
            below: below(plan),
        }
    }

    /// Notes what became of a stage; nothing where it cannot be had.
    pub(crate) fn finished(&self, id: StageId, state: Option<State>) {
        let finished = state.map_or(Finished::Failed, |it| Finished::Ok(Arc::new(it)));
        lock(&self.done)[id.0] = Some(finished);
        self.changed.notify_all();
    }

    fn stage(&self, id: StageId) {
        let stage = &self.plan.stages[id.0];
        let state = thread::scope(|scope| {
            let behind = Behind::new(scope);
            let state = self.steps(id, stage, &behind);
            let written = behind.end().map_err(|error| Box::new(at_the_end(stage, error)));
            state.and_then(|state| written.map(|()| state))
        });
        let state = state.map_err(|failed| {
            self.bench.fail();
            self.record(*failed, stage);
        });
        self.finished(id, state.ok());
    }

    /// Keeps the first failure that is not merely another's consequence.
    fn record(&self, failed: Failed, stage: &Stage) {
        let Failed { error, span, text } = failed;
        let mut first = lock(&self.first_error);
        if first.is_some() || matches!(error, StepError::Stopped) {
            return;
        }
        *first = Some(if self.bench.cancel.is_cancelled() {
            BuildError::Cancelled
        } else {
            BuildError::Step { span, stage: stage.name.clone(), text, error: Box::new(error) }
        });
    }

    /// A layer with these places, which RUNs share.
    pub(crate) fn places(&self, places: &[Place]) -> Result<PathBuf, StepError> {
        let mut made = lock(&self.places);
        if let Some(dir) = made.get(places) {
            return Ok(dir.path().to_owned());
        }
        let dir = self.bench.store.temp_dir("places")?;
        strake_sandbox::make_places(dir.path(), places)?;
        let path = dir.path().to_owned();
        made.insert(places.to_vec(), dir);
        Ok(path)
    }

    /// The finished stage; waits for it.
    pub(crate) fn wait(&self, id: StageId) -> Result<Arc<State>, StepError> {
        let mut done = lock(&self.done);
        loop {
            match &done[id.0] {
                Some(Finished::Ok(state)) => return Ok(Arc::clone(state)),
                Some(Finished::Failed) => return Err(StepError::Stopped),
                None => {
                    done = self.changed.wait(done).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn steps<'it>(
        &'it self,
        id: StageId,
        stage: &Stage,
        behind: &Behind<'it, '_>,
    ) -> Result<State, Box<Failed>> {
        let base = |error| {
            let text = format!("FROM {}", base_name(&stage.base));
            Box::new(Failed { error, span: stage.span, text })
        };
        let mut vertex = self.vertices[id.0];
        let total = 1 + stage.steps.iter().filter(|it| has_vertex(it)).count();
        let mut state = self.base(stage, VertexId(vertex), total).map_err(base)?;
        let mut number = 1;
        for step in &stage.steps {
            let at = At { stage, step, vertex: VertexId(vertex + 1) };
            if has_vertex(step) {
                vertex += 1;
                number += 1;
            }
            let name = format!("[{} {number}/{total}] {}", stage.name, step.text);
            self.step(at, &name, &mut state, behind).map_err(|error| {
                Box::new(Failed { error, span: step.span, text: step.text.clone() })
            })?;
            self.tell(id, &mut state);
        }
        Ok(state)
    }

    fn base(&self, stage: &Stage, vertex: VertexId, total: usize) -> Result<State, StepError> {
        match &stage.base {
            Base::Scratch => Ok(State::scratch()),
            Base::Stage(id) => self.wait(*id).map(|it| State::clone(&it)),
            Base::Image(image) => {
                let name = format!("[{} 1/{total}] FROM {}", stage.name, image.written);
                (self.emit)(Event::Started { vertex, name });
                let state = from_image(image)?;
                (self.emit)(Event::Done { vertex });
                Ok(state)
            }
        }
    }

    /// Tells of new layers of the image.
    fn tell(&self, id: StageId, state: &mut State) {
        if state.made && self.below.contains(&id) {
            for layer in &state.layers[state.told..] {
                (self.emit)(Event::Layer { layer: Box::new(layer.clone()) });
            }
            state.told = state.layers.len();
        }
    }

    fn step<'it>(
        &'it self,
        at: At<'_>,
        name: &str,
        state: &mut State,
        behind: &Behind<'it, '_>,
    ) -> Result<(), StepError> {
        if self.bench.has_failed() {
            return Err(StepError::Stopped);
        }
        if let Op::Config = at.step.op {
            state.history.push(history(at.step, true));
            return Ok(());
        }
        // A step is shown when it begins, not while it waits for what it reads.
        let reads = reads(&at.step.op);
        if !reads.is_empty() {
            // Who is waited for may need the step before, whose lock is held until it is written.
            behind.release()?;
        }
        for id in reads {
            self.wait(id)?;
        }
        (self.emit)(Event::Started { vertex: at.vertex, name: name.to_owned() });
        match op::execute(self, at, state, behind) {
            Ok(done) => {
                state.made |= done.made;
                if matches!(at.step.op, Op::Run(_)) && !done.made {
                    self.starter.skip();
                }
                // A folder that a stage stands on is known by itself, as a base image is.
                let is_told = !at.step.created_by.is_empty();
                state.push(done.layer, if is_told { name } else { &at.step.text }.to_owned());
                state.history.extend(is_told.then(|| history(at.step, false)));
                (self.emit)(Event::Done { vertex: at.vertex });
                Ok(())
            }
            Err(error) => {
                let error =
                    if self.bench.cancel.is_cancelled() { StepError::Stopped } else { error };
                (self.emit)(Event::Failed { vertex: at.vertex, error: error.to_string() });
                Err(error)
            }
        }
    }
}

/// What could not be written of a stage whose steps are all done.
fn at_the_end(stage: &Stage, error: StepError) -> Failed {
    let (span, text) = stage.steps.last().map_or_else(
        || (stage.span, format!("FROM {}", base_name(&stage.base))),
        |step| (step.span, step.text.clone()),
    );
    Failed { error, span, text }
}

/// The stages whose files an op reads besides its own root.
pub(crate) fn reads(op: &Op) -> Vec<StageId> {
    let stage = |source: &Source| match source {
        Source::Stage(id) => Some(*id),
        Source::Context | Source::Named(_) => None,
    };
    match op {
        Op::Copy(copy) => stage(&copy.from).into_iter().collect(),
        Op::Run(run) => run
            .mounts
            .iter()
            .filter_map(|it| match &it.kind {
                strake_plan::MountKind::Bind { from, .. } => stage(from),
                strake_plan::MountKind::Cache { from: Some((from, _)), .. } => stage(from),
                _ => None,
            })
            .collect(),
        Op::Workdir(_) | Op::Config => Vec::new(),
    }
}

pub(crate) fn has_vertex(step: &Step) -> bool {
    !matches!(step.op, Op::Config)
}

fn base_name(base: &Base) -> &str {
    match base {
        Base::Scratch => "scratch",
        Base::Stage(_) => "an earlier stage",
        Base::Image(image) => &image.written,
    }
}

fn history(step: &Step, empty_layer: bool) -> History {
    History {
        created_by: Some(step.created_by.clone()),
        comment: Some("buildkit.dockerfile.v0".to_owned()),
        empty_layer,
        ..History::default()
    }
}

/// The first vertex of each stage: one for FROM and one a step that does something.
pub(crate) fn vertices(plan: &Plan) -> Vec<usize> {
    let mut next = 1;
    let mut first = Vec::new();
    for stage in &plan.stages {
        first.push(next);
        next += 1 + stage.steps.iter().filter(|it| has_vertex(it)).count();
    }
    first
}

fn runs(plan: &Plan) -> usize {
    plan.stages.iter().flat_map(|it| &it.steps).filter(|it| matches!(it.op, Op::Run(_))).count()
}

fn below(plan: &Plan) -> Vec<StageId> {
    let next = |it: &StageId| match &plan.stages[it.0].base {
        Base::Stage(id) => Some(*id),
        Base::Image(_) | Base::Scratch => None,
    };
    std::iter::successors(Some(plan.target), next).collect()
}

/// The layers of a base, none of them fetched.
pub(crate) fn from_image(image: &BaseImage) -> Result<State, StepError> {
    let config = &image.config.value;
    let origin = match &image.origin {
        Origin::Registry(reference) => LayerOrigin::Registry(reference.clone()),
        Origin::Layout(folder) => LayerOrigin::Layout(folder.clone()),
        Origin::Store => LayerOrigin::Store,
    };
    let (blobs, diff_ids) = (&image.manifest.value.layers, &config.rootfs.diff_ids);
    if blobs.len() != diff_ids.len() {
        let (layers, diff_ids) = (blobs.len(), diff_ids.len());
        return Err(StepError::DamagedBase { image: image.written.clone(), layers, diff_ids });
    }
    let mut state = State::scratch();
    for (descriptor, diff_id) in blobs.iter().zip(diff_ids) {
        let layer = ImageLayer {
            diff_id: *diff_id,
            descriptor: Descriptor {
                media_type: oci_layer(&descriptor.media_type).to_owned(),
                ..descriptor.clone()
            },
            content: ContentId::of_base(*diff_id),
            created: None,
            origin: origin.clone(),
        };
        state.push(layer, format!("pulled from {}@{}", image.written, image.manifest.digest()));
    }
    // Docker keeps of an entry what it knows.
    let known = |it: &History| History { extra: BTreeMap::new(), ..it.clone() };
    state.history = config.history.iter().map(known).collect();
    state.base_history = config.history.len();
    state.os_features.clone_from(&config.os_features);
    state.author.clone_from(&config.author);
    Ok(state)
}

/// The OCI name of a layer's media type.
fn oci_layer(docker: &str) -> &str {
    match docker {
        media_type::DOCKER_LAYER => media_type::OCI_LAYER,
        media_type::DOCKER_LAYER_GZIP => media_type::OCI_LAYER_GZIP,
        media_type::DOCKER_LAYER_ZSTD => media_type::OCI_LAYER_ZSTD,
        other => other,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
