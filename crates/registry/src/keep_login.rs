//! Logins kept for later: by a credential helper where there is one, else in docker's config.json.

use crate::{KeychainError, docker_config::normal, helper::Helper};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};
use std::{
    ffi::OsStr,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// What docker calls Docker Hub in its files and to its helpers.
const HUB: &str = "https://index.docker.io/v1/";
/// Helpers that docker takes when none is named, and the program that one of them needs.
const USUAL: [(&str, Option<&str>); 2] = [("pass", Some("pass")), ("secretservice", None)];

/// Who keeps a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// This credential helper.
    Helper(String),
    /// The file, unencrypted.
    File,
}

/// Who has forgotten a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Credential helpers that were asked to.
    pub helpers: Vec<String>,
    /// Whether the file had an entry.
    pub file: bool,
}

/// Keeps a login to `registry`.
///
/// The helper that the config at `file` names for it is asked to; where none is named and one that
/// docker would take is in `search`, that one is, and named in the file from then on. A password that
/// the file had goes. Without a helper the file has the login, readable for its owner only.
pub fn keep_login(
    file: &Path,
    search: &OsStr,
    registry: &str,
    user: &str,
    secret: &str,
) -> Result<Kept, KeychainError> {
    let mut config = read(file)?;
    let server = server(registry);
    if let Some(name) = named_helper(&config, registry) {
        let helper = Helper::find(&name, file, search)?;
        helper.store(server, user, secret)?;
        return kept_by(helper.name(), file, config, registry);
    }
    for (name, needs) in USUAL {
        let there = needs.is_none_or(|it| installed(search, it));
        let Some(helper) = Helper::find(name, file, search).ok().filter(|_| there) else {
            continue;
        };
        // One that is installed need not work here: secretservice wants a desktop.
        if helper.store(server, user, secret).is_ok() {
            object(&mut config, "credHelpers").insert(registry.to_owned(), name.into());
            return kept_by(helper.name(), file, config, registry);
        }
    }
    let auth = BASE64_STANDARD.encode(format!("{user}:{secret}"));
    remove_entry(&mut config, registry);
    object(&mut config, "auths").insert(server.to_owned(), json!({ "auth": auth }));
    write(file, &config)?;
    Ok(Kept::File)
}

/// Forgets a login to `registry`, in the file and in the helpers that it names for it.
pub fn forget_login(
    file: &Path,
    search: &OsStr,
    registry: &str,
) -> Result<Forgotten, KeychainError> {
    let mut config = read(file)?;
    let mut forgotten = Forgotten::default();
    if let Some(name) = named_helper(&config, registry) {
        let helper = Helper::find(&name, file, search)?;
        helper.erase(server(registry))?;
        forgotten.helpers.push(helper.name().to_owned());
    }
    forgotten.file = remove_entry(&mut config, registry);
    if forgotten.file {
        write(file, &config)?;
    }
    Ok(forgotten)
}

/// A helper has the login: what the file had of it goes.
fn kept_by(
    helper: &str,
    file: &Path,
    mut config: Map<String, Value>,
    registry: &str,
) -> Result<Kept, KeychainError> {
    remove_entry(&mut config, registry);
    // docker lists the registries that it has logins to by these.
    object(&mut config, "auths").insert(server(registry).to_owned(), json!({}));
    write(file, &config)?;
    Ok(Kept::Helper(helper.to_owned()))
}

/// What helpers and files call a registry.
fn server(registry: &str) -> &str {
    if registry == "docker.io" { HUB } else { registry }
}

fn named_helper(config: &Map<String, Value>, registry: &str) -> Option<String> {
    let helpers = config.get("credHelpers").and_then(Value::as_object);
    let own = helpers.into_iter().flatten().find(|(key, _)| normal(key) == registry);
    let named = own.map(|(_, name)| name).or_else(|| config.get("credsStore"));
    named.and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned)
}

/// Returns whether there was one.
fn remove_entry(config: &mut Map<String, Value>, registry: &str) -> bool {
    let Some(auths) = config.get_mut("auths").and_then(Value::as_object_mut) else { return false };
    let before = auths.len();
    auths.retain(|key, _| normal(key) != registry);
    auths.len() != before
}

fn object<'a>(config: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = config.entry(key).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("made one above")
}

fn installed(search: &OsStr, program: &str) -> bool {
    std::env::split_paths(search).any(|it| it.is_absolute() && it.join(program).is_file())
}

fn read(file: &Path) -> Result<Map<String, Value>, KeychainError> {
    let unreadable = |source| KeychainError::Unreadable { path: file.to_owned(), source };
    let bytes = match fs_err::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(unreadable(error)),
    };
    if bytes.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&bytes).map_err(|error| KeychainError::Malformed {
        path: file.to_owned(),
        // serde's own message may quote a password.
        why: format!(
            "not the JSON that docker writes (line {}, column {})",
            error.line(),
            error.column()
        ),
    })
}

/// Writes the file anew beside itself; its owner alone may read it.
fn write(file: &Path, config: &Map<String, Value>) -> Result<(), KeychainError> {
    let unwritable = |source| KeychainError::Unwritable { path: file.to_owned(), source };
    // Where the file is a link, what it leads to is written.
    let target = fs_err::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = target.parent().unwrap_or(Path::new("."));
    if !folder.as_os_str().is_empty() && !folder.is_dir() {
        fs_err::create_dir_all(folder).map_err(unwritable)?;
        let private = std::fs::Permissions::from_mode(0o700);
        fs_err::set_permissions(folder, private).map_err(unwritable)?;
    }
    let fresh = fresh_name(&target);
    let text = serde_json::to_vec_pretty(config).expect("maps have string keys");
    let written = (|| {
        let mut options = std::fs::OpenOptions::new();
        let mut out = options.write(true).create_new(true).mode(0o600).open(&fresh)?;
        out.write_all(&text)?;
        out.write_all(b"\n")?;
        out.sync_all()?;
        std::fs::rename(&fresh, &target)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    written.map_err(unwritable)
}

/// Beside the file, of this process alone.
fn fresh_name(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    target.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::{Kept, forget_login, keep_login};
    use crate::{Credentials, DockerConfig, Keychain};
    use std::{ffi::OsStr, os::unix::fs::PermissionsExt, path::Path};

    fn helper(folder: &Path, name: &str, body: &str) {
        let path = folder.join(format!("docker-credential-{name}"));
        fs_err::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Keeps what it is given in a file beside itself.
    const KEEPER: &str = r#"
case "$1" in
  store) cat > "$0.kept" ;;
  get) cat > /dev/null; if [ -e "$0.kept" ]; then cat "$0.kept"; else
       echo "credentials not found in native keychain"; exit 1; fi ;;
  erase) cat > /dev/null; rm -f "$0.kept" ;;
esac"#;

    fn basic(user: &str, password: &str) -> Credentials {
        Credentials::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    fn asked(file: &Path, search: &OsStr, registry: &str) -> Credentials {
        DockerConfig::new(vec![file.to_owned()], search.to_owned()).credentials(registry).unwrap()
    }

    #[test]
    fn without_a_helper_the_file_has_it_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/config.json");
        let search = folder.path().as_os_str();
        for registry in ["r.io:5000", "docker.io"] {
            let kept = keep_login(&file, search, registry, "ann", "a:b").unwrap();
            assert_eq!(kept, Kept::File);
            assert_eq!(asked(&file, search, registry), basic("ann", "a:b"), "{registry}");
        }
        assert_eq!(fs_err::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs_err::read_to_string(&file).unwrap();
        assert!(text.contains("https://index.docker.io/v1/"), "{text}");
        assert!(forget_login(&file, search, "r.io:5000").unwrap().file);
        assert!(!forget_login(&file, search, "r.io:5000").unwrap().file);
        assert_eq!(asked(&file, search, "r.io:5000"), Credentials::Anonymous);
        assert_eq!(asked(&file, search, "docker.io"), basic("ann", "a:b"));
    }

    #[test]
    fn a_helper_keeps_it_and_the_file_has_no_password() {
        for config in [
            r#"{"credsStore":"keeper","auths":{"https://r.io/v2/":{"auth":"b2xkOm9sZA=="}},"x":1}"#,
            r#"{"credHelpers":{"r.io":"keeper"},"x":1}"#,
        ] {
            let folder = tempfile::tempdir().unwrap();
            helper(folder.path(), "keeper", KEEPER);
            let file = folder.path().join("config.json");
            fs_err::write(&file, config).unwrap();
            let search = OsStr::new("/usr/bin:/bin").to_owned();
            let mut all = folder.path().as_os_str().to_owned();
            all.push(":");
            all.push(search);
            let kept = keep_login(&file, &all, "r.io", "ann", "hunter2").unwrap();
            assert_eq!(kept, Kept::Helper("docker-credential-keeper".to_owned()));
            let text = fs_err::read_to_string(&file).unwrap();
            assert!(!text.contains("\"auth\"") && text.contains("\"x\": 1"), "{text}");
            assert_eq!(asked(&file, &all, "r.io"), basic("ann", "hunter2"));
            let forgotten = forget_login(&file, &all, "r.io").unwrap();
            assert_eq!(forgotten.helpers, ["docker-credential-keeper"]);
            assert_eq!(asked(&file, &all, "r.io"), Credentials::Anonymous);
        }
    }

    #[test]
    fn an_installed_helper_is_taken_and_one_that_fails_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        helper(folder.path(), "secretservice", "exit 1");
        let search = folder.path().as_os_str();
        assert_eq!(keep_login(&file, search, "r.io", "ann", "x").unwrap(), Kept::File);
        helper(folder.path(), "secretservice", "exec /bin/cat > \"$0.kept\"");
        let kept = keep_login(&file, search, "r.io", "ann", "x").unwrap();
        assert_eq!(kept, Kept::Helper("docker-credential-secretservice".to_owned()));
        let text = fs_err::read_to_string(&file).unwrap();
        assert!(text.contains("credHelpers") && !text.contains("\"auth\""), "{text}");
    }

    #[test]
    fn a_named_helper_that_fails_is_an_error_and_tells_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        fs_err::write(&file, r#"{"credsStore":"keeper"}"#).unwrap();
        helper(folder.path(), "keeper", "echo locked; exit 1");
        let search = folder.path().as_os_str();
        let error = keep_login(&file, search, "r.io", "ann", "hunter2").unwrap_err();
        assert!(error.to_string().contains("locked"), "{error}");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
        assert_eq!(fs_err::read_to_string(&file).unwrap(), r#"{"credsStore":"keeper"}"#);
    }
}
