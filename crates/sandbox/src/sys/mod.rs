//! The only place for `unsafe`: one small wrapper for each call that rustix does not have.

pub(crate) mod diag;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod net;
pub(crate) mod notify;
pub(crate) mod process;
pub(crate) mod seccomp;
pub(crate) mod trace;
