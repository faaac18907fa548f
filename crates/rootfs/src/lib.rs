//! A writable root over a stack of unpacked layers, and what changed in it.
//!
//! Invariant: no tar and no compression; layers come unpacked and leave as [`Change`]s.
//! Invariant: the unpacked layers are never written to.
//! Invariant: nothing is mounted here. The mount is the sandbox's, and ends with the process.
//!
//! [`Change`]: strake_layer::Change

mod changes;
mod copy;
mod error;
mod inspect;
mod plain;
mod root;
mod users;

pub use copy::{copy_tree, set_mode, set_owner};
pub use error::RootError;
pub use root::{Prepare, Root};
pub use users::{Owner, UserError, UserInfo, lookup_chown, lookup_user, numeric_owner};
