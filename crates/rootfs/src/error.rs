//! What can go wrong with a root.

use std::{
    io,
    path::{Path, PathBuf},
};

/// A root could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    Io {
        /// A verb: `read`, `copy`, ...
        action: &'static str,
        /// Of what.
        path: PathBuf,
        /// As the system said it.
        source: io::Error,
    },
    /// A file that the layers' indexes promise is in none of the unpacked layers.
    #[error("{path} is in none of the unpacked layers")]
    LayerIncomplete {
        /// Path in the root.
        path: PathBuf,
    },
}

impl RootError {
    /// Whether a full disk is the cause.
    pub fn is_disk_full(&self) -> bool {
        let RootError::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Names the action and the path of a failed file operation.
pub(crate) trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, RootError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, RootError> {
        self.map_err(|error| RootError::Io { action, path: path.to_owned(), source: error.into() })
    }
}
