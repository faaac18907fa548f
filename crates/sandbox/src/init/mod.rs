//! The processes of a sandbox: the outer one, which makes the namespaces and cleans up, and PID 1.
//!
//! The builder executes itself again under [`NAME`]. That *outer* process has one thread, receives the
//! spec on its standard input, prepares the root, enters new namespaces and forks *PID 1*, which sets
//! up the mounts, starts the program, reaps, and answers for the identity engine. The standard input
//! is also how both learn that the builder is gone: at its end everything is killed.

pub(crate) mod child;
pub(crate) mod fsys;
mod outer;
mod pid1;
mod root;
pub(crate) mod stubs;
mod tree;

pub use child::ULIMITS;
pub use root::make_places;
pub use tree::INSECURE_DEVICES;

/// Under which name (argument zero) the program is the outer process of a sandbox.
pub(crate) const NAME: &str = "strake-sandbox-init";

/// Becomes the outer process of a sandbox if this program was started as one; else returns at once.
///
/// To be called first thing in `main`.
#[expect(clippy::exit, reason = "this is the main function of the sandbox process")]
pub fn maybe_init() {
    if std::env::args_os().next().is_some_and(|name| name == NAME) {
        std::process::exit(outer::main());
    }
}
