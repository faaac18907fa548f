//! Quotes, escapes and variables, with the meaning that BuildKit's Dockerfile frontend gives them.

use super::glob::Glob;
use std::collections::BTreeSet;

/// Variables in order of assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Env(pub(crate) Vec<(String, String)>);

impl Env {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// Assigns; an old value goes, and the name moves to the end.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(it, _)| it != name);
        self.0.push((name.to_owned(), value.to_owned()));
    }
}

/// How to read a word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexer {
    pub(crate) escape: char,
    /// Quotes stay in the result.
    pub(crate) raw_quotes: bool,
    /// Escape characters stay in the result.
    pub(crate) raw_escapes: bool,
    /// Quotes mean nothing.
    pub(crate) no_quotes: bool,
    /// What is not set stays as written.
    pub(crate) keep_unset: bool,
    /// Space behind `<<` belongs to the word.
    pub(crate) heredocs: bool,
}

/// What became of a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// The text split at white space that was not quoted.
    pub(crate) words: Vec<String>,
    /// The variables that were looked at and are set.
    pub(crate) used: BTreeSet<String>,
}

/// `${a:-${b:-..}}` deeper than this is refused.
const DEEPEST: usize = 64;

/// Bytes that one variable may bring: the kernel takes an eighth of it, and `ENV A=$A$A` repeated
/// must end.
pub(super) const LONGEST: usize = 1 << 20;

impl Lexer {
    pub(crate) fn new(escape: char) -> Lexer {
        Lexer {
            escape,
            raw_quotes: false,
            raw_escapes: false,
            no_quotes: false,
            keep_unset: false,
            heredocs: false,
        }
    }

    /// Expands `word`; the error is a message.
    pub(crate) fn expand(&self, word: &str, env: &Env) -> Result<Expanded, String> {
        let mut scan = Scan {
            lexer: *self,
            chars: word.chars().collect(),
            at: 0,
            env,
            raw_escapes: self.raw_escapes,
            depth: 0,
            used: BTreeSet::new(),
        };
        let expanded = scan.until(None, self.raw_escapes)?;
        Ok(Expanded { used: scan.used, ..expanded })
    }
}

pub(super) const TOO_LONG: &str = "a value is longer than a mebibyte";

struct Scan<'a> {
    lexer: Lexer,
    chars: Vec<char>,
    at: usize,
    env: &'a Env,
    raw_escapes: bool,
    depth: usize,
    used: BTreeSet<String>,
}

/// The words of a result while it grows.
#[derive(Default)]
struct Splitter {
    words: Vec<String>,
    word: String,
}

impl Splitter {
    /// An unquoted character: white space ends a word.
    fn push(&mut self, it: char) {
        if !it.is_whitespace() {
            self.word.push(it);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    fn finish(mut self, text: String) -> Expanded {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        Expanded { text, words: self.words, used: BTreeSet::new() }
    }
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn get(&mut self, name: &str) -> Option<&'a str> {
        let value = self.env.get(name)?;
        self.used.insert(name.to_owned());
        Some(value)
    }

    fn next(&mut self) -> Option<char> {
        let it = self.peek();
        self.at += usize::from(it.is_some());
        it
    }

    /// Reads up to `stop`, which is consumed, or to the end.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<Expanded, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("substitutions are nested too deeply".to_owned());
        }
        let outer = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let result = self.until_inner(stop);
        self.raw_escapes = outer;
        self.depth -= 1;
        result
    }

    fn until_inner(&mut self, stop: Option<char>) -> Result<Expanded, String> {
        let (mut text, mut splitter) = (String::new(), Splitter::default());
        let quotes = !self.lexer.no_quotes;
        while let Some(it) = self.peek() {
            if Some(it) == stop {
                self.at += 1;
                return Ok(splitter.finish(text));
            }
            match it {
                '$' => {
                    let value = self.dollar()?;
                    value.chars().for_each(|it| splitter.push(it));
                    text.push_str(&value);
                }
                '\'' | '"' if quotes => {
                    let value = if it == '"' { self.double() } else { self.single() }?;
                    splitter.word.push_str(&value);
                    text.push_str(&value);
                }
                '<' if self.lexer.heredocs => {
                    let value = self.less_than();
                    splitter.word.push_str(&value);
                    text.push_str(&value);
                }
                _ if it == self.lexer.escape => {
                    self.at += 1;
                    if self.raw_escapes {
                        splitter.word.push(it);
                        text.push(it);
                    }
                    let Some(escaped) = self.next() else { break };
                    splitter.word.push(escaped);
                    text.push(escaped);
                }
                _ => {
                    self.at += 1;
                    splitter.push(it);
                    text.push(it);
                }
            }
        }
        match stop {
            None => Ok(splitter.finish(text)),
            Some(stop) => Err(format!("`{stop}` is missing")),
        }
    }

    /// `<`, or `<<` with the space behind it.
    fn less_than(&mut self) -> String {
        self.at += 1;
        if self.peek() != Some('<') {
            return "<".to_owned();
        }
        self.at += 1;
        let mut text = "<<".to_owned();
        while let Some(it) = self.peek().filter(|it| it.is_whitespace()) {
            text.push(it);
            self.at += 1;
        }
        text
    }

    fn single(&mut self) -> Result<String, String> {
        let mut text = String::new();
        self.at += 1;
        if self.lexer.raw_quotes {
            text.push('\'');
        }
        loop {
            match self.next() {
                None => return Err("a single quote is not closed".to_owned()),
                Some('\'') => break,
                Some(it) => text.push(it),
            }
        }
        if self.lexer.raw_quotes {
            text.push('\'');
        }
        Ok(text)
    }

    fn double(&mut self) -> Result<String, String> {
        let mut text = String::new();
        self.at += 1;
        if self.lexer.raw_quotes {
            text.push('"');
        }
        loop {
            match self.peek() {
                None => return Err("a double quote is not closed".to_owned()),
                Some('"') => break,
                Some('$') => text.push_str(&self.dollar()?),
                Some(it) if it == self.lexer.escape => {
                    self.at += 1;
                    if self.raw_escapes {
                        text.push(it);
                    }
                    match self.peek() {
                        None => {}
                        Some(next) if next == '"' || next == '$' || next == self.lexer.escape => {
                            self.at += 1;
                            text.push(next);
                        }
                        Some(_) => text.push(it),
                    }
                }
                Some(it) => {
                    self.at += 1;
                    text.push(it);
                }
            }
        }
        self.at += 1;
        if self.lexer.raw_quotes {
            text.push('"');
        }
        Ok(text)
    }

    fn dollar(&mut self) -> Result<String, String> {
        let value = self.substitution()?;
        if value.len() > LONGEST {
            return Err(TOO_LONG.to_owned());
        }
        Ok(value)
    }

    fn substitution(&mut self) -> Result<String, String> {
        self.at += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(match self.get(&name) {
                _ if name.is_empty() => "$".to_owned(),
                Some(value) => value.to_owned(),
                None if self.lexer.keep_unset => format!("${name}"),
                None => String::new(),
            });
        }
        self.at += 1;
        match self.peek() {
            None => return Err("`}` is missing".to_owned()),
            Some('{' | '}' | ':') => return Err("bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        let operator = self.next();
        match operator {
            Some('}') => Ok(match self.get(&name) {
                Some(value) => value.to_owned(),
                None if self.lexer.keep_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some(':') => {
                let operator = self.next();
                self.modifier(&name, operator, true)
            }
            Some('+' | '-' | '?' | '#' | '%') => self.modifier(&name, operator, false),
            Some('/') => self.replacement(&name),
            Some(other) => Err(format!("unsupported modifier `{other}` in `${{{name}..}}`")),
            None => Err("`}` is missing".to_owned()),
        }
    }

    /// `${name-word}` and its kin; with a colon an empty value counts as unset.
    fn modifier(
        &mut self,
        name: &str,
        operator: Option<char>,
        colon: bool,
    ) -> Result<String, String> {
        let raw = matches!(operator, Some('#' | '%'));
        let word = self.until(Some('}'), raw)?.text;
        let value = self.get(name);
        let operator = operator.unwrap_or('}');
        if value.is_none() && self.lexer.keep_unset {
            return Ok(format!("${{{name}{}{operator}{word}}}", if colon { ":" } else { "" }));
        }
        let present = value.filter(|it| !(colon && it.is_empty()));
        match operator {
            '-' => Ok(present.map_or(word, str::to_owned)),
            '+' => Ok(present.map_or(String::new(), |_| word)),
            '?' => match (present, value) {
                (Some(value), _) => Ok(value.to_owned()),
                (None, _) if !word.is_empty() => Err(format!("{name}: {word}")),
                (None, None) => Err(format!("{name}: is not allowed to be unset")),
                (None, Some(_)) => Err(format!("{name}: is not allowed to be empty")),
            },
            '#' | '%' => trim(operator, &word, value.unwrap_or_default()),
            other => Err(format!("unsupported modifier `:{other}` in `${{{name}..}}`")),
        }
    }

    /// `${name/pattern/with}`, `${name//pattern/with}`.
    fn replacement(&mut self, name: &str) -> Result<String, String> {
        let all = self.peek() == Some('/');
        self.at += usize::from(all);
        let pattern = self.until(Some('/'), true)?.text;
        let with = self.until(Some('}'), true)?.text;
        match self.get(name) {
            None if self.lexer.keep_unset => Ok(format!("${{{name}/{pattern}/{with}}}")),
            value => Glob::new(&pattern, true)?.replace(value.unwrap_or_default(), &with, all),
        }
    }

    /// Letters, digits and `_`; or digits alone; or one special parameter.
    fn name(&mut self) -> String {
        let start = self.at;
        match self.peek() {
            Some(it) if it.is_numeric() => {
                while self.peek().is_some_and(char::is_numeric) {
                    self.at += 1;
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => self.at += 1,
            Some(_) | None => {
                while self.peek().is_some_and(|it| it.is_alphanumeric() || it == '_') {
                    self.at += 1;
                }
            }
        }
        self.chars[start..self.at].iter().collect()
    }
}

/// `#` cuts the shortest match in front, `##` the longest; `%` and `%%` at the end.
fn trim(operator: char, word: &str, value: &str) -> Result<String, String> {
    let (greedy, pattern) = match word.strip_prefix(operator) {
        Some(pattern) => (true, pattern),
        None => (false, word),
    };
    let glob = Glob::new(pattern, greedy)?;
    let mut chars: Vec<char> = value.chars().collect();
    if operator == '#' {
        let end = glob.match_at(&chars, 0).unwrap_or(0);
        return Ok(chars[end..].iter().collect());
    }
    chars.reverse();
    let end = glob.reversed().match_at(&chars, 0).unwrap_or(0);
    Ok(chars[end..].iter().rev().collect())
}

#[cfg(test)]
mod tests;
