//! Runs one process over a given root, isolated, without root.
//!
//! Invariant: nothing here knows images, layers or Dockerfiles, prints, or reads the environment.
//! Invariant: `unsafe` stands in `sys` only.
//! Invariant: a run leaves no mount, process or file behind, however it ends and whoever is killed.
//!
//! # Use
//!
//! 1. [`maybe_init`] is the first statement of `main`: the sandbox's first process is this program,
//!    executed again.
//! 2. [`enter`] follows, while there is one thread: it makes the process root in a user namespace of
//!    its own where it is not root already, and says with what [`Privilege`].
//! 3. [`Starter::run`] runs a [`RunSpec`], from any thread, as many at once as one likes. [`overlay_works`]
//!    tells whether [`RootSpec::Overlay`] can be had in a place.
//!
//! # What is enforced
//!
//! - Own mount, pid, ipc and uts namespaces, own cgroup namespace where allowed; with
//!   [`Network::None`] an own network namespace with a loopback interface.
//! - The tree is `/` by pivot_root and the old root is unmounted. /proc is fresh, with the paths
//!   hidden or read-only that Docker hides or makes read-only; /sys is read-only; /dev holds the
//!   usual nodes, an own devpts, /dev/shm and /dev/mqueue.
//! - Docker's default capabilities, a seccomp filter with the intent of Docker's default profile (for
//!   32-bit programs too), no descriptor and no variable of the builder, umask 022, own session,
//!   standard input is /dev/null. Setuid programs work.
//! - PID 1 reaps. When the program ends, when the run is cancelled, or when the builder is killed,
//!   everything that was started ends.
//! - Places for mounts that the tree lacks leave no trace in the changes.
//! - [`Security::Insecure`] lifts all that concerns capabilities, the filter, /proc and /sys; the
//!   namespaces stay.
//!
//! # One id
//!
//! Under [`Privilege::SingleId`] the kernel knows user 0 only, and the *identity engine* answers for
//! the rest: set*id and get*id, setgroups, chown, stat, setuid programs, owners of what a user makes,
//! setgid directories, mknod of devices. Owners are recorded where they stand: in the attribute
//! [`OWNER_ATTRIBUTE`] of a file or directory, absent for 0:0; in [`Finished::owners`] for what can
//! hold no attribute. A device is an empty regular file with [`NODE_ATTRIBUTE`]. Programs do not see
//! these attributes.
//!
//! A user other than 0 is refused, as by the kernel: to change owners and ids; to make, open for
//! writing, remove, rename, link, chmod or execute what its modes forbid. `access` says the same.
//!
//! Under [`Privilege::SubIds`] the kernel knows users and owners, but makes no devices: these are
//! placeholders there too, and the engine answers for them alone. An open placeholder is a file. Looks at
//! files are watched only where there may be a device ([`RunSpec::has_devices`]), since each takes ten
//! times as long then; a run that makes the first one ends with [`RunError::MakesDevice`].
//!
//! # Emulation
//!
//! Under [`Privilege::Emulated`] there is no namespace and nothing is mounted: a seccomp filter hands
//! every call that takes a path, asks who a process is, or reaches another process to a process of
//! ours, which answers it. It looks paths up inside of the tree itself and hands open files over, so
//! that nothing a program does to its memory or to the tree meanwhile leads out. The tree is a
//! [`RootSpec::Plain`] that belongs to this user; owners and modes are recorded as with one id, the
//! mode as a third field where the real one has to be wider. Mounts are directories and files that
//! stand in for each other; [`Network::None`] refuses sockets but those of Unix.
//!
//! # Chroot
//!
//! [`Privilege::Chroot`] is for root who may chroot and mknod, but neither mount nor make namespaces. It
//! is taken only where [`EnterOptions::backend`] asks for it. Paths, users and owners are the kernel's,
//! so it is as fast as that. The program keeps Docker's default capabilities but CAP_SYS_CHROOT and
//! CAP_MKNOD, gains no new privileges (setuid programs do not work), and reaches no process outside by
//! number. There is no /proc but for files that say something of the machine, and no mount but tmpfs.
//!
//! # What is not enforced
//!
//! - Chroot: pid, ipc, uts and network namespace are the builder's; with [`Network::None`] abstract Unix
//!   sockets of the host can be reached. Files in place of mounts can be moved away. Devices that are
//!   made are refused, those of lower layers are empty files, and no pseudo terminal can be made.
//!
//! - Emulated: pid, ipc and network namespace are the builder's; processes outside cannot be signalled,
//!   traced or looked at. The size of a tmpfs is not limited. A RUN without limits is an error.
//! - Emulated: 32-bit programs, ptrace and io_uring are refused; `sendmsg` to the path of a datagram
//!   socket of the host is not.
//!
//! - With one id: reading files and searching directories that a user's mode bits forbid, changing
//!   times and attributes of others' files, signals to others' processes; ACLs do not count.
//! - With one id: capabilities follow the program and not the user, so a user may bind low ports; a
//!   device that was made can be looked at but not opened.
//! - With one id: /proc/PID/status and `ps` show user 0 for everybody, and /proc and /sys themselves
//!   belong to nobody; bind-mounted files of other host users belong to nobody too.
//! - With one id: a socket that a user binds, and a symlink of a lower layer that is renamed, come out
//!   as 0:0.
//! - With one id: 32-bit programs see user 0 and get no records; a file that is executed in vain may
//!   leave its caller with the ids that it would have had.
//! - In a user namespace, writing to a file takes its setuid and setgid bits, from root too.
//! - Without an own network namespace the builder's network is the program's: loopback and metadata
//!   addresses too.
//! - Memory and processors are limited by [`Limits`] only, which need control groups; the number of
//!   processes by `ulimits` only.
//! - A container that hides parts of its /proc refuses a fresh one, and so any run, to a user.

mod binfmt;
mod cgroup;
mod emulated;
mod enter;
mod facts;
mod identity;
mod init;
mod notify;
mod overlay;
mod places;
mod probe;
mod run;
mod seccomp;
mod spec;
mod starter;
mod subid;
mod sys;
mod wire;

pub use binfmt::{Interpreter, Interpreters};
pub use enter::{EnterError, EnterOptions, Privilege, enter};
pub use facts::{Advice, Cgroup, Facts, advice};
pub use identity::record::{NODE_ATTRIBUTE, OWNER_ATTRIBUTE};
pub use init::{INSECURE_DEVICES, ULIMITS, maybe_init};
pub use overlay::overlay_works;
pub use places::{Place, lend_places, make_places};
pub use run::{CancelToken, ExitStatus, Finished, Output, Owner, RunError};
pub use spec::{
    BindLimits, Identity, Limits, Mount, MountSource, Network, RootSpec, RunSpec, Security, Ulimit,
};
pub use starter::Starter;

/// Gives memory that was freed back to the kernel: after the end of what took much of it, before
/// something else that does.
pub fn trim_memory() {
    sys::memory::trim();
}

/// Ways to run a process, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// User, mount, pid, ipc and uts namespaces.
    Namespaces,
    /// A chroot of root's. Never chosen by itself: it keeps a RUN from less than the next one.
    Chroot,
    /// Paths, users and owners are emulated by a process that answers system calls.
    Emulated,
}
