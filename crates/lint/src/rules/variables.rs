//! ARG and ENV.

use crate::facts::vars;
use crate::rule::{FixKind, Rule, Sink};
use crate::Facts;
use std::collections::BTreeSet;
use strake_dockerfile::{Instruction, Word};

pub(super) static RULES: &[&Rule] =
    &[&UNDEFINED, &UNDEFINED_IN_FROM, &INVALID_IN_FROM, &SELF_REFERENCE, &SECRET];

rule!(UNDEFINED = "undefined-variable", ["UndefinedVar"], Language, Warning, on, FixKind::None,
    undefined);
rule!(UNDEFINED_IN_FROM = "undefined-arg-in-from", ["UndefinedArgInFrom"], Language, Warning, on,
    FixKind::None, undefined_in_from);
rule!(INVALID_IN_FROM = "invalid-default-in-from", ["InvalidDefaultArgInFrom"], Language, Warning,
    on, FixKind::None, invalid_in_from);
rule!(SELF_REFERENCE = "env-uses-itself", ["DL3044"], Language, Error, on, FixKind::None,
    self_reference);
rule!(SECRET = "secret-in-variable", ["SecretsUsedInArgOrEnv", "DL3064"], Security, Warning, on,
    FixKind::None, secret);

/// Build arguments that are there without an ARG, in FROM and, declared, in stages.
const AUTOMATIC: &[&str] = &[
    "TARGETPLATFORM", "TARGETOS", "TARGETOSVERSION", "TARGETARCH", "TARGETVARIANT", "TARGETSTAGE",
    "BUILDPLATFORM", "BUILDOS", "BUILDOSVERSION", "BUILDARCH", "BUILDVARIANT",
];

/// The words of an instruction that variables are put into.
fn words(instruction: &Instruction) -> Vec<&Word> {
    match instruction {
        Instruction::Add(it) => {
            let flags = it.chown.iter().chain(&it.chmod).chain(&it.checksum).chain(&it.excludes);
            it.files.sources.iter().chain([&it.files.dest]).chain(flags).collect()
        }
        Instruction::Copy(it) => {
            let flags = it.chown.iter().chain(&it.chmod).chain(&it.excludes);
            it.files.sources.iter().chain([&it.files.dest]).chain(flags).collect()
        }
        Instruction::Env(it) => it.pairs.iter().map(|it| &it.value).collect(),
        Instruction::Label(it) => it.pairs.iter().flat_map(|it| [&it.name, &it.value]).collect(),
        Instruction::Expose(it) => it.ports.iter().collect(),
        Instruction::User(it) => vec![&it.user],
        Instruction::Workdir(it) => vec![&it.path],
        Instruction::Volume(it) => it.paths.iter().collect(),
        Instruction::Stopsignal(it) => vec![&it.signal],
        Instruction::Arg(it) => it.args.iter().filter_map(|it| it.default.as_ref()).collect(),
        Instruction::Cmd(_)
        | Instruction::Entrypoint(_)
        | Instruction::From(_)
        | Instruction::Healthcheck(_)
        | Instruction::Maintainer(_)
        | Instruction::Onbuild(_)
        | Instruction::Run(_)
        | Instruction::Shell(_) => Vec::new(),
    }
}

/// Variables that images commonly bring, so that nothing is said of them.
const OF_BASES: &[&str] = &["PATH", "HOME", "PWD"];

fn undefined(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.steps.iter().filter(|it| !it.onbuild && it.stage.is_some()) {
        let Some(instruction) = step.instruction else { continue };
        let mut seen = BTreeSet::new();
        for word in words(instruction) {
            for used in facts.uses(&word.text) {
                let name = used.name.as_str();
                let known = used.has_default
                    || OF_BASES.contains(&name)
                    || name.bytes().all(|it| it.is_ascii_digit())
                    || facts.var(name, step.index).is_some()
                    || facts.outside.base_env.contains(name);
                if known || !seen.insert(used.name.clone()) {
                    continue;
                }
                let near = near(name, facts, step.index);
                let forgotten = facts.global(name).is_some() || AUTOMATIC.contains(&name);
                let below = facts.vars.iter().any(|it| it.name == name && it.stage == step.stage);
                // A base image that nobody has looked at may well set it.
                let scratch = step.stage.is_some_and(|it| facts.image_of(it).is_none());
                let bases_known = scratch || !facts.outside.base_env.is_empty();
                if !bases_known && !forgotten && !below && near.is_none() {
                    continue;
                }
                let message = format!("`${name}` is not set in this stage");
                let finding = out.at(word.span, message);
                if forgotten {
                    finding.hint(format!("write `ARG {name}` above, in this stage"));
                } else if below {
                    finding.hint("it is set further below");
                } else if let Some(near) = near {
                    finding.hint(format!("did you mean `${near}`?"));
                }
            }
        }
    }
}

/// A variable of nearly this name.
fn near(name: &str, facts: &Facts<'_>, index: usize) -> Option<String> {
    let known = facts.vars.iter().map(|it| it.name.as_str()).chain(OF_BASES.iter().copied());
    known
        .filter(|it| facts.var(it, index).is_some() || OF_BASES.contains(it))
        .find(|it| {
            let close = distance(it, name) <= 1 + name.len() / 6 || is_swapped(it, name);
            it.eq_ignore_ascii_case(name) || close
        })
        .map(str::to_owned)
}

/// Two letters that stand side by side have changed places.
fn is_swapped(a: &str, b: &str) -> bool {
    let differ: Vec<usize> =
        a.bytes().zip(b.bytes()).enumerate().filter(|(_, it)| it.0 != it.1).map(|it| it.0).collect();
    let (a, b) = (a.as_bytes(), b.as_bytes());
    a.len() == b.len()
        && matches!(differ[..], [i, j] if j == i + 1 && a[i] == b[j] && a[j] == b[i])
}

/// Edits between two words.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (before + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            before = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

fn undefined_in_from(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        for word in [Some(&stage.from.base), stage.from.platform.as_ref()].into_iter().flatten() {
            for used in facts.uses(&word.text) {
                let name = used.name.as_str();
                let known = facts
                    .vars
                    .iter()
                    .any(|it| it.stage.is_none() && it.name == name && it.statement < stage.statement);
                if known || AUTOMATIC.contains(&name) || used.has_default {
                    continue;
                }
                let message = format!("no ARG in front of the first FROM declares `{name}`");
                let finding = out.at(word.span, message);
                let globals = facts.vars.iter().filter(|it| it.stage.is_none());
                let names = globals.map(|it| it.name.as_str()).chain(AUTOMATIC.iter().copied());
                let mut close = names.filter(|it| distance(it, name) <= 2);
                if let Some(near) = close.next() {
                    finding.hint(format!("did you mean `{near}`?"));
                }
            }
        }
    }
}

fn invalid_in_from(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let word = &stage.from.base;
        if !word.text.contains('$') {
            continue;
        }
        let uses = facts.uses(&word.text);
        let with_default: Vec<&str> =
            uses.iter().filter(|it| it.has_default).map(|it| it.name.as_str()).collect();
        let value = vars::expand(&word.text, facts.file.escape, &|name| {
            let Some(var) = facts.global(name) else {
                return (!with_default.contains(&name)).then(String::new);
            };
            let value = var.value.clone().unwrap_or_default();
            Some(facts.expand(&value, var.statement))
        });
        // An undeclared name has a rule of its own, but is empty here as well.
        let known = |name: &str| facts.global(name).is_some() || AUTOMATIC.contains(&name);
        let undeclared = facts.uses(&word.text).iter().any(|it| !known(&it.name) && !it.has_default);
        let unset = facts.uses(&word.text).iter().any(|it| AUTOMATIC.contains(&it.name.as_str()));
        if unset {
            continue;
        }
        let bad = value.is_empty() || value.parse::<strake_oci::Reference>().is_err();
        if bad && !undeclared {
            let message = format!("with default values `{}` is not the name of an image", word.text);
            let hint = "give the ARG a default in front of the first FROM";
            out.at(word.span, message).hint(hint);
        }
    }
}

fn self_reference(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(Instruction::Env(env)) = step.instruction else { continue };
        for pair in &env.pairs {
            let beside = |it: &str| {
                it != pair.name.text && env.pairs.iter().any(|pair| pair.name.text == it)
            };
            let earlier = |it: &str| {
                let var = facts.var(it, step.index);
                var.is_some_and(|it| !it.arg)
            };
            let used = facts.uses(&pair.value.text);
            let bad = used.iter().find(|it| beside(&it.name) && !earlier(&it.name));
            if let Some(used) = bad {
                let message = format!("`${}` here is the value from before this ENV", used.name);
                out.at(pair.value.span, message).hint("set it in an ENV above");
            }
        }
    }
}

const SECRET_WORDS: &[&str] = &[
    "apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret",
    "token",
];
const OPEN_WORDS: &[&str] = &["public", "file", "version"];

/// A name that tells of a secret: one of its parts does, and none says that it is none.
pub(super) fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split('_').collect();
    let has = |list: &[&str]| parts.iter().any(|it| list.contains(it));
    has(SECRET_WORDS) && !has(OPEN_WORDS)
}

fn secret(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for var in facts.vars.iter().filter(|it| is_secret(&it.name)) {
        let keyword = if var.arg { "ARG" } else { "ENV" };
        let kept = if var.arg { "the history" } else { "the image's config" };
        let message = format!("{keyword} `{}` looks like a secret, and stays in {kept}", var.name);
        out.at(var.span, message).hint("use RUN --mount=type=secret");
    }
}
