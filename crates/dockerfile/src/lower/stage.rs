//! Which stages are needed, and one stage after the other.

use super::graph::{Below, Graph, Node, sources};
use super::scope::{Argument, DEFAULT_PATH, Outer};
use super::{Made, NamedContext, Request, Scope, Wanted, base_of, join};
use crate::Instruction;
use crate::lex::{Env, Lines, Word, read_lines};
use crate::parse::instruction;
use crate::problem::{Outcome, error};
use std::collections::{BTreeMap, BTreeSet};
use strake_diag::{Diagnostic, Span};
use strake_oci::{Config, Platform};
use strake_plan::{CopyOp, CopySource, Op, Source, Stage, StageId, Step, Unpack};

/// The nodes that the target needs.
pub(super) struct Needed {
    /// Each behind those that it needs, with the place that asks for it.
    pub(super) order: Vec<(Node, Span)>,
    /// ONBUILD instructions that run at the head of a stage.
    pub(super) triggers: BTreeMap<usize, Vec<Trigger>>,
    pub(super) missing: Vec<Wanted>,
}

/// An ONBUILD instruction of a base.
pub(super) struct Trigger {
    text: String,
    instruction: Instruction,
}

/// Walks from the target through bases and sources.
pub(super) fn needed(graph: &Graph<'_>, target: usize, request: &Request) -> Outcome<Needed> {
    let needed = Needed { order: Vec::new(), triggers: BTreeMap::new(), missing: Vec::new() };
    let mut walk = Walk { graph, request, needed };
    let (mut open, mut seen) =
        (vec![Visit::Enter(Node::Stage(target), graph.decls[target].span)], BTreeSet::new());
    // A stack of its own: a chain of stages may be longer than the thread's.
    while let Some(visit) = open.pop() {
        match visit {
            Visit::Leave(node, span) => walk.needed.order.push((node, span)),
            Visit::Enter(node, span) => {
                if seen.insert(node.clone()) {
                    let below = walk.enter(&node, span)?;
                    open.push(Visit::Leave(node, span));
                    open.extend(
                        below.into_iter().rev().map(|(node, span)| Visit::Enter(node, span)),
                    );
                }
            }
        }
    }
    Ok(walk.needed)
}

enum Visit {
    Enter(Node, Span),
    Leave(Node, Span),
}

struct Walk<'a> {
    graph: &'a Graph<'a>,
    request: &'a Request,
    needed: Needed,
}

impl Walk<'_> {
    /// The nodes that a node needs.
    fn enter(&mut self, node: &Node, span: Span) -> Outcome<Vec<(Node, Span)>> {
        match node {
            Node::Stage(index) => self.stage(*index),
            Node::Image(name) => {
                self.want(name, &self.request.platform, span);
                Ok(Vec::new())
            }
            Node::Local(_) | Node::Scratch => Ok(Vec::new()),
        }
    }

    fn stage(&mut self, index: usize) -> Outcome<Vec<(Node, Span)>> {
        let decl = &self.graph.decls[index];
        let mut below = Vec::new();
        match &decl.below {
            Below::Stage(stage) => below.push((Node::Stage(*stage), decl.span)),
            Below::Image { name, platform } => self.want(name, platform, decl.base.span),
            Below::Scratch | Below::Local(_) => {}
        }
        let triggers = triggers(self.graph, index, self.request)?;
        for Trigger { text: _, instruction } in &triggers {
            for name in sources(instruction) {
                let name = Word { span: decl.span, ..name };
                below.push((self.source(index, instruction, &name)?, decl.span));
            }
        }
        self.needed.triggers.insert(index, triggers);
        for instruction in decl.statements.iter().filter_map(|it| it.instruction.as_ref()) {
            for name in sources(instruction) {
                below.push((self.source(index, instruction, &name)?, name.span));
            }
        }
        Ok(below)
    }

    fn source(&self, index: usize, instruction: &Instruction, name: &Word) -> Outcome<Node> {
        if matches!(instruction, Instruction::Copy(_)) {
            return self.graph.copy_node(index, name, self.request);
        }
        self.graph.mount_node(index, name, self.request)
    }

    fn want(&mut self, name: &str, platform: &Platform, span: Span) {
        let key = (name.to_owned(), platform.clone());
        let asked =
            self.needed.missing.iter().any(|it| it.name == name && it.platform == *platform);
        if asked || self.request.images.contains_key(&key) {
            return;
        }
        let (context, reference) = match self.request.named(name, platform) {
            Some((context, NamedContext::Image(it))) => (Some(context.to_owned()), it.clone()),
            Some((_, NamedContext::Local | NamedContext::Scratch)) | None => {
                (None, name.to_owned())
            }
        };
        let near_stage = self.graph.near_stage(name).filter(|_| context.is_none());
        let (name, platform) = key;
        self.needed.missing.push(Wanted { name, context, reference, platform, span, near_stage });
    }
}

/// The ONBUILD instructions of what stage `index` stands on.
fn triggers(graph: &Graph<'_>, index: usize, request: &Request) -> Outcome<Vec<Trigger>> {
    let decl = &graph.decls[index];
    let texts: Vec<String> = match &decl.below {
        Below::Image { name, platform } => {
            let image = request.images.get(&(name.clone(), platform.clone()));
            let on_build = image.and_then(|it| it.config.value.config.on_build.clone());
            on_build.filter(|_| !decl.replaced).unwrap_or_default()
        }
        Below::Stage(below) => {
            let written = graph.decls[*below].statements.iter();
            let written = written.filter_map(|it| match &it.instruction {
                Some(Instruction::Onbuild(onbuild)) => Some(onbuild.trigger.clone()),
                Some(_) | None => None,
            });
            written.collect()
        }
        Below::Scratch | Below::Local(_) => Vec::new(),
    };
    texts.into_iter().map(|it| trigger(it, decl.span)).collect()
}

/// Reads a trigger; its problems are shown at FROM.
fn trigger(text: String, span: Span) -> Outcome<Trigger> {
    let at_from = |problem: &Diagnostic| {
        let message = format!("ONBUILD trigger `{text}` of the base: {}", problem.message);
        Box::new(Diagnostic { span, message, labels: Vec::new(), ..problem.clone() })
    };
    let Lines { directives: _, comments: _, escape, mut lines, mut problems } = read_lines(&text);
    if let Some(problem) = problems.first() {
        return Err(at_from(problem));
    }
    let (Some(line), true) = (lines.pop(), lines.is_empty()) else {
        let message = format!("ONBUILD trigger `{text}` of the base is not one instruction");
        return Err(error("invalid-trigger", span, message));
    };
    let (_, _, instruction) = instruction(&line.text, line.heredocs, escape, &mut problems);
    match (instruction, problems.iter().find(|it| it.is_error())) {
        (Some(Instruction::From(_) | Instruction::Onbuild(_) | Instruction::Maintainer(_)), _)
        | (None, None) => {
            let message = format!("ONBUILD trigger `{text}` of the base is not allowed");
            Err(error("invalid-trigger", span, message))
        }
        (_, Some(problem)) => Err(at_from(problem)),
        (Some(instruction), None) => Ok(Trigger { text: line.text.text, instruction }),
    }
}

/// The plan while it grows.
pub(super) struct Planned<'a> {
    pub(super) graph: &'a Graph<'a>,
    pub(super) request: &'a Request,
    pub(super) triggers: &'a BTreeMap<usize, Vec<Trigger>>,
    pub(super) placed: BTreeMap<Node, StageId>,
    pub(super) stages: Vec<Stage>,
    /// Environment at the end of a stage, for those that stand on it.
    pub(super) scopes: BTreeMap<usize, Left>,
    /// The ARGs that a stage declares.
    pub(super) arguments: BTreeMap<usize, Vec<Argument>>,
}

/// What a stage hands on besides its config.
#[derive(Clone, Default)]
pub(super) struct Left {
    env: Env,
    author: Option<String>,
}

impl<'a> Planned<'a> {
    /// Nothing planned yet.
    pub(super) fn new(
        graph: &'a Graph<'a>,
        request: &'a Request,
        triggers: &'a BTreeMap<usize, Vec<Trigger>>,
    ) -> Planned<'a> {
        Planned {
            graph,
            request,
            triggers,
            placed: BTreeMap::new(),
            stages: Vec::new(),
            scopes: BTreeMap::new(),
            arguments: BTreeMap::new(),
        }
    }

    /// Adds a node behind all that it needs.
    pub(super) fn place(&mut self, node: Node, span: Span) -> Outcome<()> {
        let stage = match &node {
            Node::Local(_) => return Ok(()),
            Node::Stage(index) => self.stage(*index)?,
            Node::Image(name) => {
                let platform = self.request.platform.clone();
                let below = Below::Image { name: name.clone(), platform };
                self.bare(name, &below, span)
            }
            Node::Scratch => self.bare("scratch", &Below::Scratch, span),
        };
        self.placed.insert(node, StageId(self.stages.len()));
        self.stages.push(stage);
        Ok(())
    }

    /// An image as a stage without steps.
    fn bare(&self, name: &str, below: &Below, span: Span) -> Stage {
        let base = base_of(below, self.request, &self.placed);
        let (config, author, _) = self.inherited(below);
        Stage {
            name: name.to_owned(),
            base,
            steps: Vec::new(),
            config,
            author,
            platform: self.request.platform.clone(),
            image_platform: self.image_platform(below),
            span,
        }
    }

    fn stage(&mut self, index: usize) -> Outcome<Stage> {
        let decl = &self.graph.decls[index];
        let (config, author, left) = self.inherited(&decl.below);
        // A folder in the place of a stage has no config at all.
        let is_folder = decl.replaced && matches!(decl.below, Below::Local(_));
        let config = if is_folder { Config::default() } else { config };
        let mut scope = Scope {
            config,
            author,
            env: left.env,
            args: Vec::new(),
            cmd_is_set: false,
            is_windows: self.platform(&decl.below).os == "windows",
            outer: Outer {
                request: self.request,
                graph: self.graph,
                stage: index,
                placed: &self.placed,
            },
        };
        if !is_folder {
            begin(&mut scope);
        }
        let mut steps = Vec::from_iter(files_below(&decl.below, decl.span));
        for Trigger { text, instruction } in &self.triggers[&index] {
            let made = instruction.lower(&mut scope).map_err(|problem| {
                let message = format!("ONBUILD trigger `{text}` of the base: {}", problem.message);
                Box::new(Diagnostic { span: decl.span, message, ..*problem })
            })?;
            steps.extend(made.map(|it| step(it, decl.span, format!("ONBUILD {text}"))));
        }
        // Places within a trigger mean nothing in this file.
        scope.args.iter_mut().for_each(|it| it.span = decl.span);
        for statement in &decl.statements {
            let instruction = statement.instruction.as_ref();
            let made = match instruction {
                Some(instruction) => instruction.lower(&mut scope)?,
                None => None,
            };
            let text = statement.text.clone() + &instruction.map(summary).unwrap_or_default();
            steps.extend(made.map(|it| step(it, statement.span, text)));
        }
        let Scope { config, author, env, args, cmd_is_set: _, is_windows: _, outer: _ } = scope;
        self.arguments.insert(index, args);
        self.scopes.insert(index, Left { env, author: author.clone() });
        Ok(Stage {
            name: decl.name.clone(),
            base: base_of(&decl.below, self.request, &self.placed),
            steps,
            config,
            author,
            platform: self.platform(&decl.below),
            image_platform: self.image_platform(&decl.below),
            span: decl.span,
        })
    }

    /// A stage on a stage has its platform, whatever FROM says.
    fn platform(&self, below: &Below) -> Platform {
        match below {
            Below::Stage(stage) => {
                self.stages[self.placed[&Node::Stage(*stage)].0].platform.clone()
            }
            Below::Image { name: _, platform } => platform.clone(),
            Below::Scratch | Below::Local(_) => self.request.platform.clone(),
        }
    }

    /// What the config of its image says: what was asked for, with what the base alone knows; else
    /// what the base says, whatever FROM says.
    fn image_platform(&self, below: &Below) -> Platform {
        let wanted = &self.request.platform;
        let base = match below {
            Below::Stage(stage) => {
                self.stages[self.placed[&Node::Stage(*stage)].0].image_platform.clone()
            }
            Below::Image { name, platform } => {
                let image = &self.request.images[&(name.clone(), platform.clone())];
                image.config.value.platform()
            }
            Below::Scratch | Below::Local(_) => wanted.clone(),
        };
        let is_said = !base.os.is_empty() && !base.architecture.is_empty();
        if is_said && !self.request.platform_is_given {
            return base.normalised();
        }
        let mut platform = wanted.clone();
        if (&base.os, &base.architecture) == (&wanted.os, &wanted.architecture) {
            platform.variant = platform.variant.or(base.variant);
            platform.os_version = platform.os_version.or(base.os_version);
        }
        platform.normalised()
    }

    /// Config, author and environment of what is below. History names only a stage's own ARGs.
    fn inherited(&self, below: &Below) -> (Config, Option<String>, Left) {
        let (mut config, author, left) = match below {
            Below::Stage(stage) => {
                let config = self.stages[self.placed[&Node::Stage(*stage)].0].config.clone();
                let left = self.scopes.get(stage).cloned().unwrap_or_default();
                (config, left.author.clone(), left)
            }
            Below::Image { name, platform } => {
                let image = &self.request.images[&(name.clone(), platform.clone())].config.value;
                (image.config.clone(), image.author.clone(), Left::default())
            }
            Below::Scratch | Below::Local(_) => {
                let working_dir = "/".to_owned();
                (Config { working_dir, ..Config::default() }, None, Left::default())
            }
        };
        config.on_build = None;
        // Docker drops what its config type does not know (Hostname and the like).
        config.extra.clear();
        (config, author, left)
    }
}

/// The files of a folder that a stage stands on. Images have no history of them.
fn files_below(below: &Below, span: Span) -> Option<Step> {
    let Below::Local(context) = below else { return None };
    let op = Op::Copy(Box::new(CopyOp {
        from: Source::Named(context.clone()),
        sources: vec![CopySource::Path(".".to_owned())],
        dest: "/".to_owned(),
        chown: None,
        chmod: None,
        link: false,
        parents: false,
        excludes: Vec::new(),
        unpack: Unpack::Never,
    }));
    let text = format!("local source for {context}");
    Some(Step { op, span, text, created_by: String::new() })
}

/// PATH is always set, the working directory absolute, and ENV of the base seen.
fn begin(scope: &mut Scope<'_>) {
    let pair = |it: &String| match it.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (it.clone(), String::new()),
    };
    if !scope.is_windows && !scope.config.env.iter().any(|it| pair(it).0 == "PATH") {
        scope.config.env.push(format!("PATH={DEFAULT_PATH}"));
    }
    for (name, value) in scope.config.env.iter().map(pair) {
        scope.env.set(&name, &value);
    }
    let working_dir = &scope.config.working_dir;
    if !working_dir.is_empty() && !working_dir.starts_with('/') {
        scope.config.working_dir = join("/", working_dir);
    }
}

/// The first line of a script that a RUN has in a heredoc, for progress.
fn summary(instruction: &Instruction) -> String {
    let Instruction::Run(run) = instruction else { return String::new() };
    let mut lines = run.heredocs.iter().flat_map(|it| it.content.trim().lines());
    match (lines.next(), lines.next()) {
        (None, _) => String::new(),
        (Some(first), None) => format!(" ({first})"),
        (Some(first), Some(_)) => format!(" ({first}...)"),
    }
}

fn step(made: Made, span: Span, text: String) -> Step {
    let Made { op, created_by } = made;
    let text = text.split_whitespace().collect::<Vec<&str>>().join(" ");
    Step { op, span, text, created_by }
}
