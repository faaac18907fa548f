//! From a unit of changes to tar bytes, content hashes and a compressed block: what the threads do.

use crate::{
    Body, Change, Compression, ContentHash, EntryName, Kind, PackError,
    blocks::UnitKey,
    gzip::{Deflated, Encoder},
    header,
    reuse::{KeyHasher, Known},
    unit::{Unit, size},
};
use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// A unit that was read.
pub(crate) struct Loaded<'a> {
    pub(crate) unit: Unit<'a>,
    pub(crate) block: Block,
    /// For each entry; of a piece of a large file nothing.
    pub(crate) contents: Vec<Option<ContentHash>>,
    /// The files that an index keeps.
    pub(crate) kept: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A piece of tar, and what is written for it.
pub(crate) struct Block {
    pub(crate) tar: Vec<u8>,
    /// Where the content of a piece of a large file begins.
    header: usize,
    /// Stands for headers and contents.
    pub(crate) key: UnitKey,
    pub(crate) packed: Packed,
}

/// What is written for a piece of tar.
pub(crate) enum Packed {
    /// Not decided here, for the compression is not by blocks.
    Plain,
    /// This.
    New(io::Result<Deflated>),
    /// What the unit of this number is in the earlier blob.
    Old(usize),
}

impl Block {
    /// The content of a piece of a large file.
    pub(crate) fn content(&self, length: u64) -> &[u8] {
        let length = usize::try_from(length).expect("a piece is small");
        &self.tar[self.header..self.header + length]
    }
}

/// Buffers that are used again.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Vec<u8>>>);

/// More are never under way on few threads.
const POOLED_AT_MOST: usize = 16;

impl Pool {
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < POOLED_AT_MOST {
            buffers.push(buffer);
        }
    }
}

/// What one thread reads and compresses with.
pub(crate) struct Loader<'a> {
    encoder: Option<Encoder>,
    pool: &'a Pool,
    known: &'a Known<'a>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        compression: Compression,
        pool: &'a Pool,
        known: &'a Known<'a>,
    ) -> Loader<'a> {
        let encoder = match compression {
            Compression::Gzip(level) => Some(Encoder::new(level)),
            Compression::None | Compression::Zstd(_) => None,
        };
        Loader { encoder, pool, known }
    }

    /// Reads and compresses a unit.
    pub(crate) fn load<'b>(&mut self, unit: Unit<'b>) -> Result<Loaded<'b>, PackError> {
        let mut out = Reading::new(self.pool.take());
        let mut header = 0;
        match unit {
            Unit::Entries(changes) => {
                let room: u64 = changes.iter().map(|it| size(it) + 2 * header::BLOCK as u64).sum();
                out.tar.reserve(usize::try_from(room).unwrap_or(0));
                changes.iter().try_for_each(|it| out.entry(it))?;
            }
            Unit::Piece { change, offset, length } => {
                if offset == 0 {
                    check_kept(change)?;
                    header::append(&mut out.tar, &change.entry)?;
                }
                header = out.tar.len();
                out.piece(change, offset, length)?;
            }
        }
        let Reading { tar, contents, kept, key } = out;
        Ok(Loaded { unit, block: self.block(tar, header, key.finish()), contents, kept })
    }

    /// The two empty blocks that end a tar.
    pub(crate) fn end(&mut self) -> Block {
        self.block(vec![0; 2 * header::BLOCK], 0, KeyHasher::new().finish())
    }

    fn block(&mut self, tar: Vec<u8>, header: usize, key: UnitKey) -> Block {
        let packed = match (&mut self.encoder, self.known.find(&key)) {
            (None, _) => Packed::Plain,
            (Some(_), Some(old)) => Packed::Old(old),
            (Some(encoder), None) => Packed::New(encoder.compress(&tar)),
        };
        Block { tar, header, key, packed }
    }
}

struct Reading {
    tar: Vec<u8>,
    contents: Vec<Option<ContentHash>>,
    kept: Vec<(Vec<u8>, Vec<u8>)>,
    key: KeyHasher,
}

impl Reading {
    fn new(tar: Vec<u8>) -> Reading {
        Reading { tar, contents: Vec::new(), kept: Vec::new(), key: KeyHasher::new() }
    }

    /// Header and content of a file that is not large, or of what is no file.
    fn entry(&mut self, change: &Change) -> Result<(), PackError> {
        let start = self.tar.len();
        header::append(&mut self.tar, &change.entry)?;
        self.key.header(&self.tar[start..]);
        let Kind::File { size } = change.entry.kind else {
            self.contents.push(None);
            return Ok(());
        };
        let start = self.tar.len();
        self.body(change, 0, size)?;
        let content = &self.tar[start..];
        let hash = ContentHash(blake3::hash(content).into());
        check_content(change, hash)?;
        self.key.content(&hash);
        self.contents.push(Some(hash));
        if crate::index::is_kept(&change.entry.path) {
            self.kept.push((change.entry.path.clone(), content.to_vec()));
        }
        header::append_padding(&mut self.tar, size);
        Ok(())
    }

    fn piece(&mut self, change: &Change, offset: u64, length: u64) -> Result<(), PackError> {
        let start = self.tar.len();
        self.key.header(&self.tar);
        self.body(change, offset, length)?;
        match &change.body {
            Body::Known(_, hash) => self.key.piece(hash, offset, length),
            _ => self.key.content(&ContentHash(blake3::hash(&self.tar[start..]).into())),
        }
        if Unit::is_last_piece(change, offset, length) {
            header::append_padding(&mut self.tar, size(change));
        }
        Ok(())
    }

    /// Appends a part of the content; what ends the content must end the file.
    fn body(&mut self, change: &Change, offset: u64, length: u64) -> Result<(), PackError> {
        let whole = size(change);
        let is_last = offset + length == whole;
        match &change.body {
            Body::Empty => check_length(change, 0, whole),
            Body::Bytes(bytes) => {
                check_length(change, bytes.len() as u64, whole)?;
                let range = usize::try_from(offset).expect("in memory");
                let length = usize::try_from(length).expect("in memory");
                self.tar.extend_from_slice(&bytes[range..range + length]);
                Ok(())
            }
            Body::Path(file) | Body::Known(file, _) => {
                let path = file.path(&change.entry);
                let failed = |source| read_failed(change, &path, source);
                let file = File::open(&path).map_err(failed)?;
                let start = self.tar.len();
                let length = usize::try_from(length).expect("a unit is small");
                // One byte more than expected, so that growth is noticed.
                let wanted = length + usize::from(is_last);
                self.tar.resize(start + wanted, 0);
                let got = read(&file, offset, &mut self.tar[start..], length).map_err(failed)?;
                self.tar.truncate(start + length);
                if got == length { Ok(()) } else { Err(wrong_length(change, offset + got as u64)) }
            }
        }
    }
}

/// Reads until the buffer is full or the file ends. A read that brings no more than `expected` bytes
/// of a small file, and all of them, is not followed by another one to see the end.
fn read(file: &File, offset: u64, buffer: &mut [u8], expected: usize) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        let read = match offset {
            0 => (&*file).read(&mut buffer[got..]),
            _ => file.read_at(&mut buffer[got..], offset + got as u64),
        };
        match read {
            Ok(0) => break,
            Ok(read) => got += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if got == expected {
            break;
        }
    }
    Ok(got)
}

/// The content must be what the key of the step stands for.
pub(crate) fn check_content(change: &Change, got: ContentHash) -> Result<(), PackError> {
    match &change.body {
        Body::Known(file, expected) if *expected != got => Err(PackError::ContentChanged {
            entry: EntryName(change.entry.path.clone()),
            path: file.path(&change.entry).into_owned(),
        }),
        Body::Known(..) | Body::Path(_) | Body::Bytes(_) | Body::Empty => Ok(()),
    }
}

fn check_kept(change: &Change) -> Result<(), PackError> {
    let path = &change.entry.path;
    if crate::index::is_kept(path) && size(change) > crate::index::KEPT_AT_MOST {
        return Err(PackError::TooLarge { entry: EntryName(path.clone()) });
    }
    Ok(())
}

fn check_length(change: &Change, got: u64, expected: u64) -> Result<(), PackError> {
    if got == expected { Ok(()) } else { Err(wrong_length(change, got)) }
}

fn wrong_length(change: &Change, got: u64) -> PackError {
    let entry = EntryName(change.entry.path.clone());
    let expected = size(change);
    match &change.body {
        Body::Path(file) | Body::Known(file, _) => {
            let path = file.path(&change.entry).into_owned();
            PackError::SizeChanged { entry, path, expected }
        }
        Body::Empty | Body::Bytes(_) => PackError::WrongBody { entry, expected, got },
    }
}

fn read_failed(change: &Change, path: &Path, source: io::Error) -> PackError {
    PackError::Read { entry: EntryName(change.entry.path.clone()), path: path.to_owned(), source }
}
