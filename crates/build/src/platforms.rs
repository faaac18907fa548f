//! One plan a platform, side by side against one store.

use crate::{
    BuildError, Event, Image, VertexId, Workbench,
    engine::{has_vertex, run, vertices},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    thread,
};
use strake_oci::Platform;
use strake_plan::{Plan, Stage};

/// Runs one plan for each platform and returns their images in the same order.
///
/// Steps that are equal, as those of a stage on the build platform are, are done once: the key is
/// the same, and whoever comes second waits for it. When one plan fails, the others stop.
pub fn run_all(
    plans: &[Plan],
    bench: &Workbench,
    emit: &(dyn Fn(Event) + Sync),
) -> Result<Vec<Image>, BuildError> {
    let mut first = 0;
    let mut results = Vec::new();
    let shared = Shared::default();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for plan in plans {
            let offset = first;
            first += count(plan);
            let shared = &shared;
            let marked = move |event| {
                if let Some(event) = shared.once(offset, marked(plan, offset, event)) {
                    emit(event);
                }
            };
            threads.push(scope.spawn(move || run(plan, bench, &marked)));
        }
        for thread in threads {
            let result = thread.join();
            results.push(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    // A plan that only stopped because another failed has nothing to tell.
    if let Some(at) = results.iter().position(|it| matches!(it, Err(BuildError::Step { .. }))) {
        return Err(results.swap_remove(at).expect_err("it is an error"));
    }
    results.into_iter().collect()
}

/// How many numbers the vertices of a plan take.
pub fn count(plan: &Plan) -> usize {
    plan.stages.iter().map(|it| 1 + it.steps.len()).sum()
}

/// Steps that several plans have are shown once.
#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    /// By name: the vertex that is shown, and the plan that showed it first.
    by_name: BTreeMap<String, (VertexId, usize)>,
    /// Those of other plans, and what is shown in their place.
    instead: BTreeMap<VertexId, VertexId>,
    /// Those that were not in the cache when the build began.
    ran: BTreeSet<VertexId>,
    ended: BTreeSet<VertexId>,
}

impl Shared {
    /// The event as it is shown, if it is. `plan` tells plans apart.
    fn once(&self, plan: usize, event: Event) -> Option<Event> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let shown = |state: &State, it: VertexId| {
            let it = state.instead.get(&it).copied().unwrap_or(it);
            (!state.ended.contains(&it)).then_some(it)
        };
        Some(match event {
            Event::Started { vertex, name } => {
                match state.by_name.get(&name) {
                    Some((first, other)) if *other != plan => {
                        state.instead.insert(vertex, *first);
                        return None;
                    }
                    Some(_) => {}
                    None => drop(state.by_name.insert(name.clone(), (vertex, plan))),
                }
                Event::Started { vertex, name }
            }
            Event::Cached { vertex } => {
                // The plan that came second found what the first has made.
                let vertex = shown(state, vertex).filter(|it| !state.ran.contains(it))?;
                Event::Cached { vertex }
            }
            Event::Missed { vertex, reason } => {
                let vertex = shown(state, vertex)?;
                state.ran.insert(vertex);
                Event::Missed { vertex, reason }
            }
            Event::Output { vertex, stderr, bytes } => {
                Event::Output { vertex: shown(state, vertex)?, stderr, bytes }
            }
            Event::Progress { vertex, id, current, total, what } => {
                Event::Progress { vertex: shown(state, vertex)?, id, current, total, what }
            }
            Event::Done { vertex } => {
                let vertex = shown(state, vertex)?;
                state.ended.insert(vertex);
                Event::Done { vertex }
            }
            Event::Failed { vertex, error } => {
                let vertex = shown(state, vertex)?;
                state.ended.insert(vertex);
                Event::Failed { vertex, error }
            }
            Event::Layer { layer } => Event::Layer { layer },
            Event::Warning { text } => Event::Warning { text },
        })
    }
}

/// The event with numbers and names of its own among those of other platforms.
fn marked(plan: &Plan, offset: usize, event: Event) -> Event {
    let moved = |it: VertexId| VertexId(it.0 + offset);
    match event {
        Event::Started { vertex, name } => {
            Event::Started { vertex: moved(vertex), name: named(plan, vertex, name) }
        }
        Event::Cached { vertex } => Event::Cached { vertex: moved(vertex) },
        Event::Missed { vertex, reason } => Event::Missed { vertex: moved(vertex), reason },
        Event::Output { vertex, stderr, bytes } => {
            Event::Output { vertex: moved(vertex), stderr, bytes }
        }
        Event::Progress { vertex, id, current, total, what } => {
            Event::Progress { vertex: moved(vertex), id, current, total, what }
        }
        Event::Done { vertex } => Event::Done { vertex: moved(vertex) },
        Event::Failed { vertex, error } => Event::Failed { vertex: moved(vertex), error },
        Event::Layer { layer } => Event::Layer { layer },
        Event::Warning { text } => Event::Warning { text },
    }
}

/// `[linux/arm64 build 2/3] RUN ..`, and `[linux/amd64->arm64 build 2/3] RUN ..` from where a stage on
/// another platform than the target's asks for the target's.
fn named(plan: &Plan, vertex: VertexId, name: String) -> String {
    let firsts = vertices(plan);
    let Some(at) = firsts.iter().rposition(|first| *first <= vertex.0) else { return name };
    let Some(rest) = name.strip_prefix('[') else { return name };
    let (stage, target) = (&plan.stages[at], &plan.platform);
    let arrow = match asks_for_target(stage, vertex.0 - firsts[at]) {
        true => arrow(&stage.platform, target),
        false => String::new(),
    };
    format!("[{}{arrow} {rest}", stage.platform)
}

fn arrow(from: &Platform, to: &Platform) -> String {
    let variant = to.variant.as_ref().map(|it| format!("/{it}")).unwrap_or_default();
    if from.os != to.os {
        format!("->{to}")
    } else if from.architecture != to.architecture {
        format!("->{}{variant}", to.architecture)
    } else {
        String::new()
    }
}

/// Whether an ARG before the step with this number says which platform the image is for.
fn asks_for_target(stage: &Stage, number: usize) -> bool {
    let mut seen = 0;
    let before = stage.steps.iter().take_while(|step| {
        seen += usize::from(has_vertex(step));
        seen < number
    });
    let words =
        before.filter_map(|it| it.created_by.strip_prefix("ARG ")).flat_map(str::split_whitespace);
    let mut names = words.map(|it| it.split('=').next().unwrap_or(it));
    names.any(|it| ["TARGETPLATFORM", "TARGETARCH", "TARGETOS", "TARGETVARIANT"].contains(&it))
}

#[cfg(test)]
mod tests {
    use super::Shared;
    use crate::{Event, VertexId};

    #[test]
    fn a_step_of_two_plans_is_shown_once() {
        let shared = Shared::default();
        let started =
            |at, name: &str| Event::Started { vertex: VertexId(at), name: name.to_owned() };
        let (one, two) = (VertexId(1), VertexId(11));
        assert!(shared.once(0, started(1, "[linux/amd64 a] RUN x")).is_some());
        assert!(shared.once(10, started(11, "[linux/amd64 a] RUN x")).is_none());
        // The second plan does the work, and the first finds it done.
        let missed = Event::Missed { vertex: two, reason: String::new() };
        let seen = shared.once(10, missed);
        assert_eq!(seen, Some(Event::Missed { vertex: one, reason: String::new() }));
        assert_eq!(shared.once(0, Event::Cached { vertex: one }), None);
        assert_eq!(shared.once(10, Event::Done { vertex: two }), Some(Event::Done { vertex: one }));
        assert_eq!(shared.once(0, Event::Done { vertex: one }), None);
        // Another platform's step is another.
        assert!(shared.once(10, started(12, "[linux/arm64 a] RUN x")).is_some());
        assert!(shared.once(0, started(2, "[linux/amd64 b] RUN y")).is_some());
        assert_eq!(
            shared.once(0, Event::Cached { vertex: VertexId(2) }),
            Some(Event::Cached { vertex: VertexId(2) })
        );
    }
}
