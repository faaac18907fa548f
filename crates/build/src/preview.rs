//! What a build would do, step by step, without doing it: nothing runs and no layer is fetched.

use crate::{
    StepError, Workbench,
    engine::{Engine, has_vertex},
    op,
    state::State,
};
use strake_cache::{MissReason, explain};
use strake_plan::{Base, CopySource, Op, Plan, StageId, step_key};

/// What would become of a stage.
#[derive(Clone, Debug)]
pub struct StagePreview {
    /// Its name.
    pub name: String,
    /// What it stands on, as progress says it.
    pub base: String,
    /// Its steps, metadata left out.
    pub steps: Vec<StepPreview>,
    /// Bytes of base layers that are not here, fetched where a step has to run.
    pub missing_base: u64,
}

/// What would become of a step.
#[derive(Clone, Debug)]
pub struct StepPreview {
    /// Counted from 2, for FROM is 1.
    pub number: usize,
    /// The instruction on one line.
    pub text: String,
    /// Found, built, or not to be told.
    pub verdict: Verdict,
    /// Bytes of its layer, where it was found.
    pub size: Option<u64>,
}

/// Whether a step would be found in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It would be found.
    Hit,
    /// It would be built.
    Miss(MissReason),
    /// It depends on this step, which would be built.
    After(String),
    /// It cannot be told without fetching or running something.
    Unknown(String),
}

/// Looks each step of the plan up.
pub fn preview(plan: &Plan, bench: &Workbench) -> Result<Vec<StagePreview>, StepError> {
    let quiet = |_| {};
    let engine = Engine::new(plan, bench, &quiet);
    let mut open: Vec<Option<String>> = Vec::new();
    let mut found = Vec::new();
    for (at, stage) in plan.stages.iter().enumerate() {
        let (mut state, mut waits, base) = match &stage.base {
            Base::Scratch => (State::scratch(), None, "scratch".to_owned()),
            Base::Stage(id) => {
                let below = plan.stages[id.0].name.clone();
                match &open[id.0] {
                    Some(step) => (State::scratch(), Some(step.clone()), below),
                    None => (State::clone(&*engine.wait(*id)?), None, below),
                }
            }
            Base::Image(image) => (crate::engine::from_image(image)?, None, image.written.clone()),
        };
        let absent =
            state.layers.iter().filter(|it| bench.store.blob(&it.descriptor.digest).is_none());
        let missing_base = absent
            .filter(|_| matches!(stage.base, Base::Image(_)))
            .map(|it| it.descriptor.size)
            .sum();
        let mut steps = Vec::new();
        for (index, step) in stage.steps.iter().filter(|it| has_vertex(it)).enumerate() {
            let number = index + 2;
            let name = format!("{} {number}", stage.name);
            let mut size = None;
            let verdict = match waits_for(&waits, &step.op, &open) {
                Some(step) => Verdict::After(step),
                None => {
                    match look(&engine, &step.op, &stage.platform, &stage.name, &step.text, &state)?
                    {
                        Looked::Layer(layer) => {
                            size = Some(layer.descriptor.size);
                            state.push(*layer, step.created_by.clone());
                            Verdict::Hit
                        }
                        Looked::Not(verdict) => verdict,
                    }
                }
            };
            if verdict != Verdict::Hit && waits.is_none() {
                waits = Some(name);
            }
            steps.push(StepPreview { number, text: step.text.clone(), verdict, size });
        }
        engine.finished(StageId(at), waits.is_none().then_some(state));
        open.push(waits);
        found.push(StagePreview { name: stage.name.clone(), base, steps, missing_base });
    }
    Ok(found)
}

/// The unbuilt step that an op waits for.
fn waits_for(own: &Option<String>, op: &Op, open: &[Option<String>]) -> Option<String> {
    // A linked COPY stands on nothing; but what is below its layer is not known then.
    own.clone().or_else(|| crate::engine::reads(op).into_iter().find_map(|it| open[it.0].clone()))
}

enum Looked {
    Layer(Box<crate::ImageLayer>),
    Not(Verdict),
}

fn look(
    engine: &Engine<'_>,
    op: &Op,
    platform: &strake_oci::Platform,
    stage: &str,
    text: &str,
    state: &State,
) -> Result<Looked, StepError> {
    if let Some(why) = needs_more(engine, op)? {
        return Ok(Looked::Not(Verdict::Unknown(why)));
    }
    let sources = op::sources(engine, op)?;
    let record = step_key(op, state.root, platform, &sources);
    let key = record.key();
    let store = &engine.bench.store;
    if engine.bench.may_hit(stage, &key)
        && let Some(layer) = op::look_up(engine, &key)
    {
        return Ok(Looked::Layer(Box::new(layer)));
    }
    let slot = format!("{stage} {text}");
    Ok(Looked::Not(Verdict::Miss(explain(store.last_record(&slot).as_ref(), &record))))
}

/// Why the key of an op cannot be told from what is here.
fn needs_more(engine: &Engine<'_>, op: &Op) -> Result<Option<String>, StepError> {
    if let Op::Copy(copy) = op {
        let remote = |it: &CopySource| matches!(it, CopySource::Http(_) | CopySource::Git(_));
        if copy.sources.iter().any(remote) {
            return Ok(Some("its source is elsewhere".to_owned()));
        }
    }
    for id in crate::engine::reads(op) {
        for layer in &engine.wait(id)?.layers {
            if engine.bench.store.index(&layer.diff_id)?.is_none() {
                let name = &engine.plan.stages[id.0].name;
                return Ok(Some(format!("layers of {name} are not here")));
            }
        }
    }
    Ok(None)
}
