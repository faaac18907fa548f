//! A [`Keychain`](strake_registry::Keychain) for Amazon ECR, and repositories made when they are missing.
//!
//! Invariant: no image and no blob; the registry protocol is `strake-registry`'s.
//! Invariant: AWS credentials come from the AWS SDK's own chain, which reads the environment, profiles and
//! metadata services as every AWS tool does. It is asked only for names that are ECR's.
//! Invariant: no credential and no token stands in an error or a `Debug`.

mod api;
mod connector;
mod host;
mod keychain;
mod permission;
mod repository;

pub use host::{EcrHost, recognise};
pub use keychain::{Ecr, EcrOptions};
pub use permission::hint;
pub use repository::{CreateOptions, InvalidOption};
