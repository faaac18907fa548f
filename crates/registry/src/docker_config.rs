//! Docker's `config.json` and podman's `auth.json` as a keychain.

use crate::{Credentials, Keychain, KeychainError, helper::Helper};
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

/// What docker calls Docker Hub in its files and to its helpers.
const HUB: &str = "https://index.docker.io/v1/";

/// Credentials from files that docker and podman write.
///
/// Of several files the first that knows a registry counts; a file that is not there knows none.
/// In a file, a helper for the registry comes first (`credHelpers`), then an entry of its own
/// (`auths`, the most specific path), then the helper for all (`credsStore`).
#[derive(Clone, Debug)]
pub struct DockerConfig {
    files: Vec<PathBuf>,
    search: OsString,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default, rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
    #[serde(default)]
    registrytoken: Option<String>,
}

impl DockerConfig {
    /// Reads `files` at each login; helpers are looked for in `search`, which has the form of PATH.
    pub fn new(files: Vec<PathBuf>, search: OsString) -> DockerConfig {
        DockerConfig { files, search }
    }

    fn ask(
        &self,
        path: &Path,
        registry: &str,
        repository: &str,
    ) -> Result<Credentials, KeychainError> {
        let Some(file) = read(path)? else { return Ok(Credentials::Anonymous) };
        let helper = |name: &str| Helper::find(name, path, &self.search);
        let helpers = file.helpers.unwrap_or_default();
        if let Some((key, name)) = helpers.iter().find(|(key, _)| normal(key) == registry) {
            let asked = if registry == "docker.io" { HUB } else { key };
            let credentials = helper(name)?.get(asked)?;
            if credentials != Credentials::Anonymous {
                return Ok(credentials);
            }
        }
        let auths = file.auths.unwrap_or_default();
        if let Some((key, entry)) = entry(&auths, registry, repository) {
            let malformed = |why| KeychainError::Malformed { path: path.to_owned(), why };
            let wrong =
                || malformed(format!("the `auth` of `{key}` is not base64 of user:password"));
            let credentials = entry.credentials().ok_or_else(wrong)?;
            if credentials != Credentials::Anonymous {
                return Ok(credentials);
            }
        }
        match file.store.as_deref().filter(|it| !it.is_empty()) {
            Some(name) => helper(name)?.get(if registry == "docker.io" { HUB } else { registry }),
            None => Ok(Credentials::Anonymous),
        }
    }
}

impl Keychain for DockerConfig {
    fn credentials(&self, registry: &str) -> Result<Credentials, KeychainError> {
        self.credentials_for(registry, "")
    }

    fn credentials_for(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Credentials, KeychainError> {
        for file in &self.files {
            let credentials = self.ask(file, registry, repository)?;
            if credentials != Credentials::Anonymous {
                return Ok(credentials);
            }
        }
        Ok(Credentials::Anonymous)
    }
}

fn read(path: &Path) -> Result<Option<File>, KeychainError> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(source) => return Err(KeychainError::Unreadable { path: path.to_owned(), source }),
    };
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| KeychainError::Malformed {
        path: path.to_owned(),
        // serde's own message may quote a password.
        why: format!(
            "not the JSON that docker writes (line {}, column {})",
            error.line(),
            error.column()
        ),
    })
}

/// The entry with the longest path that `registry/repository` lies under.
fn entry<'a>(
    auths: &'a BTreeMap<String, Entry>,
    registry: &str,
    repository: &str,
) -> Option<(&'a str, &'a Entry)> {
    let whole = format!("{registry}/{repository}");
    let under = |key: &str| {
        whole.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    auths
        .iter()
        .map(|(key, entry)| (key, normal(key), entry))
        .filter(|(_, normal, _)| under(normal))
        .max_by_key(|(_, normal, _)| normal.len())
        .map(|(key, _, entry)| (key.as_str(), entry))
}

/// A key as references name it: without scheme and API version, Docker Hub as `docker.io`.
pub(crate) fn normal(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    let (host, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    format!("{host}{path}")
}

impl Entry {
    /// `None` when `auth` cannot be read.
    fn credentials(&self) -> Option<Credentials> {
        let some = |it: &Option<String>| it.clone().filter(|it| !it.is_empty());
        if let Some(token) = some(&self.registrytoken) {
            return Some(Credentials::RegistryToken(token));
        }
        if let Some(token) = some(&self.identitytoken) {
            return Some(Credentials::IdentityToken(token));
        }
        if let (Some(user), Some(password)) = (some(&self.username), some(&self.password)) {
            return Some(Credentials::Basic { user, password });
        }
        let Some(auth) = some(&self.auth) else { return Some(Credentials::Anonymous) };
        let lenient =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, lenient);
        let decoded = String::from_utf8(engine.decode(auth.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        let (user, password) = (user.to_owned(), password.trim_matches('\0').to_owned());
        Some(Credentials::Basic { user, password })
    }
}

#[cfg(test)]
mod tests {
    use super::{DockerConfig, normal};
    use crate::{Credentials, Keychain, KeychainError};

    fn basic(user: &str, password: &str) -> Credentials {
        Credentials::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    /// Asks a config with this text.
    fn ask(text: &str, registry: &str, repository: &str) -> Result<Credentials, KeychainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs_err::write(&path, text).unwrap();
        DockerConfig::new(vec![path], folder.path().into()).credentials_for(registry, repository)
    }

    #[test]
    fn keys_as_people_have_them() {
        for (key, want) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("https://r.example.com/v2/", "r.example.com"),
            ("http://r.example.com:5000", "r.example.com:5000"),
            ("r.example.com/team/a", "r.example.com/team/a"),
        ] {
            assert_eq!(normal(key), want);
        }
    }

    #[test]
    fn every_form_of_an_entry() {
        for (entry, want) in [
            (r#"{"auth":"YW5uOnNlY3JldA=="}"#, basic("ann", "secret")),
            (r#"{"auth":"YW5uOnNlY3JldA"}"#, basic("ann", "secret")),
            (r#"{"auth":"YTpiOmM="}"#, basic("a", "b:c")),
            (r#"{"username":"ann","password":"x"}"#, basic("ann", "x")),
            (r#"{"auth":"MDA6","identitytoken":"t"}"#, Credentials::IdentityToken("t".to_owned())),
            (r#"{"registrytoken":"t"}"#, Credentials::RegistryToken("t".to_owned())),
            (r#"{"auth":""}"#, Credentials::Anonymous),
            (r#"{"email":"x"}"#, Credentials::Anonymous),
        ] {
            let text = format!(r#"{{"auths":{{"https://r.io/v1/":{entry}}},"HttpHeaders":{{}}}}"#);
            assert_eq!(ask(&text, "r.io", "a").unwrap(), want, "{entry}");
            assert_eq!(ask(&text, "r.io:5000", "a").unwrap(), Credentials::Anonymous);
            assert_eq!(ask(&text, "xr.io", "a").unwrap(), Credentials::Anonymous);
        }
    }

    #[test]
    fn the_longest_path_counts() {
        let text = r#"{"auths":{
            "r.io":{"username":"all","password":"x"},
            "r.io/team":{"username":"team","password":"x"},
            "r.io/team/app":{"username":"app","password":"x"}}}"#;
        for (repository, user) in
            [("other", "all"), ("team/x", "team"), ("team/app", "app"), ("teams", "all")]
        {
            assert_eq!(ask(text, "r.io", repository).unwrap(), basic(user, "x"), "{repository}");
        }
    }

    #[test]
    fn a_broken_file_is_named_and_not_quoted() {
        for text in
            ["{", r#"{"auths":{"r.io":"hunter2"}}"#, r#"{"auths":{"r.io":{"auth":"%hunter2"}}}"#]
        {
            let error = ask(text, "r.io", "a").unwrap_err();
            assert!(matches!(error, KeychainError::Malformed { .. }), "{error:?}");
            assert!(error.to_string().contains("config.json"));
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn what_is_not_there_knows_nothing() {
        let nowhere = DockerConfig::new(vec!["/nonexistent/config.json".into()], "".into());
        assert_eq!(nowhere.credentials("r.io").unwrap(), Credentials::Anonymous);
        assert_eq!(ask("", "r.io", "a").unwrap(), Credentials::Anonymous);
        assert_eq!(ask("{}", "r.io", "a").unwrap(), Credentials::Anonymous);
    }

    #[test]
    fn a_missing_helper_is_named() {
        for text in [r#"{"credsStore":"osxkeychain"}"#, r#"{"credHelpers":{"r.io":"osxkeychain"}}"#]
        {
            let error = ask(text, "r.io", "a").unwrap_err();
            assert!(error.to_string().contains("docker-credential-osxkeychain"), "{error}");
            assert!(error.hint().is_some());
        }
        let other = r#"{"credHelpers":{"other.io":"osxkeychain"}}"#;
        assert_eq!(ask(other, "r.io", "a").unwrap(), Credentials::Anonymous);
    }
}
