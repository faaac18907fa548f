//! What the emulation knows of a process: its users, directories, umask and program.
//!
//! As in the identity engine the kernel carries a number in the soft limit of `RLIMIT_LOCKS`, so that
//! a fork inherits at exactly the right moment. Threads share what their process has.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use crate::identity::CARRIER;
use crate::identity::credentials::Credentials;
use crate::sys::memory;
use crate::sys::process::{limit_of, set_limit_of};

/// What one process has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    pub(super) credentials: Credentials,
    pub(super) umask: u32,
    /// Number of the working directory.
    pub(super) cwd: usize,
    /// Number of the root directory; 0 unless chroot(2) was called.
    pub(super) root: usize,
    /// The program, by its path.
    pub(super) program: Arc<[u8]>,
}

/// All that any process has had.
pub(super) struct States {
    all: Vec<Arc<State>>,
    numbers: BTreeMap<Arc<State>, u64>,
    directories: Vec<Arc<OwnedFd>>,
    by_inode: BTreeMap<(u64, u64), usize>,
}

impl States {
    /// Starts with root's at the top of the tree, under number 0.
    pub(super) fn new(root: OwnedFd) -> Result<Self, Errno> {
        let mut states = Self {
            all: Vec::new(),
            numbers: BTreeMap::new(),
            directories: Vec::new(),
            by_inode: BTreeMap::new(),
        };
        let root = states.directory(root)?;
        let program = Arc::from(&b"/"[..]);
        let credentials = Credentials::ROOT;
        states.number(State { credentials, umask: 0o022, cwd: root, root, program });
        Ok(states)
    }

    /// The number of a directory, which stays open from now on.
    pub(super) fn directory(&mut self, directory: OwnedFd) -> Result<usize, Errno> {
        let stat = memory::fstat(directory.as_fd())?;
        let next = self.directories.len();
        let number = *self.by_inode.entry((stat.st_dev, stat.st_ino)).or_insert(next);
        if number == next {
            self.directories.push(Arc::new(directory));
        }
        Ok(number)
    }

    /// A directory by its number.
    pub(super) fn opened(&self, number: usize) -> Arc<OwnedFd> {
        Arc::clone(&self.directories[number])
    }

    /// The number of a state.
    pub(super) fn number(&mut self, state: State) -> u64 {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let number = self.all.len() as u64;
        let state = Arc::new(state);
        self.all.push(Arc::clone(&state));
        self.numbers.insert(state, number);
        number
    }

    /// A state by its number, as a process carries it.
    pub(super) fn get(&self, number: u64) -> Arc<State> {
        let index = usize::try_from(number).ok();
        Arc::clone(index.and_then(|index| self.all.get(index)).unwrap_or(&self.all[0]))
    }

    /// Changes what a process has; nobody else changes anything meanwhile.
    pub(super) fn change(
        &mut self,
        pid: u32,
        change: impl FnOnce(&mut State),
    ) -> Result<(), Errno> {
        let (number, hard) = limit_of(pid, CARRIER)?;
        let mut state = State::clone(&self.get(number));
        change(&mut state);
        set_limit_of(pid, CARRIER, self.number(state), hard)
    }
}
