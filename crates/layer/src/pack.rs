//! Changes into a compressed layer: one pass, in parallel, in bounded memory.
//!
//! The changes are cut into units. Each is read, made into tar and compressed by one of several
//! threads ([`crate::load`]); this thread takes the units in their order, hashes the tar and puts the
//! index together; the last thread hashes and writes the blob. The bytes depend on the changes and
//! the compression only.

use crate::{
    Blocks, Change, Compression, ContentHash, EntryName, Index, IndexEntry, Kind, blob,
    load::{self, Loaded},
    ordered::ordered,
    reuse::{Known, Previous, known_content},
    unit::{Unit, units},
};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    thread,
};
use strake_oci::{Descriptor, DiffId};

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
    /// What makes packing a similar layer faster, for [`repack`]; empty if it is not gzip.
    pub blocks: Blocks,
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
    /// A file holds something else than when it was hashed.
    #[error("{} changed while it was being read", path.display())]
    ContentChanged {
        /// Where it goes.
        entry: EntryName,
        /// The file.
        path: PathBuf,
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

/// Writes the layer that `changes` make, in their order, to a new file in `dir`.
pub fn pack(changes: Vec<Change>, options: &PackOptions, dir: &Path) -> Result<Packed, PackError> {
    pack_knowing(changes, options, dir, &Known::default())
}

/// As [`pack`], and with the same bytes, but what `previous` has in common with the layer is taken from
/// there. `previous` must have been packed with the same compression.
pub fn repack(
    changes: Vec<Change>,
    options: &PackOptions,
    dir: &Path,
    previous: Previous<'_>,
) -> Result<Packed, PackError> {
    let known = match options.compression {
        Compression::Gzip(_) => Known::open(previous),
        Compression::None | Compression::Zstd(_) => Known::default(),
    };
    pack_knowing(changes, options, dir, &known)
}

fn pack_knowing(
    mut changes: Vec<Change>,
    options: &PackOptions,
    dir: &Path,
    known: &Known<'_>,
) -> Result<Packed, PackError> {
    // The root has no entry in a layer.
    changes.retain(|it| !is_root(it));
    let failed = |source| PackError::Write { directory: dir.to_owned(), source };
    let file = tempfile::Builder::new().prefix("layer-").tempfile_in(dir).map_err(failed)?;
    let PackOptions { compression, threads } = *options;
    let options = PackOptions { compression, threads: threads.max(1) };
    let skipped = known.skipped(&changes);
    // Threads would take longer than the work.
    let is_small = units(&changes).nth(1).is_none();
    let (assembled, written) = thread::scope(|scope| {
        let scope = (scope, is_small);
        let (blocks, blob) = blob::writer(scope, &options, known, &skipped, file.as_file());
        let assembled = match is_small {
            true => assemble_small(&changes, &options, known, blocks),
            false => assemble(&changes, &options, known, skipped.units, blocks),
        };
        (assembled, blob.join())
    });
    // Where both failed, the reader stopped because the writer did.
    let written = written.map_err(failed)?;
    let (contents, files, tar) = assembled?;
    let diff_id = DiffId(tar.digest);
    let media_type = compression.media_type();
    let digest = written.digest.unwrap_or(diff_id.0);
    Ok(Packed {
        diff_id,
        descriptor: Descriptor::new(media_type, digest, written.size),
        compression,
        index: Index { entries: entries(changes, contents), files },
        blocks: blob::blocks(tar, written),
        file: file.into_temp_path().keep().map_err(|it| failed(it.error))?,
    })
}

/// As [`assemble`], of one unit, on this thread.
fn assemble_small(
    changes: &[Change],
    options: &PackOptions,
    known: &Known<'_>,
    mut blocks: blob::Tar,
) -> Result<(Contents, KeptFiles, blob::HashedTar), PackError> {
    let mut assembly = Assembly::new(changes.len());
    let pool = load::Pool::default();
    let mut loader = load::Loader::new(options.compression, &pool, known);
    for unit in units(changes) {
        let block = assembly.add(loader.load(unit)?)?;
        blocks.write(block, &pool);
    }
    blocks.write_end(loader.end(), &pool);
    Ok((assembly.contents, assembly.files, blocks.finish()))
}

/// Makes the tar and hands it to `blocks`. Ends early, without an error, if nobody takes it.
fn assemble(
    changes: &[Change],
    options: &PackOptions,
    known: &Known<'_>,
    skipped: usize,
    mut blocks: blob::Tar,
) -> Result<(Contents, KeptFiles, blob::HashedTar), PackError> {
    let compression = options.compression;
    let mut assembly = Assembly::new(changes.len());
    units(changes).take(skipped).for_each(|unit| assembly.add_unread(&unit));
    let pool = load::Pool::default();
    thread::scope(|scope| {
        let pool = &pool;
        let (input, loaded) = ordered(
            scope,
            options.threads,
            move || load::Loader::new(compression, pool, known),
            |loader, unit| loader.load(unit),
        );
        scope.spawn(move || units(changes).skip(skipped).all(|unit| input.send(unit)));
        for unit in loaded {
            let block = assembly.add(unit?)?;
            if !blocks.write(block, pool) {
                break;
            }
        }
        Ok(())
    })?;
    let end = load::Loader::new(compression, &pool, known).end();
    blocks.write_end(end, &pool);
    Ok((assembly.contents, assembly.files, blocks.finish()))
}

fn entries(changes: Vec<Change>, contents: Contents) -> Vec<IndexEntry> {
    let entries = changes.into_iter().zip(contents);
    entries.map(|(change, content)| IndexEntry { entry: change.entry, content }).collect()
}

/// Of each change.
type Contents = Vec<Option<ContentHash>>;

/// As in [`Index::files`].
type KeptFiles = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the index is made of.
struct Assembly {
    contents: Contents,
    files: KeptFiles,
    /// The content hash of the large file whose pieces are coming, and its content if that is kept.
    hasher: blake3::Hasher,
    kept: Option<Vec<u8>>,
}

impl Assembly {
    fn new(entries: usize) -> Assembly {
        let contents = Vec::with_capacity(entries);
        Assembly { contents, files: BTreeMap::new(), hasher: blake3::Hasher::new(), kept: None }
    }

    /// Notes what a unit holds of which all is known.
    fn add_unread(&mut self, unit: &Unit<'_>) {
        match unit {
            Unit::Entries(changes) => self.contents.extend(changes.iter().map(known_content)),
            Unit::Piece { change, offset, length } => {
                if Unit::is_last_piece(change, *offset, *length) {
                    self.contents.push(known_content(change));
                }
            }
        }
    }

    /// Notes what the unit holds, and returns what is to be written.
    fn add(&mut self, loaded: Loaded<'_>) -> Result<load::Block, PackError> {
        let Loaded { unit, block, contents, kept } = loaded;
        match unit {
            Unit::Entries(_) => {
                self.contents.extend(contents);
                self.files.extend(kept);
            }
            Unit::Piece { change, offset, length } => {
                self.add_piece(change, offset, length, &block)?;
            }
        }
        Ok(block)
    }

    fn add_piece(
        &mut self,
        change: &Change,
        offset: u64,
        length: u64,
        block: &load::Block,
    ) -> Result<(), PackError> {
        let content = block.content(length);
        let path = &change.entry.path;
        if offset == 0 {
            self.hasher.reset();
            self.kept = crate::index::is_kept(path).then(Vec::new);
        }
        self.hasher.update(content);
        self.kept.iter_mut().for_each(|it| it.extend_from_slice(content));
        if Unit::is_last_piece(change, offset, length) {
            let content = ContentHash(self.hasher.finalize().into());
            load::check_content(change, content)?;
            self.contents.push(Some(content));
            self.files.extend(self.kept.take().map(|it| (path.clone(), it)));
        }
        Ok(())
    }
}

fn is_root(change: &Change) -> bool {
    change.entry.path.is_empty() && change.entry.kind == (Kind::Directory { opaque: false })
}
