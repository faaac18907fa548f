//! What can go wrong between here and a registry, with the data to act on.

use crate::cause::{NO_ADDRESS, NO_TLS, PROXY};
use std::{io, path::PathBuf, time::Duration};
use strake_oci::{Digest, Platform};

/// A failure to talk to a registry, or an answer that cannot be used.
///
/// No variant ever holds a credential, a token or the query of a URL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No manifest has this name.
    #[error("{reference} was not found")]
    NotFound {
        /// The image asked for.
        reference: String,
    },
    /// The registry wants its repositories to be made before something is pushed to them.
    #[error("{registry} has no repository {repository}{}", told(message))]
    RepositoryMissing {
        /// Host and port.
        registry: String,
        /// Repository within it.
        repository: String,
        /// The registry's own words.
        message: Option<String>,
    },
    /// The registry does not have a blob that a manifest names.
    #[error("{registry}/{repository} has no blob {digest}")]
    BlobMissing {
        /// Host and port.
        registry: String,
        /// Repository within it.
        repository: String,
        /// The blob.
        digest: Digest,
    },
    /// The image exists, for other platforms.
    #[error("{reference} has no image for {wanted}; it has {}", listed(available))]
    PlatformMissing {
        /// The image asked for.
        reference: String,
        /// The platform asked for.
        wanted: Box<Platform>,
        /// What there is.
        available: Vec<Platform>,
    },
    /// Credentials are missing, or were refused.
    #[error("{registry} {}{}", if *signed_in { "refused the credentials" } else { "asks for credentials" }, told(message))]
    Unauthorized {
        /// Host and port.
        registry: String,
        /// Whether credentials were sent.
        signed_in: bool,
        /// The registry's own words.
        message: Option<String>,
    },
    /// The registry knows who asks, and says no.
    #[error("{registry} denied {request}{}", told(message))]
    Denied {
        /// Host and port.
        registry: String,
        /// Method and URL, without its query.
        request: String,
        /// Whether credentials were sent.
        signed_in: bool,
        /// The registry's own words.
        message: Option<String>,
    },
    /// No answer: name, connection, TLS or a broken stream.
    #[error("cannot reach {registry}: {cause}")]
    Unreachable {
        /// Host and port.
        registry: String,
        /// The chain of causes, without secrets.
        cause: String,
        /// Whether a connection was never made.
        connecting: bool,
    },
    /// The server's certificate is not trusted.
    #[error("the certificate of {registry} is not trusted: {cause}")]
    Certificate {
        /// Host and port.
        registry: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The transfer stood still for too long.
    #[error("{registry} sent nothing for {} seconds", waited.as_secs())]
    Stalled {
        /// Host and port.
        registry: String,
        /// How long.
        waited: Duration,
    },
    /// The registry does not let a tag be written twice, and this one is another image's.
    #[error("{reference} stands for {holds} and cannot be made to stand for {pushed}")]
    TagTaken {
        /// The name.
        reference: String,
        /// What it stands for.
        holds: Digest,
        /// What was pushed.
        pushed: Digest,
    },
    /// The registry has forgotten an upload that was under way.
    #[error("{registry} lost the upload of {digest}")]
    UploadLost {
        /// Host and port.
        registry: String,
        /// The blob.
        digest: Digest,
    },
    /// The transfer was ended from this side, because another had failed.
    #[error("the transfer of {what} was stopped")]
    Stopped {
        /// A digest.
        what: String,
    },
    /// The client was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The bytes are not what their name says.
    #[error("{place} returned {got} for {asked}")]
    WrongDigest {
        /// Registry or folder.
        place: String,
        /// What was asked for.
        asked: Digest,
        /// What came.
        got: Digest,
    },
    /// There are more or fewer bytes than the descriptor says.
    #[error("{place} returned {got} bytes for {digest}, which has {asked}")]
    WrongSize {
        /// Registry or folder.
        place: String,
        /// The blob.
        digest: Digest,
        /// Size in the descriptor.
        asked: u64,
        /// What came.
        got: u64,
    },
    /// A document is larger than any honest one.
    #[error("{what} of {place} is larger than {limit} bytes")]
    TooLarge {
        /// Registry or folder.
        place: String,
        /// Which document.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A document does not say what it must.
    #[error("{what} of {place} cannot be read: {why}")]
    Malformed {
        /// Image, registry or folder.
        place: String,
        /// Which document.
        what: &'static str,
        /// Which rule it breaks.
        why: String,
    },
    /// The image is in a format that was retired.
    #[error("{reference} is a schema 1 image, a format that Docker retired in 2017")]
    SchemaOne {
        /// The image asked for.
        reference: String,
    },
    /// The media type of a manifest is none that strake knows.
    #[error("{reference} is a `{media_type}`, not an image")]
    NotAnImage {
        /// The image asked for.
        reference: String,
        /// What it says it is.
        media_type: String,
    },
    /// The registry answered with a status that the protocol does not have here.
    #[error("{request}: {status}{}{}", code.as_deref().map(|it| format!(" {it}")).unwrap_or_default(), told(message))]
    UnexpectedStatus {
        /// Host and port.
        registry: String,
        /// Method and URL, without its query.
        request: String,
        /// HTTP status.
        status: u16,
        /// Code from the registry's error document, e.g. `TOOMANYREQUESTS`.
        code: Option<String>,
        /// Message from the registry's error document.
        message: Option<String>,
        /// How long the registry asks to wait.
        retry_after: Option<Duration>,
    },
    /// A `Location` that cannot or must not be followed.
    #[error("{registry} sends {method} on to an address that cannot be used: {why}")]
    BadLocation {
        /// Host and port.
        registry: String,
        /// HTTP method.
        method: String,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// A `WWW-Authenticate` that cannot or must not be answered.
    #[error("{registry} asks for a login that strake cannot do: {why}")]
    BadChallenge {
        /// Host and port.
        registry: String,
        /// Which rule it breaks.
        why: String,
    },
    /// A repository could not be made.
    #[error("cannot make the repository {repository} in {registry}")]
    Repository {
        /// Host and port.
        registry: String,
        /// Repository within it.
        repository: String,
        /// Why.
        #[source]
        source: crate::KeychainError,
    },
    /// The keychain could not answer.
    #[error("credentials for {registry}")]
    Keychain {
        /// Host and port.
        registry: String,
        /// Why.
        #[source]
        source: crate::KeychainError,
    },
    /// Reading what is to be pushed, or an image layout.
    #[error("cannot read {what}")]
    Read {
        /// A path or a digest.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Writing what was pulled.
    #[error("cannot write {what}")]
    Write {
        /// A path or a digest.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The manifest names a layer that the caller did not bring.
    #[error("the manifest names {digest}, which is not among the image's blobs")]
    Incomplete {
        /// The blob.
        digest: Digest,
    },
    /// A certificate bundle, proxy or user agent that cannot be used.
    #[error("{what}: {why}")]
    BadOption {
        /// Which option.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The folder or archive is not an OCI image layout.
    #[error("{} is not an OCI image layout: {why}", path.display())]
    NotALayout {
        /// Folder or archive.
        path: PathBuf,
        /// Which rule it breaks.
        why: String,
    },
    /// The layout has several images, and none or more than one of that name.
    #[error("{} has no image `{wanted}`; it has {}", path.display(), names(available))]
    NotInLayout {
        /// Folder or archive.
        path: PathBuf,
        /// Tag or digest asked for.
        wanted: String,
        /// Names there are.
        available: Vec<String>,
    },
}

impl Error {
    /// What the person at the terminal may do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::NotFound { .. } => {
                "check the name and tag; a private image is reported like this when not signed in"
                    .to_owned()
            }
            Error::RepositoryMissing { .. } => {
                "make the repository first; check its name, too".to_owned()
            }
            Error::Unauthorized { registry, signed_in, .. } => sign_in(registry, *signed_in),
            Error::Denied { registry, signed_in: false, .. } => {
                format!("sign in with `strake login {registry}`")
            }
            Error::Denied { .. } => {
                "this account may not do that: check the repository's name and its permissions"
                    .to_owned()
            }
            Error::Unreachable { registry, cause, .. } => unreachable(registry, cause),
            Error::Stalled { .. } => {
                "check the network and the proxy settings, or try again later".to_owned()
            }
            Error::Certificate { registry, cause } => distrusted(registry, cause),
            Error::PlatformMissing { available, .. } if !available.is_empty() => {
                format!("choose one of them with --platform={}", available[0])
            }
            Error::TagTaken { .. } => {
                "tags are immutable in this repository: push under a new one".to_owned()
            }
            Error::NotInLayout { available, .. } if !available.is_empty() => {
                "add one of these names, or a digest, after the path".to_owned()
            }
            Error::Keychain { source, .. } | Error::Repository { source, .. } => {
                return source.hint();
            }
            Error::SchemaOne { .. } => {
                "push the image again with a current tool; any since 2016 writes schema 2"
                    .to_owned()
            }
            Error::WrongDigest { .. } | Error::WrongSize { .. } => {
                "the registry, or a proxy before it, serves damaged content".to_owned()
            }
            Error::UnexpectedStatus { status: 429, .. } => {
                "the registry limits requests: wait, or sign in for a higher limit".to_owned()
            }
            Error::UnexpectedStatus { status: 400, code: None, request, registry, .. }
                if request.contains(" http://") =>
            {
                format!("{registry} may want TLS: leave out `--plain-http {registry}`")
            }
            Error::UnexpectedStatus { status: 407, registry, .. } => proxy("HTTP_PROXY", registry),
            Error::UnexpectedStatus { status: 413, .. } => {
                "a proxy before the registry limits the size of uploads".to_owned()
            }
            Error::UnexpectedStatus { status: 500.., registry, .. } => {
                format!("{registry} has a fault of its own: try again later")
            }
            _ => return None,
        })
    }
}

fn unreachable(registry: &str, cause: &str) -> String {
    if cause.starts_with(PROXY) {
        return proxy("HTTPS_PROXY", registry);
    }
    if cause.starts_with(NO_TLS) {
        return format!("if that is right, allow it with `--plain-http {registry}`");
    }
    if cause.starts_with(NO_ADDRESS) {
        return "check the host name, and the name servers in /etc/resolv.conf".to_owned();
    }
    if cause.contains("Connection refused") {
        return "nothing listens there: check host and port, and whether the registry runs"
            .to_owned();
    }
    "check the host name, the network and the proxy settings".to_owned()
}

fn proxy(variable: &str, registry: &str) -> String {
    format!(
        "check {variable} (http://USER:PASSWORD@HOST:PORT); {registry} is reached without it where \
         NO_PROXY has it"
    )
}

fn distrusted(registry: &str, cause: &str) -> String {
    if cause.ends_with("clock") {
        return format!("check this machine's clock, then renew the certificate of {registry}");
    }
    if cause.starts_with("not valid for name") {
        return format!("call {registry} by a name that its certificate has");
    }
    format!(
        "give its authority's certificate with `--registry-ca {registry}=FILE`, or trust it unchecked \
         with `--insecure-registry {registry}`"
    )
}

fn sign_in(registry: &str, again: bool) -> String {
    if again {
        return format!(
            "sign in again with `strake login {registry}`, or correct the entry in config.json"
        );
    }
    format!(
        "sign in with `strake login {registry}`, or put the credentials into \
         $DOCKER_CONFIG/config.json; check the name too, for many registries answer like this when a \
         repository does not exist"
    )
}

fn listed(platforms: &[Platform]) -> String {
    let all: Vec<String> = platforms.iter().map(Platform::to_string).collect();
    names(&all)
}

fn names(all: &[String]) -> String {
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn told(message: &Option<String>) -> String {
    message.as_deref().map(|it| format!(": {it}")).unwrap_or_default()
}
