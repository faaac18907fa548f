//! The inner pieces of a build, each as something that can be done again and again.
//!
//! `cargo bench -p strake-benches` measures their time, `cargo xtask counts` their instructions.
//! Data are made up, and the same in every run. Threads: one, where a piece can be told.

mod data;
mod layers;
mod steps;
mod trees;

/// Prepares a piece, and returns what does it once.
pub type Prepare = fn() -> Box<dyn FnMut()>;

/// A piece by its name.
pub struct Piece {
    /// What is measured.
    pub name: &'static str,
    /// How.
    pub prepare: Prepare,
}

/// All pieces.
pub const PIECES: &[Piece] = &[
    Piece { name: "tar", prepare: layers::tar },
    Piece { name: "hash", prepare: layers::hash },
    Piece { name: "gzip-1", prepare: layers::gzip_1 },
    Piece { name: "gzip-5", prepare: layers::gzip_5 },
    Piece { name: "gzip-9", prepare: layers::gzip_9 },
    Piece { name: "zstd-3", prepare: layers::zstd_3 },
    Piece { name: "repack", prepare: layers::repack },
    Piece { name: "index-of-gzip", prepare: layers::index_of_gzip },
    Piece { name: "index-of-zstd", prepare: layers::index_of_zstd },
    Piece { name: "unpack", prepare: layers::unpack },
    Piece { name: "stack", prepare: layers::stack },
    Piece { name: "walk", prepare: trees::walk },
    Piece { name: "walk-with-patterns", prepare: trees::walk_with_patterns },
    Piece { name: "ignore", prepare: trees::ignore },
    Piece { name: "diff", prepare: trees::diff },
    Piece { name: "parse", prepare: steps::parse },
    Piece { name: "plan", prepare: steps::plan },
    Piece { name: "key", prepare: steps::key },
    Piece { name: "look-up", prepare: steps::look_up },
];
