//! `RUN --mount=type=ssh`: a socket for the RUN behind which an agent answers, and nothing else.
//!
//! What may be asked of the agent is which keys it has, and for signatures. It cannot be given keys,
//! locked or emptied from inside a RUN.
//! [The protocol](https://www.ietf.org/archive/id/draft-ietf-sshm-ssh-agent-05.html).

mod keys;
mod wire;

pub use keys::{KeyError, SshKey};

use std::{
    fs::File,
    io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};
use strake_sandbox::Privilege;

/// Who answers.
#[derive(Clone, Debug)]
pub enum SshAgent {
    /// An agent that listens here.
    Socket(PathBuf),
    /// strake itself, with these keys.
    Keys(Vec<SshKey>),
}

impl SshAgent {
    /// A socket for a program of this machine, `git` say; where strake itself answers, until what comes
    /// with it is dropped. `dir` is made then.
    pub fn socket(
        &self,
        dir: &Path,
        privilege: &Privilege,
    ) -> io::Result<(PathBuf, Option<Forward>)> {
        match self {
            SshAgent::Socket(path) => Ok((path.clone(), None)),
            SshAgent::Keys(_) => {
                let access = Access { mode: 0o600, uid: 0, gid: 0 };
                let forward = Forward::start(self, dir, &access, privilege)?;
                Ok((forward.path().to_owned(), Some(forward)))
            }
        }
    }
}

/// Mode and owner of the socket.
pub(crate) struct Access {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A socket that is answered until this is dropped.
pub struct Forward {
    path: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forward {
    /// Listens at `dir/agent`; `dir` is made.
    pub(crate) fn start(
        agent: &SshAgent,
        dir: &Path,
        access: &Access,
        privilege: &Privilege,
    ) -> io::Result<Forward> {
        fs_err::create_dir_all(dir)?;
        let path = dir.join("agent");
        let listener = bind(dir)?;
        let Access { mode, uid, gid } = access;
        // With one id there is no other owner to give it to, and every user may connect.
        if !matches!(privilege, Privilege::SingleId | Privilege::Emulated) {
            std::os::unix::fs::chown(&path, Some(*uid), Some(*gid))?;
        }
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(*mode))?;
        let ended = Arc::new(AtomicBool::new(false));
        let (agent, stop) = (agent.clone(), Arc::clone(&ended));
        let thread = thread::spawn(move || accept(&listener, &agent, &stop));
        Ok(Forward { path, ended, thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is to end.
        let woken = File::open(self.path.parent().unwrap_or(Path::new("/")))
            .and_then(|dir| UnixStream::connect(short(&dir)));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _panicked = thread.join();
        }
    }
}

/// An address holds 107 bytes; a store may lie deeper.
fn short(dir: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/agent", dir.as_raw_fd()))
}

fn bind(dir: &Path) -> io::Result<UnixListener> {
    UnixListener::bind(short(&File::open(dir)?))
}

fn accept(listener: &UnixListener, agent: &SshAgent, ended: &AtomicBool) {
    while let Ok((client, _)) = listener.accept() {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let agent = agent.clone();
        // Ends with its client, and so with the RUN.
        thread::spawn(move || serve(client, &agent));
    }
}

/// Answers one client to its end. What goes wrong ends the connection: the client says so.
fn serve(mut client: UnixStream, agent: &SshAgent) -> Option<()> {
    let mut upstream = match agent {
        SshAgent::Socket(path) => Some(UnixStream::connect(path).ok()?),
        SshAgent::Keys(_) => None,
    };
    while let Some(request) = wire::read(&mut client).ok()? {
        let answer = match (request.first(), &mut upstream, agent) {
            (Some(&(wire::REQUEST_IDENTITIES | wire::SIGN_REQUEST)), Some(upstream), _) => {
                wire::write(upstream, &request).ok()?;
                wire::read(upstream).ok()??
            }
            (Some(&wire::REQUEST_IDENTITIES), _, SshAgent::Keys(keys)) => keys::identities(keys),
            (Some(&wire::SIGN_REQUEST), _, SshAgent::Keys(keys)) => {
                keys::sign(keys, &request[1..]).unwrap_or_else(|| vec![wire::FAILURE])
            }
            _ => vec![wire::FAILURE],
        };
        wire::write(&mut client, &answer).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{Access, Forward, SshAgent, wire};
    use std::os::unix::net::{UnixListener, UnixStream};
    use strake_sandbox::Privilege;

    /// An agent that says which requests reached it.
    fn upstream(path: &std::path::Path) {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                while let Ok(Some(request)) = wire::read(&mut client) {
                    wire::write(&mut client, &[100, request[0]]).unwrap();
                }
            }
        });
    }

    #[test]
    fn only_reading_and_signing_reach_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        upstream(&real);
        // Longer than an address may be.
        let deep = dir.path().join("x".repeat(120));
        let access = Access { mode: 0o600, uid: 0, gid: 0 };
        let agent = SshAgent::Socket(real);
        let forward = Forward::start(&agent, &deep, &access, &Privilege::SingleId).unwrap();
        assert!(forward.path().exists());
        let dir = std::fs::File::open(&deep).unwrap();
        let mut client = UnixStream::connect(super::short(&dir)).unwrap();
        for (request, answer) in
            [(11, vec![100, 11]), (13, vec![100, 13]), (17, vec![5]), (19, vec![5]), (27, vec![5])]
        {
            wire::write(&mut client, &[request]).unwrap();
            assert_eq!(wire::read(&mut client).unwrap().unwrap(), answer, "{request}");
        }
        drop(forward);
    }
}
