//! The parts in which a layer is read, hashed and compressed: some entries, or a piece of a large file.
//!
//! Where one ends follows from the entries near that place alone, so that a change moves only the
//! boundaries close to it, and what was compressed before can be used again. Boundaries show in the
//! bytes of a gzip blob.

use crate::{Change, Kind, header};

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
    let length = if left > MOST + MOST / 2 { MOST } else { left };
    if length < left {
        *then = Some((change, offset + length));
    }
    Unit::Piece { change, offset, length }
}

/// How many of the changes, the first of which is not large, are the next unit.
fn count(changes: &[Change]) -> usize {
    let mut bytes = 0;
    for (at, change) in changes.iter().enumerate() {
        let length = header::BLOCK as u64 + size(change);
        let begins_one = size(change) > MOST
            || bytes + length > MOST
            || (bytes >= LEAST && may_begin(change, length));
        if at > 0 && begins_one {
            return at;
        }
        bytes += length;
    }
    changes.len()
}

/// Chosen by the path, and the more likely the longer the entry is.
fn may_begin(change: &Change, length: u64) -> bool {
    let drawn = u64::from(libdeflater::crc32(&change.entry.path));
    drawn * SPREAD < length << 32
}
