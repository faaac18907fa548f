//! A layer's blob back into files, or only into its index.

use crate::{
    Compression, EntryName, Index, TarError, Tree,
    extract::Extract,
    scan::{Nobody, Visitor, Whiteouts, scan},
    source,
};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};
use strake_oci::DiffId;

/// For whom a layer is unpacked. Directories of different forms must not be mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// For root's overlayfs: `trusted.overlay.*`, real owners, real devices.
    Root,
    /// For overlayfs in a user namespace with ranges of ids: `user.overlay.*`, owners as the namespace
    /// has them. Called inside of it.
    SubIds,
    /// For overlayfs in a user namespace with one id: every file is the caller's. Regular files and
    /// directories of others carry `user.strake.owner` = `UID:GID`. Devices are empty files that carry
    /// `user.strake.node` = `c:MAJOR:MINOR` or `b:..`.
    SingleId,
    /// For root without any mount: real owners, devices as for one id. Deletions are not there.
    Chroot,
    /// For a user without any namespace. As for one id; a file or directory whose mode would keep its
    /// owner out gets a wider one, and carries `user.strake.owner` = `UID:GID:MODE`. Deletions are not
    /// there: no overlay can be made of it.
    Unprivileged,
}

/// A layer could not be read or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The blob could not be read or decompressed.
    #[error("cannot read the layer")]
    Read {
        /// Why.
        source: io::Error,
    },
    /// The tar is damaged or uses what is not supported.
    #[error("cannot read the archive")]
    Tar {
        /// What is wrong.
        source: TarError,
    },
    /// The tar is another than the one announced.
    #[error("the layer's content is {got}, not {expected}")]
    WrongDiffId {
        /// What was announced.
        expected: DiffId,
        /// What came.
        got: DiffId,
    },
    /// A name leads out of the root.
    #[error("the archive has an entry named `{entry}`, which leads out of the root")]
    Escapes {
        /// The name, as written.
        entry: EntryName,
    },
    /// No Linux system has a place for it.
    #[error(
        "the archive has an entry of {length} bytes in its path, which begins with `{start}`; Linux allows 4095"
    )]
    PathTooLong {
        /// How it begins.
        start: EntryName,
        /// How long it is.
        length: usize,
    },
    /// A hard link leads out of the root.
    #[error("`{entry}` is a hard link to `{target}`, which leads out of the root")]
    LinkEscapes {
        /// The link's name, as written.
        entry: EntryName,
        /// Where it leads, as written.
        target: EntryName,
    },
    /// A hard link's first name is not in the layer.
    #[error("`{entry}` is a hard link to `{target}`, which is not in the layer")]
    NoLinkTarget {
        /// The link.
        entry: EntryName,
        /// What is missing.
        target: EntryName,
    },
    /// An entry is neither file, directory, link, device nor pipe.
    #[error("`{entry}` has the unknown type `{}`", flag.escape_ascii())]
    UnknownType {
        /// Its name.
        entry: EntryName,
        /// The type flag.
        flag: u8,
    },
    /// `etc/passwd` or `etc/group` is absurdly large.
    #[error("`{entry}` is larger than 16 MiB")]
    TooLarge {
        /// Which of them.
        entry: EntryName,
    },
    /// An entry could not be made.
    #[error("cannot write `{entry}`")]
    Write {
        /// Its path.
        entry: EntryName,
        /// Why.
        source: io::Error,
    },
    /// An extended attribute could not be set.
    #[error("cannot set the extended attribute `{name}` of `{entry}`")]
    Xattr {
        /// Whose.
        entry: EntryName,
        /// Which.
        name: EntryName,
        /// Why.
        source: io::Error,
    },
    /// The target directory could not be opened.
    #[error("cannot open {}", path.display())]
    Target {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl UnpackError {
    pub(crate) fn read(source: io::Error) -> UnpackError {
        // Damage found in the middle of a content arrives as an error of the stream.
        match source.downcast::<TarError>() {
            Ok(source) => UnpackError::Tar { source },
            Err(source) => UnpackError::Read { source },
        }
    }

    pub(crate) fn tar(source: TarError) -> UnpackError {
        match source {
            TarError::Io(source) => UnpackError::read(source),
            source => UnpackError::Tar { source },
        }
    }

    pub(crate) fn write(path: &[u8], source: impl Into<io::Error>) -> UnpackError {
        UnpackError::Write { entry: EntryName(path.to_vec()), source: source.into() }
    }
}

/// Unpacks a layer into `target`, an empty directory, as a lower layer of overlayfs.
///
/// The compression is detected; `Some(Compression::None)` only says not to look for one. All of the
/// blob is read. On an error the directory is left half filled.
pub fn unpack(
    blob: impl Read + Send,
    compression: Option<Compression>,
    expected: Option<DiffId>,
    target: &Path,
    form: Form,
) -> Result<Index, UnpackError> {
    unpack_onto(blob, compression, expected, target, form, &Tree::default())
}

/// Like [`unpack`], knowing what is below: parent directories for which the layer has no entry get
/// the mode and owner that they have there, and symbolic links in their place are followed.
pub fn unpack_onto(
    blob: impl Read + Send,
    compression: Option<Compression>,
    expected: Option<DiffId>,
    target: &Path,
    form: Form,
    below: &Tree,
) -> Result<Index, UnpackError> {
    let mut extract = Extract::new(target, form, below)?;
    let index = read(blob, compression, expected, &mut extract)?;
    extract.finish()?;
    Ok(index)
}

/// Reads what a layer holds, without writing anything.
pub fn read_index(blob: impl Read + Send, expected: Option<DiffId>) -> Result<Index, UnpackError> {
    read(blob, None, expected, &mut Nobody)
}

fn read(
    blob: impl Read + Send,
    compression: Option<Compression>,
    expected: Option<DiffId>,
    visitor: &mut dyn Visitor,
) -> Result<Index, UnpackError> {
    let detect = compression != Some(Compression::None);
    let work = |reader: &mut dyn Read| scan(reader, Whiteouts::Meant, visitor);
    let (index, got) = source::hashed(blob, detect, work)?;
    match expected {
        Some(expected) if expected != got => Err(UnpackError::WrongDiffId { expected, got }),
        _ => Ok(index),
    }
}
