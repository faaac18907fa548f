//! The data model of container images: digests, descriptors, platforms, references, configs, manifests.
//!
//! Invariant: no IO, no HTTP, no files.
//! Invariant: serialising the same value gives the same bytes: maps are sorted, order of fields is fixed.
//! Invariant: raw bytes travel with what was parsed from them ([`Raw`]): a digest is theirs.

mod config;
mod digest;
mod manifest;
mod platform;
mod reference;

pub use config::{Config, Healthcheck, History, ImageConfig, RootFs};
pub use digest::{DiffId, Digest, InvalidDigest};
pub use manifest::{Descriptor, Index, Manifest, Raw, media_type};
pub use platform::{InvalidPlatform, Platform};
pub use reference::{InvalidReference, Reference};
