//! What a machine says about itself that decides how a RUN can be isolated on it, and the one line that
//! would allow a better way.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Privilege;

/// What /proc and /sys say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Release of the kernel.
    pub kernel: String,
    /// Whether a seccomp filter is in force.
    pub filtered: bool,
    /// Whether privileges can no longer be gained.
    pub no_new_privileges: bool,
    /// Effective capabilities, as a bit set.
    pub capabilities: u64,
    /// `user.max_user_namespaces`.
    pub max_user_namespaces: Option<u64>,
    /// Debian's `kernel.unprivileged_userns_clone`.
    pub unprivileged_clone: Option<u64>,
    /// Ubuntu's `kernel.apparmor_restrict_unprivileged_userns`.
    pub apparmor_restricts: Option<u64>,
    /// The AppArmor profile of this process.
    pub apparmor: Option<String>,
    /// `kernel.yama.ptrace_scope`.
    pub ptrace_scope: Option<u64>,
    /// Control groups.
    pub cgroup: Cgroup,
}

/// Which control groups there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroup {
    /// None, or none that can be seen.
    None,
    /// The first version.
    V1,
    /// The second, with these controllers in this process's group.
    V2 {
        /// Names of the controllers.
        controllers: Vec<String>,
        /// Whether they are this user's to hand on.
        delegated: bool,
    },
}

impl Facts {
    /// Reads them below `root`, which is `/` but for tests.
    pub fn read(root: &Path) -> Self {
        let text = |name: &str| {
            fs::read_to_string(root.join(name)).ok().map(|it| it.trim_end().to_owned())
        };
        let number = |name: &str| text(name).and_then(|it| it.parse().ok());
        let status = text("proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(':'));
            line.map(|it| it.trim().to_owned()).unwrap_or_default()
        };
        Self {
            kernel: text("proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned()),
            filtered: field("Seccomp") == "2",
            no_new_privileges: field("NoNewPrivs") == "1",
            capabilities: u64::from_str_radix(&field("CapEff"), 16).unwrap_or(0),
            max_user_namespaces: number("proc/sys/user/max_user_namespaces"),
            unprivileged_clone: number("proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            apparmor: text("proc/self/attr/current")
                .map(|it| it.trim_end_matches('\0').to_owned())
                .filter(|it| !it.is_empty()),
            ptrace_scope: number("proc/sys/kernel/yama/ptrace_scope"),
            cgroup: Cgroup::read(root, &text("proc/self/cgroup").unwrap_or_default()),
        }
    }

    fn has_admin(&self) -> bool {
        self.capabilities & 1 << 21 != 0
    }
}

impl Cgroup {
    fn read(root: &Path, own: &str) -> Self {
        let Some(group) = own.lines().find_map(|it| it.strip_prefix("0::")) else {
            return if own.is_empty() { Self::None } else { Self::V1 };
        };
        let folder: PathBuf = root.join("sys/fs/cgroup").join(group.trim_start_matches('/'));
        let Ok(controllers) = fs::read_to_string(folder.join("cgroup.controllers")) else {
            return if own.lines().count() > 1 { Self::V1 } else { Self::None };
        };
        let controllers = controllers.split_ascii_whitespace().map(str::to_owned).collect();
        let control = folder.join("cgroup.subtree_control");
        let delegated = fs::OpenOptions::new().write(true).open(control).is_ok();
        Self::V2 { controllers, delegated }
    }
}

impl fmt::Display for Cgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none to be seen"),
            Self::V1 => f.write_str("version 1"),
            Self::V2 { controllers, delegated } => {
                let whose = if *delegated { "delegated" } else { "not delegated" };
                write!(f, "version 2, {whose}: {}", controllers.join(" "))
            }
        }
    }
}

/// What keeps a RUN from the next better way, and what would change that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What is in the way.
    pub reason: &'static str,
    /// On the machine itself.
    pub host: Option<&'static str>,
    /// In a container of Docker.
    pub docker: Option<&'static str>,
    /// In a pod of Kubernetes.
    pub kubernetes: Option<&'static str>,
    /// In a service of systemd.
    pub systemd: Option<&'static str>,
}

const NOTHING: Advice =
    Advice { reason: "", host: None, docker: None, kubernetes: None, systemd: None };

/// Says what would give a better way than the one that was found, if there is one.
pub fn advice(facts: &Facts, privilege: &Privilege) -> Option<Advice> {
    match privilege {
        Privilege::Root | Privilege::SubIds => None,
        Privilege::SingleId => Some(Advice {
            reason: "one id only: no range of ids is granted, or newuidmap is missing",
            host: Some(
                "apt-get install uidmap && usermod --add-subuids 100000-165535 --add-subgids \
                 100000-165535 USER",
            ),
            ..NOTHING
        }),
        Privilege::Emulated | Privilege::Chroot | Privilege::None { .. } => Some(refused(facts)),
    }
}

fn refused(facts: &Facts) -> Advice {
    if facts.max_user_namespaces == Some(0) {
        return Advice {
            reason: "user namespaces are off: user.max_user_namespaces is 0",
            host: Some("sysctl -w user.max_user_namespaces=15000"),
            ..NOTHING
        };
    }
    if facts.unprivileged_clone == Some(0) && !facts.has_admin() {
        return Advice {
            reason: "user namespaces are root's: kernel.unprivileged_userns_clone is 0",
            host: Some("sysctl -w kernel.unprivileged_userns_clone=1"),
            ..NOTHING
        };
    }
    if facts.apparmor_restricts == Some(1) && !facts.filtered {
        return Advice {
            reason: "AppArmor restricts user namespaces",
            host: Some("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
            docker: Some("docker run --security-opt apparmor=unconfined"),
            kubernetes: Some("securityContext: {appArmorProfile: {type: Unconfined}}"),
            systemd: Some("AppArmorProfile=unconfined"),
        };
    }
    if facts.filtered {
        return Advice {
            reason: "a seccomp profile refuses namespaces and mounts",
            host: None,
            docker: Some(
                "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined",
            ),
            kubernetes: Some(
                "hostUsers: false, securityContext: {seccompProfile: {type: Unconfined}, \
                 procMount: Unmasked}",
            ),
            systemd: Some("RestrictNamespaces=no, SystemCallFilter="),
        };
    }
    Advice {
        reason: "namespaces can be made, but no fresh /proc: the container hides parts of its own",
        host: None,
        docker: Some("docker run --security-opt systempaths=unconfined"),
        kubernetes: Some("hostUsers: false, securityContext: {procMount: Unmasked}"),
        systemd: Some("ProtectProc=default, ProtectKernelTunables=no"),
    }
}
