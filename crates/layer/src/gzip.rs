//! Blocks of one gzip member, compressed independently of each other. RFC 1951 and 1952.
//!
//! Each block is compressed as a stream of its own, knowing nothing of the one before; its last
//! deflate block then loses the mark that says so, and ends at a byte boundary (as after a sync
//! flush). So the blocks one after another are a single stream, and each can be used again wherever
//! its text occurs.

use crate::deflate_end::{LastBlock, last_block};
use libdeflater::{CompressionLvl, Compressor};
use std::io;

/// No name, no time, unknown system: as Go's compress/gzip writes it.
pub(crate) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A compressed block.
pub(crate) struct Deflated {
    pub(crate) bytes: Vec<u8>,
    pub(crate) crc: u32,
}

/// What one thread compresses with. The bytes do not depend on what it compressed before.
pub(crate) struct Encoder {
    compressor: Compressor,
    scratch: Vec<u8>,
}

impl Encoder {
    /// At `level`, 1 to 9.
    pub(crate) fn new(level: u32) -> Encoder {
        let level = i32::try_from(level.clamp(1, 9)).expect("at most 9");
        let level = CompressionLvl::new(level).expect("a level of libdeflate");
        Encoder { compressor: Compressor::new(level), scratch: Vec::new() }
    }

    /// Compresses a block.
    pub(crate) fn compress(&mut self, block: &[u8]) -> io::Result<Deflated> {
        let bound = self.compressor.deflate_compress_bound(block.len());
        if self.scratch.len() < bound {
            self.scratch.resize(bound, 0);
        }
        let size = self
            .compressor
            .deflate_compress(block, &mut self.scratch)
            .map_err(|error| io::Error::other(format!("deflate: {error}")))?;
        let bytes = continued(&self.scratch[..size])
            .ok_or_else(|| io::Error::other("deflate made a stream that cannot be read"))?;
        Ok(Deflated { bytes, crc: libdeflater::crc32(block) })
    }
}

/// The stream as one that goes on: what was its last block is followed by an empty stored one, which
/// ends at a byte boundary.
fn continued(stream: &[u8]) -> Option<Vec<u8>> {
    let LastBlock { start, end } = last_block(stream)?;
    if end.div_ceil(8) != stream.len() {
        return None;
    }
    let mut bytes = Vec::with_capacity(stream.len() + 5);
    bytes.extend_from_slice(stream);
    bytes[start / 8] &= !(1 << (start % 8));
    // Three zero bits begin the empty block; they are there already if the last byte has room.
    if stream.len() * 8 - end < 3 {
        bytes.push(0);
    }
    bytes.extend_from_slice(&[0, 0, 0xff, 0xff]);
    Some(bytes)
}

/// An empty last block, the checksum and the size: what ends the member.
pub(crate) fn trailer(crc: u32, size: u32) -> [u8; 10] {
    let mut bytes = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[2..6].copy_from_slice(&crc.to_le_bytes());
    bytes[6..].copy_from_slice(&size.to_le_bytes());
    bytes
}
