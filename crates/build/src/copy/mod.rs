//! What COPY and ADD mean: which files, and what becomes of them in the image.
//!
//! Two steps, so that a step's key needs no destination: [`select`] looks the sources up and
//! hashes them, [`changes`] places them in a root. Both follow BuildKit, corner by corner; where a
//! rule looks odd, the test tables say which experiment it is from.
//!
//! Invariant: the destination is never touched, only its merged [`strake_layer::Tree`]
//! is asked.
//! Invariant: nothing is fetched here; sources from elsewhere arrive as [`Fetched`].
//! Invariant: owners and modes of a stage's files come from its tree, never from disk.

mod archive;
mod destination;
mod error;
mod fetched;
mod filter;
mod mode;
mod place;
mod record;
mod select;
mod source;

pub use error::CopyError;
pub use fetched::Fetched;
pub use place::{Placed, changes};
pub use select::{Selection, select};
pub use source::SourceTree;
use strake_layer::{join, split};

/// A path as text for people: bytes that are not UTF-8 are escaped.
pub(crate) fn shown(path: &[u8]) -> String {
    strake_layer::EntryName(path.to_vec()).to_string()
}

/// A path from the root without leading slash, `.` and `..`: what is above the root is the root.
fn rooted(path: &[u8]) -> Vec<u8> {
    let cleaned = strake_context::clean(&[b"/", path].concat());
    cleaned[1..].to_vec()
}
