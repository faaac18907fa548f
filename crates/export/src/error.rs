//! Why an image could not be exported.

use std::{io, path::PathBuf};
use strake_layer::UnpackError;
use strake_oci::Digest;

/// Why an image could not be exported. Nothing stands under the asked name then, save for
/// [`local`](crate::local) into a folder that was there before.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Reading a blob or writing the output failed; the error names the path where there is one.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A blob is not what its descriptor says.
    #[error("blob {digest} has {found} bytes where its descriptor says {size}")]
    BlobSize {
        /// Of the blob.
        digest: Digest,
        /// What the descriptor says.
        size: u64,
        /// What the file has.
        found: u64,
    },
    /// A folder that should take an image is in use for something else.
    #[error("{dir} is not an OCI layout: {why}")]
    NotALayout {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A layer's tar cannot be read, or holds an entry that no extractor should follow.
    #[error("layer {digest}: {source}")]
    LayerUnreadable {
        /// Of the layer's blob.
        digest: Digest,
        /// What the reader says.
        source: UnpackError,
    },
    /// A layer's tar holds an entry that cannot be put where it says.
    #[error("layer {digest} has the entry `{entry}`: {why}")]
    EntryRefused {
        /// Of the layer's blob.
        digest: Digest,
        /// Its path, made printable.
        entry: String,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// A device node needs rights that the caller has not.
    #[error("cannot make the device node {path}")]
    DeviceRefused {
        /// Where it should stand.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
