//! What goes wrong while something is fetched.

use std::{io, time::Duration};
use strake_oci::Digest;

/// Something could not be fetched.
///
/// No variant ever holds a credential or the query of a URL.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// Not an address of a web server.
    #[error("`{url}` cannot be fetched: {why}")]
    BadUrl {
        /// As written, without secrets.
        url: String,
        /// Which rule it breaks.
        why: String,
    },
    /// No answer: name, connection or a broken stream.
    #[error("cannot fetch {url}: {why}")]
    Unreachable {
        /// The address.
        url: String,
        /// The chain of causes.
        why: String,
        /// Whether a connection was never made.
        connecting: bool,
    },
    /// The server does not understand https.
    #[error("cannot fetch {url}: the server does not speak TLS")]
    NoTls {
        /// The address.
        url: String,
    },
    /// The server's certificate is not trusted.
    #[error("cannot fetch {url}: the certificate is not trusted: {why}")]
    Certificate {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The connection ended before the file did.
    #[error("cannot fetch {url}: the connection ended after {come} of {promised} bytes")]
    Truncated {
        /// The address.
        url: String,
        /// How many bytes the server said that there are.
        promised: u64,
        /// How many came.
        come: u64,
    },
    /// What came is not coded as the server says.
    #[error("cannot fetch {url}: the server calls it gzip, and it is not: {why}")]
    Coding {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server stopped sending.
    #[error("cannot fetch {url}: the server sent nothing for {} seconds", waited.as_secs())]
    Stalled {
        /// The address.
        url: String,
        /// How long.
        waited: Duration,
    },
    /// The server answered, and not with the file.
    #[error("cannot fetch {url}: the server answered {status}{}", reason.map(|it| format!(" {it}")).unwrap_or_default())]
    Status {
        /// The address that answered.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it is called.
        reason: Option<&'static str>,
        /// Whether credentials were sent.
        signed_in: bool,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// The server sends on and on.
    #[error("cannot fetch {url}: more than {limit} redirects")]
    Redirects {
        /// The first address.
        url: String,
        /// How many were followed.
        limit: usize,
    },
    /// A redirect that cannot be followed.
    #[error("cannot fetch {url}: it redirects to {to}")]
    BadRedirect {
        /// The address.
        url: String,
        /// What is in the place of an address.
        to: String,
    },
    /// The file is another than the one wanted.
    #[error("{url} is {got}, not {expected} as --checksum says")]
    WrongChecksum {
        /// The address.
        url: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// A credential cannot be sent.
    #[error("the secret for {host} cannot stand in a header")]
    BadSecret {
        /// The host it is for.
        host: String,
    },
    /// Something has emptied the store.
    #[error("what was fetched from {url} is not in the store any more")]
    Gone {
        /// The address.
        url: String,
    },
    /// There is no `git` here.
    #[error("cannot fetch {remote}: git is not installed")]
    NoGit {
        /// The repository.
        remote: String,
    },
    /// There is no SSH agent.
    #[error("cannot fetch {remote}: no SSH agent was given")]
    NoAgent {
        /// The repository.
        remote: String,
    },
    /// `git` failed.
    #[error("cannot fetch {remote}: git {what}: {why}")]
    Git {
        /// The repository.
        remote: String,
        /// The command.
        what: String,
        /// What it said.
        why: String,
        /// Whether it went through ssh.
        ssh: bool,
        /// Whether credentials were sent.
        signed_in: bool,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{remote} has no branch, tag or commit `{reference}`")]
    NoReference {
        /// The repository.
        remote: String,
        /// As written.
        reference: String,
    },
    /// The reference is another commit than the one wanted.
    #[error("`{reference}` of {remote} is commit {got}, not {expected} as the checksum says")]
    WrongCommit {
        /// The repository.
        remote: String,
        /// As written.
        reference: String,
        /// What was asked for.
        expected: String,
        /// What it is.
        got: String,
    },
    /// The repository has no such folder.
    #[error("the folder `{folder}` of {remote} cannot be taken: {why}")]
    NoFolder {
        /// The repository.
        remote: String,
        /// As written.
        folder: String,
        /// What is the matter.
        why: &'static str,
    },
    /// An archive cannot be taken apart.
    #[error("cannot unpack {name}: {why}")]
    Archive {
        /// What it is called.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The build was ended.
    #[error("cancelled")]
    Cancelled,
    /// The options cannot be used.
    #[error("{0}")]
    Options(String),
    /// What was fetched cannot be written.
    #[error("cannot write what was fetched: {0}")]
    Write(std::sync::Arc<io::Error>),
    /// The store.
    #[error(transparent)]
    Store(std::sync::Arc<strake_cache::StoreError>),
}

impl From<strake_cache::StoreError> for RemoteError {
    fn from(error: strake_cache::StoreError) -> RemoteError {
        RemoteError::Store(std::sync::Arc::new(error))
    }
}

impl From<io::Error> for RemoteError {
    fn from(error: io::Error) -> RemoteError {
        RemoteError::Write(std::sync::Arc::new(error))
    }
}
