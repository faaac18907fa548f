//! The parts in which a layer is read, hashed and compressed: some entries, or a piece of a large file.
//!
//! Where one ends follows from the entries near that place alone, so that a change moves only the
//! boundaries close to it, and what was compressed before can be used again. Boundaries show in the
//! bytes of a gzip blob.

use crate::{Change, Kind, header, tar::Header};

/// A unit is at least so long, if that many bytes follow each other in small entries.
const LEAST: u64 = 384 << 10;
/// How many bytes come on average until an entry is found that may begin a unit.
const SPREAD: u64 = 192 << 10;
/// No unit is longer, but the last piece of a large file, which may be half as long again.
const MOST: u64 = 1 << 20;

/// A part of a layer.
#[derive(Clone, Copy)]
pub(crate) enum Unit<'a> {
    /// Whole entries.
    Entries(&'a [Change]),
    /// A piece of a large file, with the header if it is the first.
    Piece {
        /// The file.
        change: &'a Change,
        /// Where in the file it begins.
        offset: u64,
        /// How long it is, without header and padding.
        length: u64,
    },
}

impl Unit<'_> {
    /// Whether it ends a file.
    pub(crate) fn is_last_piece(change: &Change, offset: u64, length: u64) -> bool {
        offset + length == size(change)
    }
}

/// The size of an entry's content.
pub(crate) fn size(change: &Change) -> u64 {
    match change.entry.kind {
        Kind::File { size } => size,
        _ => 0,
    }
}

/// Cuts changes into units.
pub(crate) fn units(changes: &[Change]) -> impl Iterator<Item = Unit<'_>> {
    let mut rest = changes;
    let mut within: Option<(&Change, u64)> = None;
    std::iter::from_fn(move || {
        if let Some((change, offset)) = within.take() {
            return Some(piece(change, offset, &mut within));
        }
        let (first, others) = rest.split_first()?;
        if size(first) > MOST {
            rest = others;
            return Some(piece(first, 0, &mut within));
        }
        let (unit, others) = rest.split_at(count(rest));
        rest = others;
        Some(Unit::Entries(unit))
    })
}

fn piece<'a>(change: &'a Change, offset: u64, then: &mut Option<(&'a Change, u64)>) -> Unit<'a> {
    let left = size(change) - offset;
    let length = piece_of(left);
    if length < left {
        *then = Some((change, offset + length));
    }
    Unit::Piece { change, offset, length }
}

/// How many of the changes, the first of which is not large, are the next unit.
fn count(changes: &[Change]) -> usize {
    let mut boundaries = Boundaries::default();
    let begins_one = |it: &Change| boundaries.before(&it.entry.path, size(it));
    changes.iter().position(begins_one).unwrap_or(changes.len())
}

/// Finds where units begin, entry by entry.
#[derive(Default)]
pub(crate) struct Boundaries {
    /// In the unit so far.
    bytes: u64,
    /// Whether the last entry was large, so that it has units of its own.
    after_large: bool,
}

impl Boundaries {
    /// Whether an entry begins a unit; the first of all does not.
    fn before(&mut self, path: &[u8], size: u64) -> bool {
        let length = header::BLOCK as u64 + size;
        let is_large = size > MOST;
        let begins_one = self.after_large
            || (self.bytes > 0
                && (is_large
                    || self.bytes + length > MOST
                    || (self.bytes >= LEAST && may_begin(path, length))));
        self.after_large = is_large;
        self.bytes = if begins_one { length } else { self.bytes + length };
        begins_one
    }

    /// The same of an entry that was read from a tar.
    pub(crate) fn before_header(&mut self, header: &Header, size: u64) -> bool {
        let path = header.name.strip_suffix(b"/").unwrap_or(&header.name);
        let (parent, last) = crate::name::split(path);
        if last == b".wh..wh..opq" && self.bytes > 0 && !parent.is_empty() {
            // It belongs to its folder.
            return false;
        }
        match last {
            b".wh..wh..opq" => self.before(parent, size),
            _ => match last.strip_prefix(b".wh.") {
                Some(deleted) => self.before(&crate::name::join(parent, deleted), size),
                None => self.before(path, size),
            },
        }
    }
}

/// Chosen by the path, and the more likely the longer the entry is.
fn may_begin(path: &[u8], length: u64) -> bool {
    let drawn = u64::from(libdeflater::crc32(path));
    drawn * SPREAD < length << 32
}

/// The lengths of the pieces of a file's content.
pub(crate) fn pieces(size: u64) -> impl Iterator<Item = u64> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let left = size - offset;
        let length = piece_of(left);
        offset += length;
        (length > 0).then_some(length)
    })
}

/// The length of the next piece, where so much is left.
fn piece_of(left: u64) -> u64 {
    if left > MOST + MOST / 2 { MOST } else { left }
}
