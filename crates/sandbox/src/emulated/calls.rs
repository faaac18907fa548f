//! Which call is answered where, and who asks.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use super::found::{Found, Meta};
use super::paths::{self, View, descriptor};
use super::state::State;
use super::{World, attributes, names, open, processes, sockets, stat, watches};
use crate::identity::credentials::Credentials;
use crate::identity::place::read_path;
use crate::identity::{Answer, Call, Holder, ids};

/// What becomes of a call.
pub(super) enum Reply {
    /// The kernel carries it out.
    GoOn,
    /// It returns this.
    Value(i64),
    /// It returns this open file.
    Descriptor { file: OwnedFd, close_on_exec: bool },
    /// It returns this inotify instance, which is kept to add watches to.
    Watcher { file: OwnedFd, close_on_exec: bool },
    /// It takes a while: this is done beside, and answers with a file.
    Opening { open: Box<dyn FnOnce() -> Result<OwnedFd, Errno> + Send>, close_on_exec: bool },
    /// It takes a while: this is done beside, and answers.
    Waiting(Box<dyn FnOnce() -> Result<i64, Errno> + Send>),
}

pub(super) type Answered = Result<Reply, Errno>;

pub(super) const DONE: Answered = Ok(Reply::Value(0));
/// The working directory, where a call has no descriptor.
pub(super) const CWD: u64 = libc::AT_FDCWD as u64;

/// A process that waits for an answer.
pub(super) struct Caller<'a> {
    pub(super) world: &'a Arc<World>,
    pub(super) pid: u32,
    pub(super) state: Arc<State>,
    view: View,
}

impl<'a> Caller<'a> {
    pub(super) fn new(world: &'a Arc<World>, pid: u32) -> Result<Self, Errno> {
        let state = world.state(pid);
        let cwd = world.directory(state.cwd);
        let root = (state.root != 0).then(|| world.directory(state.root));
        let view = View::new(world, pid, cwd, root)?;
        Ok(Self { world, pid, state, view })
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.state.credentials
    }

    /// Reads a path of this process.
    pub(super) fn path(&self, address: u64) -> Result<Vec<u8>, Errno> {
        read_path(self.pid, address)
    }

    /// Finds what a path means.
    pub(super) fn find(&self, dir: u64, path: u64, follow: bool) -> Result<Found, Errno> {
        paths::resolve(self.world, &self.view, dir, &self.path(path)?, follow)
    }

    pub(super) fn resolve(&self, dir: u64, path: &[u8], follow: bool) -> Result<Found, Errno> {
        paths::resolve(self.world, &self.view, dir, path, follow)
    }

    /// Finds what a descriptor stands for.
    pub(super) fn opened(&self, number: u64) -> Result<Found, Errno> {
        match descriptor(number) {
            libc::AT_FDCWD => {
                let cwd = self.view.cwd.try_clone().map_err(|_| Errno::MFILE)?;
                Found::new(cwd, Arc::clone(self.world.mounts.tree()))
            }
            number => Found::of_descriptor(self.world, self.pid, number),
        }
    }

    /// Finds what a call with a descriptor, a path and flags means.
    pub(super) fn find_at(&self, dir: u64, path: u64, flags: u64) -> Result<Found, Errno> {
        let empty = has(flags, libc::AT_EMPTY_PATH);
        if empty && path == 0 {
            return self.opened(dir);
        }
        let text = self.path(path)?;
        if empty && text.is_empty() {
            return self.opened(dir);
        }
        self.resolve(dir, &text, !has(flags, libc::AT_SYMLINK_NOFOLLOW))
    }

    /// What a file is for this process.
    pub(super) fn meta(&self, found: &Found) -> Meta {
        found.meta(self.world, self.credentials())
    }

    /// Refuses what the mode of a file forbids; 4 read, 2 write, 1 search or execute.
    pub(super) fn permit(&self, meta: &Meta, way: u32) -> Result<(), Errno> {
        if self.credentials().permits(meta.owner(), meta.mode, way) {
            Ok(())
        } else {
            Err(Errno::ACCESS)
        }
    }
}

/// Whether flags in a register have one.
pub(super) fn has(flags: u64, flag: i32) -> bool {
    flags & u64::from(flag.cast_unsigned()) != 0
}

/// Credentials by way of the states.
struct Keeper<'a>(&'a World);

impl Holder for Keeper<'_> {
    fn credentials(&self, pid: u32) -> Credentials {
        self.0.state(pid).credentials.clone()
    }

    fn set_credentials(&mut self, pid: u32, credentials: Credentials) -> Result<(), Errno> {
        self.0.change_state(pid, |state| state.credentials = credentials)
    }
}

/// Decides a call.
pub(super) fn answer(world: &Arc<World>, call: &Call) -> Answered {
    let caller = Caller::new(world, call.pid)?;
    if let Some(done) = of_files(&caller, call) {
        return done;
    }
    if let Some(done) = legacy(&caller, call) {
        return done;
    }
    match call.number {
        libc::SYS_bind | libc::SYS_connect | libc::SYS_sendto => sockets::answer(&caller, call),
        libc::SYS_getsockopt => sockets::peer(&caller, call),
        libc::SYS_socket => sockets::socket(&caller, call),
        libc::SYS_capset => {
            // What it says of credentials that are kept counts; the kernel's own capabilities are few.
            let _carried_out = ids::answer(&mut Keeper(world), call);
            DONE
        }
        _ => {
            if let Some(done) = processes::answer(&caller, call) {
                return done;
            }
            match ids::answer(&mut Keeper(world), call) {
                Some(Answer::Value(value)) => value.map(Reply::Value),
                Some(Answer::Descriptor { file, close_on_exec }) => {
                    Ok(Reply::Descriptor { file, close_on_exec })
                }
                Some(Answer::GoOn) | None => Ok(Reply::GoOn),
            }
        }
    }
}

fn of_files(caller: &Caller<'_>, call: &Call) -> Option<Answered> {
    let [one, two, three, four, five, _] = call.arguments;
    Some(match call.number {
        libc::SYS_openat => open::answer(caller, one, two, open::How::plain(three, four)),
        libc::SYS_openat2 => open::answer2(caller, one, two, three),
        libc::SYS_fstat => stat::fstat(caller, one, two),
        libc::SYS_newfstatat => stat::stat(caller, (one, two, four), three),
        libc::SYS_statx => stat::statx(caller, (one, two, three), four, five),
        libc::SYS_faccessat => stat::access(caller, (one, two, 0), three),
        libc::SYS_faccessat2 => stat::access(caller, (one, two, four), three),
        libc::SYS_readlinkat => stat::read_link(caller, (one, two), three, four),
        libc::SYS_statfs => stat::file_system(caller, one, two),
        libc::SYS_mkdirat => names::mkdir(caller, (one, two), three),
        libc::SYS_mknodat => names::mknod(caller, (one, two), three, four),
        libc::SYS_symlinkat => names::symlink(caller, one, (two, three)),
        libc::SYS_linkat => names::link(caller, (one, two), (three, four), five),
        libc::SYS_unlinkat => names::unlink(caller, (one, two), three),
        #[cfg(not(target_arch = "riscv64"))]
        libc::SYS_renameat => names::rename(caller, (one, two), (three, four), 0),
        libc::SYS_renameat2 => names::rename(caller, (one, two), (three, four), five),
        libc::SYS_fchmod => attributes::chmod(caller, caller.opened(one), two),
        libc::SYS_fchmodat => attributes::chmod(caller, caller.find(one, two, true), three),
        libc::SYS_fchmodat2 => attributes::chmod(caller, caller.find_at(one, two, four), three),
        libc::SYS_fchown => attributes::chown(caller, caller.opened(one), two, three),
        libc::SYS_fchownat => {
            attributes::chown(caller, caller.find_at(one, two, five), three, four)
        }
        libc::SYS_utimensat => attributes::times(caller, (one, two, four), three),
        libc::SYS_truncate => attributes::truncate(caller, one, two),
        libc::SYS_chdir => processes::chdir(caller, caller.find(CWD, one, true)),
        libc::SYS_fchdir => processes::chdir(caller, caller.opened(one)),
        libc::SYS_chroot => processes::chroot(caller, one),
        libc::SYS_getcwd => processes::getcwd(caller, one, two),
        libc::SYS_inotify_init1 => watches::init(one),
        libc::SYS_inotify_add_watch => watches::add(caller, one, two, three),
        _ => return attributes::extended(caller, call),
    })
}

#[cfg(target_arch = "x86_64")]
fn legacy(caller: &Caller<'_>, call: &Call) -> Option<Answered> {
    let [one, two, three, ..] = call.arguments;
    let nofollow = u64::from(libc::AT_SYMLINK_NOFOLLOW.cast_unsigned());
    let creat = (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64;
    Some(match call.number {
        libc::SYS_inotify_init => watches::init(0),
        libc::SYS_open => open::answer(caller, CWD, one, open::How::plain(two, three)),
        libc::SYS_creat => open::answer(caller, CWD, one, open::How::plain(creat, two)),
        libc::SYS_stat => stat::stat(caller, (CWD, one, 0), two),
        libc::SYS_lstat => stat::stat(caller, (CWD, one, nofollow), two),
        libc::SYS_access => stat::access(caller, (CWD, one, 0), two),
        libc::SYS_readlink => stat::read_link(caller, (CWD, one), two, three),
        libc::SYS_mkdir => names::mkdir(caller, (CWD, one), two),
        libc::SYS_mknod => names::mknod(caller, (CWD, one), two, three),
        libc::SYS_symlink => names::symlink(caller, one, (CWD, two)),
        libc::SYS_link => names::link(caller, (CWD, one), (CWD, two), 0),
        libc::SYS_unlink => names::unlink(caller, (CWD, one), 0),
        libc::SYS_rmdir => names::unlink(caller, (CWD, one), libc::AT_REMOVEDIR as u64),
        libc::SYS_rename => names::rename(caller, (CWD, one), (CWD, two), 0),
        libc::SYS_chmod => attributes::chmod(caller, caller.find(CWD, one, true), two),
        libc::SYS_chown => attributes::chown(caller, caller.find(CWD, one, true), two, three),
        libc::SYS_lchown => attributes::chown(caller, caller.find(CWD, one, false), two, three),
        libc::SYS_utime => attributes::whole_times(caller, one, two),
        libc::SYS_utimes => attributes::short_times(caller, (CWD, one), two),
        libc::SYS_futimesat => attributes::short_times(caller, (one, two), three),
        _ => return None,
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn legacy(_caller: &Caller<'_>, _call: &Call) -> Option<Answered> {
    None
}
