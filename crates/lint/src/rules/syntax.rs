//! How instructions are written.

use crate::rule::{Fix, FixKind, Rule, Safety, Sink, edit};
use crate::{Facts, Step};
use strake_diag::Span;
use strake_dockerfile::Instruction;
use strake_dockerfile::instruction::{Command, Pair};

pub(super) static RULES: &[&Rule] = &[
    &AS_CASE, &EMPTY_LINE, &CASING, &MAINTAINER, &SHELL_FORM, &LEGACY, &PROTO_CASE, &EXPOSE_FORMAT,
    &DESCRIPTION, &PORT, &MANY_CMD, &MANY_ENTRYPOINT, &MANY_HEALTHCHECK, &ONBUILD, &NO_FROM,
    &NO_HEALTHCHECK, &IGNORES, &RELATIVE_WORKDIR,
];

rule!(AS_CASE = "from-as-casing", ["FromAsCasing"], Language, Warning, on,
    FixKind::Always(Safety::Safe), as_case);
rule!(EMPTY_LINE = "empty-continuation", ["NoEmptyContinuation"], Language, Warning, on,
    FixKind::Always(Safety::Safe), empty_line);
rule!(CASING = "inconsistent-casing", ["ConsistentInstructionCasing"], Language, Warning, on,
    FixKind::Always(Safety::Safe), casing);
rule!(MAINTAINER = "maintainer", ["MaintainerDeprecated", "DL4000"], Language, Warning, on,
    FixKind::Always(Safety::Unsafe), maintainer);
rule!(SHELL_FORM = "shell-form-command", ["JSONArgsRecommended", "DL3025"], Language, Warning, on,
    FixKind::Sometimes(Safety::Unsafe), shell_form);
rule!(LEGACY = "legacy-key-value", ["LegacyKeyValueFormat"], Language, Warning, on,
    FixKind::Sometimes(Safety::Safe), legacy);
rule!(PROTO_CASE = "expose-proto-casing", ["ExposeProtoCasing"], Language, Warning, on,
    FixKind::Always(Safety::Safe), proto_case);
rule!(EXPOSE_FORMAT = "expose-host-port", ["ExposeInvalidFormat"], Language, Warning, on,
    FixKind::None, expose_format);
rule!(DESCRIPTION = "misplaced-description", ["InvalidDefinitionDescription"], Language, Warning,
    off, FixKind::None, description);
rule!(PORT = "invalid-port", ["DL3011"], Language, Error, on, FixKind::None, port);
rule!(MANY_CMD = "multiple-cmd", ["MultipleInstructionsDisallowed", "DL4003"], Language, Warning,
    on, FixKind::None, many_cmd);
rule!(MANY_ENTRYPOINT = "multiple-entrypoint", ["MultipleInstructionsDisallowed", "DL4004"],
    Language, Error, on, FixKind::None, many_entrypoint);
rule!(MANY_HEALTHCHECK = "multiple-healthcheck", ["MultipleInstructionsDisallowed", "DL3012"],
    Language, Error, on, FixKind::None, many_healthcheck);
rule!(ONBUILD = "invalid-trigger", ["DL3043"], Language, Error, on, FixKind::None, onbuild);
rule!(NO_FROM = "no-from-first", ["DL3061"], Language, Error, on, FixKind::None, no_from);
rule!(NO_HEALTHCHECK = "no-healthcheck", ["DL3057"], Language, Info, off, FixKind::None,
    no_healthcheck);
rule!(IGNORES = "ignore-comment", ["DL1001"], Language, Info, off, FixKind::None, ignores);
rule!(RELATIVE_WORKDIR = "relative-workdir", ["WorkdirRelativePath", "DL3000"], Language, Warning,
    on, FixKind::None, relative_workdir);

fn as_case(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let upper = |it: &str| it.chars().all(|it| !it.is_lowercase());
    let lower = |it: &str| it.chars().all(|it| !it.is_uppercase());
    for stage in &facts.stages {
        let Some(word) = &stage.from.keyword_as else { continue };
        let keyword = &facts.file.statements[stage.statement].keyword.text;
        let same = upper(keyword) && upper(&word.text) || lower(keyword) && lower(&word.text);
        // A FROM of both cases is `inconsistent-casing`.
        if !same && (upper(keyword) || lower(keyword)) {
            let wanted = if lower(keyword) { "as" } else { "AS" };
            let message = format!("`{}` and `{keyword}` are not cased alike", word.text);
            let fix = Fix::safe(format!("write `{wanted}`"), vec![edit(word.span, wanted)]);
            out.at(word.span, message).fix(fix);
        }
    }
}

fn empty_line(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let text = &facts.file.source.text;
    for statement in &facts.file.statements {
        let Some(first) = statement.empty_continuations.first() else { continue };
        let edits = statement.empty_continuations.iter().map(|it| {
            let start = text[..it.start as usize].rfind('\n').map_or(0, |it| it + 1);
            let end = text[it.end as usize..].find('\n').map(|at| it.end as usize + at + 1);
            edit(Span::new(start, end.unwrap_or(text.len())), "")
        });
        let fix = Fix::safe("take the empty lines out", edits.collect());
        out.at(*first, "an empty line within a continued instruction").fix(fix);
    }
}

fn casing(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let words = || facts.file.statements.iter().map(|it| &it.keyword);
    let is_upper = |it: &str| !it.chars().any(|it| it.is_ascii_lowercase());
    let is_lower = |it: &str| !it.chars().any(|it| it.is_ascii_uppercase());
    let upper = words().filter(|it| is_upper(&it.text)).count();
    let lower = words().filter(|it| is_lower(&it.text)).count();
    let want_lower = lower > upper;
    for word in words() {
        let (same, wanted) = match want_lower {
            true => (is_lower(&word.text), word.text.to_ascii_lowercase()),
            false => (is_upper(&word.text), word.text.to_ascii_uppercase()),
        };
        if !same {
            let most = if want_lower { "lower" } else { "upper" };
            let message = format!("`{}`, while most of the file is in {most} case", word.text);
            let fix = Fix::safe(format!("write `{wanted}`"), vec![edit(word.span, wanted)]);
            out.at(word.span, message).fix(fix);
        }
    }
}

fn maintainer(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(Instruction::Maintainer(_)) = step.instruction else { continue };
        let statement = step.statement;
        let name = statement.text[statement.keyword.text.len()..].trim();
        let bare = name.trim_matches(['"', '\'']).replace('\\', "\\\\").replace('"', "\\\"");
        let label = format!("LABEL org.opencontainers.image.authors=\"{}\"", bare.replace('$', "\\$"));
        let fix = Fix::risky("write a LABEL", vec![edit(statement.span, label)]);
        out.at(statement.span, "MAINTAINER is a thing of the past")
            .hint("use LABEL org.opencontainers.image.authors=")
            .fix(fix);
    }
}

fn shell_form(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.steps.iter().filter(|it| !it.onbuild) {
        let command = match step.instruction {
            Some(Instruction::Cmd(it)) => &it.command,
            Some(Instruction::Entrypoint(it)) => &it.command,
            Some(_) | None => continue,
        };
        let Command::Shell(line) = command else { continue };
        if step.shell != ["/bin/sh", "-c"] && step.shell_is_set {
            continue; // Who sets a SHELL wants one.
        }
        let keyword = step.statement.keyword.text.to_ascii_uppercase();
        let message = format!("{keyword} goes through a shell, which does not pass on signals");
        let finding = out.at(line.span, message);
        finding.hint(format!("write {keyword} [\"program\", \"argument\"]"));
        let script = crate::Script::read(line.text.clone(), Vec::new());
        if let [cmd] = script.commands.as_slice()
            && plain(cmd, &line.text)
        {
            let words = std::iter::once(&cmd.name).chain(cmd.args.iter().map(|it| &it.text));
            let words: Vec<String> = words.map(|it| format!("{it:?}")).collect();
            let array = format!("[{}]", words.join(", "));
            finding.fix(Fix::risky(format!("write `{array}`"), vec![edit(line.span, array)]));
        }
    }
}

/// A command that means the same without a shell.
fn plain(cmd: &crate::Cmd, text: &str) -> bool {
    cmd.assignments.is_empty()
        && cmd.redirects.is_empty()
        && !cmd.is(&["exec", "cd", "source", ".", "export", "ulimit", "set", "trap", "eval"])
        && text.is_ascii()
        && !text.contains(['$', '`', '*', '?', '~', '{', '[', '&', '|', ';', '<', '>', '(', '\\', '!', '#'])
}

fn legacy(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.steps.iter().filter(|it| !it.onbuild) {
        let pairs = match step.instruction {
            Some(Instruction::Env(it)) => &it.pairs,
            Some(Instruction::Label(it)) => &it.pairs,
            Some(_) | None => continue,
        };
        let [Pair { name, value, legacy: true }] = pairs.as_slice() else { continue };
        let keyword = step.statement.keyword.text.to_ascii_uppercase();
        let message = format!("`{keyword} key value` is the old way");
        let finding = out.at(name.span.to(value.span), message);
        finding.hint(format!("write `{keyword} key=value`"));
        let simple = !value.text.contains(['"', '\'', '\\', '\n']);
        if simple && value.text == facts.file.source.slice(value.span) {
            let spaced = value.text.contains(char::is_whitespace);
            let quote = if spaced { "\"" } else { "" };
            let new = format!("{}={quote}{}{quote}", name.text, value.text);
            let edits = vec![edit(name.span.to(value.span), new.clone())];
            finding.fix(Fix::safe(format!("write `{new}`"), edits));
        }
    }
}

fn proto_case(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (_, word) in ports(facts) {
        let Some((port, proto)) = word.text.split_once('/') else { continue };
        let lower = proto.to_lowercase();
        if lower != proto && !proto.contains('$') {
            let message = format!("the protocol of `{}` is not in lower case", word.text);
            let edits = vec![edit(word.span, format!("{port}/{lower}"))];
            out.at(word.span, message).fix(Fix::safe(format!("write `{port}/{lower}`"), edits));
        }
    }
}

/// The ports of every EXPOSE. One that cannot be read has its words all the same.
fn ports<'a>(facts: &'a Facts<'_>) -> Vec<(&'a Step<'a>, &'a strake_dockerfile::Word)> {
    let mut found = Vec::new();
    for step in &facts.steps {
        if let Some(Instruction::Expose(expose)) = step.instruction {
            found.extend(expose.ports.iter().map(|it| (step, it)));
        }
    }
    found
}

fn expose_format(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (_, word) in ports(facts) {
        if word.text.contains(':') && !word.text.contains('$') {
            let message = format!("`{}` names a host address or port, which EXPOSE cannot", word.text);
            out.at(word.span, message).hint("publish with `docker run -p`");
        }
    }
}

fn description(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for statement in &facts.file.statements {
        let name = match &statement.instruction {
            Some(Instruction::From(from)) => match &from.name {
                Some(name) => name.text.clone(),
                None => continue,
            },
            Some(Instruction::Arg(arg)) => arg.args[0].name.text.clone(),
            Some(_) | None => continue,
        };
        let Some(comment) = statement.above.last() else { continue };
        let first = comment.text.split_whitespace().next().unwrap_or_default();
        let pragma = ["check=", "hadolint", "strake", "syntax="].iter().any(|it| first.starts_with(it));
        if first != name && !pragma {
            let message = format!("the comment above describes `{first}` and not `{name}`");
            let hint = format!("begin it with `{name}`, or put an empty line below it");
            let finding = out.at(statement.keyword.span, message);
            finding.hint(hint).label(comment.span, "the comment");
        }
    }
}

fn port(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (_, word) in ports(facts) {
        let number = word.text.split('/').next().unwrap_or_default();
        let high = |it: &str| it.parse::<u64>().is_ok_and(|it| it > 65535);
        if number.split('-').any(high) {
            out.at(word.span, format!("`{}` is no port: they end at 65535", word.text));
        }
    }
}

fn many(facts: &Facts<'_>, out: &mut Sink<'_>, what: &str, is: impl Fn(&Instruction) -> bool) {
    for stage in &facts.stages {
        let steps = facts.steps_of(stage.index).iter().filter(|it| !it.onbuild);
        let all: Vec<&Step<'_>> = steps.filter(|it| it.instruction.is_some_and(&is)).collect();
        for pair in all.windows(2) {
            let message = format!("only the last {what} of a stage counts");
            out.at(pair[1].span(), message).label(pair[0].span(), "one above");
        }
    }
}

fn many_cmd(facts: &Facts<'_>, out: &mut Sink<'_>) {
    many(facts, out, "CMD", |it| matches!(it, Instruction::Cmd(_)));
}

fn many_entrypoint(facts: &Facts<'_>, out: &mut Sink<'_>) {
    many(facts, out, "ENTRYPOINT", |it| matches!(it, Instruction::Entrypoint(_)));
}

fn many_healthcheck(facts: &Facts<'_>, out: &mut Sink<'_>) {
    many(facts, out, "HEALTHCHECK", |it| matches!(it, Instruction::Healthcheck(_)));
}

fn onbuild(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for statement in &facts.file.statements {
        if !statement.keyword.text.eq_ignore_ascii_case("ONBUILD") {
            continue;
        }
        let inner = statement.text.split_whitespace().nth(1).unwrap_or_default();
        if ["ONBUILD", "FROM", "MAINTAINER"].contains(&inner.to_ascii_uppercase().as_str()) {
            let message = format!("{} cannot be a trigger", inner.to_ascii_uppercase());
            out.at(statement.span, message);
        }
    }
}

fn no_from(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let first = facts.file.statements.iter().find(|it| !it.keyword.text.eq_ignore_ascii_case("ARG"));
    if let Some(first) = first
        && !first.keyword.text.eq_ignore_ascii_case("FROM")
    {
        let message = "only ARG and comments may stand in front of the first FROM";
        out.at(first.keyword.span, message);
    }
}

fn no_healthcheck(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let mut at = Some(stage.index);
        let mut has = false;
        while let Some(stage) = at {
            let steps = facts.steps_of(stage);
            has |= steps.iter().any(|it| matches!(it.instruction, Some(Instruction::Healthcheck(_))));
            at = match &facts.stages[stage].base {
                crate::Base::Stage(below) => Some(*below),
                crate::Base::Scratch | crate::Base::Image(_) => None,
            };
        }
        let based_on = |it: &crate::Stage<'_>| it.base == crate::Base::Stage(stage.index);
        if !has && !facts.stages.iter().any(based_on) {
            let span = facts.file.statements[stage.statement].span;
            out.at(span, "nothing tells whether a container of this image is healthy")
                .hint("add HEALTHCHECK");
        }
    }
}

fn ignores(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for comment in &facts.file.comments {
        let rest = comment.text.strip_prefix("hadolint").or(comment.text.strip_prefix("strake"));
        let rest = rest.and_then(|it| it.trim_start().strip_prefix("ignore"));
        if rest.is_some_and(|it| it.trim_start().starts_with('=')) {
            out.at(comment.span, "this comment hides findings");
        }
    }
}

fn relative_workdir(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(Instruction::Workdir(workdir)) = step.instruction else { continue };
        let word = &workdir.path;
        let path = facts.expand(&word.text, step.index);
        let bytes = path.as_bytes();
        let drive = bytes.len() > 1 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
        let known = step.cwd.is_some() && !step.onbuild;
        if !path.starts_with(['/', '$']) && !drive && !known {
            let message = format!("where `{}` is depends on the base image", word.text);
            out.at(word.span, message).hint("write an absolute path");
        }
    }
}
