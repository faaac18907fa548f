//! `RUN [flags] command` ([reference](https://docs.docker.com/reference/dockerfile/#run)).

use super::{Command, Mount, Written};
use crate::flag::{self, Arity, Flag, Set};
use crate::lex::{Heredoc, Word, is_heredoc, strip_tabs};
use crate::lower::{Made, Scope};
use crate::problem::Outcome;
use strake_diag::Diagnostic;
use strake_plan::{HeredocFile, Network, Op, RunOp, Security};

/// RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What to run.
    pub command: Command,
    /// Bodies, in order.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, as written.
    pub mounts: Vec<Word>,
    /// `--network`, where written.
    pub network: Option<Network>,
}

pub(super) const FLAGS: &[Flag<Run>] = &[
    Flag {
        name: "mount",
        arity: Arity::Repeated,
        since: "1.2",
        doc: "Files that are there for this command only: bind, cache, tmpfs, secret, ssh.",
        set: Set::To(|it, value| {
            it.mounts.push(value);
            Ok(())
        }),
    },
    Flag {
        name: "network",
        arity: Arity::Once,
        since: "1.3",
        doc: "none or host; default is what the build was started with.",
        set: Set::To(|it, value| {
            it.network = Some(match value.text.as_str() {
                "default" => Network::Default,
                "none" => Network::None,
                "host" => Network::Host,
                other => return Err(format!("`{other}` is not default, none or host")),
            });
            Ok(())
        }),
    },
    Flag {
        name: "security",
        arity: Arity::Once,
        since: "1.20",
        doc: "sandbox; insecure is not supported.",
        set: Set::To(|_, value| match value.text.as_str() {
            "sandbox" => Ok(()),
            "insecure" => Err("insecure is not supported: run such a step outside of the build \
                               and COPY its result"
                .to_owned()),
            other => Err(format!("`{other}` is not sandbox")),
        }),
    },
    Flag {
        name: "device",
        arity: Arity::Repeated,
        since: "1.14-labs",
        doc: "Devices of the host.",
        set: Set::Unsupported {
            instead: "run the step that needs the device outside of the build and COPY its result",
        },
    },
];

impl Run {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Run> {
        written.one_word("a command")?;
        let command = Command::parse(written, &written.arguments, problems)?;
        if matches!(&command, Command::Exec { words, .. } if words.is_empty()) {
            return Err(written.missing("a command"));
        }
        let heredocs = written.heredocs.clone();
        let mut run = Run { command, heredocs, mounts: Vec::new(), network: None };
        flag::apply(FLAGS, &mut run, &written.flags, "RUN", problems);
        for mount in &run.mounts {
            Mount::check(mount)?;
        }
        Ok(run)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Run { command, heredocs, mounts, network } = self;
        let (argv, files) = command_line(command, heredocs, &scope.shell());
        let created_by = format!("RUN {} # buildkit", scope.args_and(&argv).join(" "));
        let mounts: Vec<Mount> =
            mounts.iter().map(|it| Mount::parse(it, scope)).collect::<Outcome<_>>()?;
        let mut lowered = Vec::new();
        for (index, mount) in mounts.iter().enumerate() {
            lowered.push(mount.lower(index, scope)?);
        }
        let op = RunOp {
            argv,
            files,
            env: scope.env.0.clone(),
            proxies: scope.proxies(),
            cwd: scope.cwd(),
            user: scope.config.user.clone(),
            mounts: lowered,
            network: match network {
                None | Some(Network::Default) => scope.network(),
                Some(Network::None) => Network::None,
                Some(Network::Host) => Network::Host,
            },
            security: Security::Sandbox,
            devices: Vec::new(),
        };
        Ok(Some(Made { op: Op::Run(Box::new(op)), created_by }))
    }

    /// The `from` of each mount, for the stage graph.
    pub(crate) fn sources(&self) -> Vec<Word> {
        self.mounts.iter().filter_map(Mount::from_of).collect()
    }
}

/// A line that is nothing but `<<EOF` runs the body: by the shell, or as a script where it begins
/// with `#!`. Any other line keeps its heredocs, and the shell reads them.
fn command_line(
    command: &Command,
    heredocs: &[Heredoc],
    shell: &[String],
) -> (Vec<String>, Vec<HeredocFile>) {
    let (line, first) = match (command, heredocs.first()) {
        (Command::Shell(line), Some(first)) => (line, first),
        (Command::Shell(_) | Command::Exec { .. }, _) => {
            return (command.with_shell(shell), Vec::new());
        }
    };
    let with_shell =
        |line: String| shell.iter().cloned().chain([line]).collect::<Vec<String>>();
    if !matches!(is_heredoc(&line.text), Ok(Some(_))) {
        let mut text = line.text.clone();
        for heredoc in heredocs {
            text.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
        }
        return (with_shell(text), Vec::new());
    }
    let body =
        if first.strip_tabs { strip_tabs(&first.content) } else { first.content.clone() };
    if !body.starts_with("#!") {
        return (with_shell(body), Vec::new());
    }
    let path = format!("/dev/pipes/{}", first.name);
    // BuildKit gives the script's path to the shell.
    (with_shell(path), vec![HeredocFile { name: first.name.clone(), content: body }])
}
