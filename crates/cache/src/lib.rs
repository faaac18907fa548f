//! The store: finished steps by key and blobs by digest, on disk, shared by concurrent builds.
//!
//! Invariant: how keys are made is not known here; they arrive finished.
//! Invariant: nothing is half there. Files are written beside the store's content and renamed. What a
//! crash of the machine may cut short after that is noticed: a record carries a checksum, a small blob
//! is hashed when it is read, a large one was made durable; what does not match is a miss and is removed.
//! Invariant: a record never promises more than the store holds. A step whose layer is gone is a miss.
//! Invariant: what a running build has used since it began is never removed ([`Store::prune`]).
//!
//! On disk, below the store's folder:
//!
//! | Path | What |
//! |---|---|
//! | `blobs/sha256/ab/HEX` | blobs by digest |
//! | `layers/DIFFID/COMPRESSION` | where a layer's blob is, and its content identity |
//! | `indexes/DIFFID` | what a layer holds, without contents |
//! | `steps/ab/KEY` | results of steps, with the record behind the key |
//! | `equal/HEX` | layers by what they stand on and their content identity |
//! | `last/HEX` | the last key record of a place in a Dockerfile, to explain misses |
//! | `earlier/HEX` | the last layer of a place and its compressed blocks, to make the next faster |
//! | `images/HEX` | names of images |
//! | `fetched/HEX` | files of web servers, as last seen |
//! | `git/HEX` | bare copies of Git repositories |
//! | `snapshots/FORM/DIFFID/fs` | unpacked layers |
//! | `snapshots/FORM/DIFFID/boot` | the boot of the machine that made or last checked them |
//! | `sizes/FORM-DIFFID` | how large a snapshot is |
//! | `mounts/HEX/N` | cache mounts |
//! | `uploads/HEX` | pushes that are under way: the CLI's |
//! | `leases/NAME`, `tmp/NAME` | running builds, and their temporary files |
//! | `locks/HEX` | named locks that are held |

mod blobs;
mod earlier;
mod error;
mod fetched;
mod files;
mod images;
mod layers;
mod locks;
mod miss;
mod mounts;
mod prune;
mod record;
mod snapshots;
mod steps;
mod store;
mod temp;
mod usage;

pub use earlier::EarlierLayer;
pub use error::StoreError;
pub use fetched::FetchedFile;
pub use files::remove_tree;
pub use images::TaggedImage;
pub use layers::LayerRecord;
pub use locks::Guard;
pub use miss::{FieldChange, MissReason, explain};
pub use mounts::CacheMount;
pub use prune::{PruneOptions, PruneReport};
pub use steps::StepResult;
pub use store::{Leftovers, Store};
pub use temp::TempDir;
pub use usage::{UsageItem, UsageKind};
