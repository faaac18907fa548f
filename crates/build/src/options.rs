//! What a RUN gets from the command line, besides what is in the plan.

use crate::ssh::SshAgent;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use strake_sandbox::{Limits, Ulimit};

/// What a RUN gets from the command line.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// `--ssh`: agents by id, for `RUN --mount=type=ssh`.
    pub ssh: BTreeMap<String, SshAgent>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--memory`, `--cpu-quota` and their like.
    pub limits: Limits,
    /// Host name; `BUILDKIT_SANDBOX_HOSTNAME`.
    pub hostname: String,
    /// What the ids of cache mounts are kept apart by; `BUILDKIT_CACHE_MOUNT_NS`.
    pub cache_namespace: String,
    /// `--allow`.
    pub allow: Allow,
    /// Folders with specifications of CDI devices; a later one wins.
    pub cdi_folders: Vec<PathBuf>,
    /// Where the kernel shows the interpreters of foreign programs.
    pub binfmt: PathBuf,
    /// Folders in which QEMU's interpreters may be, for a user namespace that has none.
    pub interpreter_folders: Vec<PathBuf>,
}

/// BuildKit's host name for every RUN.
pub const HOSTNAME: &str = "buildkitsandbox";

impl RunOptions {
    /// What holds where nothing is asked for.
    pub fn standard() -> RunOptions {
        RunOptions {
            ssh: BTreeMap::new(),
            ulimits: Vec::new(),
            limits: Limits::default(),
            hostname: HOSTNAME.to_owned(),
            cache_namespace: String::new(),
            allow: Allow { network_host: true, insecure: false, devices: Devices::None },
            cdi_folders: vec![PathBuf::from("/etc/cdi"), PathBuf::from("/var/run/cdi")],
            binfmt: PathBuf::from("/proc/sys/fs/binfmt_misc"),
            interpreter_folders: ["/usr/libexec/qemu-binfmt", "/usr/local/bin", "/usr/bin"]
                .map(PathBuf::from)
                .to_vec(),
        }
    }
}

/// `--allow`: what a RUN may ask for beyond the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// `network.host`. The network of a RUN is the builder's anyway, unless that was changed.
    pub network_host: bool,
    /// `security.insecure`.
    pub insecure: bool,
    /// `device`.
    pub devices: Devices,
}

/// `--allow device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Devices {
    /// None but those whose specification allows it.
    None,
    /// These, each `vendor/class` or `vendor/class=name`.
    Named(BTreeSet<String>),
    /// All.
    All,
}
