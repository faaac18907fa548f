//! What a layer consists of: entries, changes, the index of a layer.

use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// One file system object in a layer, as a tar header has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Bytes, relative to the root, without leading or trailing slash: `usr/bin/env`. Empty is the
    /// root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Whole seconds since 1970.
    pub mtime: i64,
    /// Extended attributes by full name, e.g. `security.capability`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A regular file of so many bytes.
    File {
        /// In bytes.
        size: u64,
    },
    /// A directory.
    Directory {
        /// Whether it hides what lower layers have in it (`.wh..wh..opq`).
        opaque: bool,
    },
    /// A symbolic link.
    Symlink {
        /// As written.
        target: Vec<u8>,
    },
    /// A further name of an entry of this layer.
    Hardlink {
        /// Path of the first name, in the form of [`Entry::path`].
        target: Vec<u8>,
    },
    /// A character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// The path is deleted from lower layers (`.wh.NAME` in the tar; `path` is the name without it).
    Whiteout,
}

/// An entry and where its content is.
#[derive(Clone, Debug)]
pub struct Change {
    /// The header.
    pub entry: Entry,
    /// The content.
    pub body: Body,
}

/// The content of a regular file.
#[derive(Clone, Debug)]
pub enum Body {
    /// Nothing: not a regular file, or an empty one.
    Empty,
    /// In a file of this machine.
    Path(OnDisk),
    /// In a file of this machine that was hashed before: it must still be the same.
    Known(OnDisk, ContentHash),
    /// In memory.
    Bytes(Arc<[u8]>),
}

/// Where a file of this machine is. Of many files in one folder the folder's path is kept once.
#[derive(Clone, Debug)]
pub struct OnDisk {
    folder: Arc<PathBuf>,
    /// How much of the end of the entry's path is the path within the folder.
    tail: u32,
}

impl OnDisk {
    /// This file.
    pub fn file(path: PathBuf) -> OnDisk {
        OnDisk { folder: Arc::new(path), tail: 0 }
    }

    /// The file below `folder` whose path there is as long as `within`, which the entry's path ends
    /// with.
    pub fn below(folder: &Arc<PathBuf>, within: &[u8]) -> OnDisk {
        let tail = u32::try_from(within.len()).expect("paths are short");
        OnDisk { folder: Arc::clone(folder), tail }
    }

    /// The path of the file for `entry`.
    pub fn path(&self, entry: &Entry) -> Cow<'_, Path> {
        match self.tail as usize {
            0 => Cow::Borrowed(&self.folder),
            tail => {
                let within = &entry.path[entry.path.len() - tail..];
                Cow::Owned(self.folder.join(OsStr::from_bytes(within)))
            }
        }
    }
}

/// The BLAKE3 hash of a regular file's content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ContentHash(pub [u8; 32]);

/// What a layer holds, without contents. Kept of each layer once seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// In tar order.
    pub entries: Vec<IndexEntry>,
    /// The contents of `etc/passwd` and `etc/group`, where this layer has them as regular files.
    pub files: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// An entry and the hash of its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// The header.
    pub entry: Entry,
    /// For regular files.
    pub content: Option<ContentHash>,
}

/// How a layer's blob is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip at this level, 1 to 9.
    Gzip(u32),
    /// zstd at this level, 1 to 22.
    Zstd(i32),
}

impl Compression {
    /// The level that gives blobs no larger than BuildKit's, at the least cost.
    pub const DEFAULT_GZIP: u32 = 5;

    /// The OCI media type of a layer packed like this.
    pub fn media_type(self) -> &'static str {
        match self {
            Compression::None => strake_oci::media_type::OCI_LAYER,
            Compression::Gzip(_) => strake_oci::media_type::OCI_LAYER_GZIP,
            Compression::Zstd(_) => strake_oci::media_type::OCI_LAYER_ZSTD,
        }
    }
}
