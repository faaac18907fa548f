//! Blocks of one gzip member, compressed independently of each other. RFC 1951 and 1952.
//!
//! Each block ends at a byte boundary (sync flush) and starts with the 32 KiB before it as its
//! dictionary, so that the blocks one after another are what a single stream would be.

use flate2::{Compress, FlushCompress, Status};
use std::{io, sync::Arc};

/// No name, no time, unknown system: as Go's compress/gzip writes it.
pub(crate) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

const WINDOW: usize = 32 << 10;

/// A block, and the one before it.
pub(crate) struct Job {
    pub(crate) block: Arc<Vec<u8>>,
    pub(crate) previous: Option<Arc<Vec<u8>>>,
}

/// A compressed block.
pub(crate) struct Deflated {
    pub(crate) bytes: Vec<u8>,
    pub(crate) crc: crc32fast::Hasher,
    pub(crate) size: u32,
}

/// Compresses a block at `level`, 1 to 9.
pub(crate) fn compress(job: &Job, level: u32) -> io::Result<Deflated> {
    // Never a state that is used again: with zlib-rs the bytes would depend on what it saw before.
    let mut state = Compress::new(flate2::Compression::new(level.clamp(1, 9)), false);
    if let Some(previous) = &job.previous {
        let start = previous.len().saturating_sub(WINDOW);
        state.set_dictionary(&previous[start..])?;
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&job.block);
    let size = u32::try_from(job.block.len()).expect("a block is small");
    Ok(Deflated { bytes: deflate(&mut state, &job.block)?, crc, size })
}

fn deflate(state: &mut Compress, block: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(block.len() / 2 + 64);
    loop {
        let done = usize::try_from(state.total_in()).expect("a block is small");
        let status = state.compress_vec(&block[done..], &mut bytes, FlushCompress::Sync)?;
        let all_in = state.total_in() == block.len() as u64;
        // Room left over means that the flush is complete as well.
        if all_in && bytes.len() < bytes.capacity() {
            return Ok(bytes);
        }
        if status == Status::StreamEnd {
            return Err(io::Error::other("deflate ended a stream that goes on"));
        }
        bytes.reserve(block.len() / 4 + 64);
    }
}

/// An empty last block, the checksum and the size: what ends the member.
pub(crate) fn trailer(crc: u32, size: u32) -> [u8; 10] {
    let mut bytes = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[2..6].copy_from_slice(&crc.to_le_bytes());
    bytes[6..].copy_from_slice(&size.to_le_bytes());
    bytes
}
