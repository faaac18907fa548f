//! Credential helpers: `docker-credential-NAME get`, the server on stdin, JSON on stdout.

use crate::{Credentials, KeychainError};
use serde::Deserialize;
use std::{
    ffi::OsStr,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

/// Some helpers wait for a person to unlock a keychain.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long stderr is waited for after the helper has ended.
const LINGERS: Duration = Duration::from_millis(200);
/// More than any answer needs.
const LIMIT: u64 = 1 << 20;
/// What helpers say when they work and know nothing. docker-credential-helpers, `ErrCredentialsNotFound`.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A helper that is installed.
pub(crate) struct Helper {
    name: String,
    program: PathBuf,
}

impl Helper {
    /// Looks for the helper that the file at `config` calls `name`.
    pub(crate) fn find(name: &str, config: &Path, search: &OsStr) -> Result<Helper, KeychainError> {
        let program = format!("docker-credential-{name}");
        let missing =
            || KeychainError::HelperMissing { helper: program.clone(), path: config.to_owned() };
        if name.contains('/') {
            return Err(missing());
        }
        let found = std::env::split_paths(search)
            .filter(|it| it.is_absolute())
            .map(|folder| folder.join(&program))
            .find(|it| it.is_file())
            .ok_or_else(missing)?;
        Ok(Helper { name: program, program: found })
    }

    /// Asks for the credentials of `server`.
    pub(crate) fn get(&self, server: &str) -> Result<Credentials, KeychainError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Username", default)]
            user: String,
            #[serde(rename = "Secret", default)]
            secret: String,
        }
        let Ended { status, output, complaint } = self.run("get", server)?;
        if !status.success() {
            let words = String::from_utf8_lossy(&output);
            if words.contains(NOT_FOUND) || complaint.contains(NOT_FOUND) {
                return Ok(Credentials::Anonymous);
            }
            let words = [told(&words), complaint].into_iter().find(|it| !it.is_empty());
            return Err(self.failed(words.unwrap_or_else(|| status.to_string())));
        }
        // The answer holds a secret: nothing of it may be quoted.
        let answer: Answer = serde_json::from_slice(&output)
            .map_err(|_| self.failed("its answer is not the JSON of a credential".to_owned()))?;
        Ok(match (answer.user.as_str(), answer.secret) {
            (_, secret) if secret.is_empty() => Credentials::Anonymous,
            ("<token>", token) => Credentials::IdentityToken(token),
            (_, password) => Credentials::Basic { user: answer.user, password },
        })
    }

    /// The program's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Gives it a login to keep.
    pub(crate) fn store(
        &self,
        server: &str,
        user: &str,
        secret: &str,
    ) -> Result<(), KeychainError> {
        let login = serde_json::json!({ "ServerURL": server, "Username": user, "Secret": secret });
        let ended = self.run("store", &login.to_string())?;
        self.done(&ended, secret)
    }

    /// Makes it forget the login to `server`.
    pub(crate) fn erase(&self, server: &str) -> Result<(), KeychainError> {
        let ended = self.run("erase", server)?;
        if String::from_utf8_lossy(&ended.output).contains(NOT_FOUND) {
            return Ok(());
        }
        self.done(&ended, "")
    }

    /// A failure in the helper's own words, unless they repeat the secret.
    fn done(&self, ended: &Ended, secret: &str) -> Result<(), KeychainError> {
        let Ended { status, output, complaint } = ended;
        if status.success() {
            return Ok(());
        }
        let words = [told(&String::from_utf8_lossy(output)), complaint.clone()];
        let tells = |it: &String| !it.is_empty() && (secret.is_empty() || !it.contains(secret));
        Err(self.failed(words.into_iter().find(tells).unwrap_or_else(|| status.to_string())))
    }

    fn run(&self, verb: &str, input: &str) -> Result<Ended, KeychainError> {
        let unusable = |source| KeychainError::HelperUnusable { helper: self.name.clone(), source };
        let mut child = Command::new(&self.program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(unusable)?;
        let mut stdin = child.stdin.take().expect("piped");
        let stdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        // A helper that does not read its stdin may answer all the same.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let (output, complaint) = (reading(stdout), reading(stderr));
        let ended = output.recv_timeout(PATIENCE).map_err(|_| ());
        let Ok(read) = ended else {
            end(&mut child);
            return Err(self.failed(format!("no answer in {} seconds", PATIENCE.as_secs())));
        };
        let status = wait(&mut child, PATIENCE).map_err(unusable)?;
        // What it has started may go on to hold its stderr open.
        let waited = if status.success() { Duration::ZERO } else { LINGERS };
        let complaint = complaint.recv_timeout(waited).ok().and_then(Result::ok);
        let complaint = told(&String::from_utf8_lossy(&complaint.unwrap_or_default()));
        Ok(Ended { status, output: read.map_err(unusable)?, complaint })
    }

    fn failed(&self, why: String) -> KeychainError {
        KeychainError::HelperFailed { helper: self.name.clone(), why }
    }
}

/// How a helper ended.
struct Ended {
    status: ExitStatus,
    output: Vec<u8>,
    /// What it said on stderr, where some explain themselves.
    complaint: String,
}

/// Reads elsewhere: a pipe that nobody empties would hold the helper up.
fn reading(from: impl Read + Send + 'static) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (done, read) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let kept = from.take(LIMIT).read_to_end(&mut bytes);
        let _ = done.send(kept.map(|_| bytes));
    });
    read
}

/// Words of a helper, fit for one line.
fn told(words: &str) -> String {
    let words = words.trim().replace('\n', " ");
    words.chars().filter(|it| !it.is_control()).take(300).collect()
}

/// Waits for a child that has closed its stdout; ends one that stays.
fn wait(child: &mut Child, patience: Duration) -> io::Result<ExitStatus> {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if since.elapsed() > patience {
            end(child);
            return child.wait();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::Helper;
    use crate::{Credentials, KeychainError};
    use std::{os::unix::fs::PermissionsExt, path::Path};

    /// Runs a helper with this body for `r.io`.
    fn ask(body: &str) -> Result<Credentials, KeychainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker-credential-fake");
        fs_err::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let helper = Helper::find("fake", Path::new("c"), folder.path().as_os_str()).unwrap();
        // Another test's fork may hold the script open for writing for a moment (ETXTBSY).
        for _ in 0..100 {
            match helper.get("r.io") {
                Err(KeychainError::HelperUnusable { source, .. })
                    if source.kind() == std::io::ErrorKind::ExecutableFileBusy =>
                {
                    std::thread::yield_now();
                }
                other => return other,
            }
        }
        helper.get("r.io")
    }

    #[test]
    fn answers() {
        let basic = ask(
            r#"[ "$1" = get ] && read server; printf '{"ServerURL":"%s","Username":"%s","Secret":"s"}' "$server" "$server""#,
        );
        let want = Credentials::Basic { user: "r.io".to_owned(), password: "s".to_owned() };
        assert_eq!(basic.unwrap(), want);
        let token = ask(r#"echo hidden >&2; echo '{"Username":"<token>","Secret":"s"}'"#);
        assert_eq!(token.unwrap(), Credentials::IdentityToken("s".to_owned()));
        let unknown = ask("echo 'credentials not found in native keychain'; exit 1");
        assert_eq!(unknown.unwrap(), Credentials::Anonymous);
    }

    #[test]
    fn failures_are_told_in_the_helpers_words_and_secrets_are_not() {
        let error = ask("echo 'the keychain is locked'; exit 1").unwrap_err();
        assert!(error.to_string().contains("the keychain is locked"), "{error}");
        let error = ask("echo 'run gcloud auth login' >&2; exit 1").unwrap_err();
        assert!(error.to_string().contains("run gcloud auth login"), "{error}");
        let error = ask("exit 3").unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        let error = ask(r#"echo '{"Username":1,"Secret":"hunter2"}'"#).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}
