//! Running `git`, with nothing of the user's configuration and no secret on a command line.

use super::login::Login;
use crate::{Remote, RemoteError};
use std::{
    ffi::{OsStr, OsString},
    io::ErrorKind,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    time::Duration,
};
use strake_cache::Store;

/// How often it is looked whether the build was ended.
const LOOK: Duration = Duration::from_millis(100);

/// What every command is told. Submodules may not name folders of this machine, and nothing that a
/// repository holds is run.
const SETTINGS: [(&str, &str); 11] = [
    ("protocol.file.allow", "user"),
    ("protocol.ext.allow", "never"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("safe.directory", "*"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("init.defaultBranch", "master"),
    ("advice.detachedHead", "false"),
    // A server that sends nothing for a minute has gone.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
];

/// The program and the repository that it is used for.
pub(super) struct Git {
    fetcher: Remote,
    /// The address, without credentials.
    pub(super) remote: String,
    login: Login,
    known_hosts: std::path::PathBuf,
}

impl Git {
    pub(super) fn new(fetcher: &Remote, store: &Store, remote: &str) -> Result<Git, RemoteError> {
        let login = Login::new(remote, &fetcher.shared.secrets)?;
        if login.ssh && fetcher.shared.options.git.ssh_agent.is_none() {
            return Err(RemoteError::NoAgent { remote: login.remote });
        }
        Ok(Git {
            fetcher: fetcher.clone(),
            remote: login.remote.clone(),
            login,
            known_hosts: store.root().join("known_hosts"),
        })
    }

    /// The address for people.
    pub(super) fn shown(&self) -> String {
        self.login.shown()
    }

    /// A command that does not talk to the remote.
    pub(super) fn local(&self, folder: &Path) -> Call<'_> {
        Call { git: self, folder: folder.to_owned(), env: Vec::new(), talks: false }
    }

    /// A command that talks to the remote.
    pub(super) fn talking(&self, folder: &Path) -> Call<'_> {
        Call { git: self, folder: folder.to_owned(), env: Vec::new(), talks: true }
    }

    fn settings(&self, talks: bool) -> Vec<(String, String)> {
        let own = |it: &(&str, &str)| (it.0.to_owned(), it.1.to_owned());
        let mut settings: Vec<(String, String)> = SETTINGS.iter().map(own).collect();
        if talks && let Some((scope, header)) = &self.login.header {
            settings.push((format!("http.{scope}.extraHeader"), header.clone()));
            // git would send the header on to wherever the first answer points.
            settings.push(("http.followRedirects".to_owned(), "false".to_owned()));
        }
        settings
    }

    fn ssh(&self) -> String {
        let known = &self.fetcher.shared.options.git.known_hosts;
        let files = std::iter::once(&self.known_hosts).chain(known);
        let files: Vec<String> = files.map(|it| format!("\"{}\"", it.display())).collect();
        let files = files.join(" ").replace('\'', "'\\''");
        format!(
            "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new \
             -o ConnectTimeout=30 -o ServerAliveInterval=20 -o 'UserKnownHostsFile={files}'"
        )
    }

    /// Text of git's, without anything secret.
    fn clean(&self, text: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(text).replace(&self.remote, &self.shown());
        if let Some((_, header)) = &self.login.header {
            text = text.replace(header.as_str(), "***");
        }
        let telling = |line: &&str| {
            line.starts_with("fatal:") || line.starts_with("error:") || line.starts_with("remote:")
        };
        let lines: Vec<&str> =
            text.lines().map(str::trim_end).filter(|it| !it.is_empty()).collect();
        let told: Vec<&str> = lines.iter().copied().filter(|it| telling(it)).collect();
        let told = if told.is_empty() { lines } else { told };
        let told = told.into_iter().map(|it| it.trim_start_matches("fatal: "));
        let text = told.collect::<Vec<_>>().join("; ");
        text.chars().filter(|it| !it.is_control()).take(600).collect()
    }
}

/// One command in the making.
pub(super) struct Call<'a> {
    git: &'a Git,
    folder: std::path::PathBuf,
    env: Vec<(OsString, OsString)>,
    talks: bool,
}

impl Call<'_> {
    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Runs it; what it prints is returned.
    pub(super) fn run(self, args: &[&str]) -> Result<String, RemoteError> {
        let git = self.git;
        let done = self.attempt(args)?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        Err(RemoteError::Git {
            remote: git.shown(),
            what: args.first().map_or_else(String::new, |it| (*it).to_owned()),
            why: match git.clean(&done.stderr) {
                text if text.is_empty() => format!("git ended with {}", done.status),
                text => text,
            },
            ssh: git.login.ssh,
            signed_in: git.login.header.is_some(),
        })
    }

    /// Whether it succeeds.
    pub(super) fn succeeds(self, args: &[&str]) -> Result<bool, RemoteError> {
        Ok(self.attempt(args)?.status.success())
    }

    fn attempt(self, args: &[&str]) -> Result<Output, RemoteError> {
        let Call { git, folder, env, talks } = self;
        let options = &git.fetcher.shared.options.git;
        let mut command = Command::new("git");
        command.args(args).current_dir(&folder).env_clear().envs(options.env.iter().cloned());
        command.envs([
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "true"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("HOME", "/dev/null"),
            ("LC_ALL", "C"),
        ]);
        command.env("GIT_SSH_COMMAND", git.ssh());
        let settings = git.settings(talks);
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (at, (key, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        if talks && let Some(agent) = &options.ssh_agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        command.envs(env);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: git's helpers end with it.
        command.process_group(0);
        let child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => RemoteError::NoGit { remote: git.shown() },
            _ => RemoteError::from(error),
        })?;
        let group = rustix::process::Pid::from_child(&child);
        let (done, waiting) = channel();
        std::thread::spawn(move || done.send(child.wait_with_output()));
        loop {
            match waiting.recv_timeout(LOOK) {
                Ok(output) => return Ok(output?),
                Err(RecvTimeoutError::Timeout) if git.fetcher.is_cancelled() => {
                    let signal = rustix::process::Signal::TERM;
                    let _ = rustix::process::kill_process_group(group, signal);
                    return Err(RemoteError::Cancelled);
                }
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => return Err(RemoteError::Cancelled),
            }
        }
    }
}
