//! What an instruction sees at its place in a stage.

use super::graph::{Graph, Node};
use super::{Request, join};
use crate::lex::{Env, Lexer, Word};
use crate::problem::{Outcome, error};
use std::collections::BTreeMap;
use strake_diag::Span;
use strake_oci::Config;
use strake_plan::{Network, Op, Source, StageId};

/// The step that an instruction makes.
pub(crate) struct Made {
    pub(crate) op: Op,
    pub(crate) created_by: String,
}

impl Made {
    /// A step that changes only the config.
    pub(crate) fn config(created_by: String) -> Made {
        Made { op: Op::Config, created_by }
    }
}

/// Config, environment and arguments as of an instruction.
pub(crate) struct Scope<'a> {
    pub(crate) config: Config,
    pub(crate) author: Option<String>,
    /// ENV and ARG, the last assignment of a name wins.
    pub(crate) env: Env,
    /// Declared ARGs in order.
    pub(super) args: Vec<Argument>,
    /// CMD stands in this stage, or in the part of it that was read.
    pub(crate) cmd_is_set: bool,
    /// What runs the stage is another kind of system: another shell, and no PATH of ours.
    pub(super) is_windows: bool,
    pub(super) outer: Outer<'a>,
}

/// A declared ARG.
#[derive(Clone, Debug)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) value: Option<String>,
    /// Where it is declared.
    pub(super) span: Span,
    /// The value is that of the global or automatic ARG of this name.
    pub(super) inherited: bool,
}

/// What does not change within a stage.
#[derive(Clone, Copy)]
pub(super) struct Outer<'a> {
    pub(super) request: &'a Request,
    pub(super) graph: &'a Graph<'a>,
    /// The number of the stage.
    pub(super) stage: usize,
    /// Where the nodes of the graph are in the plan.
    pub(super) placed: &'a BTreeMap<Node, StageId>,
}

/// Build arguments that every RUN sees undeclared.
pub(super) const PROXIES: [&str; 5] =
    ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// PATH where a base has none.
pub(super) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Scope<'_> {
    /// One value: quotes taken away, variables put in.
    pub(crate) fn expand(&self, word: &Word) -> Outcome<String> {
        self.lexer()
            .expand(&word.text, &self.env)
            .map(|it| it.text)
            .map_err(|why| expansion(word, &why))
    }

    /// The words that a value becomes.
    pub(crate) fn expand_words(&self, word: &Word) -> Outcome<Vec<String>> {
        self.lexer()
            .expand(&word.text, &self.env)
            .map(|it| it.words)
            .map_err(|why| expansion(word, &why))
    }

    /// A heredoc: quotes mean nothing, and the escape character is always `\`.
    pub(crate) fn expand_body(&self, body: &str, span: Span) -> Outcome<String> {
        let lexer = Lexer { no_quotes: true, ..Lexer::new('\\') };
        match lexer.expand(body, &self.env) {
            Ok(expanded) => Ok(expanded.text),
            Err(why) => Err(error("expansion", span, why)),
        }
    }

    fn lexer(&self) -> Lexer {
        Lexer::new(self.outer.graph.escape)
    }

    /// SHELL, or the system's.
    pub(crate) fn shell(&self) -> Vec<String> {
        match &self.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            Some(_) | None => {
                let words: &[&str] =
                    if self.is_windows { &["cmd", "/S", "/C"] } else { &["/bin/sh", "-c"] };
                words.iter().map(|it| (*it).to_owned()).collect()
            }
        }
    }

    /// Absolute and clean.
    pub(crate) fn cwd(&self) -> String {
        join("/", &self.config.working_dir)
    }

    pub(crate) fn network(&self) -> Network {
        self.outer.request.network
    }

    /// `--build-arg`.
    pub(crate) fn build_arg(&self, name: &str) -> Option<String> {
        self.outer.request.build_arg(name).map(str::to_owned)
    }

    /// A global ARG or an automatic one.
    pub(crate) fn global(&self, name: &str) -> Option<String> {
        self.outer.graph.globals.get(name).map(str::to_owned)
    }

    /// ARG, with a value of its own or that of the global one.
    pub(crate) fn declare(&mut self, name: &Word, own: Option<String>) {
        let global = if own.is_none() { self.global(&name.text) } else { None };
        let inherited = global.is_some();
        let value = own.or(global);
        let Word { text: name, span } = name;
        let for_scanners =
            name == "BUILDKIT_SBOM_SCAN_CONTEXT" || name == "BUILDKIT_SBOM_SCAN_STAGE";
        if let Some(value) = value.as_ref().filter(|_| !for_scanners) {
            self.env.set(name, value);
        }
        self.args.push(Argument { name: name.clone(), value, span: *span, inherited });
    }

    /// ENV.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.env.set(name, value);
        let entry = format!("{name}={value}");
        let same = |it: &&mut String| it.split_once('=').map_or(it.as_str(), |it| it.0) == name;
        match self.config.env.iter_mut().find(same) {
            Some(old) => *old = entry,
            None => self.config.env.push(entry),
        }
    }

    /// History of RUN: `|N name=value ..` for the ARGs in scope, and the command.
    pub(crate) fn args_and(&self, argv: &[String]) -> Vec<String> {
        let mut seen: Vec<(&str, String)> = Vec::new();
        for Argument { name, value, span: _, inherited: _ } in &self.args {
            let value = self.env.get(name).or(value.as_deref()).unwrap_or_default();
            let entry = (name.as_str(), format!("{name}={value}"));
            match seen.iter_mut().find(|(it, _)| it == name) {
                Some(old) => *old = entry,
                None => seen.push(entry),
            }
        }
        let count = (!seen.is_empty()).then(|| format!("|{}", seen.len()));
        let args = seen.into_iter().map(|(_, text)| text);
        count.into_iter().chain(args).chain(argv.iter().cloned()).collect()
    }

    /// Proxy variables among the build arguments, in both spellings.
    pub(crate) fn proxies(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for name in PROXIES {
            let given = self.outer.request.build_args.iter().rev();
            let mut given = given.filter(|(it, _)| it.eq_ignore_ascii_case(name));
            if let Some(value) = given.find_map(|(_, value)| value.clone()) {
                found.push((name.to_ascii_uppercase(), value.clone()));
                found.push((name.to_owned(), value));
            }
        }
        found
    }

    /// What `COPY --from=name` means.
    pub(crate) fn copy_source(&self, name: &Word) -> Outcome<Source> {
        let node = self.outer.graph.copy_node(self.outer.stage, name, self.outer.request)?;
        Ok(self.source(node))
    }

    /// What `from=name` of a mount means.
    pub(crate) fn mount_source(&self, name: &Word) -> Outcome<Source> {
        let node = self.outer.graph.mount_node(self.outer.stage, name, self.outer.request)?;
        Ok(self.source(node))
    }

    fn source(&self, node: Node) -> Source {
        match (&node, self.outer.placed.get(&node)) {
            (Node::Local(name), _) => Source::Named(name.clone()),
            (_, Some(stage)) => Source::Stage(*stage),
            (_, None) => unreachable!("all that a stage reads from was placed before it"),
        }
    }
}

fn expansion(word: &Word, why: &str) -> Box<strake_diag::Diagnostic> {
    error("expansion", word.span, format!("cannot expand `{}`: {why}", word.text))
}
