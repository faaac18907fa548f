//! `ARG name[=default] ..` ([reference](https://docs.docker.com/reference/dockerfile/#arg)).

use super::Written;
use crate::flag::{self, Flag};
use crate::lex::{Word, quoted_words};
use crate::lower::{Made, Scope};
use crate::problem::{Outcome, error};
use strake_diag::{Diagnostic, Span};

/// ARG.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arg {
    /// In order.
    pub args: Vec<Declared>,
}

/// One declared name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The name.
    pub name: Word,
    /// The default, with its quotes.
    pub default: Option<Word>,
}

pub(super) const FLAGS: &[Flag<Arg>] = &[];

impl Arg {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Arg> {
        let words = quoted_words(&written.arguments, written.escape);
        if words.is_empty() {
            return Err(written.missing("a name"));
        }
        let mut arg = Arg { args: words.iter().map(declared).collect::<Outcome<_>>()? };
        flag::apply(FLAGS, &mut arg, &written.flags, "ARG", problems);
        Ok(arg)
    }

    /// Declares the names; values come from the build arguments, the default, or the global scope.
    /// History has the default, not what was given.
    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Arg { args } = self;
        let mut texts = Vec::new();
        for Declared { name, default } in args {
            let given = scope.build_arg(&name.text);
            let default = match default {
                // The default is not needed then, and may be one that cannot be expanded.
                Some(default) if given.is_some() => scope.expand(default).ok(),
                Some(default) => Some(scope.expand(default)?),
                None => None,
            };
            texts.push(match &default {
                Some(default) => format!("{}={default}", name.text),
                None => name.text.clone(),
            });
            scope.declare(name, given.or(default));
        }
        Ok(Some(Made::config(format!("ARG {}", texts.join(" ")))))
    }
}

fn declared(word: &Word) -> Outcome<Declared> {
    let Some((name, default)) = word.text.split_once('=') else {
        return Ok(Declared { name: word.clone(), default: None });
    };
    if name.is_empty() {
        return Err(error("blank-name", word.span, "the name in front of `=` is empty"));
    }
    let start = word.span.start as usize;
    Ok(Declared {
        name: Word { text: name.to_owned(), span: Span::new(start, start + name.len()) },
        default: Some(Word { text: default.to_owned(), span: word.span }),
    })
}
