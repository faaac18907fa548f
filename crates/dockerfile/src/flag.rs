//! Instruction flags as data: one entry is the parser, the docs and the version gate.

use crate::lex::{Word, WrittenFlag};
use crate::problem::{Outcome, did_you_mean, error, error_hint};
use strake_diag::Diagnostic;

/// How often a flag may be written, and whether it has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// `--link`, `--link=false`; at most once.
    Switch,
    /// `--chown=a`; at most once.
    Once,
    /// `--exclude=a --exclude=b`.
    Repeated,
}

/// What a flag is, without how it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagDoc {
    /// Without the dashes.
    pub name: &'static str,
    /// How often, and whether with a value.
    pub arity: Arity,
    /// The Dockerfile syntax version that brought it.
    pub since: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

/// One entry of an instruction's `FLAGS`.
pub(crate) struct Flag<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) arity: Arity,
    pub(crate) since: &'static str,
    pub(crate) doc: &'static str,
    /// Keeps the value; for a switch it is `true` or `false`.
    pub(crate) set: fn(&mut T, Word) -> Result<(), String>,
}

impl<T> Flag<T> {
    pub(crate) const fn doc(&self) -> FlagDoc {
        FlagDoc { name: self.name, arity: self.arity, since: self.since, doc: self.doc }
    }
}

/// Sets all written flags on `target`; every wrong one is reported.
pub(crate) fn apply<T>(
    flags: &[Flag<T>],
    target: &mut T,
    written: &[WrittenFlag],
    keyword: &str,
    problems: &mut Vec<Diagnostic>,
) {
    for (i, it) in written.iter().enumerate() {
        if let Err(problem) = apply_one(flags, target, it, &written[..i], keyword) {
            problems.push(*problem);
        }
    }
}

fn apply_one<T>(
    flags: &[Flag<T>],
    target: &mut T,
    written: &WrittenFlag,
    before: &[WrittenFlag],
    keyword: &str,
) -> Outcome<()> {
    let WrittenFlag { name, value, span } = written;
    let Some(flag) = flags.iter().find(|it| it.name == name) else {
        let problem =
            Diagnostic::error("unknown-flag", *span, format!("{keyword} has no flag `--{name}`"));
        let near = did_you_mean(name, flags.iter().map(|it| it.name));
        let hint = match (near, flags) {
            (Some(near), _) => format!("did you mean `--{near}`?"),
            (None, []) => format!("{keyword} takes no flags"),
            (None, _) => {
                let all: Vec<String> = flags.iter().map(|it| format!("--{}", it.name)).collect();
                format!("{keyword} has {}", all.join(", "))
            }
        };
        return Err(Box::new(problem.hint(hint)));
    };
    if flag.arity != Arity::Repeated && before.iter().any(|it| it.name == *name) {
        return Err(error("duplicate-flag", *span, format!("`--{name}` is written twice")));
    }
    let value = flag_value(flag.arity, written, value.as_ref())?;
    (flag.set)(target, value)
        .map_err(|why| error("invalid-flag", *span, format!("--{name}: {why}")))
}

fn flag_value(arity: Arity, written: &WrittenFlag, value: Option<&Word>) -> Outcome<Word> {
    let WrittenFlag { name, value: _, span } = written;
    match (arity, value) {
        (Arity::Switch, None) => Ok(Word { text: "true".to_owned(), span: *span }),
        (Arity::Switch, Some(word)) => match word.text.to_ascii_lowercase().as_str() {
            it @ ("true" | "false") => Ok(Word { text: it.to_owned(), span: word.span }),
            _ => {
                let message = format!("`--{name}` is true or false, not `{}`", word.text);
                Err(error("invalid-flag", word.span, message))
            }
        },
        (Arity::Once | Arity::Repeated, Some(word)) => Ok(word.clone()),
        (Arity::Once | Arity::Repeated, None) => {
            let message = format!("`--{name}` has no value");
            Err(error_hint("invalid-flag", *span, message, format!("write `--{name}=VALUE`")))
        }
    }
}
