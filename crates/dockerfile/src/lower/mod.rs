//! From instructions to a plan: which stages are needed, and what each step does.

mod graph;
mod outline;
mod paths;
mod quote;
mod request;
mod scope;
mod stage;

pub use outline::{Outline, OutlineArg, OutlineMount, Target, outline, targets};
pub(crate) use paths::{base_name, clean, destination, join};
pub(crate) use quote::{quoted_list, quoted_rune};
pub use request::{NamedContext, Request, Wanted};
pub(crate) use scope::{Made, Scope};

use crate::problem::{Outcome, error};
use crate::{Dockerfile, Instruction};
use graph::{Below, Graph, Node};
use stage::{Needed, needed};
use std::collections::BTreeMap;
use strake_diag::Diagnostic;
use strake_plan::{Base, Plan, Stage, StageId};

/// The images that must be in [`Request::images`] before there is a plan. Ask again until the
/// answer is empty: an image's ONBUILD may need more of them.
pub fn missing(file: &Dockerfile, request: &Request) -> Result<Vec<Wanted>, Vec<Diagnostic>> {
    sound(file)?;
    let graph = Graph::new(file, request).map_err(one)?;
    let target = graph.target(request).map_err(one)?;
    Ok(needed(&graph, target, request).map_err(one)?.missing)
}

/// What must be done to build the target.
pub fn plan(file: &Dockerfile, request: &Request) -> Result<Plan, Vec<Diagnostic>> {
    sound(file)?;
    make(file, request).map_err(one)
}

/// The value of an ARG in front of the first FROM, if it has one.
pub fn global_arg(file: &Dockerfile, request: &Request, name: &str) -> Option<String> {
    Graph::new(file, request).ok()?.globals.get(name).map(str::to_owned)
}

/// The `--build-arg`s that no ARG declares and that nothing else reads.
pub fn unused_build_args(file: &Dockerfile, request: &Request) -> Vec<String> {
    let declared = |name: &str| {
        file.statements.iter().any(|it| match &it.instruction {
            Some(Instruction::Arg(arg)) => arg.args.iter().any(|it| it.name.text == name),
            Some(_) | None => false,
        })
    };
    let automatic = graph::automatic(file, request);
    let read = |name: &str| {
        automatic.get(name).is_some()
            || name.starts_with("BUILDKIT_")
            || name == "SOURCE_DATE_EPOCH"
            || scope::PROXIES.iter().any(|it| name.eq_ignore_ascii_case(it))
    };
    let given = request.build_args.iter().map(|(name, _)| name);
    given.filter(|it| !declared(it) && !read(it)).cloned().collect()
}

fn make(file: &Dockerfile, request: &Request) -> Outcome<Plan> {
    let graph = Graph::new(file, request)?;
    let target = graph.target(request)?;
    let Needed { order, triggers, missing } = needed(&graph, target, request)?;
    if let Some(wanted) = missing.first() {
        let message = format!("the base image `{}` is not resolved", wanted.name);
        return Err(error("unresolved-base", wanted.span, message));
    }
    let mut planned = stage::Planned::new(&graph, request, &triggers);
    for (node, span) in order {
        planned.place(node, span)?;
    }
    let stage::Planned { placed, mut stages, .. } = planned;
    let id = placed[&Node::Stage(target)];
    let config: &mut Stage = &mut stages[id.0];
    config.config.labels.extend(request.labels.iter().cloned());
    Ok(Plan { stages, target: id, platform: request.platform.clone() })
}

fn sound(file: &Dockerfile) -> Result<(), Vec<Diagnostic>> {
    if file.errors.is_empty() { Ok(()) } else { Err(file.errors.clone()) }
}

#[expect(clippy::boxed_local, reason = "taken as map_err hands it over")]
fn one(problem: Box<Diagnostic>) -> Vec<Diagnostic> {
    vec![*problem]
}

/// What a node without steps stands on.
fn base_of(below: &Below, request: &Request, placed: &BTreeMap<Node, StageId>) -> Base {
    match below {
        Below::Stage(stage) => Base::Stage(placed[&Node::Stage(*stage)]),
        Below::Scratch | Below::Local(_) => Base::Scratch,
        Below::Image { name, platform } => {
            let image = request.images.get(&(name.clone(), platform.clone()));
            Base::Image(Box::new(image.expect("missing images are refused before").clone()))
        }
    }
}
