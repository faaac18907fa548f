//! Runs one process over a given root, isolated, without root.

mod enter;
mod identity;
mod init;
mod notify;
mod overlay;
mod run;
mod seccomp;
mod spec;
mod subid;
mod sys;
mod wire;

pub use enter::{EnterError, EnterOptions, Privilege, enter};
pub use identity::record::{NODE_ATTRIBUTE, OWNER_ATTRIBUTE};
pub use init::maybe_init;
pub use overlay::overlay_works;
pub use run::{CancelToken, ExitStatus, Finished, Output, Owner, RunError, run};
pub use spec::{Identity, Mount, MountSource, Network, RootSpec, RunSpec, Ulimit};

/// Ways to run a process, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// User, mount, pid, ipc and uts namespaces.
    Namespaces,
}
