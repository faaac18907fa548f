//! What a build takes (arguments, secrets, SSH agents) and which targets there are, with what
//! comments say of them: `# NAME text` directly above an ARG or a FROM.

use super::graph::{Graph, Node};
use super::stage::{Needed, Planned, needed};
use super::{Request, one};
use crate::lex::Comment;
use crate::problem::{Outcome, error};
use crate::{Dockerfile, Instruction, Statement};
use std::collections::{BTreeMap, BTreeSet};
use strake_diag::{Diagnostic, Span};
use strake_plan::{MountKind, Op, Stage, StageId};

/// What a target takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The stage; empty where it has no name.
    pub name: String,
    /// What the comment above its FROM says.
    pub description: String,
    /// `--build-arg`, by place.
    pub args: Vec<OutlineArg>,
    /// `--secret`, by place.
    pub secrets: Vec<OutlineMount>,
    /// `--ssh`, by place.
    pub ssh: Vec<OutlineMount>,
}

/// An ARG that changes the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineArg {
    /// Its name.
    pub name: String,
    /// What the comment above says.
    pub description: String,
    /// What it is without or with `--build-arg`, as the request has it.
    pub value: String,
    /// First and last line.
    pub lines: (u32, u32),
}

/// A secret or an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineMount {
    /// Its id.
    pub name: String,
    /// Whether a build without it fails.
    pub required: bool,
    /// First and last line of the RUN.
    pub lines: (u32, u32),
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// In lower case; empty where it has no name.
    pub name: String,
    /// What the comment above says.
    pub description: String,
    /// Whether it is built when none is named.
    pub default: bool,
    /// As written.
    pub base: String,
    /// `--platform` as written; empty where it is not.
    pub platform: String,
    /// First and last line of FROM.
    pub lines: (u32, u32),
}

/// Every stage of the file, in order.
pub fn targets(file: &Dockerfile) -> Result<Vec<Target>, Vec<Diagnostic>> {
    super::sound(file)?;
    let froms = file.statements.iter().filter_map(|it| match &it.instruction {
        Some(Instruction::From(from)) => Some((it, from)),
        Some(_) | None => None,
    });
    let mut all: Vec<Target> = froms
        .map(|(statement, from)| {
            let name = from.name.as_ref().map(|it| it.text.to_ascii_lowercase());
            let name = name.unwrap_or_default();
            Target {
                description: description(&statement.above, &name),
                name,
                default: false,
                base: from.base.text.clone(),
                platform: from.platform.as_ref().map(|it| it.text.clone()).unwrap_or_default(),
                lines: lines(file, statement),
            }
        })
        .collect();
    if let Some(last) = all.last_mut() {
        last.default = true;
    }
    Ok(all)
}

/// What the target of a request takes. As for [`crate::plan`], base images must be there.
pub fn outline(file: &Dockerfile, request: &Request) -> Result<Outline, Vec<Diagnostic>> {
    super::sound(file)?;
    make(file, request).map_err(one)
}

fn make(file: &Dockerfile, request: &Request) -> Outcome<Outline> {
    let graph = Graph::new(file, request)?;
    let target = graph.target(request)?;
    let Needed { order, triggers, missing } = needed(&graph, target, request)?;
    if let Some(wanted) = missing.first() {
        let message = format!("the base image `{}` is not resolved", wanted.name);
        return Err(error("unresolved-base", wanted.span, message));
    }
    let mut planned = Planned::new(&graph, request, &triggers);
    let nodes: Vec<Node> = order.iter().map(|(node, _)| node.clone()).collect();
    for (node, span) in order {
        planned.place(node, span)?;
    }
    // The target and what it stands on come first: their word on a name counts.
    let stages: Vec<usize> = nodes
        .iter()
        .rev()
        .filter_map(|it| match it {
            Node::Stage(stage) => Some(*stage),
            Node::Image(_) | Node::Local(_) | Node::Scratch => None,
        })
        .collect();
    let found = Finder { file, graph: &graph };
    let (mut secrets, mut ssh) = (BTreeMap::new(), BTreeMap::new());
    for stage in &stages {
        let Some(StageId(id)) = planned.placed.get(&Node::Stage(*stage)) else { continue };
        found.mounts(&planned.stages[*id], &mut secrets, &mut ssh);
    }
    let args = found.args(&stages, &planned);
    let from = graph.decls[target].span;
    let name = match graph.decls[target].named {
        true => graph.decls[target].name.clone(),
        false => String::new(),
    };
    Ok(Outline {
        description: found
            .statement(from)
            .map_or(String::new(), |it| description(&it.above, &name)),
        name,
        args,
        secrets: by_place(secrets),
        ssh: by_place(ssh),
    })
}

/// A mount and where its RUN is.
type Mounts = BTreeMap<String, (Span, OutlineMount)>;

fn by_place(mounts: Mounts) -> Vec<OutlineMount> {
    let mut all: Vec<(Span, OutlineMount)> = mounts.into_values().collect();
    all.sort_by_key(|(span, _)| *span);
    all.into_iter().map(|(_, it)| it).collect()
}

struct Finder<'a> {
    file: &'a Dockerfile,
    graph: &'a Graph<'a>,
}

impl Finder<'_> {
    fn statement(&self, span: Span) -> Option<&Statement> {
        let index = self.file.statements.partition_point(|it| it.span.start <= span.start);
        self.file.statements.get(index.checked_sub(1)?)
    }

    fn lines(&self, span: Span) -> (u32, u32) {
        self.statement(span).map_or((1, 1), |it| lines(self.file, it))
    }

    fn arg(&self, name: &str, value: &str, span: Span) -> OutlineArg {
        let statement = self.statement(span);
        OutlineArg {
            name: name.to_owned(),
            description: statement.map_or(String::new(), |it| description(&it.above, name)),
            value: value.to_owned(),
            lines: self.lines(span),
        }
    }

    /// The ARGs that stages declare, and the global ones that they or their FROMs look at.
    fn args(&self, stages: &[usize], planned: &Planned<'_>) -> Vec<OutlineArg> {
        let mut found: BTreeMap<&str, (Span, OutlineArg)> = BTreeMap::new();
        let mut globals: BTreeSet<&str> = BTreeSet::new();
        for stage in stages {
            for it in planned.arguments.get(stage).into_iter().flatten().rev() {
                if it.inherited {
                    globals.insert(&it.name);
                    continue;
                }
                found.entry(&it.name).or_insert_with(|| {
                    let value = it.value.as_deref().unwrap_or_default();
                    (it.span, self.arg(&it.name, value, it.span))
                });
            }
            globals.extend(self.graph.decls[*stage].used.iter().map(String::as_str));
        }
        let mut open: Vec<&str> = globals.into_iter().collect();
        while let Some(name) = open.pop() {
            let Some(global) = self.graph.declared.get(name).filter(|_| !found.contains_key(name))
            else {
                continue;
            };
            found.insert(name, (global.span, self.arg(name, &global.value, global.span)));
            open.extend(global.used.iter().map(String::as_str));
        }
        let mut all: Vec<(Span, OutlineArg)> = found.into_values().collect();
        all.sort_by_key(|(span, _)| *span);
        all.into_iter().map(|(_, it)| it).collect()
    }

    fn mounts(&self, stage: &Stage, secrets: &mut Mounts, ssh: &mut Mounts) {
        for step in &stage.steps {
            let Op::Run(run) = &step.op else { continue };
            for mount in &run.mounts {
                let (kind, id, required) = match &mount.kind {
                    MountKind::Secret { id, required, .. } => (&mut *secrets, id, *required),
                    MountKind::Ssh { id, required, .. } => (&mut *ssh, id, *required),
                    MountKind::Bind { .. } | MountKind::Cache { .. } | MountKind::Tmpfs { .. } => {
                        continue;
                    }
                };
                kind.entry(id.clone()).or_insert_with(|| {
                    let lines = self.lines(step.span);
                    (step.span, OutlineMount { name: id.clone(), required, lines })
                });
            }
        }
    }
}

/// What a comment says of `name`: the rest of a line that begins with it.
fn description(above: &[Comment], name: &str) -> String {
    let told = above
        .iter()
        .filter(|_| !name.is_empty())
        .find_map(|it| it.text.strip_prefix(name).filter(|rest| rest.starts_with([' ', '\t'])));
    told.map(|it| it.trim().to_owned()).unwrap_or_default()
}

/// First and last line of an instruction, heredocs included.
fn lines(file: &Dockerfile, statement: &Statement) -> (u32, u32) {
    let line = |it: u32| file.source.position(it).line;
    let Span { start, end } = statement.extent;
    (line(start), line(end.saturating_sub(1).max(start)))
}
