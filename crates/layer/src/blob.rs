//! The second half of packing: blocks in their order, hashed and written.

use crate::{
    Blocks, Compression, PackOptions,
    blocks::{MARK_EVERY, Mark, UnitKey, UnitRecord, save},
    gzip,
    load::{Block, Packed, Pool},
    reuse::{Known, Skipped},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Scope, ScopedJoinHandle},
};
use strake_oci::Digest;

/// Takes the blocks in their order, hashes the tar and passes on what is written.
pub(crate) struct Tar {
    sha: Sha256,
    to: To,
    keys: Vec<UnitKey>,
    marks: Vec<Vec<u8>>,
}

enum To {
    Gzip(SyncSender<(Packed, u32)>),
    Stream(SyncSender<Vec<u8>>),
}

/// What became of the tar.
pub(crate) struct HashedTar {
    pub(crate) digest: Digest,
    keys: Vec<UnitKey>,
    marks: Vec<Vec<u8>>,
}

/// What became of the blob.
#[derive(Default)]
pub(crate) struct Written {
    /// Nothing where it is that of the tar.
    pub(crate) digest: Option<Digest>,
    pub(crate) size: u64,
    /// Of gzip: each block but the last, which ends the tar. The keys are still missing.
    units: Vec<UnitRecord>,
    marks: Vec<Vec<u8>>,
}

/// What writes.
pub(crate) enum Blob<'scope> {
    /// A thread, meanwhile.
    Thread(ScopedJoinHandle<'scope, io::Result<Written>>),
    /// Who waits for it, in the end: what is to be written fits into the channel.
    Last(Box<dyn FnOnce() -> io::Result<Written> + 'scope>),
}

impl<'scope> Blob<'scope> {
    fn new(
        scope: &'scope Scope<'scope, '_>,
        is_small: bool,
        work: impl FnOnce() -> io::Result<Written> + Send + 'scope,
    ) -> Blob<'scope> {
        match is_small {
            true => Blob::Last(Box::new(work)),
            false => Blob::Thread(scope.spawn(work)),
        }
    }

    /// Waits for the end, which comes after [`Tar`] was dropped.
    pub(crate) fn join(self) -> io::Result<Written> {
        match self {
            Blob::Thread(thread) => {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
            Blob::Last(work) => work(),
        }
    }
}

/// Blocks between the two threads. One and the end of the tar are all that a small layer has.
const WAITING: usize = 2;

/// Starts what makes a blob of the blocks; of a small layer no more than one is written.
pub(crate) fn writer<'scope>(
    (scope, is_small): (&'scope Scope<'scope, '_>, bool),
    options: &PackOptions,
    known: &'scope Known<'scope>,
    skipped: &Skipped,
    file: &'scope File,
) -> (Tar, Blob<'scope>) {
    let sink = Sink { file, sha: Sha256::new(), size: 0 };
    let threads = options.threads;
    let (to, write) = match options.compression {
        Compression::Gzip(_) => {
            let (blocks, receiver) = sync_channel(WAITING);
            let sink = Sink { sha: skipped.blob.clone(), ..sink };
            let gzip = Gzip {
                known,
                sink,
                written: Written::default(),
                crc: crc32fast::Hasher::new(),
                length: 0,
            };
            let skipped = skipped.units;
            let work = move || gzip.write(skipped, &receiver);
            (To::Gzip(blocks), Blob::new(scope, is_small, work))
        }
        Compression::Zstd(level) => {
            let (blocks, receiver) = sync_channel(WAITING);
            let work = move || write_zstd(receiver, level, threads, sink);
            (To::Stream(blocks), Blob::new(scope, is_small, work))
        }
        Compression::None => {
            let (blocks, receiver) = sync_channel(WAITING);
            let work = move || write_plain(receiver, file);
            (To::Stream(blocks), Blob::new(scope, is_small, work))
        }
    };
    let keys = (0..skipped.units).map(|it| known.unit(it).key).collect();
    let marks = (0..skipped.units / MARK_EVERY).map(|it| known.mark(it).tar.clone()).collect();
    (Tar { sha: skipped.tar.clone(), to, keys, marks }, write)
}

/// Puts together what is kept of a blob.
pub(crate) fn blocks(tar: HashedTar, written: Written) -> Blocks {
    let units = written.units.into_iter().zip(tar.keys);
    let marks = tar.marks.into_iter().zip(written.marks);
    Blocks {
        units: units.map(|(unit, key)| UnitRecord { key, ..unit }).collect(),
        marks: marks.map(|(tar, blob)| Mark { tar, blob }).collect(),
    }
}

impl Tar {
    /// Appends a block. False if the writer has given up, so that more work is in vain.
    pub(crate) fn write(&mut self, block: Block, pool: &Pool) -> bool {
        if self.keys.len().is_multiple_of(MARK_EVERY) {
            self.marks.push(save(&self.sha));
        }
        self.keys.push(block.key);
        self.write_end(block, pool)
    }

    /// Appends the last block, which no other layer is looked through for.
    pub(crate) fn write_end(&mut self, block: Block, pool: &Pool) -> bool {
        let Block { tar, packed, .. } = block;
        self.sha.update(&tar);
        match &self.to {
            To::Gzip(blocks) => {
                let size = u32::try_from(tar.len()).expect("a block is small");
                pool.give(tar);
                blocks.send((packed, size)).is_ok()
            }
            To::Stream(blocks) => blocks.send(tar).is_ok(),
        }
    }

    /// The digest of the tar. Dropping without this leaves the blob cut off.
    pub(crate) fn finish(self) -> HashedTar {
        let digest = Digest::from_sha256(self.sha.finalize().into());
        HashedTar { digest, keys: self.keys, marks: self.marks }
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
    fn finish(self) -> Written {
        let digest = Some(Digest::from_sha256(self.sha.finalize().into()));
        Written { digest, size: self.size, ..Written::default() }
    }
}

/// The digest is that of the tar.
fn write_plain(blocks: Receiver<Vec<u8>>, mut file: &File) -> io::Result<Written> {
    let mut size = 0;
    for block in blocks {
        file.write_all(&block)?;
        size += block.len() as u64;
    }
    Ok(Written { size, ..Written::default() })
}

fn write_zstd(
    blocks: Receiver<Vec<u8>>,
    level: i32,
    threads: usize,
    sink: Sink<'_>,
) -> io::Result<Written> {
    let mut encoder = zstd_encoder(sink, level, threads)?;
    blocks.iter().try_for_each(|block| encoder.write_all(&block))?;
    Ok(encoder.finish()?.finish())
}

/// What makes the same bytes of the same tar, however many threads there are.
pub(crate) fn zstd_encoder<W: Write>(
    sink: W,
    level: i32,
    threads: usize,
) -> io::Result<zstd::Encoder<'static, W>> {
    let mut encoder = zstd::Encoder::new(sink, level)?;
    encoder.include_checksum(true)?;
    // Never without workers: the bytes would be others.
    encoder.multithread(u32::try_from(threads.clamp(1, 16)).expect("at most 16"))?;
    // Fixed, and less than zstd would take: each worker holds several times as much.
    encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(ZSTD_JOB))?;
    Ok(encoder)
}

/// Shows in the bytes of a zstd blob.
const ZSTD_JOB: u32 = 2 << 20;

/// Writes a gzip blob, of new blocks and such of an earlier one.
struct Gzip<'a> {
    known: &'a Known<'a>,
    sink: Sink<'a>,
    written: Written,
    crc: crc32fast::Hasher,
    length: u32,
}

impl Gzip<'_> {
    fn write(mut self, skipped: usize, blocks: &Receiver<(Packed, u32)>) -> io::Result<Written> {
        match skipped {
            0 => self.sink.write_all(&gzip::HEADER)?,
            _ => self.copy_start(skipped)?,
        }
        for (packed, tar) in blocks {
            if self.written.units.len().is_multiple_of(MARK_EVERY) {
                self.written.marks.push(save(&self.sink.sha));
            }
            self.block(packed, tar)?;
        }
        // The end of the tar is no unit.
        self.written.units.pop();
        self.written.marks.truncate(self.written.units.len().div_ceil(MARK_EVERY));
        let Gzip { mut sink, written, crc, length, .. } = self;
        sink.write_all(&gzip::trailer(crc.finalize(), length))?;
        let Written { digest, size, .. } = sink.finish();
        Ok(Written { digest, size, ..written })
    }

    /// Copies the units that are as they were, without hashing them.
    fn copy_start(&mut self, skipped: usize) -> io::Result<()> {
        let end = self.known.offset(skipped);
        let mut from = self.known.file().ok_or(io::ErrorKind::NotFound)?;
        from.seek(SeekFrom::Start(0))?;
        let copied = io::copy(&mut io::Read::take(from, end), &mut &*self.sink.file)?;
        if copied != end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.sink.size = end;
        for number in 0..skipped {
            self.note(self.known.unit(number));
        }
        let marks = (0..skipped / MARK_EVERY).map(|it| self.known.mark(it).blob.clone());
        self.written.marks.extend(marks);
        Ok(())
    }

    fn block(&mut self, packed: Packed, tar: u32) -> io::Result<()> {
        match packed {
            Packed::New(deflated) => {
                let gzip::Deflated { bytes, crc } = deflated?;
                self.sink.write_all(&bytes)?;
                let deflated = u32::try_from(bytes.len()).expect("a block is small");
                self.note(UnitRecord { key: [0; 32], tar, deflated, crc });
            }
            Packed::Old(number) => {
                let unit = self.known.unit(number);
                let mut bytes = vec![0; unit.deflated as usize];
                let file = self.known.file().ok_or(io::ErrorKind::NotFound)?;
                file.read_exact_at(&mut bytes, self.known.offset(number))?;
                self.sink.write_all(&bytes)?;
                self.note(unit);
            }
            Packed::Plain => unreachable!("gzip blocks are compressed where they are read"),
        }
        Ok(())
    }

    fn note(&mut self, unit: UnitRecord) {
        let length = u64::from(unit.tar);
        self.crc.combine(&crc32fast::Hasher::new_with_initial_len(unit.crc, length));
        self.length = self.length.wrapping_add(unit.tar);
        self.written.units.push(unit);
    }
}
