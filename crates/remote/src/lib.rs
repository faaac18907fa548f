//! Fetches what a build needs from elsewhere: files of web servers and Git repositories.
//!
//! Invariant: what COPY and ADD mean is not known here; what is fetched becomes a file or a folder.
//! Invariant: no clock, no environment (proxies excepted, on request), no printing.
//! Invariant: credentials go to the host they are for, never after a redirect to another one, on no
//! command line, and stand in no error, no record and no `Debug`.
//! Invariant: async stays inside; the API blocks.

mod address;
mod body;
mod error;
mod git;
mod hint;
mod http;
mod remote;
mod secrets;
mod unpack;

pub use error::RemoteError;
pub use git::{Checkout, Commit};
pub use http::HttpFile;
pub use remote::{GitOptions, Options, Remote};
pub use unpack::{Unpacked, unpack};
