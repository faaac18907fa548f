//! `RUN [flags] command` ([reference](https://docs.docker.com/reference/dockerfile/#run)).

use super::device::device;
use super::{Command, Mount, Written};
use crate::flag::{self, Arity, Flag};
use crate::lex::{Heredoc, Word, is_heredoc, strip_tabs};
use crate::lower::{Made, Scope};
use crate::problem::Outcome;
use strake_diag::Diagnostic;
use strake_plan::{DeviceRequest, HeredocFile, MountKind, Network, Op, RunMount, RunOp, Security};

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
    /// `--security`.
    pub security: Security,
    /// `--device`.
    pub devices: Vec<DeviceRequest>,
}

pub(super) const FLAGS: &[Flag<Run>] = &[
    Flag {
        name: "mount",
        arity: Arity::Repeated,
        since: "1.2",
        doc: "Files that are there for this command only: bind, cache, tmpfs, secret, ssh.",
        set: |it, value| {
            it.mounts.push(value);
            Ok(())
        },
    },
    Flag {
        name: "network",
        arity: Arity::Once,
        since: "1.3",
        doc: "none or host; default is what the build was started with.",
        set: |it, value| {
            it.network = Some(match value.text.as_str() {
                "default" => Network::Default,
                "none" => Network::None,
                "host" => Network::Host,
                other => return Err(format!("`{other}` is not default, none or host")),
            });
            Ok(())
        },
    },
    Flag {
        name: "security",
        arity: Arity::Once,
        since: "1.20",
        doc: "insecure runs without the sandbox's limits, where the build allows it.",
        set: |it, value| {
            it.security = match value.text.as_str() {
                "sandbox" => Security::Sandbox,
                "insecure" => Security::Insecure,
                other => return Err(format!("`{other}` is not sandbox or insecure")),
            };
            Ok(())
        },
    },
    Flag {
        name: "device",
        arity: Arity::Repeated,
        since: "1.14-labs",
        doc: "A device by its CDI name; with `,required` it must be there.",
        set: |it, value| {
            it.devices.push(device(&value.text)?);
            Ok(())
        },
    },
];

impl Run {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Run> {
        written.warn_of_no_command("write a command, or leave the line out", problems);
        let command = Command::parse(written, &written.arguments, problems)?;
        if matches!(&command, Command::Exec { words, .. } if words.is_empty()) {
            return Err(written.missing("a command"));
        }
        let heredocs = written.heredocs.clone();
        let mut run = Run {
            command,
            heredocs,
            mounts: Vec::new(),
            network: None,
            security: Security::Sandbox,
            devices: Vec::new(),
        };
        flag::apply(FLAGS, &mut run, &written.flags, "RUN", problems);
        for mount in &run.mounts {
            Mount::check(mount, problems)?;
        }
        Ok(run)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Run { command, heredocs, mounts, network, security, devices } = self;
        let (argv, files) = command_line(command, heredocs, &scope.shell());
        let created_by = format!("RUN {} # buildkit", scope.args_and(&argv).join(" "));
        let mounts: Vec<Mount> =
            mounts.iter().map(|it| Mount::parse(it, scope)).collect::<Outcome<_>>()?;
        let mut lowered = Vec::new();
        for mount in &mounts {
            lowered.push(mount.lower(&lowered, scope)?);
        }
        let op = RunOp {
            argv,
            files,
            env: with_agent(scope.env.0.clone(), &lowered),
            proxies: scope.proxies(),
            cwd: scope.cwd(),
            user: scope.config.user.clone(),
            mounts: lowered,
            network: match network {
                None | Some(Network::Default) => scope.network(),
                Some(Network::None) => Network::None,
                Some(Network::Host) => Network::Host,
            },
            security: *security,
            devices: devices.clone(),
        };
        Ok(Some(Made { op: Op::Run(Box::new(op)), created_by }))
    }

    /// The `from` of each mount, for the stage graph.
    pub(crate) fn sources(&self) -> Vec<Word> {
        self.mounts.iter().filter_map(Mount::from_of).collect()
    }
}

/// Names the first agent's socket, as BuildKit does, unless an ENV or ARG already does.
fn with_agent(mut env: Vec<(String, String)>, mounts: &[RunMount]) -> Vec<(String, String)> {
    const NAME: &str = "SSH_AUTH_SOCK";
    let first = mounts.iter().find(|it| is_agent(it));
    if let Some(first) = first.filter(|_| env.iter().all(|(name, _)| name != NAME)) {
        env.push((NAME.to_owned(), first.target.clone()));
    }
    env
}

/// Whether it is the socket of an SSH agent.
pub(super) fn is_agent(mount: &RunMount) -> bool {
    matches!(mount.kind, MountKind::Ssh { .. })
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
