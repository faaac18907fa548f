//! Where a layer's bytes come from: decompression and hashing on threads of their own.

use crate::UnpackError;
use sha2::{Digest as _, Sha256};
use std::{
    io::{self, Cursor, Read},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};
use strake_oci::{DiffId, Digest};

/// A reader that hashes what it passes on.
#[derive(Debug)]
pub struct DigestReader<R> {
    inner: R,
    sha: Sha256,
    size: u64,
}

impl<R: Read> DigestReader<R> {
    /// Wraps a reader.
    pub fn new(inner: R) -> DigestReader<R> {
        DigestReader { inner, sha: Sha256::new(), size: 0 }
    }

    /// Reads the rest, and returns the digest and the number of all bytes.
    pub fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((Digest::from_sha256(self.sha.finalize().into()), self.size))
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sha.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}

/// What the first bytes of a stream say about its compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Magic {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    Plain,
}

pub(crate) fn magic(first: &[u8]) -> Magic {
    let starts = |magic: &[u8]| first.starts_with(magic);
    // A zstd stream may begin with a skippable frame, 0x184D2A50 to 0x184D2A5F.
    let skippable =
        first.len() >= 4 && first[0] & 0xf0 == 0x50 && first[1..4] == [0x2a, 0x4d, 0x18];
    if starts(b"\x1f\x8b\x08") {
        Magic::Gzip
    } else if starts(b"\x28\xb5\x2f\xfd") || skippable {
        Magic::Zstd
    } else if starts(b"BZh") {
        Magic::Bzip2
    } else if starts(b"\xfd7zXZ\0") {
        Magic::Xz
    } else {
        Magic::Plain
    }
}

/// Undoes gzip (of one or several members), zstd, bzip2 or xz, as the first bytes say; anything else
/// passes unchanged.
pub fn decompress<'a>(mut reader: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut first = [0; 6];
    let length = crate::tar::read_full(&mut reader, &mut first)?;
    let whole = Cursor::new(first).take(length as u64).chain(reader);
    let buffered = io::BufReader::with_capacity(128 << 10, whole);
    Ok(match magic(&first[..length]) {
        Magic::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
        Magic::Zstd => Box::new(zstd::Decoder::with_buffer(buffered)?),
        Magic::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered)),
        Magic::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(buffered, true, XZ_MEMORY)),
        Magic::Plain => Box::new(buffered),
    })
}

/// In KiB. `xz -9` needs 65 MiB.
const XZ_MEMORY: u32 = 256 << 10;

const PIECE: usize = 256 << 10;

/// Runs `work` on the decompressed bytes of `blob` while they are decompressed and hashed on two
/// other threads. All bytes are read, whatever `work` leaves over.
pub(crate) fn hashed<T>(
    blob: impl Read + Send,
    detect: bool,
    work: impl FnOnce(&mut dyn Read) -> Result<T, UnpackError>,
) -> Result<(T, DiffId), UnpackError> {
    thread::scope(|scope| {
        let (to_work, pieces) = sync_channel(8);
        let (to_hash, hashing) = sync_channel::<Arc<Vec<u8>>>(8);
        scope.spawn(move || {
            if let Err(error) = pump(blob, detect, &to_work, &to_hash) {
                // Nobody waits for it any more when the work has failed.
                let _ = to_work.send(Err(error));
            }
        });
        let hash = scope.spawn(move || {
            let mut sha = Sha256::new();
            hashing.iter().for_each(|piece| sha.update(piece.as_slice()));
            Digest::from_sha256(sha.finalize().into())
        });
        let mut reader = Pieces { pieces, current: Arc::default(), at: 0 };
        let done = work(&mut reader)?;
        io::copy(&mut reader, &mut io::sink()).map_err(UnpackError::read)?;
        drop(reader);
        let digest = hash.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((done, DiffId(digest)))
    })
}

type Piece = io::Result<Arc<Vec<u8>>>;

fn pump(
    blob: impl Read + Send,
    detect: bool,
    to_work: &SyncSender<Piece>,
    to_hash: &SyncSender<Arc<Vec<u8>>>,
) -> io::Result<()> {
    let mut reader = if detect { decompress(blob)? } else { Box::new(blob) };
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = reader.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        let piece = Arc::new(piece);
        let sent = to_hash.send(Arc::clone(&piece)).is_ok() && to_work.send(Ok(piece)).is_ok();
        if read < PIECE || !sent {
            return Ok(());
        }
    }
}

struct Pieces {
    pieces: Receiver<Piece>,
    current: Arc<Vec<u8>>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            let Ok(piece) = self.pieces.recv() else { return Ok(0) };
            self.current = piece?;
            self.at = 0;
        }
        let length = buffer.len().min(self.current.len() - self.at);
        buffer[..length].copy_from_slice(&self.current[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
