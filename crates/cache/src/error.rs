//! What can go wrong with the store.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The store could not do what was asked. A miss is not an error.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room left, or the quota is used up.
    #[error("no space left on the disk of the store, at {path}")]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// As the system said it.
        source: io::Error,
    },
    /// The store's folder cannot be made or written.
    #[error("the store {path} is not writable")]
    NotWritable {
        /// The store's folder.
        path: PathBuf,
        /// As the system said it.
        source: io::Error,
    },
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    Io {
        /// A verb: `write`, `rename`, ...
        action: &'static str,
        /// Of what.
        path: PathBuf,
        /// As the system said it.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether a full disk is the cause.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, StoreError::DiskFull { .. })
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            StoreError::DiskFull { .. } => {
                Some("`strake prune` makes room, or `--store` names a folder on another disk")
            }
            StoreError::NotWritable { .. } => Some("`--store` names a folder that you may write"),
            StoreError::Io { .. } => None,
        }
    }

    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> StoreError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::DiskFull { path, source }
            }
            _ => StoreError::Io { action, path, source },
        }
    }
}

/// Names the action and the path of a failed file operation.
pub(crate) trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::new(action, path, source))
    }
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|errno| StoreError::new(action, path, errno.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Context as _, StoreError};
    use std::{io, path::Path};

    #[test]
    fn a_full_disk_is_named_as_one() {
        for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
            let failed: Result<(), _> = Err(errno).context("write", Path::new("/store/blob"));
            let error = failed.unwrap_err();
            assert!(error.is_disk_full(), "{errno}");
            assert!(error.to_string().contains("/store/blob"), "{error}");
            assert!(error.hint().is_some());
        }
        let other: Result<(), StoreError> =
            Err(io::Error::from(io::ErrorKind::NotFound)).context("open", Path::new("x"));
        assert!(!other.unwrap_err().is_disk_full());
    }
}
