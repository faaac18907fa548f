//! What users of the crate rely on, checked against GNU tar, Python's tarfile and the file system.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod archive;
mod estargz;
mod hostile;
mod index;
mod pack;
mod repack;
mod support;
mod tree;
mod unpack;
