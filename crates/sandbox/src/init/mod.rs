//! The processes of a sandbox: the outer one, which makes the namespaces and cleans up, and PID 1.
//!
//! The builder executes itself again under [`NAME`], as the [`starter`], which forks an *outer* process
//! for every run. That has one thread, enters new namespaces and forks *PID 1*, which mounts what needs
//! no spec. Then the outer process receives the spec on its standard input, prepares the root and hands
//! both on to PID 1, which sets up the other mounts, starts the program, reaps, and answers for the
//! identity engine. The standard input is also how both learn that the builder is gone: at its end
//! everything is killed.

pub(crate) mod child;
pub(crate) mod fsys;
pub(crate) mod outer;
mod pid1;
mod root;
pub(crate) mod stubs;
mod tree;

pub use child::ULIMITS;
pub use tree::INSECURE_DEVICES;

use crate::starter;

/// Under which name (argument zero) the program starts sandboxes.
pub(crate) const NAME: &str = "strake-sandbox-init";

/// Becomes the process that starts sandboxes if this program was executed as that; else returns at once.
///
/// To be called first thing in `main`.
#[expect(clippy::exit, reason = "this is the main function of that process")]
pub fn maybe_init() {
    if std::env::args_os().next().is_some_and(|name| name == NAME) {
        std::process::exit(starter::main());
    }
}
