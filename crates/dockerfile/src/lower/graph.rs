//! Stages, what they stand on and what they copy from.

use super::Request;
use crate::instruction::{Arg, Declared, From, Instruction};
use crate::lex::{Env, Expanded, Lexer, Word};
use crate::parse::Statement;
use crate::problem::{Outcome, did_you_mean, error, error_hint};
use crate::{Dockerfile, NamedContext};
use std::collections::{BTreeMap, BTreeSet};
use strake_diag::Span;
use strake_oci::{Platform, Reference};

/// Something with files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    /// A stage by number.
    Stage(usize),
    /// An image by the name that is written, for the target platform.
    Image(String),
    /// A local directory by the key of its named context.
    Local(String),
    /// Nothing.
    Scratch,
}

/// What a stage stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Below {
    Stage(usize),
    Image {
        name: String,
        platform: Platform,
    },
    Scratch,
    /// The whole stage is replaced by a local directory.
    Local(String),
}

/// One FROM and what follows.
pub(super) struct Decl<'a> {
    pub(super) name: String,
    /// FROM has a name for it.
    pub(super) named: bool,
    pub(super) below: Below,
    /// A named context stands in the stage's place, and its instructions are not run.
    pub(super) replaced: bool,
    pub(super) statements: Vec<&'a Statement>,
    pub(super) span: Span,
    pub(super) base: Word,
    /// Global ARGs that FROM looks at.
    pub(super) used: BTreeSet<String>,
}

/// A global ARG.
#[derive(Clone, Debug)]
pub(super) struct Global {
    pub(super) value: String,
    pub(super) span: Span,
    /// The global ARGs that its default looks at.
    pub(super) used: BTreeSet<String>,
}

/// All stages of a Dockerfile, needed or not.
pub(super) struct Graph<'a> {
    pub(super) decls: Vec<Decl<'a>>,
    pub(super) globals: Env,
    /// The global ARGs by name, automatic ones excepted.
    pub(super) declared: BTreeMap<String, Global>,
    pub(super) escape: char,
    /// By name in lower case; the last of a name.
    by_name: BTreeMap<String, usize>,
}

impl<'a> Graph<'a> {
    /// Reads global ARGs and FROMs.
    pub(super) fn new(file: &'a Dockerfile, request: &Request) -> Outcome<Graph<'a>> {
        let mut graph = Graph {
            decls: Vec::new(),
            globals: automatic(file, request),
            declared: BTreeMap::new(),
            escape: file.escape,
            by_name: BTreeMap::new(),
        };
        for statement in &file.statements {
            match &statement.instruction {
                Some(Instruction::From(from)) => graph.add(from, statement, request)?,
                Some(Instruction::Arg(arg)) if graph.decls.is_empty() => {
                    graph.global(arg, request)?;
                }
                Some(_) | None => {
                    if let Some(last) = graph.decls.last_mut() {
                        last.statements.push(statement);
                    }
                }
            }
        }
        for decl in &mut graph.decls {
            if decl.replaced {
                decl.statements.clear();
            }
        }
        graph.refuse_cycles()?;
        Ok(graph)
    }

    fn global(&mut self, arg: &Arg, request: &Request) -> Outcome<()> {
        let Arg { args } = arg;
        for Declared { name, default } in args {
            let (value, mut used) = match (request.build_arg(&name.text), default) {
                (Some(given), _) => (Some(given.to_owned()), BTreeSet::new()),
                (None, Some(default)) => {
                    let Expanded { text, words: _, used } = self.expand(default)?;
                    (Some(text), used)
                }
                (None, None) => (None, BTreeSet::new()),
            };
            if let Some(value) = &value {
                self.globals.set(&name.text, value);
            }
            // `ARG A=${A}b` needs what the ARG above needs.
            if used.remove(&name.text)
                && let Some(above) = self.declared.get(&name.text)
            {
                used.extend(above.used.iter().cloned());
            }
            let global = Global { value: value.unwrap_or_default(), span: name.span, used };
            self.declared.insert(name.text.clone(), global);
        }
        Ok(())
    }

    fn expand(&self, word: &Word) -> Outcome<Expanded> {
        let expanded = Lexer::new(self.escape).expand(&word.text, &self.globals);
        expanded.map_err(|why| {
            error("expansion", word.span, format!("cannot expand `{}`: {why}", word.text))
        })
    }

    fn add(&mut self, from: &From, statement: &'a Statement, request: &Request) -> Outcome<()> {
        let From { base, name, keyword_as: _, platform } = from;
        let Expanded { text: written, words: _, mut used } = self.expand(base)?;
        if written.is_empty() {
            let message = format!("the base `{}` is empty after expansion", base.text);
            let hint = "give the ARG a default in front of the first FROM, or pass --build-arg";
            return Err(error_hint("empty-base", base.span, message, hint));
        }
        let platform = match platform {
            None => request.platform.clone(),
            Some(word) => {
                let Expanded { text, words: _, used: by_platform } = self.expand(word)?;
                used.extend(by_platform);
                if text.is_empty() {
                    let message = format!("the platform `{}` is empty after expansion", word.text);
                    let hint = "give the ARG a default in front of the first FROM";
                    return Err(error_hint("invalid-platform", word.span, message, hint));
                }
                text.parse().map_err(|why| {
                    error("invalid-platform", word.span, format!("--platform: {why}"))
                })?
            }
        };
        let index = self.decls.len();
        let key = name.as_ref().map(|it| it.text.to_ascii_lowercase());
        let instead = key.as_deref().and_then(|it| request.named(it, &platform));
        let below = match (instead, self.by_name.get(&written)) {
            (Some((context, NamedContext::Local)), _) => Below::Local(context.to_owned()),
            (Some((_, NamedContext::Scratch)), _) => Below::Scratch,
            (Some((_, NamedContext::Image(_))), _) => {
                Below::Image { name: key.clone().unwrap_or_default(), platform }
            }
            (None, Some(stage)) => Below::Stage(*stage),
            (None, None) if written == "scratch" => Below::Scratch,
            (None, None) => self.image(base, written, platform, request)?,
        };
        let instead = instead.is_some();
        self.decls.push(Decl {
            named: key.is_some(),
            name: key.clone().unwrap_or_else(|| format!("stage-{index}")),
            below,
            replaced: instead,
            statements: Vec::new(),
            span: statement.span,
            base: base.clone(),
            used: if instead { BTreeSet::new() } else { used },
        });
        if let Some(key) = key {
            self.by_name.insert(key, index);
        }
        Ok(())
    }

    fn image(
        &self,
        base: &Word,
        name: String,
        platform: Platform,
        request: &Request,
    ) -> Outcome<Below> {
        match request.named(&name, &platform) {
            Some((context, NamedContext::Local)) => Ok(Below::Local(context.to_owned())),
            Some((_, NamedContext::Scratch)) => Ok(Below::Scratch),
            Some((_, NamedContext::Image(_))) => Ok(Below::Image { name, platform }),
            None => {
                self.check_reference(&name, base)?;
                Ok(Below::Image { name, platform })
            }
        }
    }

    fn check_reference(&self, name: &str, at: &Word) -> Outcome<()> {
        let Err(why) = name.parse::<Reference>() else { return Ok(()) };
        let problem = error("invalid-reference", at.span, why.to_string());
        Err(match self.near_stage(name) {
            Some(near) => Box::new(problem.hint(format!("did you mean the stage `{near}`?"))),
            None => problem,
        })
    }

    /// A stage of nearly this name.
    pub(super) fn near_stage(&self, name: &str) -> Option<String> {
        did_you_mean(name, self.by_name.keys().map(String::as_str)).map(str::to_owned)
    }

    /// The stage of `--target`, or the last.
    pub(super) fn target(&self, request: &Request) -> Outcome<usize> {
        let Some(target) = &request.target else { return Ok(self.decls.len() - 1) };
        let by_number = || target.parse::<usize>().ok().filter(|it| *it < self.decls.len());
        let found = self.by_name.get(&target.to_ascii_lowercase()).copied().or_else(by_number);
        found.ok_or_else(|| {
            let message = format!("there is no stage `{target}`");
            let names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
            let hint = match (self.near_stage(target), names.as_slice()) {
                (Some(near), _) => format!("did you mean --target {near}?"),
                (None, []) => "no stage has a name: write `FROM image AS name`".to_owned(),
                (None, names) => format!("stages are {}", names.join(", ")),
            };
            error_hint("unknown-target", Span::default(), message, hint)
        })
    }

    /// What `COPY --from` names: a stage by name or number, a named context, an image.
    pub(super) fn copy_node(&self, at: usize, name: &Word, request: &Request) -> Outcome<Node> {
        if name.text.contains('$') {
            let message = "--from cannot have variables";
            let hint = "write `FROM $IMAGE AS name` and --from=name";
            return Err(error_hint("invalid-from", name.span, message, hint));
        }
        match name.text.parse::<usize>() {
            Ok(number) if number < self.decls.len() => self.stage_node(at, number, name),
            Ok(number) => {
                let message = format!("there is no stage {number}");
                let hint = format!("stages are numbered from 0 to {}", self.decls.len() - 1);
                Err(error_hint("unknown-stage", name.span, message, hint))
            }
            Err(_) => self.mount_node(at, name, request),
        }
    }

    /// What `from=` of a mount names: a stage by name, a named context, an image.
    pub(super) fn mount_node(&self, at: usize, name: &Word, request: &Request) -> Outcome<Node> {
        if let Some(stage) = self.by_name.get(&name.text.to_ascii_lowercase()) {
            return self.stage_node(at, *stage, name);
        }
        match request.named(&name.text, &request.platform) {
            Some((context, NamedContext::Local)) => Ok(Node::Local(context.to_owned())),
            Some((_, NamedContext::Scratch)) => Ok(Node::Scratch),
            Some((_, NamedContext::Image(_))) => Ok(Node::Image(name.text.clone())),
            None if name.text == "scratch" => Ok(Node::Scratch),
            None => {
                self.check_reference(&name.text, name)?;
                Ok(Node::Image(name.text.clone()))
            }
        }
    }

    fn stage_node(&self, at: usize, stage: usize, name: &Word) -> Outcome<Node> {
        let decl = &self.decls[stage];
        if let (Below::Local(context), true) = (&decl.below, decl.replaced) {
            return Ok(Node::Local(context.clone()));
        }
        if stage < at {
            return Ok(Node::Stage(stage));
        }
        let problem = if stage == at {
            error("cycle", name.span, format!("stage `{}` copies from itself", decl.name))
        } else {
            let message = format!("stage `{}` stands below this one", decl.name);
            Box::new(
                error_hint("stage-order", name.span, message, "move it above")
                    .label(decl.span, "it begins here"),
            )
        };
        Err(problem)
    }

    /// Two stages that need each other are refused even where neither is needed.
    fn refuse_cycles(&self) -> Outcome<()> {
        for (at, decl) in self.decls.iter().enumerate() {
            for name in
                decl.statements.iter().filter_map(|it| it.instruction.as_ref()).flat_map(sources)
            {
                let Some(stage) = self.forward(at, &name) else { continue };
                if stage == at {
                    self.stage_node(at, stage, &name)?;
                }
                if self.reaches(stage, at) {
                    let other = &self.decls[stage];
                    let message =
                        format!("stages `{}` and `{}` need each other", decl.name, other.name);
                    return Err(Box::new(
                        error("cycle", name.span, message)
                            .label(other.span, "the other begins here"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The stage at or behind `at` that `name` names.
    fn forward(&self, at: usize, name: &Word) -> Option<usize> {
        let stage = self.stage_of(name)?;
        let decl = &self.decls[stage];
        let local = matches!(decl.below, Below::Local(_)) && decl.replaced;
        (stage >= at && !local).then_some(stage)
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let (mut open, mut seen) = (vec![from], vec![false; self.decls.len()]);
        while let Some(stage) = open.pop() {
            if stage == to {
                return true;
            }
            if std::mem::replace(&mut seen[stage], true) {
                continue;
            }
            let decl = &self.decls[stage];
            if let Below::Stage(below) = decl.below {
                open.push(below);
            }
            let instructions = decl.statements.iter().filter_map(|it| it.instruction.as_ref());
            open.extend(instructions.flat_map(sources).filter_map(|it| self.stage_of(&it)));
        }
        false
    }

    /// The stage that `--from` names, wherever it stands.
    fn stage_of(&self, name: &Word) -> Option<usize> {
        let by_number = || name.text.parse().ok().filter(|it| *it < self.decls.len());
        self.by_name.get(&name.text.to_ascii_lowercase()).copied().or_else(by_number)
    }
}

/// The `--from` and `from=` of an instruction.
pub(super) fn sources(instruction: &Instruction) -> Vec<Word> {
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
        Instruction::Run(run) => run.sources(),
        Instruction::Add(_)
        | Instruction::Arg(_)
        | Instruction::Cmd(_)
        | Instruction::Entrypoint(_)
        | Instruction::Env(_)
        | Instruction::Expose(_)
        | Instruction::From(_)
        | Instruction::Healthcheck(_)
        | Instruction::Label(_)
        | Instruction::Maintainer(_)
        | Instruction::Onbuild(_)
        | Instruction::Shell(_)
        | Instruction::Stopsignal(_)
        | Instruction::User(_)
        | Instruction::Volume(_)
        | Instruction::Workdir(_) => Vec::new(),
    }
}

/// Platform arguments and TARGETSTAGE; `--build-arg` overrides them.
pub(super) fn automatic(file: &Dockerfile, request: &Request) -> Env {
    let mut env = Env::default();
    let mut set = |name: &str, value: &str| {
        env.set(name, request.build_arg(name).unwrap_or(value));
    };
    for (prefix, platform) in [("BUILD", &request.build_platform), ("TARGET", &request.platform)] {
        let Platform { architecture, os, os_version, variant } = platform;
        set(&format!("{prefix}PLATFORM"), &platform.to_string());
        set(&format!("{prefix}OS"), os);
        set(&format!("{prefix}OSVERSION"), os_version.as_deref().unwrap_or_default());
        set(&format!("{prefix}ARCH"), architecture);
        set(&format!("{prefix}VARIANT"), variant.as_deref().unwrap_or_default());
    }
    let last = file.statements.iter().rev().find_map(|it| match &it.instruction {
        Some(Instruction::From(from)) => Some(from.name.as_ref()),
        Some(_) | None => None,
    });
    let last = last.flatten().map(|it| it.text.to_ascii_lowercase());
    let stage = request.target.clone().or(last).unwrap_or_else(|| "default".to_owned());
    set("TARGETSTAGE", &stage);
    env
}
