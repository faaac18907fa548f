//! A set of file changes into tar, diff id, compressed blob and digest in one pass; and back.

mod types;
pub use types::*;
