//! Changes into a compressed layer: one pass, in parallel, in bounded memory.
//!
//! Readers load small files ahead and make tar bytes of them; this thread puts the pieces together
//! into blocks; each block is hashed by one thread and compressed by others; the last thread hashes
//! and writes the blob. The bytes depend on the changes and the compression only.

use crate::{
    Body, Change, Compression, ContentHash, EntryName, Index, IndexEntry, Kind,
    blob::{self, Blocks},
    header,
    ordered::ordered,
};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    thread,
};
use strake_oci::{Descriptor, DiffId, media_type};

/// How [`pack`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackOptions {
    /// How the blob is compressed. The bytes depend on it.
    pub compression: Compression,
    /// How many threads compress and how many read. The bytes do not depend on it.
    pub threads: usize,
}

/// A finished layer in a temporary file.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Digest of the tar.
    pub diff_id: DiffId,
    /// The blob, with an OCI media type.
    pub descriptor: Descriptor,
    /// As asked for.
    pub compression: Compression,
    /// What the layer holds.
    pub index: Index,
    /// Where the blob is. It belongs to the caller, who moves or deletes it.
    pub file: PathBuf,
}

/// A layer could not be packed. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file could not be read.
    #[error("cannot read {} for `{entry}`", path.display())]
    Read {
        /// Where it goes.
        entry: EntryName,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is larger or smaller than it was when it was found.
    #[error("{} changed while it was being read: expected {expected} bytes", path.display())]
    SizeChanged {
        /// Where it goes.
        entry: EntryName,
        /// The file.
        path: PathBuf,
        /// As in the entry.
        expected: u64,
    },
    /// The body given for an entry does not have the entry's size.
    #[error("`{entry}` has a body of {got} bytes where {expected} were announced")]
    WrongBody {
        /// Where it goes.
        entry: EntryName,
        /// As in the entry.
        expected: u64,
        /// Length of the body.
        got: u64,
    },
    /// A name starts with `.wh.`, which means deletion in a layer.
    #[error("`{entry}` cannot be stored in a layer: names starting with `.wh.` mark deletions")]
    ReservedName {
        /// The name.
        entry: EntryName,
    },
    /// A path or link target is empty, not relative, not normal, or has a NUL byte.
    #[error("`{entry}` is not a path that a layer can hold")]
    InvalidPath {
        /// The path.
        entry: EntryName,
    },
    /// PAX cannot hold the name of an extended attribute.
    #[error("`{entry}` has an extended attribute `{name}`, whose name a layer cannot hold")]
    XattrName {
        /// Whose.
        entry: EntryName,
        /// Its name.
        name: EntryName,
    },
    /// tar cannot hold a device number.
    #[error("`{entry}` has the device number {value}, which a layer cannot hold")]
    DeviceNumber {
        /// Whose.
        entry: EntryName,
        /// Major or minor.
        value: u32,
    },
    /// `etc/passwd` or `etc/group` is absurdly large.
    #[error("`{entry}` is larger than 16 MiB")]
    TooLarge {
        /// Which of them.
        entry: EntryName,
    },
    /// The blob could not be written.
    #[error("cannot write a layer to {}", directory.display())]
    Write {
        /// Where the temporary file is or should be.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Files up to this size are read ahead.
const SMALL: u64 = 256 << 10;
/// About as many bytes are read ahead at a time.
const BATCH_BYTES: u64 = 512 << 10;
const BATCH_ENTRIES: usize = 512;

/// Writes the layer that `changes` make, in their order, to a new file in `dir`.
pub fn pack(changes: &[Change], options: &PackOptions, dir: &Path) -> Result<Packed, PackError> {
    let failed = |source| PackError::Write { directory: dir.to_owned(), source };
    let file = tempfile::Builder::new().prefix("layer-").tempfile_in(dir).map_err(failed)?;
    let threads = options.threads.max(1);
    let (index, written) = thread::scope(|scope| {
        let (blocks, blob) = blob::writer(scope, options.compression, threads, file.as_file());
        let index = assemble(changes, threads, blocks);
        (index, blob.join())
    });
    // Where both failed, the reader stopped because the writer did.
    let written = written.map_err(failed)?;
    let index = index?;
    let media_type = match options.compression {
        Compression::None => media_type::OCI_LAYER,
        Compression::Gzip(_) => media_type::OCI_LAYER_GZIP,
        Compression::Zstd(_) => media_type::OCI_LAYER_ZSTD,
    };
    Ok(Packed {
        diff_id: written.diff_id,
        descriptor: Descriptor::new(media_type, written.digest, written.size),
        compression: options.compression,
        index,
        file: file.into_temp_path().keep().map_err(|it| failed(it.error))?,
    })
}

/// Tar bytes of consecutive entries, or the header of a file that is streamed after it.
struct Piece<'a> {
    bytes: Vec<u8>,
    entries: Vec<IndexEntry>,
    files: Vec<(Vec<u8>, Vec<u8>)>,
    streamed: Option<&'a Change>,
}

/// Makes the tar and hands it to `blocks`. Ends early, without an error, if nobody takes them.
fn assemble(changes: &[Change], threads: usize, mut blocks: Blocks) -> Result<Index, PackError> {
    let mut index = Index { entries: Vec::with_capacity(changes.len()), ..Index::default() };
    thread::scope(|scope| {
        let (input, pieces) = ordered(scope, threads, load);
        scope.spawn(move || batches(changes).all(|batch| input.send(batch)));
        for piece in pieces {
            let mut piece = piece?;
            blocks.write(&piece.bytes);
            if let Some(change) = piece.streamed {
                let (hash, kept) = stream(change, &mut blocks)?;
                let entry = piece.entries.last_mut().expect("the header's entry");
                entry.content = Some(hash);
                piece.files.extend(kept.map(|it| (change.entry.path.clone(), it)));
            }
            index.entries.append(&mut piece.entries);
            index.files.extend(piece.files);
            if blocks.is_abandoned() {
                break;
            }
        }
        Ok(())
    })?;
    blocks.write(&[0; 2 * header::BLOCK]);
    blocks.finish();
    Ok(index)
}

/// Cuts the changes into pieces for the readers. The cuts do not show in the bytes.
fn batches(mut rest: &[Change]) -> impl Iterator<Item = &[Change]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let mut count = 0;
        for change in rest.iter().take(BATCH_ENTRIES) {
            let size = size(change);
            if count > 0 && (size > SMALL || bytes + size > BATCH_BYTES) {
                break;
            }
            bytes += size;
            count += 1;
            if size > SMALL {
                break;
            }
        }
        let (batch, others) = rest.split_at(count);
        rest = others;
        (!batch.is_empty()).then_some(batch)
    })
}

fn size(change: &Change) -> u64 {
    match change.entry.kind {
        Kind::File { size } => size,
        _ => 0,
    }
}

fn load(batch: &[Change]) -> Result<Piece<'_>, PackError> {
    let total: u64 = batch.iter().map(size).filter(|it| *it <= SMALL).sum();
    let capacity =
        usize::try_from(total).expect("a batch is small") + 2 * header::BLOCK * batch.len();
    let mut piece = Piece {
        bytes: Vec::with_capacity(capacity),
        entries: Vec::with_capacity(batch.len()),
        files: Vec::new(),
        streamed: None,
    };
    for change in batch {
        header::append(&mut piece.bytes, &change.entry)?;
        if change.entry.path.is_empty() && change.entry.kind == (Kind::Directory { opaque: false })
        {
            continue;
        }
        let mut content = None;
        if let Kind::File { size } = change.entry.kind {
            if size > SMALL {
                piece.streamed = Some(change);
            } else {
                content = Some(load_small(change, size, &mut piece)?);
            }
        }
        piece.entries.push(IndexEntry { entry: change.entry.clone(), content });
    }
    Ok(piece)
}

fn load_small(change: &Change, size: u64, piece: &mut Piece<'_>) -> Result<ContentHash, PackError> {
    let start = piece.bytes.len();
    match &change.body {
        Body::Empty => {}
        Body::Bytes(bytes) => piece.bytes.extend_from_slice(bytes),
        Body::Path(path) => {
            let failed = |source| read_failed(change, path, source);
            let file = File::open(path.as_ref()).map_err(failed)?;
            // One byte more than expected, so that growth is noticed.
            file.take(size + 1).read_to_end(&mut piece.bytes).map_err(failed)?;
        }
    }
    check_length(change, (piece.bytes.len() - start) as u64, size)?;
    let content = &piece.bytes[start..];
    let hash = ContentHash(blake3::hash(content).into());
    if crate::index::is_kept(&change.entry.path) {
        piece.files.push((change.entry.path.clone(), content.to_vec()));
    }
    header::append_padding(&mut piece.bytes, size);
    Ok(hash)
}

fn stream(
    change: &Change,
    blocks: &mut Blocks,
) -> Result<(ContentHash, Option<Vec<u8>>), PackError> {
    let size = size(change);
    let kept = crate::index::is_kept(&change.entry.path);
    if kept && size > crate::index::KEPT_AT_MOST {
        return Err(PackError::TooLarge { entry: EntryName(change.entry.path.clone()) });
    }
    let mut copy = kept.then(Vec::new);
    let mut hasher = blake3::Hasher::new();
    let mut note = |bytes: &[u8]| {
        hasher.update(bytes);
        copy.iter_mut().for_each(|it| it.extend_from_slice(bytes));
    };
    match &change.body {
        Body::Empty => check_length(change, 0, size)?,
        Body::Bytes(bytes) => {
            check_length(change, bytes.len() as u64, size)?;
            note(bytes);
            blocks.write(bytes);
        }
        Body::Path(path) => {
            let failed = |source| read_failed(change, path, source);
            let mut file = File::open(path.as_ref()).map_err(failed)?;
            let got = blocks.copy(&mut file, size, &mut note).map_err(failed)?;
            let more = if got == size { file.read(&mut [0]).map_err(failed)? as u64 } else { 0 };
            if !blocks.is_abandoned() {
                check_length(change, got + more, size)?;
            }
        }
    }
    blocks.write(&[0; header::BLOCK][..header::padding(size)]);
    Ok((ContentHash(hasher.finalize().into()), copy))
}

fn check_length(change: &Change, got: u64, expected: u64) -> Result<(), PackError> {
    if got == expected {
        return Ok(());
    }
    let entry = EntryName(change.entry.path.clone());
    Err(match &change.body {
        Body::Path(path) => PackError::SizeChanged { entry, path: path.to_path_buf(), expected },
        Body::Empty | Body::Bytes(_) => PackError::WrongBody { entry, expected, got },
    })
}

fn read_failed(change: &Change, path: &Path, source: io::Error) -> PackError {
    PackError::Read { entry: EntryName(change.entry.path.clone()), path: path.to_owned(), source }
}
