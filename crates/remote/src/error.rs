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
    /// The server's certificate is not trusted.
    #[error("cannot fetch {url}: the certificate is not trusted: {why}")]
    Certificate {
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

impl RemoteError {
    /// What to do about it, where something is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            RemoteError::Unreachable { .. } | RemoteError::Stalled { .. } => {
                "check the address, the network and the proxy settings".to_owned()
            }
            RemoteError::Certificate { .. } => {
                "name a bundle with the server's certificate authority in SSL_CERT_FILE".to_owned()
            }
            RemoteError::Status { url, status: 401 | 403, signed_in: false, .. } => {
                let host = crate::address::parse(url).ok()?;
                let host = host.host_str().unwrap_or_default();
                format!("give credentials with --secret id=HTTP_AUTH_TOKEN_{host},src=FILE")
            }
            RemoteError::Status { status: 401 | 403, .. } => {
                "the secret for this host was sent and refused: is it the right one?".to_owned()
            }
            RemoteError::Status { status: 404 | 410, .. } => "check the address".to_owned(),
            RemoteError::WrongChecksum { got, .. } => {
                format!("if the new file is the right one, write --checksum={got}")
            }
            RemoteError::NoGit { .. } => {
                "install git, e.g. with `apt-get install git` or `apk add git`".to_owned()
            }
            RemoteError::NoAgent { .. } => {
                "give one with --ssh default, where SSH_AUTH_SOCK names a running agent".to_owned()
            }
            RemoteError::Git { why, ssh, signed_in, .. } => return git_hint(why, *ssh, *signed_in),
            RemoteError::NoReference { reference, .. }
                if reference.bytes().all(|it| it.is_ascii_hexdigit()) =>
            {
                "a commit is written with all of its 40 digits".to_owned()
            }
            RemoteError::WrongCommit { got, .. } => {
                format!("if the new commit is the right one, write {got}")
            }
            RemoteError::Store(error) => return error.hint().map(str::to_owned),
            RemoteError::BadUrl { .. }
            | RemoteError::Status { .. }
            | RemoteError::Redirects { .. }
            | RemoteError::BadRedirect { .. }
            | RemoteError::BadSecret { .. }
            | RemoteError::NoReference { .. }
            | RemoteError::NoFolder { .. }
            | RemoteError::Archive { .. }
            | RemoteError::Cancelled
            | RemoteError::Options(_)
            | RemoteError::Write(_) => return None,
        })
    }
}

/// What to do after what git said.
fn git_hint(why: &str, ssh: bool, signed_in: bool) -> Option<String> {
    let says = |words: &[&str]| words.iter().any(|it| why.contains(it));
    let hint = if ssh && says(&["Permission denied", "Could not read from remote"]) {
        "does the agent that --ssh gives hold a key for this repository?"
    } else if signed_in && says(&["redirect"]) {
        "write the address that it redirects to: credentials are not sent on"
    } else if signed_in && says(&["Authentication failed", "401", "403", "not found"]) {
        "the secret for this repository was sent and refused: is it the right one?"
    } else if says(&["could not read Username", "Authentication failed", "401", "403", "not found"])
    {
        "check the address; for a private repository give --secret id=GIT_AUTH_TOKEN,env=NAME"
    } else if says(&["resolve host", "connect", "timed out", "unreachable"]) {
        "check the address, the network and the proxy settings"
    } else {
        return None;
    };
    Some(hint.to_owned())
}
