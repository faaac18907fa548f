//! Source texts, byte spans, and lines and columns.

use serde::{Deserialize, Serialize};

/// A range of bytes in a source text, end exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span from byte offsets.
    pub fn new(start: usize, end: usize) -> Span {
        let clamp = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        Span { start: clamp(start), end: clamp(end.max(start)) }
    }

    /// The smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A named text, as a file that was read or a string that was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// As shown to people: the path that was given.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A place in a text as people count: both numbers start at 1, columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
}

impl Source {
    /// A source of this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source { name: name.into(), text: text.into() }
    }

    /// Line and column of a byte offset; an offset behind the end is the end.
    pub fn position(&self, offset: u32) -> Position {
        let offset = self.floor(offset as usize);
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |it| it + 1);
        let count = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        Position {
            line: count(before.bytes().filter(|it| *it == b'\n').count() + 1),
            column: count(before[line_start..].chars().count() + 1),
        }
    }

    /// The text that a span covers, cut to what is there.
    pub fn slice(&self, span: Span) -> &str {
        let start = self.floor(span.start as usize);
        let end = self.floor(span.end as usize).max(start);
        &self.text[start..end]
    }

    /// The nearest character boundary at or below `offset`.
    pub(crate) fn floor(&self, offset: usize) -> usize {
        let mut at = offset.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::{Position, Source, Span};

    #[test]
    fn columns_count_characters() {
        let source = Source::new("f", "FROM x\nRUN ä b\n");
        let at = |line, column| Position { line, column };
        assert_eq!(source.position(0), at(1, 1));
        assert_eq!(source.position(7), at(2, 1));
        assert_eq!(source.position(14), at(2, 7));
        assert_eq!(source.position(12), at(2, 5), "inside a character is its start");
        assert_eq!(source.position(999), at(3, 1));
        assert_eq!(source.slice(Span::new(11, 13)), "ä");
    }
}
