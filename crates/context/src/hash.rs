//! Content hashes of files.

use crate::ContextError;
use rayon::prelude::*;
use rustix::fs::{FileType, Mode, OFlags};
use std::{io::Read, path::Path};

/// The BLAKE3 hash of a regular file's content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hash(pub [u8; 32]);

/// How much is read at once. Most source files fit.
const BUFFER: usize = 128 * 1024;

/// Hashes one regular file. Anything else in its place is an error.
pub fn hash_file(path: &Path) -> Result<Hash, ContextError> {
    hash_with(path, &mut vec![0; BUFFER])
}

/// Hashes many files on all cores, in the order given.
pub fn hash_all<P: AsRef<Path> + Sync>(paths: &[P]) -> Result<Vec<Hash>, ContextError> {
    paths
        .par_iter()
        .map_init(|| vec![0; BUFFER], |buffer, path| hash_with(path.as_ref(), buffer))
        .collect()
}

pub(crate) fn hash_with(path: &Path, buffer: &mut [u8]) -> Result<Hash, ContextError> {
    // Not blocking: something may have put a pipe into the place of the file.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags | OFlags::NONBLOCK, Mode::empty())
        .map_err(|error| ContextError::unreadable(path, error))?;
    let facts = rustix::fs::fstat(&fd).map_err(|error| ContextError::unreadable(path, error))?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        let why = std::io::Error::other("it is no regular file any more");
        return Err(ContextError::unreadable(path, why));
    }
    let mut file = std::fs::File::from(fd);
    let mut hasher = blake3::Hasher::new();
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(Hash(*hasher.finalize().as_bytes())),
            Ok(length) => {
                hasher.update(&buffer[..length]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ContextError::unreadable(path, error)),
        }
    }
}

pub(crate) fn buffer() -> Vec<u8> {
    vec![0; BUFFER]
}
