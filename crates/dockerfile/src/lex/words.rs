//! Splitting a logical line: keyword, flags, words.

use super::Text;
use std::ops::Range;
use strake_diag::Span;

/// A piece of text and where it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A flag as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenFlag {
    /// Without the dashes.
    pub name: String,
    /// What stands behind `=`, without quotes.
    pub value: Option<Word>,
    /// All of it.
    pub span: Span,
}

/// The first word, and the rest without the space around it.
pub(crate) fn head(line: &Text) -> (Word, Text) {
    let line = line.trimmed();
    let end = line.text.find(is_space).unwrap_or(line.text.len());
    let word = Word { text: line.text[..end].to_owned(), span: line.span(0..end) };
    (word, line.slice(end..line.text.len()).trimmed())
}

/// What parts words: tabs, feeds and spaces.
fn is_space(it: char) -> bool {
    matches!(it, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// Words parted by white space; quotes mean nothing.
pub(crate) fn split_spaces(text: &Text) -> Vec<Word> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, it) in text.text.char_indices().chain([(text.text.len(), ' ')]) {
        match (start, is_space(it)) {
            (None, false) => start = Some(at),
            (Some(from), true) => {
                words.push(word(text, from..at, text.text[from..at].to_owned()));
                start = None;
            }
            (None, true) | (Some(_), false) => {}
        }
    }
    words
}

fn word(text: &Text, range: Range<usize>, value: String) -> Word {
    Word { text: value, span: text.span(range) }
}

/// Where a scan stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Spaces,
    Word,
    Quote(char),
}

/// Words parted by white space outside of quotes; quotes and escapes stay in the word.
pub(crate) fn quoted_words(text: &Text, escape: char) -> Vec<Word> {
    let mut words = Vec::new();
    let (mut phase, mut start, mut value, mut blank_ok) = (Phase::Spaces, 0, String::new(), false);
    let mut chars = text.text.char_indices().peekable();
    while let Some((at, it)) = chars.next() {
        match phase {
            Phase::Spaces if it.is_whitespace() => continue,
            Phase::Spaces => {
                phase = Phase::Word;
                start = at;
            }
            Phase::Word | Phase::Quote(_) => {}
        }
        match phase {
            Phase::Word if it.is_whitespace() => {
                phase = Phase::Spaces;
                if blank_ok || !value.is_empty() {
                    words.push(word(text, start..at, std::mem::take(&mut value)));
                }
                blank_ok = false;
                continue;
            }
            Phase::Word if it == '\'' || it == '"' => {
                phase = Phase::Quote(it);
                blank_ok = true;
            }
            Phase::Quote(quote) if it == quote => phase = Phase::Word,
            Phase::Word | Phase::Quote(_) | Phase::Spaces => {}
        }
        let escapes = it == escape && phase != Phase::Quote('\'');
        if escapes {
            // An escape at the very end is dropped.
            let Some((_, next)) = chars.next() else { break };
            value.push(it);
            value.push(next);
        } else {
            value.push(it);
        }
    }
    if phase != Phase::Spaces && (blank_ok || !value.is_empty()) {
        words.push(word(text, start..text.text.len(), value));
    }
    words
}

/// The flags in front, without their quotes, and what follows them.
pub(crate) fn leading_flags(text: &Text) -> (Vec<WrittenFlag>, Text) {
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        at += text.text[at..].len() - text.text[at..].trim_start().len();
        if !text.text[at..].starts_with("--") {
            break;
        }
        let (value, end) = flag_word(&text.text, at);
        if value == "--" {
            at = end;
            break;
        }
        flags.push(written_flag(text, &value, at..end));
        at = end;
    }
    (flags, text.slice(at..text.text.len()).trimmed())
}

fn written_flag(text: &Text, value: &str, range: Range<usize>) -> WrittenFlag {
    let span = text.span(range.clone());
    let (name, value) = match value[2..].split_once('=') {
        Some((name, value)) => {
            let from =
                text.text[range.clone()].find('=').map_or(range.start, |it| range.start + it + 1);
            (name, Some(word(text, from..range.end, value.to_owned())))
        }
        None => (&value[2..], None),
    };
    WrittenFlag { name: name.to_owned(), value, span }
}

/// One flag from `start`: its text without quotes and escapes, and where it ends.
fn flag_word(text: &str, start: usize) -> (String, usize) {
    let (mut value, mut quote) = (String::new(), None);
    let mut chars = text[start..].char_indices();
    while let Some((at, it)) = chars.next() {
        match quote {
            None if it.is_whitespace() => return (value, start + at),
            None if it == '\'' || it == '"' => quote = Some(it),
            Some(open) if it == open => quote = None,
            None | Some(_) if it == '\\' => match chars.next() {
                Some((_, next)) => value.push(next),
                None => break,
            },
            None | Some(_) => value.push(it),
        }
    }
    (value, text.len())
}
