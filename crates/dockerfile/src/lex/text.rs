//! Text that was joined from pieces of the source and still knows where each byte came from.

use std::ops::Range;
use strake_diag::Span;

/// A logical line or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// Where a piece begins: offset in `text`, offset in the source. Sorted.
    pieces: Vec<(usize, usize)>,
}

impl Text {
    /// Adds `piece`, which stands at byte `source` of the source.
    pub(crate) fn push(&mut self, piece: &str, source: usize) {
        self.pieces.push((self.text.len(), source));
        self.text.push_str(piece);
    }

    /// Where a range of this text stands in the source.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        let start = self.source(range.start);
        let end = if range.end > range.start { self.source(range.end - 1) + 1 } else { start };
        Span::new(start, end)
    }

    /// The whole of it.
    pub(crate) fn whole(&self) -> Span {
        self.span(0..self.text.len())
    }

    /// A part that keeps its places.
    pub(crate) fn slice(&self, range: Range<usize>) -> Text {
        Text { text: self.text[range.clone()].to_owned(), pieces: self.pieces(range) }
    }

    /// The pieces of a part: offset in it, offset in the source.
    pub(crate) fn pieces(&self, range: Range<usize>) -> Vec<(usize, usize)> {
        let first = self.pieces.partition_point(|(at, _)| *at <= range.start);
        let inside = self.pieces[first..].iter().take_while(|(at, _)| *at < range.end);
        let begin = (0, self.source(range.start));
        let inside = inside.map(|(at, source)| (at - range.start, *source));
        [begin].into_iter().chain(inside).collect()
    }

    /// A part without white space at either end.
    pub(crate) fn trimmed(&self) -> Text {
        let start = self.text.len() - self.text.trim_start().len();
        self.slice(start..start + self.text.trim().len())
    }

    /// The offset of a byte of the source.
    pub(crate) fn offset(&self, source: usize) -> Option<usize> {
        let ends = self.pieces.iter().skip(1).map(|it| it.0).chain([self.text.len()]);
        let mut pieces = self.pieces.iter().zip(ends);
        let found = pieces.find(|((at, from), end)| (*from..*from + (end - at)).contains(&source));
        found.map(|((at, from), _)| at + (source - from))
    }

    fn source(&self, at: usize) -> usize {
        let above = self.pieces.partition_point(|(start, _)| *start <= at);
        let piece = above.checked_sub(1).map(|it| self.pieces[it]);
        piece.map_or(0, |(start, source)| source + (at - start))
    }
}
