//! A run where nothing is allowed: no namespace, no mount, no chroot, no capability.
//!
//! Calls that take a path, ask who a process is, or reach another process wait at a seccomp filter
//! until this process answers them. It looks paths up inside of the tree, opens files itself and hands
//! descriptors over; a program never holds one of anything outside. The kernel is let carry out only
//! what no program can change between the check and the call. Executing a program needs tracing with
//! ptrace(2), for as long as it takes ([`trace`]).
//!
//! Owners and modes that an ordinary user cannot give to a file are recorded with it ([`found`]).

mod aside;
mod attributes;
mod calls;
mod chrooted;
mod elf;
mod exec;
mod found;
mod mounts;
mod names;
mod open;
mod paths;
mod processes;
mod procfs;
mod sockets;
mod stat;
mod state;
mod supervisor;
#[cfg(target_arch = "x86_64")]
mod trace;
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "nothing is executed"))]
mod tracers;
mod watches;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustix::io::Errno;

use crate::identity::carried;
use crate::spec::Network;
use crate::sys::memory;
use found::{Found, Key};
use mounts::{Mount, Mounts};
use paths::Known;
use state::{State, States};

pub(crate) use procfs::parent_of;
pub(crate) use supervisor::{end_others, main};

/// Whether this processor's programs can be run so.
pub(crate) const AVAILABLE: bool = cfg!(target_arch = "x86_64");

/// Everything that is known of one run.
struct World {
    listener: OwnedFd,
    mounts: Mounts,
    states: Mutex<States>,
    known: Known,
    /// Whether any process may have another root than the tree's.
    has_roots: AtomicBool,
    /// Owners of what holds no attributes, for the length of the run.
    specials: Mutex<BTreeMap<Key, (u32, u32)>>,
    /// Sockets that nobody has connected yet, the oldest first.
    sockets: Mutex<VecDeque<(u64, OwnedFd)>>,
    /// Who has connected which sockets, the oldest first.
    peers: Mutex<VecDeque<(u64, sockets::Peer)>>,
    /// Inotify instances of programs, the oldest first.
    watchers: Mutex<VecDeque<watches::Watcher>>,
    terminals: Mutex<BTreeSet<u32>>,
    /// Files by the empty ones that stand in for them, the oldest first.
    stand_ins: Mutex<VecDeque<StandIn>>,
    tracers: Arc<tracers::Tracers>,
    /// Threads whose next execve is the kernel's.
    executing: Mutex<BTreeSet<u32>>,
    /// What the tracers have reaped.
    ended: Mutex<BTreeMap<u32, i32>>,
    /// Held as long as something is traced.
    tracing: RwLock<()>,
    /// Whether the first program runs.
    started: AtomicBool,
    /// This process.
    pid: u32,
    uid: u32,
    network: Network,
    hostname: String,
    /// Whether paths and users are the kernel's.
    chrooted: bool,
}

/// An empty file in memory, and what it stands for.
struct StandIn {
    inode: (u64, u64),
    /// Kept, so that no other file gets its number.
    _file: OwnedFd,
    target: OwnedFd,
    mount: Arc<Mount>,
}

/// How many are kept.
const STAND_INS: usize = 256;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds to what is kept, of which the oldest goes when there is as much as there may be.
fn keep<T>(kept: &mut VecDeque<T>, new: T, most: usize) {
    if kept.len() == most {
        kept.pop_front();
    }
    kept.push_back(new);
}

impl World {
    fn state(&self, pid: u32) -> Arc<State> {
        let number = carried(pid);
        lock(&self.states).get(number)
    }

    fn change_state(&self, pid: u32, change: impl FnOnce(&mut State)) -> Result<(), Errno> {
        lock(&self.states).change(pid, change)
    }

    fn directory(&self, number: usize) -> Arc<OwnedFd> {
        lock(&self.states).opened(number)
    }

    fn number_of(&self, directory: OwnedFd) -> Result<usize, Errno> {
        lock(&self.states).directory(directory)
    }

    fn special(&self, path: &CStr) -> Option<(u32, u32)> {
        let specials = lock(&self.specials);
        if specials.is_empty() {
            return None;
        }
        specials.get(&found::key(path)?).copied()
    }

    fn set_special(&self, path: &CStr, owner: (u32, u32)) {
        let Some(key) = found::key(path) else { return };
        if owner == (0, 0) {
            lock(&self.specials).remove(&key);
        } else {
            lock(&self.specials).insert(key, owner);
        }
    }

    fn executing(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        lock(&self.executing)
    }

    fn note_end(&self, pid: u32, status: i32) {
        lock(&self.ended).insert(pid, status);
    }

    fn terminal(&self, number: u32) -> bool {
        lock(&self.terminals).contains(&number)
    }

    fn add_terminal(&self, number: u32) {
        lock(&self.terminals).insert(number);
    }

    fn stand_in(&self, file: OwnedFd, found: Found) -> Result<(), Errno> {
        let stat = memory::fstat(file.as_fd())?;
        let target = found.file.ok_or(Errno::BADF)?;
        let inode = (stat.st_dev, stat.st_ino);
        let mut stand_ins = lock(&self.stand_ins);
        let stand_in = StandIn { inode, _file: file, target, mount: found.mount };
        keep(&mut stand_ins, stand_in, STAND_INS);
        Ok(())
    }

    /// What an empty file stands for, if it stands for something.
    fn stood_for(&self, stat: &libc::stat) -> Option<Found> {
        if (stat.st_nlink, stat.st_size) != (0, 0) {
            return None;
        }
        let stand_ins = lock(&self.stand_ins);
        let it = stand_ins.iter().find(|it| it.inode == (stat.st_dev, stat.st_ino))?;
        Found::new(it.target.try_clone().ok()?, Arc::clone(&it.mount)).ok()
    }

    fn keep_socket(&self, inode: u64, socket: OwnedFd, most: usize) {
        keep(&mut lock(&self.sockets), (inode, socket), most);
    }

    fn kept_socket(&self, inode: u64) -> Option<OwnedFd> {
        let sockets = lock(&self.sockets);
        let (_, socket) = sockets.iter().find(|(of, _)| *of == inode)?;
        socket.try_clone().ok()
    }

    fn take_socket(&self, inode: u64) -> Option<OwnedFd> {
        let mut sockets = lock(&self.sockets);
        let at = sockets.iter().position(|(of, _)| *of == inode)?;
        sockets.remove(at).map(|(_, socket)| socket)
    }
}
