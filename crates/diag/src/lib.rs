//! Where text positions live, and how problems are described and rendered.
//!
//! Invariant: no Dockerfile knowledge, and nothing is printed.

use serde::{Deserialize, Serialize};

/// A range of bytes in a source text, end exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}
