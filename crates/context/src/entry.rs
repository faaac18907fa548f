//! What a context knows of one file.

use rustix::fs::{FileType, Stat};

/// One file system object of the context. Owners are not kept: in an image they are 0:0.
///
/// Nor are extended attributes: BuildKit sends them, but drops `security.capability` with its own
/// chown, and a layer carries no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Bytes, relative to the context, without leading or trailing slash. Empty is the context.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Modification time, seconds.
    pub mtime: i64,
    /// Modification time, nanoseconds within the second.
    pub mtime_nanos: u32,
    /// Change time, in nanoseconds.
    pub ctime_nanos: i128,
    /// Device and inode: equal for further names of one file.
    pub inode: (u64, u64),
    /// How many names the inode has.
    pub names: u64,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of so many bytes.
    File {
        /// In bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// As written.
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
    /// A socket.
    Socket,
}

impl Entry {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Puts together what `lstat` and, for a link, `readlink` say.
    pub(crate) fn new(path: Vec<u8>, stat: &Stat, target: Vec<u8>) -> Entry {
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink { target },
            FileType::CharacterDevice => Kind::Character { major, minor },
            FileType::BlockDevice => Kind::Block { major, minor },
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            _ => Kind::File { size: u64::try_from(stat.st_size).unwrap_or(0) },
        };
        Entry {
            path,
            kind,
            mode: stat.st_mode & 0o7777,
            mtime: stat.st_mtime,
            mtime_nanos: stat.st_mtime_nsec as u32,
            ctime_nanos: i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec),
            inode: (stat.st_dev, stat.st_ino),
            names: stat.st_nlink,
        }
    }
}
