//! Commands of RUN that do something else than was meant.

use crate::facts::{Arg, Cmd, Join};
use crate::rule::{Fix, FixKind, Rule, Safety, Sink, edit};
use crate::Facts;
use std::collections::BTreeMap;
use strake_diag::Span;
use strake_dockerfile::Instruction;
use strake_dockerfile::instruction::Command;

pub(super) static RULES: &[&Rule] = &[
    &USELESS, &CD, &SUDO, &WGET_AND_CURL, &RELINKED_SHELL, &PIPEFAIL, &USERADD, &WGET_PROGRESS,
    &CONSECUTIVE_RUNS, &HEREDOC_ERRORS, &UNREADABLE_SHELL,
];

rule!(USELESS = "useless-command", ["DL3001"], Shell, Info, on, FixKind::None, useless);
rule!(CD = "cd-instead-of-workdir", ["DL3003"], Shell, Warning, off, FixKind::None, cd);
rule!(SUDO = "sudo", ["DL3004"], Shell, Error, on, FixKind::None, sudo);
rule!(WGET_AND_CURL = "wget-and-curl", ["DL4001"], Shell, Warning, on, FixKind::None, wget_and_curl);
rule!(RELINKED_SHELL = "relinked-shell", ["DL4005"], Shell, Warning, on, FixKind::None, relinked);
rule!(PIPEFAIL = "pipe-hides-failure", ["DL4006"], Shell, Warning, on, FixKind::None, pipefail);
rule!(USERADD = "useradd-sparse-log", ["DL3046"], Shell, Warning, on,
    FixKind::Sometimes(Safety::Unsafe), useradd);
rule!(WGET_PROGRESS = "wget-progress", ["DL3047"], Shell, Info, off, FixKind::None, wget_progress);
rule!(CONSECUTIVE_RUNS = "consecutive-runs", ["DL3059"], Shell, Info, off, FixKind::None, consecutive);
rule!(HEREDOC_ERRORS = "heredoc-hides-failure", [], Shell, Warning, on,
    FixKind::Sometimes(Safety::Unsafe), heredoc_errors);
rule!(UNREADABLE_SHELL = "unreadable-shell", [], Shell, Info, on, FixKind::None, unreadable);

const USELESS_COMMANDS: &[&str] = &[
    "free", "kill", "mount", "ps", "service", "shutdown", "ssh", "top", "vim",
];

fn useless(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        let found = step.script.commands.iter().find(|it| it.is(USELESS_COMMANDS));
        if let Some(cmd) = found {
            let message = format!("`{}` makes little sense while an image is built", cmd.name);
            out.at(cmd.name_span, message);
        }
    }
}

fn cd(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        if let Some(cmd) = step.script.commands.iter().find(|it| it.is(&["cd"])) {
            out.at(cmd.span, "`cd` holds for this RUN only").hint("use WORKDIR");
        }
    }
}

fn sudo(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        if let Some(cmd) = step.script.commands.iter().find(|it| it.is(&["sudo"])) {
            let hint = "switch with USER, or use gosu where a program must drop its rights";
            out.at(cmd.name_span, "`sudo` in a build has no terminal and hides who runs what")
                .hint(hint);
        }
    }
}

fn wget_and_curl(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let mut seen: BTreeMap<(Option<usize>, &str), Span> = BTreeMap::new();
    for step in facts.runs() {
        for name in ["wget", "curl"] {
            let Some(cmd) = step.script.commands.iter().find(|it| it.name == name) else { continue };
            seen.entry((step.stage, name)).or_insert(cmd.name_span);
            let other = if name == "wget" { "curl" } else { "wget" };
            if let Some(first) = seen.get(&(step.stage, other)) {
                let message = format!("both {other} and {name} are used in this stage");
                out.at(cmd.name_span, message).label(*first, format!("{other} here"));
                break;
            }
        }
    }
}

fn relinked(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        let relinks = |it: &&Cmd| it.is(&["ln"]) && it.has("/bin/sh");
        if let Some(cmd) = step.script.commands.iter().find(relinks) {
            let hint = "use SHELL [\"/bin/bash\", \"-c\"]";
            out.at(cmd.span, "/bin/sh is replaced for all programs of the image").hint(hint);
        }
    }
}

/// Whether the words of a shell turn pipefail on: `-o pipefail`, `-euxo pipefail`.
fn is_told(shell: &[String]) -> bool {
    shell.windows(2).any(|it| {
        let option = it[0].starts_with('-') && it[0].contains('o') && !it[0].starts_with("--");
        it[1] == "pipefail" && option || it[1] != "pipefail" && it[1].contains("pipefail")
    })
}

fn pipefail(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        if is_told(&step.shell) || !matches!(step.shell_name(), "sh" | "bash" | "ash" | "zsh" | "dash") {
            continue;
        }
        let commands = &step.script.commands;
        let sets = |it: &Cmd| it.is(&["set"]) && it.has("pipefail");
        let piped = commands.iter().position(|it| it.join == Join::Pipe);
        let Some(at) = piped else { continue };
        let knows = matches!(step.shell_name(), "bash" | "zsh")
            || step.run().is_some_and(|it| !it.heredocs.is_empty());
        let told = knows && commands[..at].iter().any(sets);
        if !told {
            let hint = match commands[..at].iter().any(sets) {
                true => "the shell may not know pipefail: name one with SHELL",
                false => "put SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"] above",
            };
            let message = "if the command before the pipe fails, the RUN succeeds all the same";
            out.at(commands[at - 1].span.to(commands[at].name_span), message).hint(hint);
        }
    }
}

fn useradd(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (_, cmd) in facts.commands().filter(|(_, it)| it.is(&["useradd"])) {
        let Some(id) = cmd.value_of(&["-u", "--uid"]) else { continue };
        let digits = id.text.rsplit('=').next().unwrap_or_default();
        let long = digits.len() > 5 && digits.bytes().all(|it| it.is_ascii_digit());
        if long && !cmd.has_flag(&["l", "no-log-init"]) {
            let message = "a high user id makes /var/log/lastlog huge";
            let finding = out.at(cmd.span, message);
            finding.hint("add `--no-log-init`");
            let at = Span { start: cmd.name_span.end, end: cmd.name_span.end };
            if cmd.name_span != cmd.span {
                let edits = vec![edit(at, " --no-log-init")];
                finding.fix(Fix::risky("add `--no-log-init`", edits));
            }
        }
    }
}

fn wget_progress(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        let quiet = ["q", "quiet", "nv", "no-verbose", "progress", "o", "output-file", "a"];
        let append = |it: &Arg| it.text == "-nv" || it.text.starts_with("--append-output");
        let loud = |it: &&Cmd| {
            it.is(&["wget"]) && !it.has_flag(&quiet) && !it.args.iter().any(append)
        };
        if let Some(cmd) = step.script.commands.iter().find(loud) {
            let hint = "add `--progress=dot:giga`, or `-q`";
            out.at(cmd.span, "wget writes a line for every 50 kB").hint(hint);
        }
    }
}

fn consecutive(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let statements = &facts.file.statements;
    for (at, step) in facts.steps.iter().enumerate().skip(1) {
        let before = &facts.steps[at - 1];
        let (Some(run), Some(first)) = (step.run(), before.run()) else { continue };
        let simple = |step: &crate::Step<'_>| {
            let own = step.script.commands.iter().filter(|it| !it.substituted);
            own.count() <= 1 && step.run().is_some_and(|it| it.heredocs.is_empty())
        };
        let commented = !statements[at].above.is_empty();
        let same = run.mounts.len() == first.mounts.len()
            && run.mounts.iter().zip(&first.mounts).all(|(a, b)| a.text == b.text)
            && run.network == first.network
            && run.security == first.security;
        if same && simple(step) && simple(before) && !commented && !step.onbuild && !before.onbuild {
            let message = "this RUN and the one above could be one";
            out.at(step.statement.keyword.span, message).hint("join them with `&&`");
        }
    }
}

fn heredoc_errors(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        let Some(run) = step.run() else { continue };
        let Command::Shell(line) = &run.command else { continue };
        let [body] = run.heredocs.as_slice() else { continue };
        let whole = line.text.trim_start().starts_with("<<")
            && line.text.trim_start_matches(['<', '-', ' ', '"', '\'']).trim_matches(['"', '\''])
                == body.name;
        let lines = step.script.commands.iter().filter(|it| {
            it.depth == 0 && it.join == Join::Start
        });
        if !whole || lines.count() < 2 || body.content.trim_start().starts_with("#!") {
            continue;
        }
        let stops = |it: &Cmd| {
            let short = |it: &Arg| {
                it.text.starts_with('-') && !it.text.starts_with("--") && it.text.contains('e')
            };
            it.is(&["set"]) && (it.has("errexit") || it.args.iter().any(short))
        };
        let shell = step.shell.iter().skip(1).any(|it| {
            it == "errexit" || it.starts_with('-') && !it.starts_with("--") && it.contains('e')
        });
        if shell || step.script.commands.iter().any(stops) {
            continue;
        }
        let message = "if a line of this script fails, the next one runs all the same";
        let finding = out.at(line.span, message);
        finding.hint("begin the script with `set -e`");
        let indent = if body.strip_tabs { "\t" } else { "" };
        let at = Span { start: body.span.start, end: body.span.start };
        finding.fix(Fix::risky("begin with `set -e`", vec![edit(at, format!("{indent}set -e\n"))]));
    }
}

/// What the shell parser does not take may be a mistake of either; say so, for no rule looks inside.
fn unreadable(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs().filter(|it| it.is_posix() && !it.script.parsed) {
        let Some(Instruction::Run(run)) = step.instruction else { continue };
        let empty = step.script.text.trim().is_empty();
        if matches!(run.command, Command::Shell(_)) && !empty {
            let message = "this script is not understood, so no rule looks into it";
            out.at(step.statement.keyword.span, message).hint("check its quotes and brackets");
        }
    }
}
