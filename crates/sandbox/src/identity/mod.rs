//! The identity engine: users and owners where the kernel has one id only.
//!
//! A process keeps *virtual* credentials, which `setuid` and its kin change and `getuid` and its kin
//! return. Which ones a process has is carried by the kernel itself: the soft limit of
//! `RLIMIT_LOCKS`, which has had no other meaning since Linux 2.4, is a number in the engine's table.
//! So a fork inherits at exactly the right moment, and nothing is kept for a process that can die.
//!
//! A file's *recorded* owner is an extended attribute of the file, see [`record`]. Without a record
//! the owner is 0:0, as the kernel says itself.
//!
//! In a user namespace with a range of ids the kernel knows users and owners itself. There only
//! devices are the engine's, which no user namespace may make.
//!
//! The engine knows calls and answers; how a call is caught and answered is the front end's.

mod create;
pub(crate) mod credentials;
mod exec;
mod guard;
pub(crate) mod ids;
mod owners;
pub(crate) mod place;
mod real;
pub(crate) mod record;
pub(crate) mod sockets;
mod special;
mod stat;

use std::os::fd::OwnedFd;

use rustix::io::Errno;

pub(crate) use credentials::CredentialsId;
use credentials::{Credentials, Table};
pub(crate) use special::Roots;
use special::Specials;

use crate::Owner;
use crate::spec::{RunSpec, Security};
use crate::sys::process::{limit_of, set_limit_of};

/// The resource limit that carries credentials: RLIMIT_LOCKS.
pub(crate) const CARRIER: u32 = 10;

/// The number that a process carries; 0, which is root's, where that cannot be known.
pub(crate) fn carried(pid: u32) -> u64 {
    limit_of(pid, CARRIER).map_or(0, |(soft, _)| soft)
}

/// Who knows which credentials a process has.
pub(crate) trait Holder {
    /// The credentials of a process.
    fn credentials(&self, pid: u32) -> Credentials;
    /// Gives a process other credentials.
    fn set_credentials(&mut self, pid: u32, credentials: Credentials) -> Result<(), Errno>;
}

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// The thread that makes it.
    pub(crate) pid: u32,
    /// Which call, in the native numbering.
    pub(crate) number: i64,
    /// Its arguments.
    pub(crate) arguments: [u64; 6],
}

/// What becomes of a call.
pub(crate) enum Answer {
    /// The kernel carries it out.
    GoOn,
    /// It returns this.
    Value(Result<i64, Errno>),
    /// It returns this open file.
    Descriptor { file: OwnedFd, close_on_exec: bool },
}

impl From<Result<i64, Errno>> for Answer {
    fn from(result: Result<i64, Errno>) -> Self {
        Self::Value(result)
    }
}

/// The engine's state for one run.
pub(crate) struct Engine {
    table: Table,
    /// Those of the program at its start; nothing where users and owners are the kernel's.
    first: Option<(CredentialsId, Credentials)>,
    specials: Specials,
    own_root: Option<(u64, u64)>,
    /// Whether any process has had other credentials than the first.
    has_others: bool,
    /// Whether any process may have another root than this one.
    has_roots: bool,
    /// Whether looks at files are watched for those that stand for a device.
    has_devices: bool,
    /// Whether the run was ended because it makes a device, which its programs would not see.
    makes_device: bool,
}

/// How a run has ended for the engine.
pub(crate) enum Ended {
    /// With these owners that no attribute holds.
    Owners(Vec<Owner>),
    /// By the engine, see [`RunSpec::has_devices`].
    MakesDevice,
}

impl Engine {
    /// Starts with the credentials of the user; to be called when the tree is `/`.
    pub(crate) fn new(roots: Roots, spec: &RunSpec) -> Self {
        let user = Credentials::of(&spec.user);
        let specials = Specials::new(roots, &user, &spec.special_owners);
        let mut engine = Self::with(specials, spec);
        engine.first = Some((engine.table.number(user.clone()), user));
        engine
    }

    /// An engine for devices alone; to be called when the tree is `/`.
    pub(crate) fn for_devices(roots: Roots, spec: &RunSpec) -> Self {
        Self::with(Specials::new(roots, &Credentials::ROOT, &[]), spec)
    }

    fn with(specials: Specials, spec: &RunSpec) -> Self {
        Self {
            table: Table::new(),
            first: None,
            specials,
            own_root: place::root_of("self"),
            has_others: false,
            // Namespaces, which such a run may enter, have roots of their own.
            has_roots: spec.security == Security::Insecure,
            has_devices: spec.has_devices,
            makes_device: false,
        }
    }

    /// The credentials that the program starts with, where the engine keeps them.
    pub(crate) fn first(&self) -> Option<CredentialsId> {
        self.first.as_ref().map(|it| it.0)
    }

    /// Whether users and owners are the kernel's.
    fn has_real_owners(&self) -> bool {
        self.first.is_none()
    }

    /// What there is to tell when the run has ended.
    pub(crate) fn end(&self) -> Ended {
        if self.makes_device { Ended::MakesDevice } else { Ended::Owners(self.specials.found()) }
    }

    /// Decides a call that looks at a file, for which nothing is changed here; `None` for another one.
    pub(crate) fn look(&self, call: &Call) -> Option<Answer> {
        let answer = match call.number {
            libc::SYS_fstat | libc::SYS_newfstatat | libc::SYS_statx => stat::answer(self, call),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_stat | libc::SYS_lstat => stat::answer(self, call),
            _ => return None,
        };
        Some(answer.unwrap_or(Answer::GoOn))
    }

    /// Decides another call. `still_there` says whether the caller still waits: what was read of its memory
    /// before counts only then.
    pub(crate) fn answer(&mut self, call: &Call, still_there: &dyn Fn() -> bool) -> Answer {
        // A call that cannot be understood is the kernel's to refuse.
        self.decide(call, still_there).unwrap_or(Answer::GoOn)
    }

    fn decide(&mut self, call: &Call, still_there: &dyn Fn() -> bool) -> Option<Answer> {
        match call.number {
            libc::SYS_execve | libc::SYS_execveat => exec::answer(self, call),
            libc::SYS_fchown | libc::SYS_fchownat => owners::chown(self, call, still_there),
            libc::SYS_flistxattr | libc::SYS_listxattr | libc::SYS_llistxattr => {
                owners::list_attributes(self, call)
            }
            libc::SYS_bind => sockets::bind(self, call, still_there),
            libc::SYS_getsockopt => sockets::peer(self, call),
            libc::SYS_openat | libc::SYS_openat2 => create::open(self, call, still_there),
            libc::SYS_mkdirat | libc::SYS_mknodat | libc::SYS_symlinkat => {
                create::make(self, call, still_there)
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown | libc::SYS_lchown => owners::chown(self, call, still_there),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open | libc::SYS_creat => create::open(self, call, still_there),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mkdir | libc::SYS_mknod | libc::SYS_symlink => {
                create::make(self, call, still_there)
            }
            // The kernel carries it out; from now on the paths of each caller are its root's.
            libc::SYS_chroot => {
                self.has_roots = true;
                None
            }
            _ => ids::answer(self, call).or_else(|| guard::answer(self, call)),
        }
    }
}

impl Holder for Engine {
    fn credentials(&self, pid: u32) -> Credentials {
        let Some((_, first)) = &self.first else { return real::credentials(pid) };
        if !self.has_others {
            return first.clone();
        }
        self.table.get(CredentialsId(carried(pid)))
    }

    fn set_credentials(&mut self, pid: u32, credentials: Credentials) -> Result<(), Errno> {
        self.has_others = true;
        let number = self.table.number(credentials);
        set_limit_of(pid, CARRIER, number.0, u64::MAX)
    }
}
