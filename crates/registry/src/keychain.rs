//! Where credentials come from: a trait, so that this crate knows no cloud.

use std::{fmt, io, path::PathBuf};

/// A source of credentials.
///
/// Asked from a thread that may block, at most once for each login and again when a login was
/// refused; credentials that expire are the keychain's to renew.
pub trait Keychain: Send + Sync {
    /// The credentials for `registry`, a host with an optional port such as `docker.io`.
    fn credentials(&self, registry: &str) -> Result<Credentials, KeychainError>;

    /// The credentials for one repository, where a keychain keeps them apart.
    fn credentials_for(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Credentials, KeychainError> {
        let _ = repository;
        self.credentials(registry)
    }

    /// Whether what it gives for `registry` expires and it keeps and renews that itself: it is then asked
    /// before each request.
    fn renews(&self, registry: &str) -> bool {
        let _ = registry;
        false
    }

    /// Hears that what it gave for `registry` was refused; it is asked again.
    fn refused(&self, registry: &str) {
        let _ = registry;
    }
}

/// How to log in. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Without a login.
    Anonymous,
    /// User and password.
    Basic {
        /// User name.
        user: String,
        /// Password or access token.
        password: String,
    },
    /// An OAuth2 refresh token, given to the token server only.
    IdentityToken(String),
    /// A finished token, given to the registry as it is.
    RegistryToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::Anonymous => "Anonymous",
            Credentials::Basic { .. } => "Basic(..)",
            Credentials::IdentityToken(_) => "IdentityToken(..)",
            Credentials::RegistryToken(_) => "RegistryToken(..)",
        })
    }
}

/// Why there are no credentials. Never holds one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeychainError {
    /// The file is there and cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The config file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// The config file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file does not have the form that docker gives it.
    #[error("{}: {why}", path.display())]
    Malformed {
        /// The config file.
        path: PathBuf,
        /// Which rule it breaks.
        why: String,
    },
    /// The config names a credential helper that is not installed.
    #[error("{} names the credential helper `{helper}`, which is not on PATH", path.display())]
    HelperMissing {
        /// Name of the program.
        helper: String,
        /// The config file.
        path: PathBuf,
    },
    /// The credential helper could not be run.
    #[error("cannot run the credential helper `{helper}`")]
    HelperUnusable {
        /// Name of the program.
        helper: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The credential helper failed.
    #[error("the credential helper `{helper}` failed: {why}")]
    HelperFailed {
        /// Name of the program.
        helper: String,
        /// Its own words, or what is wrong with its answer.
        why: String,
    },
    /// A service that gives out credentials did not.
    #[error("{service}: {why}")]
    Service {
        /// Who was asked.
        service: &'static str,
        /// What it said.
        why: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

impl KeychainError {
    /// What the person at the terminal may do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            KeychainError::HelperMissing { helper, path } => Some(format!(
                "install `{helper}`, or remove it from credsStore and credHelpers in {}",
                path.display()
            )),
            KeychainError::Service { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}

/// Every registry without a login.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

impl Keychain for Anonymous {
    fn credentials(&self, _registry: &str) -> Result<Credentials, KeychainError> {
        Ok(Credentials::Anonymous)
    }
}
