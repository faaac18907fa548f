//! The second half of packing: tar bytes into blocks, hashed, compressed and written.

use crate::{Compression, gzip, ordered};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Read, Write},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{Scope, ScopedJoinHandle},
};
use strake_oci::{DiffId, Digest};

/// The size of a block of tar. It shows in the bytes of a gzip blob.
pub(crate) const BLOCK: usize = 512 << 10;

/// Takes the tar, cuts it into blocks and passes them on.
pub(crate) struct Blocks {
    buffer: Vec<u8>,
    previous: Option<Arc<Vec<u8>>>,
    hash: SyncSender<Arc<Vec<u8>>>,
    compress: Compressor,
    abandoned: bool,
}

enum Compressor {
    Gzip(ordered::Input<gzip::Job, io::Result<gzip::Deflated>>),
    Stream(SyncSender<Arc<Vec<u8>>>),
}

/// What became of the tar.
pub(crate) struct Written {
    pub(crate) diff_id: DiffId,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// The threads that hash and write.
pub(crate) struct Blob<'scope> {
    hash: ScopedJoinHandle<'scope, Digest>,
    write: ScopedJoinHandle<'scope, io::Result<(Option<Digest>, u64)>>,
}

impl Blob<'_> {
    /// Waits for the end, which comes after [`Blocks`] was dropped.
    pub(crate) fn join(self) -> io::Result<Written> {
        let diff_id = DiffId(joined(self.hash));
        let (digest, size) = joined(self.write)?;
        Ok(Written { diff_id, digest: digest.unwrap_or(diff_id.0), size })
    }
}

fn joined<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Starts the threads that make a blob of the tar.
pub(crate) fn writer<'scope>(
    scope: &'scope Scope<'scope, '_>,
    compression: Compression,
    threads: usize,
    file: &'scope File,
) -> (Blocks, Blob<'scope>) {
    let (hash, to_hash) = sync_channel::<Arc<Vec<u8>>>(2);
    let hashed = scope.spawn(move || {
        let mut sha = Sha256::new();
        to_hash.iter().for_each(|block| sha.update(block.as_slice()));
        Digest::from_sha256(sha.finalize().into())
    });
    let sink = Sink { file, sha: Sha256::new(), size: 0 };
    let (compress, write) = match compression {
        Compression::Gzip(level) => {
            let work = move |job: gzip::Job| gzip::compress(&job, level);
            let (jobs, done) = ordered::ordered(scope, threads, work);
            (Compressor::Gzip(jobs), scope.spawn(move || write_gzip(done, sink)))
        }
        Compression::Zstd(level) => {
            let (blocks, receiver) = sync_channel(2);
            let work = move || write_zstd(receiver, level, threads, sink);
            (Compressor::Stream(blocks), scope.spawn(work))
        }
        Compression::None => {
            let (blocks, receiver) = sync_channel(2);
            (Compressor::Stream(blocks), scope.spawn(move || write_plain(receiver, file)))
        }
    };
    let buffer = Vec::with_capacity(BLOCK);
    let blocks = Blocks { buffer, previous: None, hash, compress, abandoned: false };
    (blocks, Blob { hash: hashed, write })
}

impl Blocks {
    /// Appends bytes of the tar.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == BLOCK {
                self.flush();
            }
        }
    }

    /// Appends up to `size` bytes of `file`, showing them to `note`, and says how many there were.
    pub(crate) fn copy(
        &mut self,
        file: &mut File,
        size: u64,
        note: &mut dyn FnMut(&[u8]),
    ) -> io::Result<u64> {
        let mut copied = 0;
        while copied < size && !self.abandoned {
            let start = self.buffer.len();
            let room = (size - copied).min((BLOCK - start) as u64);
            let got = file.take(room).read_to_end(&mut self.buffer)?;
            note(&self.buffer[start..]);
            copied += got as u64;
            if self.buffer.len() == BLOCK {
                self.flush();
            }
            if (got as u64) < room {
                break;
            }
        }
        Ok(copied)
    }

    /// Whether the writer has given up, so that more work is in vain.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Passes on what is left. Dropping without this leaves the tar cut off.
    pub(crate) fn finish(mut self) {
        if !self.buffer.is_empty() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let block = Arc::new(std::mem::replace(&mut self.buffer, Vec::with_capacity(BLOCK)));
        let hashed = self.hash.send(Arc::clone(&block)).is_ok();
        let taken = match &self.compress {
            Compressor::Stream(blocks) => blocks.send(Arc::clone(&block)).is_ok(),
            Compressor::Gzip(jobs) => {
                let previous = self.previous.replace(Arc::clone(&block));
                jobs.send(gzip::Job { block, previous })
            }
        };
        self.abandoned |= !(hashed && taken);
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
fn write_plain(
    blocks: Receiver<Arc<Vec<u8>>>,
    mut file: &File,
) -> io::Result<(Option<Digest>, u64)> {
    let mut size = 0;
    for block in blocks {
        file.write_all(&block)?;
        size += block.len() as u64;
    }
    Ok((None, size))
}

fn write_zstd(
    blocks: Receiver<Arc<Vec<u8>>>,
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
    blocks: ordered::Output<io::Result<gzip::Deflated>>,
    mut sink: Sink<'_>,
) -> io::Result<(Option<Digest>, u64)> {
    sink.write_all(&gzip::HEADER)?;
    let mut crc = crc32fast::Hasher::new();
    let mut size = 0u32;
    for block in blocks {
        let block = block?;
        sink.write_all(&block.bytes)?;
        crc.combine(&block.crc);
        size = size.wrapping_add(block.size);
    }
    sink.write_all(&gzip::trailer(crc.finalize(), size))?;
    Ok(sink.finish())
}
