//! Credentials of a repository, out of the address and the secrets, for git's environment.

use crate::{RemoteError, address::shown, secrets::Secrets};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Url;

/// An address without credentials, and the header that holds them.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) remote: String,
    /// `Authorization: ..`, and the beginning of the addresses that it is for.
    pub(super) header: Option<(String, String)>,
    /// Whether ssh is what speaks to the server.
    pub(super) ssh: bool,
}

impl Login {
    pub(super) fn new(remote: &str, secrets: &Secrets) -> Result<Login, RemoteError> {
        let Ok(mut url) = Url::parse(remote) else {
            // `user@host:path`, which has no place for a password.
            return Ok(Login { remote: remote.to_owned(), header: None, ssh: true });
        };
        if !matches!(url.scheme(), "http" | "https") {
            let ssh = url.scheme() == "ssh";
            return Ok(Login { remote: remote.to_owned(), header: None, ssh });
        }
        let written = written(&url);
        let _ = url.set_password(None);
        let _ = url.set_username("");
        let remote = String::from(url.clone());
        let header = secret(&url, secrets).or(written);
        if header.as_ref().is_some_and(|it| it.contains(['\r', '\n', '\0'])) {
            return Err(RemoteError::BadSecret { host: crate::address::host(&url) });
        }
        let header = header.map(|it| (scope(&remote), format!("Authorization: {it}")));
        Ok(Login { remote, header, ssh: false })
    }

    /// The address for people.
    pub(super) fn shown(&self) -> String {
        if self.ssh { self.remote.clone() } else { shown(&self.remote) }
    }
}

/// User and password in the address itself.
fn written(url: &Url) -> Option<String> {
    let (user, password) = (url.username(), url.password().unwrap_or_default());
    if user.is_empty() && password.is_empty() {
        return None;
    }
    let plain = |it: &str| crate::address::decoded(it);
    let pair = [plain(user), plain(password)].join(&b':');
    Some(format!("basic {}", STANDARD.encode(pair)))
}

/// `GIT_AUTH_HEADER` or `GIT_AUTH_TOKEN`; those with the host's name come first.
fn secret(url: &Url, secrets: &Secrets) -> Option<String> {
    let host = crate::address::host(url);
    let header = |id: String| secrets.text(&id);
    let token = |id: String| {
        let token = secrets.text(&id)?;
        Some(format!("basic {}", STANDARD.encode(format!("x-access-token:{token}"))))
    };
    header(format!("GIT_AUTH_HEADER.{host}"))
        .or_else(|| token(format!("GIT_AUTH_TOKEN.{host}")))
        .or_else(|| header("GIT_AUTH_HEADER".to_owned()))
        .or_else(|| token("GIT_AUTH_TOKEN".to_owned()))
}

/// The addresses that a credential is for: the repository, and on GitHub its neighbours, which are
/// submodules more often than not.
fn scope(remote: &str) -> String {
    let github = ["https://github.com/", "https://www.github.com/"];
    github.iter().find(|it| remote.starts_with(**it)).map_or(remote, |it| *it).to_owned()
}

#[cfg(test)]
mod tests {
    use super::Login;
    use crate::secrets::Secrets;

    fn login(remote: &str, secrets: &[(&str, &str)]) -> Login {
        let secrets = secrets.iter().map(|it| (it.0.to_owned(), it.1.as_bytes().to_vec()));
        Login::new(remote, &Secrets(secrets.collect())).unwrap()
    }

    #[test]
    fn the_address_is_left_without_its_password() {
        let found = login("https://me:p%40ss@h/x.git", &[]);
        assert_eq!(found.remote, "https://h/x.git");
        let header = "Authorization: basic bWU6cEBzcw==".to_owned();
        assert_eq!(found.header, Some(("https://h/x.git".to_owned(), header)));
    }

    #[test]
    fn the_secret_of_the_host_comes_first() {
        let all = [("GIT_AUTH_TOKEN", "a"), ("GIT_AUTH_HEADER.h:81", "b")];
        assert_eq!(login("http://h:81/x.git", &all).header.unwrap().1, "Authorization: b");
        let (scope, header) = login("https://github.com/a/b.git", &all).header.unwrap();
        assert_eq!(scope, "https://github.com/");
        assert_eq!(header, "Authorization: basic eC1hY2Nlc3MtdG9rZW46YQ==");
        assert_eq!(login("git@h:x.git", &all).header, None);
    }
}
