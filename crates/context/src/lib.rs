//! The build context: ignore rules, walking, content digests of selected files.
//!
//! Invariant: what COPY means is not known here.
//! Invariant: nothing is walked that nobody asked for, and no excluded directory is entered unless
//! a later `!` pattern can match below it.
//! Invariant: no clock and no environment; the stat index gets its path from the caller.

mod dockerignore;
mod entry;
mod glob;
mod hash;
mod pattern;
mod patterns;
mod stat_index;
mod walk;
mod wild;

pub use dockerignore::{ignore_file, read_patterns};
pub use entry::{Entry, Kind};
pub use glob::{BadPattern, clean, glob_match, has_wildcard};
pub use hash::{Hash, hash_all, hash_file};
pub use patterns::{Matched, Patterns};
pub use stat_index::StatIndex;
pub use walk::{Context, Owners};

use std::path::PathBuf;

/// What can go wrong with a build context.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The context is missing or not a directory.
    #[error("the build context {path} is not a directory")]
    NotADirectory {
        /// As given.
        path: PathBuf,
    },
    /// A pattern is not one that Go's `filepath.Match` takes.
    #[error("syntax error in pattern `{pattern}`")]
    BadPattern {
        /// As written.
        pattern: String,
    },
    /// A directory cannot be listed or an entry's facts cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// On this machine.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A path goes through more symbolic links than Linux follows.
    #[error("too many symbolic links in {path}")]
    LinkLoop {
        /// Relative to the context.
        path: String,
    },
    /// The stat index cannot be written.
    #[error("cannot write the stat index")]
    Index(#[source] std::io::Error),
}

impl ContextError {
    pub(crate) fn unreadable(
        path: impl Into<PathBuf>,
        source: impl Into<std::io::Error>,
    ) -> ContextError {
        ContextError::Unreadable { path: path.into(), source: source.into() }
    }
}
