//! Archives that ADD takes apart.

use crate::{
    Body, Change, Entry, Kind, OnDisk, UnpackError,
    scan::{Seen, Visitor, Whiteouts, each, scan},
    source::decompress,
    tar::{has_valid_checksum, read_full},
};
use std::{
    io::{self, Read, Write},
    path::Path,
};

/// Contents up to this size stay in memory.
const IN_MEMORY: u64 = 64 << 10;

/// Whether a file that starts like this is an archive for ADD, which then takes it apart: a tar
/// archive with at least one entry, plain or compressed with gzip, zstd, bzip2 or xz. A compressed
/// file of another kind is none.
///
/// The first MiB is enough to decide. Where less is not, as may be with bzip2 and xz, it is taken for an
/// archive, and [`read_archive`] will say if it is none.
pub fn is_archive(first: &[u8]) -> bool {
    let mut block = [0; crate::header::BLOCK];
    match decompress(first).and_then(|mut reader| read_full(&mut reader, &mut block)) {
        Ok(read) => read == block.len() && has_valid_checksum(&block),
        Err(error) => error.kind() == io::ErrorKind::UnexpectedEof && first.len() >= CUT_OFF,
    }
}

/// As [`is_archive`], of a file that was just opened.
pub fn is_archive_file(file: impl Read) -> io::Result<bool> {
    let mut first = Vec::new();
    file.take(1 << 20).read_to_end(&mut first)?;
    Ok(is_archive(&first))
}

/// What is shorter is a whole file, not the start of one.
const CUT_OFF: usize = 32 << 10;

/// Reads an archive as a list of changes, in its order. Larger contents go to files in `spill`, which
/// belong to the caller. In names `..` leads up to the root at most.
pub fn read_archive(reader: impl Read + Send, spill: &Path) -> Result<Vec<Change>, UnpackError> {
    let mut reader = decompress(reader).map_err(UnpackError::read)?;
    let mut collected = Collect { changes: Vec::new(), spill };
    scan(&mut reader, Whiteouts::Ordinary, &mut collected)?;
    io::copy(&mut reader, &mut io::sink()).map_err(UnpackError::read)?;
    Ok(collected.changes)
}

/// Shows each entry of an archive with its content, in its order: for archives that are unpacked to disk
/// and not into a layer. In names `..` leads up to the root at most.
pub fn each_entry(
    reader: impl Read + Send,
    visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let mut reader = decompress(reader).map_err(UnpackError::read)?;
    scan(&mut reader, Whiteouts::Ordinary, &mut Each(visit))?;
    io::copy(&mut reader, &mut io::sink()).map_err(UnpackError::read)?;
    Ok(())
}

/// What an entry of a layer asks for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Put this there.
    Put(Entry),
    /// Take away what lower layers have at the path.
    Whiteout(Vec<u8>),
    /// Take away what lower layers have below the path.
    Opaque(Vec<u8>),
}

/// Shows what each entry of a layer asks for, with its content, in its order. Nothing is asked of the
/// root itself. Names with `..` are refused.
pub fn each_change<E: From<UnpackError>>(
    reader: impl Read + Send,
    mut visit: impl FnMut(Asked, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = decompress(reader).map_err(UnpackError::read)?;
    each(&mut reader, Whiteouts::Meant, |seen, content| match seen {
        Seen::Opaque(directory) => visit(Asked::Opaque(directory), content),
        Seen::Entry(Entry { kind: Kind::Whiteout, path, .. }) => {
            visit(Asked::Whiteout(path), content)
        }
        Seen::Entry(entry) if entry.path.is_empty() => Ok(()),
        Seen::Entry(entry) => visit(Asked::Put(entry), content),
    })?;
    io::copy(&mut reader, &mut io::sink()).map_err(UnpackError::read)?;
    Ok(())
}

struct Each<'a>(&'a mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), UnpackError>);

impl Visitor for Each<'_> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), UnpackError> {
        (self.0)(entry, content)
    }

    fn opaque(&mut self, _: &[u8]) -> Result<(), UnpackError> {
        Ok(())
    }
}

struct Collect<'a> {
    changes: Vec<Change>,
    spill: &'a Path,
}

impl Visitor for Collect<'_> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), UnpackError> {
        let body = match entry.kind {
            Kind::File { size: 0 } => Body::Empty,
            Kind::File { size } if size > IN_MEMORY => self.spill(entry, content)?,
            Kind::File { .. } => {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes).map_err(UnpackError::read)?;
                Body::Bytes(bytes.into())
            }
            _ => Body::Empty,
        };
        self.changes.push(Change { entry: entry.clone(), body });
        Ok(())
    }

    fn opaque(&mut self, _: &[u8]) -> Result<(), UnpackError> {
        Ok(())
    }
}

impl Collect<'_> {
    fn spill(&self, entry: &Entry, content: &mut dyn Read) -> Result<Body, UnpackError> {
        let failed = |source| UnpackError::write(&entry.path, source);
        let mut file =
            tempfile::Builder::new().prefix("entry-").tempfile_in(self.spill).map_err(failed)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            let read = content.read(&mut buffer).map_err(UnpackError::read)?;
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read]).map_err(failed)?;
        }
        let path = file.into_temp_path().keep().map_err(|it| failed(it.error))?;
        Ok(Body::Path(OnDisk::file(path)))
    }
}
