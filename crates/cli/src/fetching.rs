//! What fetches files and repositories: with this machine's certificates, proxies and known hosts, the
//! build's secrets, and the agent of `--ssh default`.

use crate::{environment, failure::Failure};
use std::path::PathBuf;
use strake_build::{Forward, RunOptions, Secrets};
use strake_cache::{Store, TempDir};
use strake_remote::{GitOptions, Options, Remote};
use strake_sandbox::Privilege;

/// The fetcher, and what must live as long as it is used.
pub(crate) struct Fetching {
    pub(crate) remote: Remote,
    _agent: Option<Forward>,
    _folder: TempDir,
}

impl Fetching {
    pub(crate) fn new(
        secrets: &Secrets,
        run: &RunOptions,
        store: &Store,
        privilege: &Privilege,
    ) -> Result<Fetching, Failure> {
        let folder = store.temp_dir("agent")?;
        let agent = run.ssh.get("default");
        let served = agent.map(|it| it.socket(&folder.join("git"), privilege)).transpose()?;
        let (socket, agent) = served.unzip();
        let mut options = Options::standard();
        options.ca = certificates()?;
        options.git = GitOptions {
            env: environment::for_git(),
            ssh_agent: socket,
            known_hosts: environment::known_hosts(),
        };
        let remote = Remote::new(options, secrets.clone());
        Ok(Fetching { remote, _agent: agent.flatten(), _folder: folder })
    }
}

fn certificates() -> Result<Vec<Vec<u8>>, Failure> {
    let read = |path: PathBuf| {
        std::fs::read(&path).map_err(|error| {
            Failure::new(format!("cannot read the certificates in {}: {error}", path.display()))
                .hint(format!("{} names the file", environment::SSL_CERT_FILE))
        })
    };
    environment::ca_bundles().into_iter().map(read).collect()
}
