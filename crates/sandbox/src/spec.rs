//! What to run: the public description of one process and of the tree it runs over.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::wire;
use crate::{Owner, Privilege};

/// One process to run, and everything that it may see.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSpec {
    /// The tree that becomes `/`.
    pub root: RootSpec,
    /// The program and its arguments; the program is searched for in the `PATH` of `env`.
    #[serde(with = "wire::texts")]
    pub argv: Vec<OsString>,
    /// The whole environment of the process; nothing else is inherited.
    #[serde(with = "wire::pairs")]
    pub env: Vec<(OsString, OsString)>,
    /// The working directory, an absolute path in the root; where it is missing it is made,
    /// as the user's, and stays.
    #[serde(with = "wire::path")]
    pub cwd: PathBuf,
    /// Who the process is.
    pub user: Identity,
    /// The host name that the process sees.
    pub hostname: String,
    /// Which network the process sees.
    pub network: Network,
    /// What is mounted over the tree, in this order; a place that is missing in an earlier mount is
    /// made there.
    pub mounts: Vec<Mount>,
    /// Contents of `/etc/hosts`.
    pub hosts: Vec<u8>,
    /// Contents of `/etc/resolv.conf`.
    pub resolv_conf: Vec<u8>,
    /// Resource limits beyond the builder's own.
    pub ulimits: Vec<Ulimit>,
    /// Limits by control groups.
    pub limits: Limits,
    /// How far the program is held back.
    pub security: Security,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: u64,
    /// What [`crate::enter`] returned.
    pub privilege: Privilege,
    /// An existing, empty scratch directory for this run alone; the caller removes it.
    #[serde(with = "wire::path")]
    pub tmp: PathBuf,
    /// Paths of mounts, and directories above them, that the tree has from [`crate::lend_places`] alone,
    /// children first. What the run leaves of them in the upper directory is removed where it is empty.
    #[serde(with = "wire::texts")]
    pub lent: Vec<PathBuf>,
    /// Recorded owners of symlinks, FIFOs and sockets of the lower layers, which can carry no record
    /// themselves. Only read under [`Privilege::SingleId`].
    pub special_owners: Vec<Owner>,
    /// Whether the tree or a mount may hold records of devices, see [`crate::NODE_ATTRIBUTE`]. Only read
    /// under [`Privilege::SubIds`]: each look at a path is checked then, which takes its time. Without
    /// it a run that makes a device is ended with [`crate::RunError::MakesDevice`].
    pub has_devices: bool,
}

/// The tree that becomes `/`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RootSpec {
    /// An overlay mount; what changes lands in `upper`.
    Overlay {
        /// Read-only layers, topmost first; may be empty.
        #[serde(with = "wire::texts")]
        lower: Vec<PathBuf>,
        /// An existing directory for the changes.
        #[serde(with = "wire::path")]
        upper: PathBuf,
        /// An existing, empty directory on the file system of `upper`, for this run alone. What the
        /// kernel leaves in it is the caller's to remove.
        #[serde(with = "wire::path")]
        work: PathBuf,
    },
    /// A directory that is changed in place.
    Plain(#[serde(with = "wire::path")] PathBuf),
}

/// Numeric user, group and supplementary groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Identity {
    /// User and group 0 without supplementary groups.
    pub const ROOT: Self = Self { uid: 0, gid: 0, groups: Vec::new() };
}

/// Which network the process sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The network of the builder.
    Default,
    /// The network of the builder, asked for by name.
    Host,
    /// Nothing but a loopback interface.
    None,
}

/// How far the program is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    /// Docker's default capabilities and filter, parts of /proc hidden, /sys read-only.
    Sandbox,
    /// All that the builder has: every capability, no filter, nothing hidden, /sys writable, and the
    /// devices of [`crate::INSECURE_DEVICES`] that are there.
    Insecure,
}

/// Something mounted over the tree for the length of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Where, an absolute path in the root; made for the run if it is missing.
    #[serde(with = "wire::path")]
    pub target: PathBuf,
    /// What.
    pub source: MountSource,
}

/// What a [`Mount`] shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// The file or directory.
        #[serde(with = "wire::path")]
        path: PathBuf,
        /// Whether writes are refused.
        readonly: bool,
        /// What is refused besides.
        limits: BindLimits,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Size limit in bytes.
        size: Option<u64>,
        /// Mode of its root.
        mode: u32,
    },
    /// A file whose content never touches a disk.
    SecretFile {
        /// The content.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A file or directory of the host that may be written to; the writes are discarded.
    BindOverlay {
        /// The file or directory.
        #[serde(with = "wire::path")]
        lower: PathBuf,
    },
    /// A file or directory of another tree, which is an overlay of these layers. What is written, if
    /// it may be, is discarded.
    Stack {
        /// Read-only layers, topmost first.
        #[serde(with = "wire::texts")]
        lower: Vec<PathBuf>,
        /// Where in that tree; links do not lead out of it.
        #[serde(with = "wire::path")]
        path: PathBuf,
        /// Whether a directory is there.
        directory: bool,
        /// Whether writes are refused.
        readonly: bool,
    },
}

/// What a bind mount refuses besides writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindLimits {
    /// Device nodes are not opened.
    pub nodev: bool,
    /// Setuid bits do not count.
    pub nosuid: bool,
    /// Nothing is executed.
    pub noexec: bool,
}

/// What all processes of a run may take together, each as Docker's flag of that name has it; `None`
/// limits nothing. Needs control groups that are the builder's, see cgroups(7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Memory and swap in bytes; `u64::MAX` is unlimited. Without it twice the memory.
    pub memory_swap: Option<u64>,
    /// Microseconds of processor time in each period.
    pub cpu_quota: Option<u64>,
    /// The period in microseconds; 100000 without it.
    pub cpu_period: Option<u64>,
    /// Weight beside others, 1024 being the usual one.
    pub cpu_shares: Option<u64>,
    /// Numbers of the processors, as `0-2,7`.
    pub cpuset_cpus: Option<String>,
    /// Numbers of the memory nodes.
    pub cpuset_mems: Option<String>,
}

impl Limits {
    /// Whether nothing is limited.
    pub(crate) fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// One resource limit, as `--ulimit name=soft:hard` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Name as Docker spells it: `nofile`, `nproc`, `core`, ...
    pub name: String,
    /// Soft limit; `u64::MAX` is unlimited.
    pub soft: u64,
    /// Hard limit; `u64::MAX` is unlimited.
    pub hard: u64,
}
