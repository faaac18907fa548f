//! One pattern of an ignore file, with the meaning that moby/patternmatcher gives it.
//!
//! That meaning is defined by a Go regular expression that is put together from the pattern
//! character by character. Odd cases included (`[*]`, `\d`), it is kept: the Go expression is made
//! first and then said in this crate's syntax.

use crate::{BadPattern, glob_match, wild::Wild};
use regex::Regex;

/// A cleaned pattern without its `!`.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) negated: bool,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    /// The whole path.
    Exact,
    /// `dir/**`: what the path begins with.
    Prefix(String),
    /// `**/name` or `**name`: what the path ends with.
    Suffix(String),
    Wild(Wild),
    Regex(Box<Regex>),
}

impl Pattern {
    /// Takes a cleaned pattern. An error is one that Go's `filepath.Match` or `regexp` reports.
    pub(crate) fn new(text: &str, negated: bool) -> Result<Pattern, BadPattern> {
        glob_match(text.as_bytes(), b".")?;
        Ok(Pattern { text: text.to_owned(), negated, matcher: compile(text)? })
    }

    /// Whether the path itself matches; parents are the caller's business.
    pub(crate) fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => path == self.text,
            Matcher::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path)
            }
            Matcher::Wild(wild) => wild.matches(path),
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }

    /// The pattern without a trailing `/*` or `/**`.
    pub(crate) fn without_trailing_glob(&self) -> &str {
        let text = self.text.strip_suffix("/**").unwrap_or(&self.text);
        text.strip_suffix("/*").unwrap_or(text)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

fn compile(text: &str) -> Result<Matcher, BadPattern> {
    let (form, expression) = go_expression(text);
    Ok(match form {
        Form::Exact => Matcher::Exact,
        Form::Prefix => Matcher::Prefix(text[..text.len() - 2].to_owned()),
        Form::Suffix => Matcher::Suffix(text[2..].to_owned()),
        Form::Regex => match Wild::new(text) {
            Some(wild) => Matcher::Wild(wild),
            None => Matcher::Regex(Box::new(regex(&expression)?)),
        },
    })
}

fn regex(go: &str) -> Result<Regex, BadPattern> {
    Regex::new(&rust_expression(go)?).map_err(|_| BadPattern)
}

/// The Go expression of a pattern, and whether a simpler comparison does instead.
fn go_expression(text: &str) -> (Form, String) {
    let mut form = Form::Exact;
    let mut expression = String::from("^");
    let mut rest = text.chars().peekable();
    let mut first = true;
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                if rest.peek().is_some() {
                    expression.push_str("(.*/)?");
                    form = Form::Regex;
                } else if form == Form::Exact {
                    form = Form::Prefix;
                } else {
                    expression.push_str(".*");
                    form = Form::Regex;
                }
                if first {
                    form = Form::Suffix;
                }
            }
            '*' => {
                expression.push_str("[^/]*");
                form = Form::Regex;
            }
            '?' => {
                expression.push_str("[^/]");
                form = Form::Regex;
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => {
                expression.push('\\');
                expression.push(character);
            }
            '\\' => {
                expression.push('\\');
                if let Some(escaped) = rest.next() {
                    expression.push(escaped);
                    form = Form::Regex;
                }
            }
            '[' | ']' => {
                expression.push(character);
                form = Form::Regex;
            }
            _ => expression.push(character),
        }
        first = false;
    }
    expression.push('$');
    (form, expression)
}

/// Says a Go expression in the syntax of the `regex` crate, which knows nested classes and set
/// operations, and takes `\d`, `\w`, `\s`, `\b` for Unicode.
fn rust_expression(go: &str) -> Result<String, BadPattern> {
    let go: Vec<char> = go.chars().collect();
    let mut rust = String::new();
    let mut at = 0;
    while at < go.len() {
        match go[at] {
            '\\' => {
                at += 1;
                rust.push_str(&escape(*go.get(at).ok_or(BadPattern)?, false)?);
            }
            '[' => {
                at = class(&go, at, &mut rust)?;
                continue;
            }
            ']' => rust.push_str("\\]"),
            character => rust.push(character),
        }
        at += 1;
    }
    Ok(rust)
}

/// Says the class that begins at `start`, and returns where the text goes on after it.
fn class(go: &[char], start: usize, rust: &mut String) -> Result<usize, BadPattern> {
    let mut at = start + 1;
    rust.push('[');
    if go.get(at) == Some(&'^') {
        rust.push('^');
        at += 1;
    }
    let mut first = true;
    loop {
        match *go.get(at).ok_or(BadPattern)? {
            ']' if !first => {
                rust.push(']');
                return Ok(at + 1);
            }
            '[' if go.get(at + 1) == Some(&':') && posix_end(go, at).is_some() => {
                let end = posix_end(go, at).ok_or(BadPattern)?;
                rust.extend(&go[at..end]);
                at = end - 1;
            }
            '\\' => {
                at += 1;
                rust.push_str(&escape(*go.get(at).ok_or(BadPattern)?, true)?);
            }
            character @ ('[' | ']' | '&' | '~' | '^') => {
                rust.push('\\');
                rust.push(character);
            }
            character => rust.push(character),
        }
        at += 1;
        first = false;
    }
}

/// The end of a named class like `[:alpha:]` that begins at `start`.
fn posix_end(go: &[char], start: usize) -> Option<usize> {
    let close =
        (start + 2..go.len().saturating_sub(1)).find(|at| go[*at] == ':' && go[*at + 1] == ']')?;
    Some(close + 2)
}

/// An escape of Go's regexp. Those with an argument (`\x`, `\p`, `\Q`) are taken for mistakes.
fn escape(character: char, in_class: bool) -> Result<String, BadPattern> {
    Ok(match character {
        'd' if in_class => "0-9".to_owned(),
        'w' if in_class => "0-9A-Za-z_".to_owned(),
        's' if in_class => "\\t\\n\\f\\r ".to_owned(),
        'd' => "[0-9]".to_owned(),
        'D' => "[^0-9]".to_owned(),
        'w' => "[0-9A-Za-z_]".to_owned(),
        'W' => "[^0-9A-Za-z_]".to_owned(),
        's' => "[\\t\\n\\f\\r ]".to_owned(),
        'S' => "[^\\t\\n\\f\\r ]".to_owned(),
        'b' | 'B' if !in_class => format!("(?-u:\\{character})"),
        'A' | 'z' if !in_class => format!("\\{character}"),
        'a' | 'f' | 't' | 'n' | 'r' | 'v' => format!("\\{character}"),
        '<' | '>' => character.to_string(),
        _ if character.is_ascii_punctuation() => format!("\\{character}"),
        _ => return Err(BadPattern),
    })
}

#[cfg(test)]
mod tests {
    use super::{Form, Wild, go_expression, regex, rust_expression};

    /// Every pattern and every path of a few characters: what needs no expression does what it says.
    #[test]
    fn patterns_of_stars_are_what_their_expressions_are() {
        let words = |letters: &[&str], most: usize| {
            let (mut all, mut last) = (Vec::new(), vec![String::new()]);
            for _ in 0..most {
                let longer = |word: &String| letters.iter().map(|it| word.clone() + it).collect();
                last = last.iter().flat_map(|it| -> Vec<String> { longer(it) }).collect();
                all.extend(last.clone());
            }
            all
        };
        let paths = words(&["a", "/", "\n", "é"], 4);
        for pattern in words(&["a", "/", "*", "?", "**"], 4) {
            let (form, expression) = go_expression(&pattern);
            if form != Form::Regex {
                continue;
            }
            let (wild, regex) = (Wild::new(&pattern).unwrap(), regex(&expression).unwrap());
            for path in &paths {
                assert_eq!(wild.matches(path), regex.is_match(path), "{pattern} {path:?}");
            }
        }
    }

    #[test]
    fn says_go_classes_in_our_syntax() {
        for (pattern, expected) in [
            ("a[b&&c]", "^a[b\\&\\&c]$"),
            ("[*]", "^[\\[\\^/]*\\]$"),
            ("a\\d", "^a[0-9]$"),
            ("x**/y*", "^x(.*/)?y[^/]*$"),
        ] {
            assert_eq!(rust_expression(&go_expression(pattern).1).unwrap(), expected, "{pattern}");
        }
    }
}
