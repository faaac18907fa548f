//! A list of patterns: what an ignore file or `--exclude` says about a path.

use crate::{BadPattern, ContextError, clean, pattern::Pattern};
use std::borrow::Cow;

/// Patterns in order; the last one that matches a path or one of its parents decides.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    exceptions: bool,
    /// Whether all `!` patterns are plain paths: then a directory can be left out by its name.
    plain_exceptions: bool,
}

/// Which patterns match a directory: what its children inherit. The default is the root's.
#[derive(Clone, Debug, Default)]
pub struct Matched(Vec<bool>);

impl Patterns {
    /// Takes patterns as [`crate::read_patterns`] or `--exclude` gives them.
    pub fn new<T: AsRef<str>>(list: &[T]) -> Result<Patterns, ContextError> {
        let mut patterns = Vec::new();
        for written in list {
            let written = written.as_ref();
            if let Some(pattern) = parse(written)
                .map_err(|BadPattern| ContextError::BadPattern { pattern: written.to_owned() })?
            {
                patterns.push(pattern);
            }
        }
        let exceptions = patterns.iter().any(|pattern| pattern.negated);
        let plain_exceptions = !patterns.iter().any(|pattern| {
            pattern.negated
                && pattern.without_trailing_glob().contains(['*', '[', ']', '?', '^', '\\'])
        });
        Ok(Patterns { patterns, exceptions, plain_exceptions })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a path is matched, by itself or through a parent.
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut inherited = Matched::default();
        let mut result = false;
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in slashes.chain([path.len()]) {
            (result, inherited) = self.matches_below(&path[..end], &inherited);
        }
        result
    }

    /// Whether a path is matched, given what is known of its parent; and what its own children
    /// inherit.
    pub fn matches_below(&self, path: &[u8], parent: &Matched) -> (bool, Matched) {
        let path = text(path);
        let mut result = false;
        let mut own = vec![false; self.patterns.len()];
        for (at, pattern) in self.patterns.iter().enumerate() {
            let inherited = parent.0.get(at).copied().unwrap_or(false);
            if !inherited && pattern.negated != result {
                continue;
            }
            own[at] = inherited || pattern.matches(&path);
            if own[at] {
                result = !pattern.negated;
            }
        }
        (result, Matched(own))
    }

    /// Whether something below a matched directory can be an exception.
    pub(crate) fn may_except_below(&self, directory: &[u8]) -> bool {
        if !self.exceptions {
            return false;
        }
        let directory = format!("{}/", text(directory));
        !self.plain_exceptions
            || self.patterns.iter().any(|pattern| {
                pattern.negated
                    && format!("{}/", pattern.without_trailing_glob()).starts_with(&directory)
            })
    }
}

fn parse(written: &str) -> Result<Option<Pattern>, BadPattern> {
    let written = written.trim();
    if written.is_empty() {
        return Ok(None);
    }
    // From a `str`, and cleaning only drops or keeps whole components.
    let cleaned = String::from_utf8(clean(written.as_bytes())).map_err(|_| BadPattern)?;
    match cleaned.strip_prefix('!') {
        Some("") => Err(BadPattern),
        Some(negated) => Pattern::new(negated, true).map(Some),
        None => Pattern::new(&cleaned, false).map(Some),
    }
}

/// A path as text: each byte that is not UTF-8 becomes one replacement character, as in Go.
fn text(path: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(path) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(path.len() + 8);
    for chunk in path.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(out)
}
