//! The distribution protocol: resolve, pull, push, mount, retry, resume; layouts and archives.
//!
//! Invariant: no cloud is known here; credentials come from a [`Keychain`].
//! Invariant: no clock, no environment (proxies excepted, on request), no printing; nothing is kept.
//! Invariant: what is returned as pulled has been checked against its digest and size.
//! Invariant: credentials go to the registry they are for and its token server, never after a
//! redirect, and stand in no error and no `Debug`.
//! Invariant: async stays inside; the API blocks.

mod auth;
mod cause;
mod challenge;
mod chunks;
mod client;
mod date;
mod docker_archive;
mod docker_config;
mod document;
mod error;
mod feed;
mod helper;
mod image;
mod index;
mod keep_login;
mod keychain;
mod layout;
mod link;
mod manifests;
mod mirrors;
#[doc(hidden)]
pub mod parsers;
mod pull;
mod push;
mod referrers;
mod retry;
mod retry_after;
mod select;
mod sign_in;
mod tagged;
mod tls;
mod transport;
mod tree;
mod trees;
mod web;

pub use chunks::{Chunks, Journal, JournalEntry};
pub use client::{
    Certificates, Client, HostTls, IsWhole, MakeRepository, OnRetry, Options, Patience, Proxies,
};
pub use date::http_date;
pub use docker_archive::DockerArchive;
pub use docker_config::DockerConfig;
pub use document::Resolved;
pub use error::Error;
pub use feed::Open;
pub use image::{PushEvent, PushImage, PushLayer, PushSource, Pushed};
pub use index::PushIndex;
pub use keep_login::{Forgotten, Kept, forget_login, keep_login};
pub use keychain::{Anonymous, Credentials, Keychain, KeychainError};
pub use layout::Layout;
pub use mirrors::Mirror;
pub use push::{MountOutcome, PushOutcome};
pub use retry::{Retries, Retry};
pub use retry_after::retry_after;
pub use select::select;
pub use tree::{PushDocument, PushTree};
pub use trees::{Copied, Part, resolve_with};
pub use web::{WebOptions, is_loopback, web_client, web_error};
