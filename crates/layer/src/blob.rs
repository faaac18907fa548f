//! The second half of packing: blocks in their order, hashed and written.

use crate::{
    Compression, gzip,
    load::{Block, Pool},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Scope, ScopedJoinHandle},
};
use strake_oci::Digest;

/// Takes the blocks in their order, hashes the tar and passes on what is written.
pub(crate) struct Blocks {
    sha: Sha256,
    to: To,
}

enum To {
    Gzip(SyncSender<(io::Result<gzip::Deflated>, u32)>),
    Stream(SyncSender<Vec<u8>>),
}

/// What became of the blob.
pub(crate) struct Written {
    /// Nothing where it is that of the tar.
    pub(crate) digest: Option<Digest>,
    pub(crate) size: u64,
}

/// The thread that writes.
pub(crate) struct Blob<'scope>(ScopedJoinHandle<'scope, io::Result<(Option<Digest>, u64)>>);

impl Blob<'_> {
    /// Waits for the end, which comes after [`Blocks`] was dropped.
    pub(crate) fn join(self) -> io::Result<Written> {
        let written = self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written.map(|(digest, size)| Written { digest, size })
    }
}

/// Starts the thread that makes a blob of the blocks.
pub(crate) fn writer<'scope>(
    scope: &'scope Scope<'scope, '_>,
    compression: Compression,
    threads: usize,
    file: &'scope File,
) -> (Blocks, Blob<'scope>) {
    let sink = Sink { file, sha: Sha256::new(), size: 0 };
    let (to, write) = match compression {
        Compression::Gzip(_) => {
            let (blocks, receiver) = sync_channel(2);
            (To::Gzip(blocks), scope.spawn(move || write_gzip(receiver, sink)))
        }
        Compression::Zstd(level) => {
            let (blocks, receiver) = sync_channel(2);
            let work = move || write_zstd(receiver, level, threads, sink);
            (To::Stream(blocks), scope.spawn(work))
        }
        Compression::None => {
            let (blocks, receiver) = sync_channel(2);
            (To::Stream(blocks), scope.spawn(move || write_plain(receiver, file)))
        }
    };
    (Blocks { sha: Sha256::new(), to }, Blob(write))
}

impl Blocks {
    /// Appends a block. False if the writer has given up, so that more work is in vain.
    pub(crate) fn write(&mut self, block: Block, pool: &Pool) -> bool {
        let Block { tar, deflated, .. } = block;
        self.sha.update(&tar);
        match (&self.to, deflated) {
            (To::Gzip(blocks), Some(deflated)) => {
                let size = u32::try_from(tar.len()).expect("a block is small");
                pool.give(tar);
                blocks.send((deflated, size)).is_ok()
            }
            (To::Stream(blocks), _) => blocks.send(tar).is_ok(),
            (To::Gzip(_), None) => unreachable!("gzip blocks are compressed where they are read"),
        }
    }

    /// The digest of the tar. Dropping without this leaves the blob cut off.
    pub(crate) fn finish(self) -> Digest {
        Digest::from_sha256(self.sha.finalize().into())
    }
}

struct Sink<'a> {
    file: &'a File,
    sha: Sha256,
    size: u64,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sha.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink<'_> {
    fn finish(self) -> (Option<Digest>, u64) {
        (Some(Digest::from_sha256(self.sha.finalize().into())), self.size)
    }
}

/// The digest is that of the tar.
fn write_plain(blocks: Receiver<Vec<u8>>, mut file: &File) -> io::Result<(Option<Digest>, u64)> {
    let mut size = 0;
    for block in blocks {
        file.write_all(&block)?;
        size += block.len() as u64;
    }
    Ok((None, size))
}

fn write_zstd(
    blocks: Receiver<Vec<u8>>,
    level: i32,
    threads: usize,
    sink: Sink<'_>,
) -> io::Result<(Option<Digest>, u64)> {
    let mut encoder = zstd::Encoder::new(sink, level)?;
    encoder.include_checksum(true)?;
    // Never without workers: the bytes would be others.
    encoder.multithread(u32::try_from(threads.min(16)).expect("at most 16"))?;
    // Fixed, and less than zstd would take: each worker holds several times as much.
    encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(ZSTD_JOB))?;
    blocks.iter().try_for_each(|block| encoder.write_all(&block))?;
    Ok(encoder.finish()?.finish())
}

/// Shows in the bytes of a zstd blob.
const ZSTD_JOB: u32 = 2 << 20;

fn write_gzip(
    blocks: Receiver<(io::Result<gzip::Deflated>, u32)>,
    mut sink: Sink<'_>,
) -> io::Result<(Option<Digest>, u64)> {
    sink.write_all(&gzip::HEADER)?;
    let mut crc = crc32fast::Hasher::new();
    let mut size = 0u32;
    for (block, length) in blocks {
        let block = block?;
        sink.write_all(&block.bytes)?;
        crc.combine(&crc32fast::Hasher::new_with_initial_len(block.crc, u64::from(length)));
        size = size.wrapping_add(length);
    }
    sink.write_all(&gzip::trailer(crc.finalize(), size))?;
    Ok(sink.finish())
}
