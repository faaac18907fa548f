//! One file per subcommand.

pub(crate) mod build;
pub(crate) mod call;
pub(crate) mod context;
pub(crate) mod copy;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod du;
pub(crate) mod explain;
pub(crate) mod inspect;
pub(crate) mod lint;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod parse;
pub(crate) mod plan;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod tag;
