//! What to do about what went wrong.

use crate::RemoteError;

impl RemoteError {
    /// What to do about it, where something is known.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            RemoteError::Unreachable { .. } | RemoteError::Stalled { .. } => NETWORK,
            RemoteError::Truncated { .. } => {
                "try again; the server, or a proxy before it, cuts its answers off"
            }
            RemoteError::Coding { .. } => {
                "the file is damaged, or the server's Content-Encoding is wrong"
            }
            RemoteError::NoTls { url } => {
                let plain = url.replacen("https", "http", 1);
                return Some(format!("write {plain}, if it may come unprotected"));
            }
            RemoteError::Certificate { why, .. } => certificate(why),
            RemoteError::Status { url, status, signed_in, .. } => {
                return of_status(url, *status, *signed_in);
            }
            RemoteError::Redirects { .. } | RemoteError::BadRedirect { .. } => {
                "write the address that the file really has"
            }
            RemoteError::WrongChecksum { got, .. } => {
                return Some(format!("if the new file is the right one, write --checksum={got}"));
            }
            RemoteError::BadSecret { .. } => "the secret is one line of printable characters",
            RemoteError::Gone { .. } => {
                "build again; nothing may remove files of the store meanwhile"
            }
            RemoteError::NoGit { .. } => {
                "install git, e.g. with `apt-get install git` or `apk add git`"
            }
            RemoteError::NoAgent { .. } => {
                "give one with --ssh default, where SSH_AUTH_SOCK names a running agent"
            }
            RemoteError::Git { why, ssh, signed_in, .. } => return of_git(why, *ssh, *signed_in),
            RemoteError::NoReference { remote, reference } => {
                return Some(of_reference(remote, reference));
            }
            RemoteError::WrongCommit { got, .. } => {
                return Some(format!("if the new commit is the right one, write {got}"));
            }
            RemoteError::NoFolder { .. } => "folders are written from the root of the repository",
            RemoteError::Store(error) => return error.hint().map(str::to_owned),
            RemoteError::BadUrl { .. }
            | RemoteError::Archive { .. }
            | RemoteError::Cancelled
            | RemoteError::Options(_)
            | RemoteError::Write(_) => return None,
        };
        Some(text.to_owned())
    }
}

const NETWORK: &str = "check the address, the network and the proxy settings";
const AUTHORITY: &str = "name a bundle with the authority that made it in SSL_CERT_FILE";

fn certificate(why: &str) -> &'static str {
    if why.contains("not valid for name") {
        "write the name that the certificate is for"
    } else if why.ends_with("clock") {
        "is the clock of this machine right? if it is, the server needs a new certificate"
    } else {
        AUTHORITY
    }
}

fn of_status(url: &str, status: u16, signed_in: bool) -> Option<String> {
    Some(match status {
        401 | 403 if signed_in => {
            "the secret for this host was sent and refused: is it the right one?".to_owned()
        }
        401 | 403 => {
            let url = crate::address::parse(url).ok()?;
            let host = url.host_str()?;
            format!("give credentials with --secret id=HTTP_AUTH_TOKEN_{host},src=FILE")
        }
        404 | 410 => "check the address".to_owned(),
        429 | 500.. => "the server was asked several times; try again later".to_owned(),
        _ => return None,
    })
}

fn of_reference(remote: &str, reference: &str) -> String {
    if reference.len() < 40 && reference.bytes().all(|it| it.is_ascii_hexdigit()) {
        return "a commit is written with all of its 40 digits".to_owned();
    }
    format!("`git ls-remote {remote}` lists those that there are")
}

/// What to do after what git said.
fn of_git(why: &str, ssh: bool, signed_in: bool) -> Option<String> {
    let says = |words: &[&str]| words.iter().any(|it| why.contains(it));
    let hint = if ssh && says(&["Permission denied", "Could not read from remote"]) {
        "does the agent that --ssh gives hold a key for this repository?"
    } else if signed_in && says(&["redirect"]) {
        "write the address that it redirects to: credentials are not sent on"
    } else if says(&["certificate"]) {
        AUTHORITY
    } else if signed_in && says(&["Authentication failed", "401", "403", "not found"]) {
        "the secret for this repository was sent and refused: is it the right one?"
    } else if says(&["could not read Username", "Authentication failed", "401", "403", "not found"])
    {
        "check the address; for a private repository give --secret id=GIT_AUTH_TOKEN,env=NAME"
    } else if says(&["resolve host", "connect", "timed out", "unreachable"]) {
        NETWORK
    } else {
        return None;
    };
    Some(hint.to_owned())
}
