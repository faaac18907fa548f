//! What rules may look at: computed once for a file, and only read.

mod command;
mod evidence;
mod install;
mod mount;
mod script;
mod step;
pub(crate) mod vars;

pub use command::{Arg, Cmd, Join, Redirect};
pub use evidence::{Churn, bytes};
pub(crate) use install::tools;
pub use install::{Install, Tool, install, is_like, is_self_contained};
pub use mount::Mount;
pub use script::Script;
pub use step::{Step, Transfer};

use crate::{Outside, Settings};
use std::collections::BTreeSet;
use std::ops::Range;
use strake_diag::{Diagnostic, Span};
use strake_dockerfile::instruction::From;
use strake_dockerfile::{Dockerfile, Instruction, Word};

/// Everything about one Dockerfile.
pub struct Facts<'a> {
    /// As parsed.
    pub file: &'a Dockerfile,
    /// What the parser said.
    pub problems: &'a [Diagnostic],
    /// What is known beside the file.
    pub outside: &'a Outside,
    /// Rules' options.
    pub settings: &'a Settings,
    /// In order.
    pub stages: Vec<Stage<'a>>,
    /// One for each statement.
    pub steps: Vec<Step<'a>>,
    /// ENV and ARG in order.
    pub vars: Vec<Var>,
}

/// One FROM and what follows.
#[derive(Debug)]
pub struct Stage<'a> {
    /// From 0.
    pub index: usize,
    /// FROM as written.
    pub from: &'a From,
    /// The number of its statement.
    pub statement: usize,
    /// The statements behind FROM.
    pub steps: Range<usize>,
    /// What it stands on.
    pub base: Base,
    /// It is the last stage, or the last one needs it.
    pub needed: bool,
}

/// What a stage stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// An image, variables put in as far as they are known.
    Image(String),
}

/// A variable of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Var {
    /// Its name.
    pub name: String,
    /// As written, with quotes.
    pub value: Option<String>,
    /// ARG rather than ENV.
    pub arg: bool,
    /// The number of the statement.
    pub statement: usize,
    /// In which stage; nothing in front of the first FROM.
    pub stage: Option<usize>,
    /// Where the name stands.
    pub span: Span,
}

impl<'a> Facts<'a> {
    /// Works everything out.
    pub fn new(
        file: &'a Dockerfile,
        problems: &'a [Diagnostic],
        outside: &'a Outside,
        settings: &'a Settings,
    ) -> Facts<'a> {
        Facts::with(file, problems, outside, settings, Script::read)
    }

    /// The same, but that scripts are only gathered: there are no commands.
    pub(crate) fn unread(
        file: &'a Dockerfile,
        problems: &'a [Diagnostic],
        outside: &'a Outside,
        settings: &'a Settings,
    ) -> Facts<'a> {
        Facts::with(file, problems, outside, settings, Script::unread)
    }

    fn with(
        file: &'a Dockerfile,
        problems: &'a [Diagnostic],
        outside: &'a Outside,
        settings: &'a Settings,
        read: fn(String, Vec<(usize, usize)>) -> Script,
    ) -> Facts<'a> {
        let mut facts = Facts {
            file,
            problems,
            outside,
            settings,
            stages: Vec::new(),
            steps: Vec::new(),
            vars: Vec::new(),
        };
        facts.read_stages();
        facts.read_vars();
        facts.steps = step::all(&facts, read);
        for at in 0..facts.stages.len() {
            facts.stages[at].base = facts.base(at);
        }
        facts.mark_needed();
        facts
    }

    fn read_stages(&mut self) {
        for (statement, it) in self.file.statements.iter().enumerate() {
            if let Some(Instruction::From(from)) = &it.instruction {
                if let Some(last) = self.stages.last_mut() {
                    last.steps.end = statement;
                }
                self.stages.push(Stage {
                    index: self.stages.len(),
                    from,
                    statement,
                    steps: statement + 1..self.file.statements.len(),
                    base: Base::Scratch,
                    needed: false,
                });
            }
        }
    }

    /// The stage that a statement belongs to.
    pub fn stage_of(&self, statement: usize) -> Option<usize> {
        let found = |it: &Stage<'_>| it.statement == statement || it.steps.contains(&statement);
        self.stages.iter().position(found)
    }

    fn read_vars(&mut self) {
        for (statement, it) in self.file.statements.iter().enumerate() {
            let stage = self.stage_of(statement);
            match &it.instruction {
                Some(Instruction::Arg(arg)) => {
                    self.vars.extend(arg.args.iter().map(|it| Var {
                        name: it.name.text.clone(),
                        value: it.default.as_ref().map(|it| it.text.clone()),
                        arg: true,
                        statement,
                        stage,
                        span: it.name.span,
                    }));
                }
                Some(Instruction::Env(env)) => {
                    self.vars.extend(env.pairs.iter().map(|it| Var {
                        name: it.name.text.clone(),
                        value: Some(it.value.text.clone()),
                        arg: false,
                        statement,
                        stage,
                        span: it.name.span,
                    }));
                }
                Some(_) | None => {}
            }
        }
    }

    /// A word with the values that the file itself gives, as of a statement.
    pub fn expand(&self, word: &str, statement: usize) -> String {
        self.expand_depth(word, statement, 0)
    }

    fn expand_depth(&self, word: &str, statement: usize, depth: usize) -> String {
        if depth > 8 || !word.contains('$') {
            return vars::expand(word, self.file.escape, &|_| None);
        }
        vars::expand(word, self.file.escape, &|name| {
            let var = self.var(name, statement)?;
            let value = match &var.value {
                Some(value) => value,
                None => self.global(name)?.value.as_ref()?,
            };
            Some(self.expand_depth(value, var.statement, depth + 1))
        })
    }

    /// The variable of this name that a statement sees; stages see those of the stages below them.
    pub fn var(&self, name: &str, statement: usize) -> Option<&Var> {
        let mut stage = self.stage_of(statement);
        if stage.is_some_and(|it| self.stages[it].statement == statement) {
            return self.global(name);
        }
        let mut below = statement;
        loop {
            let seen = |it: &&Var| it.name == name && it.stage == stage && it.statement < below;
            if let Some(found) = self.vars.iter().rev().find(seen) {
                return Some(found);
            }
            let Base::Stage(next) = self.base(stage?) else { return None };
            stage = Some(next);
            below = usize::MAX;
        }
    }

    /// The global ARG of this name.
    pub fn global(&self, name: &str) -> Option<&Var> {
        self.vars.iter().rev().find(|it| it.stage.is_none() && it.name == name)
    }

    fn base(&self, stage: usize) -> Base {
        let Stage { from, statement, .. } = &self.stages[stage];
        let name = self.expand(&from.base.text, *statement);
        if name == "scratch" {
            return Base::Scratch;
        }
        match self.stage_named(&name, stage) {
            Some(below) => Base::Stage(below),
            None => Base::Image(name),
        }
    }

    /// The stage of this name in front of another.
    pub fn stage_named(&self, name: &str, before: usize) -> Option<usize> {
        let is = |it: &&Stage<'_>| {
            it.from.name.as_ref().is_some_and(|it| it.text.eq_ignore_ascii_case(name))
        };
        self.stages[..before].iter().rev().find(is).map(|it| it.index)
    }

    /// The stage that `--from=` means, by name or number.
    pub fn stage_meant(&self, word: &Word, before: usize) -> Option<usize> {
        let number = word.text.parse::<usize>().ok().filter(|it| *it < before);
        number.or_else(|| self.stage_named(&word.text, before))
    }

    fn mark_needed(&mut self) {
        let mut open: Vec<usize> = self.stages.len().checked_sub(1).into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(at) = open.pop() {
            if !seen.insert(at) {
                continue;
            }
            open.extend(self.below(at));
        }
        for at in seen {
            self.stages[at].needed = true;
        }
    }

    /// The stages that a stage uses.
    pub fn below(&self, stage: usize) -> Vec<usize> {
        let mut found = Vec::new();
        if let Base::Stage(base) = &self.stages[stage].base {
            found.push(*base);
        }
        for step in &self.steps[self.stages[stage].steps.clone()] {
            let copied = step.transfer().and_then(|it| it.from);
            found.extend(copied.and_then(|it| self.stage_meant(it, stage)));
            let mounted = step.mounts.iter().filter_map(|it| it.get("from"));
            found.extend(mounted.filter_map(|it| self.stage_named(it, stage)));
        }
        found
    }

    /// The image that a stage stands on in the end, through stages.
    pub fn image_of(&self, stage: usize) -> Option<&str> {
        match &self.stages[stage].base {
            Base::Scratch => None,
            Base::Stage(below) => self.image_of(*below),
            Base::Image(name) => Some(name),
        }
    }

    /// The steps of a stage.
    pub fn steps_of(&self, stage: usize) -> &[Step<'a>] {
        &self.steps[self.stages[stage].steps.clone()]
    }

    /// Every RUN with its script.
    pub fn runs(&self) -> impl Iterator<Item = &Step<'a>> {
        self.steps.iter().filter(|it| matches!(it.instruction, Some(Instruction::Run(_))))
    }

    /// Every command of every RUN.
    pub fn commands(&self) -> impl Iterator<Item = (&Step<'a>, &Cmd)> {
        self.runs().flat_map(|step| step.script.commands.iter().map(move |it| (step, it)))
    }

    /// The last stage.
    pub fn last_stage(&self) -> Option<&Stage<'a>> {
        self.stages.last()
    }

    /// The text between a statement's line start and the next line, comments above included: what
    /// moves when a statement moves.
    pub fn whole_lines(&self, statement: usize) -> Span {
        let text = &self.file.source.text;
        let it = &self.file.statements[statement];
        let first = it.above.first().map_or(it.extent.start, |above| above.span.start);
        let start = text[..first as usize].rfind('\n').map_or(0, |it| it + 1);
        let end = it.extent.end as usize;
        let end = text[end..].find('\n').map_or(text.len(), |it| end + it + 1);
        Span::new(start, end)
    }
}
