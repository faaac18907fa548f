//! `name=value ..` and the old `name value` of ENV and LABEL.

use super::Written;
use crate::lex::{Word, head, quoted_words};
use crate::lower::Scope;
use crate::problem::{Outcome, error, error_hint};
use strake_diag::Span;

/// One name and its value, not yet expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub name: Word,
    /// The value, with its quotes.
    pub value: Word,
    /// Written without `=`.
    pub legacy: bool,
}

pub(super) fn parse(written: &Written) -> Outcome<Vec<Pair>> {
    let words = quoted_words(&written.arguments, written.escape);
    let Some(first) = words.first() else {
        return Err(written.missing("name=value"));
    };
    if !first.text.contains('=') {
        let (name, rest) = head(&written.arguments);
        if rest.text.is_empty() {
            let hint = format!("write `{} {}=value`", written.name(), name.text);
            let message = format!("{} `{}` has no value", written.name(), name.text);
            return Err(error_hint("missing-argument", written.span, message, hint));
        }
        let value = Word { text: rest.text.clone(), span: rest.whole() };
        return Ok(vec![Pair { name, value, legacy: true }]);
    }
    words.iter().map(pair).collect()
}

fn pair(word: &Word) -> Outcome<Pair> {
    let Some((name, value)) = word.text.split_once('=') else {
        let message = format!("`{}` is not name=value", word.text);
        let hint = "put values with spaces into quotes";
        return Err(error_hint("missing-value", word.span, message, hint));
    };
    if name.is_empty() {
        return Err(error("blank-name", word.span, "the name in front of `=` is empty"));
    }
    let from = word.span.start as usize;
    Ok(Pair {
        name: Word { text: name.to_owned(), span: Span::new(from, from + name.len()) },
        value: Word { text: value.to_owned(), span: word.span },
        legacy: false,
    })
}

/// Names and values, all expanded with the values from before the instruction.
pub(super) fn expanded(pairs: &[Pair], scope: &Scope<'_>) -> Outcome<Vec<(String, String)>> {
    let one = |pair: &Pair| {
        let Pair { name, value, legacy: _ } = pair;
        Ok((scope.expand(name)?, scope.expand(value)?))
    };
    pairs.iter().map(one).collect()
}
