//! A set of file changes into tar, diff id, compressed blob and digest in one pass; and back.
//!
//! Invariant: where blobs are kept is unknown here.
//! Invariant: the bytes of a layer depend on the changes and the compression alone: not on the
//! number of threads, the machine, the clock or the umask.
//! Invariant: unpacking writes below the target and nowhere else.

mod archive;
mod blob;
mod blocks;
mod deflate_end;
mod dirs;
mod estargz;
mod estargz_toc;
mod extract;
mod gzip;
mod header;
mod index;
mod load;
mod name;
mod ordered;
mod pack;
mod reuse;
mod rewrite;
mod scan;
mod source;
mod sparse;
mod stack;
mod tar;
mod tree;
mod types;
mod unit;
mod unpack;

pub use archive::{Asked, each_change, each_entry, is_archive, is_archive_file, read_archive};
pub use blocks::{Blocks, InvalidBlocks};
pub use estargz::{estargz, is_estargz};
pub use index::{InvalidIndex, content_id, load_index, write_index};
pub use name::{EntryName, join, split};
pub use pack::{PackError, PackOptions, Packed, pack, repack};
pub use reuse::Previous;
pub use rewrite::{Rewritten, clamp_times, recompress};
pub use source::{DigestReader, decompress};
pub use tar::TarError;
pub use tree::{LinkGroup, Node, ResolveError, Tree};
pub use types::*;
pub use unpack::{Form, UnpackError, read_index, unpack, unpack_onto};
