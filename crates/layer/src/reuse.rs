//! What of an earlier blob can be used again: its blocks, and the hashes of all that stands before the
//! first change.

use crate::{
    Body, Change, ContentHash, Kind,
    blocks::{Blocks, MARK_EVERY, Mark, UnitKey, UnitRecord, restore},
    gzip, header,
    unit::{Unit, units},
};
use sha2::Sha256;
use std::{collections::BTreeMap, fs::File, path::Path};

/// An earlier layer of the same compression, that is probably much like the one to be packed.
#[derive(Clone, Copy, Debug)]
pub struct Previous<'a> {
    /// Its blob.
    pub blob: &'a Path,
    /// What was kept of it, see [`crate::Packed::blocks`].
    pub blocks: &'a Blocks,
}

/// An earlier blob with its blocks by what they were made of.
#[derive(Default)]
pub(crate) struct Known<'a> {
    numbers: BTreeMap<&'a UnitKey, usize>,
    units: &'a [UnitRecord],
    marks: &'a [Mark],
    offsets: Vec<u64>,
    file: Option<File>,
}

/// The first units, of which nothing is read.
pub(crate) struct Skipped {
    pub(crate) units: usize,
    pub(crate) tar: Sha256,
    pub(crate) blob: Sha256,
}

impl<'a> Known<'a> {
    /// Opens the earlier blob. One that is not there is nothing to build on.
    pub(crate) fn open(previous: Previous<'a>) -> Known<'a> {
        let Previous { blob, blocks } = previous;
        let Ok(file) = File::open(blob) else { return Known::default() };
        let numbers = blocks.units.iter().enumerate().map(|(at, it)| (&it.key, at)).collect();
        let mut offsets = Vec::with_capacity(blocks.units.len() + 1);
        let mut end = gzip::HEADER.len() as u64;
        for unit in &blocks.units {
            offsets.push(end);
            end += u64::from(unit.deflated);
        }
        offsets.push(end);
        Known { numbers, units: &blocks.units, marks: &blocks.marks, offsets, file: Some(file) }
    }

    pub(crate) fn find(&self, key: &UnitKey) -> Option<usize> {
        self.numbers.get(key).copied()
    }

    pub(crate) fn unit(&self, number: usize) -> UnitRecord {
        self.units[number]
    }

    pub(crate) fn mark(&self, number: usize) -> &Mark {
        &self.marks[number]
    }

    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Where a unit begins in the blob.
    pub(crate) fn offset(&self, number: usize) -> u64 {
        self.offsets[number]
    }

    /// The units before the first change, down to a place where hashing can go on.
    pub(crate) fn skipped(&self, changes: &[Change]) -> Skipped {
        let nothing = Skipped { units: 0, tar: Sha256::default(), blob: Sha256::default() };
        if self.units.is_empty() {
            return nothing;
        }
        let mut scratch = Vec::new();
        let mut candidate = 0;
        for (at, (unit, known)) in units(changes).zip(self.units).enumerate() {
            let begins = !matches!(unit, Unit::Piece { offset: 1.., .. });
            if begins && at % MARK_EVERY == 0 {
                candidate = at;
            }
            if key_unread(&unit, &mut scratch).is_none_or(|it| it != known.key) {
                break;
            }
        }
        let mark = self.marks.get(candidate / MARK_EVERY);
        let states = mark.and_then(|it| Some((restore(&it.tar)?, restore(&it.blob)?)));
        match states {
            Some((tar, blob)) if candidate > 0 => Skipped { units: candidate, tar, blob },
            _ => nothing,
        }
    }
}

/// Makes a unit's key of what it is made of.
pub(crate) struct KeyHasher(blake3::Hasher);

impl KeyHasher {
    pub(crate) fn new() -> KeyHasher {
        KeyHasher(blake3::Hasher::new())
    }

    pub(crate) fn header(&mut self, tar: &[u8]) {
        self.0.update(&(tar.len() as u64).to_le_bytes());
        self.0.update(tar);
    }

    pub(crate) fn content(&mut self, hash: &ContentHash) {
        self.0.update(&hash.0);
    }

    /// A piece of a file whose whole content is known.
    pub(crate) fn piece(&mut self, hash: &ContentHash, offset: u64, length: u64) {
        self.0.update(b"piece");
        self.0.update(&hash.0);
        self.0.update(&offset.to_le_bytes());
        self.0.update(&length.to_le_bytes());
    }

    pub(crate) fn finish(self) -> UnitKey {
        self.0.finalize().into()
    }
}

/// The key of a unit all of whose contents are known.
fn key_unread(unit: &Unit<'_>, scratch: &mut Vec<u8>) -> Option<UnitKey> {
    let mut key = KeyHasher::new();
    match unit {
        Unit::Entries(changes) => {
            for change in *changes {
                scratch.clear();
                header::append(scratch, &change.entry).ok()?;
                key.header(scratch);
                if let Kind::File { .. } = change.entry.kind {
                    key.content(&known_content(change)?);
                }
            }
        }
        Unit::Piece { change, offset, length } => {
            scratch.clear();
            if *offset == 0 {
                header::append(scratch, &change.entry).ok()?;
            }
            key.header(scratch);
            key.piece(&known_content(change)?, *offset, *length);
        }
    }
    Some(key.finish())
}

/// Nothing where the file must be read: for its hash, or for the index, which keeps some.
pub(crate) fn known_content(change: &Change) -> Option<ContentHash> {
    if crate::index::is_kept(&change.entry.path) {
        return None;
    }
    match (&change.body, &change.entry.kind) {
        (Body::Known(_, hash), _) => Some(*hash),
        (Body::Empty, Kind::File { size: 0 }) => Some(ContentHash(blake3::hash(b"").into())),
        _ => None,
    }
}
