//! `strake login`.

use crate::{
    args_registry::LoginArgs,
    environment,
    failure::{Failure, chain},
    registries, say,
};
use std::{
    io::{IsTerminal, Read},
    path::PathBuf,
    sync::Arc,
};
use strake_oci::Reference;
use strake_registry::{Client, Credentials, Kept, Keychain, KeychainError};

pub(crate) fn run(args: LoginArgs) -> Result<(), Failure> {
    let LoginArgs { registry, username, password_stdin, password, authfile, reach } = args;
    if password.is_some() {
        return Err(Failure::usage("--password shows the password to everybody on this machine")
            .hint("give it on standard input with --password-stdin"));
    }
    let registry = host(registry)?;
    let file = file(authfile)?;
    let user = username.filter(|it| !it.is_empty()).ok_or_else(|| {
        Failure::usage("there is no user name").hint("give it with --username, e.g. -u ann")
    })?;
    let secret = secret(password_stdin)?;
    let credentials = Credentials::Basic { user: user.clone(), password: secret.clone() };
    let options = registries::options(&reach, Arc::new(Only(credentials)), None)?;
    let asked = Client::new(options)?.sign_in(&registry)?;
    if !asked {
        say::note(&format!("warning: {registry} asks for no login"));
    }
    let search = environment::get(environment::PATH).unwrap_or_default();
    let kept = strake_registry::keep_login(&file, &search, &registry, &user, &secret);
    match kept.map_err(keychain)? {
        Kept::Helper(helper) => say::note(&format!("{helper} keeps the login to {registry}")),
        Kept::File => say::note(&format!(
            "warning: {} has the password, base64 but not encrypted; a credential helper \
             (docker-credential-pass, docker-credential-secretservice) would keep it better",
            file.display()
        )),
    }
    say::note(&format!("signed in to {registry} as {user}"));
    Ok(())
}

/// The login that is tried.
struct Only(Credentials);

impl Keychain for Only {
    fn credentials(&self, _: &str) -> Result<Credentials, KeychainError> {
        Ok(self.0.clone())
    }
}

/// The host as references have it.
pub(crate) fn host(written: Option<String>) -> Result<String, Failure> {
    let Some(written) = written else { return Ok("docker.io".to_owned()) };
    let bare = written.strip_prefix("https://").or_else(|| written.strip_prefix("http://"));
    let bare = bare.unwrap_or(&written).trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    if bare == "registry-1.docker.io" {
        return Ok("docker.io".to_owned());
    }
    let parsed = format!("{bare}/x").parse::<Reference>();
    let is_host = parsed.as_ref().is_ok_and(|it| it.repository == "x");
    match parsed {
        Ok(reference) if is_host => Ok(reference.registry),
        _ => Err(Failure::usage(format!("{written} is not a registry"))
            .hint("write a host with an optional port, e.g. registry.example:5000")),
    }
}

/// The file that keeps logins.
pub(crate) fn file(flag: Option<PathBuf>) -> Result<PathBuf, Failure> {
    flag.or_else(environment::login_file).ok_or_else(|| {
        Failure::new("there is no place to keep a login: HOME is not set")
            .hint("name a file with --authfile or $REGISTRY_AUTH_FILE")
    })
}

/// A failure of a file or helper that keeps logins.
pub(crate) fn keychain(error: KeychainError) -> Failure {
    Failure::new(chain(&error)).maybe_hint(error.hint())
}

fn secret(from_stdin: bool) -> Result<String, Failure> {
    if !from_stdin {
        return Err(Failure::usage("there is no password")
            .hint("give it on standard input with --password-stdin"));
    }
    if std::io::stdin().is_terminal() {
        say::note("the password shows while you type it; end it with Ctrl-D");
    }
    let mut text = String::new();
    std::io::stdin().lock().take(64 << 10).read_to_string(&mut text)?;
    let secret = text.trim_end_matches(['\r', '\n']).to_owned();
    if secret.is_empty() {
        return Err(Failure::usage("standard input has no password"));
    }
    Ok(secret)
}
