//! `FROM [--platform=P] image [AS name]` ([reference](https://docs.docker.com/reference/dockerfile/#from)).

use super::Written;
use crate::flag::{self, Arity, Flag};
use crate::lex::{Word, split_spaces};
use crate::lower::{Made, Scope};
use crate::problem::{Outcome, error_hint};
use strake_diag::Diagnostic;

/// FROM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct From {
    /// Image, stage or `scratch`, not yet expanded.
    pub base: Word,
    /// Behind AS, as written.
    pub name: Option<Word>,
    /// `AS` as written.
    pub keyword_as: Option<Word>,
    /// `--platform`.
    pub platform: Option<Word>,
}

pub(super) const FLAGS: &[Flag<From>] = &[Flag {
    name: "platform",
    arity: Arity::Once,
    since: "1.0",
    doc: "What the image must run on; may use global ARGs.",
    set: |it, value| {
        it.platform = Some(value).filter(|it| !it.text.is_empty());
        Ok(())
    },
}];

impl From {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<From> {
        let words = split_spaces(&written.arguments);
        let mut from = match words.as_slice() {
            [] => return Err(written.missing("an image, a stage or `scratch`")),
            [base] => From { base: base.clone(), ..From::default() },
            [base, keyword, name] if keyword.text.eq_ignore_ascii_case("as") => From {
                base: base.clone(),
                name: Some(stage_name(name)?),
                keyword_as: Some(keyword.clone()),
                platform: None,
            },
            [_, second, ..] => {
                let message = "FROM takes an image, or an image and `AS name`";
                let hint = "write `FROM image AS name`";
                return Err(error_hint("too-many-arguments", second.span, message, hint));
            }
        };
        flag::apply(FLAGS, &mut from, &written.flags, "FROM", problems);
        Ok(from)
    }

    /// FROM makes no step: it shapes the stage graph.
    pub(super) fn lower(&self, _: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let From { base: _, name: _, keyword_as: _, platform: _ } = self;
        Ok(None)
    }
}

fn stage_name(name: &Word) -> Outcome<Word> {
    let lower = name.text.to_ascii_lowercase();
    let sound = lower.starts_with(|it: char| it.is_ascii_lowercase())
        && lower.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it));
    if sound {
        return Ok(name.clone());
    }
    let message = format!("`{}` cannot be the name of a stage", name.text);
    let hint = "use letters, digits, `-`, `_` and `.`, and begin with a letter";
    Err(error_hint("invalid-stage-name", name.span, message, hint))
}
