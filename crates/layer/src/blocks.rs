//! What is kept of a gzip blob, so that a layer that differs little is packed faster.
//!
//! Of each unit: what it was made of, as a key, and where its compressed bytes are. Now and then the
//! states of both hashes, from which hashing goes on where all that stands before is the same.

use crate::index::{Rest, put_bytes, put_number};
use sha2::{
    Sha256,
    digest::common::hazmat::{SerializableState, SerializedState},
};

/// Units from one pair of hash states to the next.
pub(crate) const MARK_EVERY: usize = 8;

const MAGIC: &[u8; 8] = b"strblk\x00\x01";

/// What a unit is made of: headers and content hashes.
pub(crate) type UnitKey = [u8; 32];

/// The blocks of a blob, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    pub(crate) units: Vec<UnitRecord>,
    /// Before every [`MARK_EVERY`]th unit, from the first on.
    pub(crate) marks: Vec<Mark>,
}

/// A unit in a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitRecord {
    pub(crate) key: UnitKey,
    /// Bytes of tar.
    pub(crate) tar: u32,
    /// Bytes in the blob.
    pub(crate) deflated: u32,
    /// Of the tar.
    pub(crate) crc: u32,
}

/// Where hashing can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) tar: Vec<u8>,
    pub(crate) blob: Vec<u8>,
}

/// The bytes are no blocks of this version.
#[derive(Debug, thiserror::Error)]
#[error("not the blocks of a blob, or cut off")]
pub struct InvalidBlocks;

impl Blocks {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// As bytes for [`Blocks::load`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put_number(&mut bytes, self.units.len() as u64);
        for UnitRecord { key, tar, deflated, crc } in &self.units {
            bytes.extend_from_slice(key);
            [tar, deflated, crc].iter().for_each(|it| bytes.extend_from_slice(&it.to_le_bytes()));
        }
        put_number(&mut bytes, self.marks.len() as u64);
        for Mark { tar, blob } in &self.marks {
            put_bytes(&mut bytes, tar);
            put_bytes(&mut bytes, blob);
        }
        bytes
    }

    /// Reads what [`Blocks::to_bytes`] gave.
    pub fn load(bytes: &[u8]) -> Result<Blocks, InvalidBlocks> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(InvalidBlocks)?;
        Blocks::parse(Rest(rest)).filter(Blocks::is_sound).ok_or(InvalidBlocks)
    }

    fn parse(mut rest: Rest<'_>) -> Option<Blocks> {
        let mut blocks = Blocks::default();
        for _ in 0..rest.length().ok()? {
            let key = rest.take(32).ok()?.try_into().ok()?;
            let mut small = || Some(u32::from_le_bytes(rest.take(4).ok()?.try_into().ok()?));
            let (tar, deflated, crc) = (small()?, small()?, small()?);
            blocks.units.push(UnitRecord { key, tar, deflated, crc });
        }
        for _ in 0..rest.length().ok()? {
            let tar = rest.bytes().ok()?.to_vec();
            blocks.marks.push(Mark { tar, blob: rest.bytes().ok()?.to_vec() });
        }
        rest.0.is_empty().then_some(blocks)
    }

    fn is_sound(&self) -> bool {
        let marks = self.marks.iter();
        self.marks.len() == self.units.len().div_ceil(MARK_EVERY)
            && marks.flat_map(|it| [&it.tar, &it.blob]).all(|it| restore(it).is_some())
    }
}

/// The state of a hash.
pub(crate) fn save(sha: &Sha256) -> Vec<u8> {
    sha.serialize().as_slice().to_vec()
}

/// The hash in a state of [`save`].
pub(crate) fn restore(state: &[u8]) -> Option<Sha256> {
    Sha256::deserialize(<&SerializedState<Sha256>>::try_from(state).ok()?).ok()
}
