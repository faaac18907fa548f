//! One file per subcommand.

pub(crate) mod build;
pub(crate) mod call;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod du;
pub(crate) mod parse;
pub(crate) mod prune;
