//! Flags that only a RUN sees: `--ssh`, `--ulimit`, `--allow`, `--cdi-dir`, and the build arguments
//! that mean something to every RUN.

use crate::{args::RunArgs, environment, failure::Failure, inputs};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};
use strake_build::{Allow, Devices, KeyError, RunOptions, SshAgent, SshKey};
use strake_sandbox::{Limits, Ulimit};

/// Reads all of them. `network` is `--network`.
pub(crate) fn read(
    args: &RunArgs,
    network: &str,
    build_args: &[(String, String)],
) -> Result<RunOptions, Failure> {
    let mut options = RunOptions::standard();
    options.ssh = agents(&args.ssh)?;
    options.ulimits = ulimits(&args.ulimit)?;
    options.limits = limits(args)?;
    options.allow = allowed(&args.allow, network)?;
    if !args.cdi_dir.is_empty() {
        options.cdi_folders.clone_from(&args.cdi_dir);
    }
    for (name, value) in build_args.iter().filter(|it| !it.1.is_empty()) {
        match name.as_str() {
            HOSTNAME => options.hostname.clone_from(value),
            CACHE_NAMESPACE => options.cache_namespace.clone_from(value),
            _ => {}
        }
    }
    Ok(options)
}

const HOSTNAME: &str = "BUILDKIT_SANDBOX_HOSTNAME";
const CACHE_NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";

/// Build arguments that have an effect here.
pub(crate) const BUILD_ARGS: &[&str] = &[HOSTNAME, CACHE_NAMESPACE];

/// `--ssh ID[=SOCKET|=KEY[,KEY..]]`.
fn agents(written: &[String]) -> Result<BTreeMap<String, SshAgent>, Failure> {
    let mut agents = BTreeMap::new();
    for text in written {
        let (id, paths) = text.split_once('=').unwrap_or((text, ""));
        let id = if id.is_empty() { "default" } else { id };
        let agent = if paths.is_empty() {
            SshAgent::Socket(own_agent(text)?)
        } else {
            agent(text, &paths.split(',').map(PathBuf::from).collect::<Vec<_>>())?
        };
        if agents.insert(id.to_owned(), agent).is_some() {
            return Err(Failure::usage(format!("--ssh `{text}`: there is a second agent {id}"))
                .hint("give several keys as --ssh ID=KEY,KEY"));
        }
    }
    Ok(agents)
}

fn own_agent(text: &str) -> Result<PathBuf, Failure> {
    match environment::get(environment::SSH_AUTH_SOCK) {
        Some(socket) if is_socket(Path::new(&socket)) => Ok(socket.into()),
        Some(socket) => Err(Failure::new(format!(
            "--ssh `{text}`: SSH_AUTH_SOCK={}: there is no agent's socket",
            socket.display()
        ))
        .hint("start one with `eval $(ssh-agent)` and `ssh-add`")),
        None => Err(Failure::new(format!("--ssh `{text}`: SSH_AUTH_SOCK is not set"))
            .hint("start an agent with `eval $(ssh-agent)` and `ssh-add`, or give --ssh ID=KEY")),
    }
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|it| it.file_type().is_socket())
}

/// One socket, or any number of keys.
fn agent(text: &str, paths: &[PathBuf]) -> Result<SshAgent, Failure> {
    if let [socket] = paths
        && is_socket(socket)
    {
        return Ok(SshAgent::Socket(std::path::absolute(socket)?));
    }
    if let Some(socket) = paths.iter().find(|it| is_socket(it)) {
        return Err(Failure::usage(format!(
            "--ssh `{text}`: {} is a socket and others are not",
            socket.display()
        ))
        .hint("give one socket, or only keys"));
    }
    paths.iter().map(|it| key(text, it)).collect::<Result<_, _>>().map(SshAgent::Keys)
}

fn key(text: &str, path: &Path) -> Result<SshKey, Failure> {
    let content =
        fs_err::read(path).map_err(|error| Failure::new(format!("--ssh `{text}`: {error}")))?;
    SshKey::read(&content).map_err(|error| {
        let hint = match error {
            KeyError::Passphrase => "add it to an agent with `ssh-add` and give --ssh default",
            KeyError::Format => "convert it with `ssh-keygen -p -f KEY`, or use an agent",
            KeyError::Kind => "Ed25519, RSA and ECDSA keys are read; others need an agent",
        };
        Failure::new(format!("--ssh `{text}`: {}: {error}", path.display())).hint(hint)
    })
}

/// `--ulimit NAME=SOFT[:HARD]`; -1 is unlimited. A later one of the same name counts.
fn ulimits(written: &[String]) -> Result<Vec<Ulimit>, Failure> {
    let mut limits: BTreeMap<String, Ulimit> = BTreeMap::new();
    for text in written {
        let wrong = |why: &str| {
            Failure::usage(format!("--ulimit `{text}`: {why}")).hint("write e.g. nofile=1024:4096")
        };
        let (name, numbers) =
            text.split_once('=').ok_or_else(|| wrong("expected NAME=SOFT[:HARD]"))?;
        if !strake_sandbox::ULIMITS.contains(&name) {
            let all = strake_sandbox::ULIMITS.join(", ");
            return Err(Failure::usage(format!("--ulimit `{text}`: there is no limit {name}"))
                .hint(format!("limits are {all}")));
        }
        let number = |it: &str| match it.parse::<i64>() {
            Ok(-1) => Ok(u64::MAX),
            Ok(number) => u64::try_from(number).map_err(|_| wrong("a limit is a number or -1")),
            Err(_) => Err(wrong("a limit is a number or -1")),
        };
        let (soft, hard) = numbers.split_once(':').unwrap_or((numbers, numbers));
        let (soft, hard) = (number(soft)?, number(hard)?);
        if soft > hard {
            return Err(wrong("the soft limit is higher than the hard one"));
        }
        limits.insert(name.to_owned(), Ulimit { name: name.to_owned(), soft, hard });
    }
    Ok(limits.into_values().collect())
}

/// `--memory` and the flags after it.
fn limits(args: &RunArgs) -> Result<Limits, Failure> {
    let size = |flag: &str, text: &Option<String>| {
        // 0 limits nothing, as in Docker.
        text.as_ref().map(|it| inputs::size(flag, it)).transpose().map(|it| it.filter(|it| *it > 0))
    };
    let some = |number: Option<u64>| number.filter(|it| *it > 0);
    let memory = size("--memory", &args.memory)?;
    if memory.is_some_and(|it| it < 6 << 20) {
        return Err(Failure::usage("--memory: nothing runs in less than 6m".to_owned()));
    }
    let memory_swap = match args.memory_swap.as_deref() {
        Some("-1") => Some(u64::MAX),
        _ => size("--memory-swap", &args.memory_swap)?,
    };
    if memory_swap.is_some_and(|all| memory.is_none_or(|memory| all < memory)) {
        return Err(Failure::usage("--memory-swap: it is memory and swap together".to_owned())
            .hint("give --memory as well, and no more than --memory-swap"));
    }
    Ok(Limits {
        memory,
        memory_swap,
        // -1 limits nothing either.
        cpu_quota: some(args.cpu_quota.and_then(|it| u64::try_from(it).ok())),
        cpu_period: some(args.cpu_period),
        cpu_shares: some(args.cpu_shares),
        cpuset_cpus: args.cpuset_cpus.clone(),
        cpuset_mems: args.cpuset_mems.clone(),
    })
}

/// `--allow`. The network of a RUN is the machine's unless `--network none` says otherwise, so only
/// then does a RUN --network=host need to be allowed.
fn allowed(written: &[String], network: &str) -> Result<Allow, Failure> {
    let mut allow =
        Allow { network_host: network != "none", insecure: false, devices: Devices::None };
    for text in written {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        match (name, value) {
            ("network.host", "") => allow.network_host = true,
            ("security.insecure", "") => allow.insecure = true,
            ("device", "") => allow.devices = Devices::All,
            ("device", device) => add_device(&mut allow.devices, device, text)?,
            _ => {
                return Err(Failure::usage(format!(
                    "--allow `{text}`: there is nothing of that name"
                ))
                .hint("network.host, security.insecure, device or device=NAME"));
            }
        }
    }
    Ok(allow)
}

fn add_device(devices: &mut Devices, device: &str, text: &str) -> Result<(), Failure> {
    if device.contains(',') {
        return Err(Failure::usage(format!("--allow `{text}`: a device has no alias here"))
            .hint("write --allow device=vendor.com/class=name"));
    }
    match devices {
        Devices::All => {}
        Devices::None => *devices = Devices::Named(BTreeSet::from([device.to_owned()])),
        Devices::Named(names) => {
            names.insert(device.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{agents, allowed, ulimits};
    use strake_build::Devices;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn limits() {
        let all = ulimits(&words("nofile=10:20 core=0 memlock=-1 nofile=30")).unwrap();
        let all: Vec<_> = all.iter().map(|it| (it.name.as_str(), it.soft, it.hard)).collect();
        assert_eq!(all, [("core", 0, 0), ("memlock", u64::MAX, u64::MAX), ("nofile", 30, 30)]);
        for wrong in ["nofile", "files=1", "nofile=x", "nofile=3:2", "nofile=-2"] {
            assert!(ulimits(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn entitlements() {
        let allow = allowed(&words("security.insecure device=a.b/c device=a.b/c=d"), "default");
        let allow = allow.unwrap();
        assert!(allow.insecure && allow.network_host);
        assert_eq!(allow.devices, Devices::Named(["a.b/c".into(), "a.b/c=d".into()].into()));
        assert!(!allowed(&[], "none").unwrap().network_host);
        assert!(allowed(&words("network.host"), "none").unwrap().network_host);
        assert_eq!(allowed(&words("device=a device"), "none").unwrap().devices, Devices::All);
        assert!(allowed(&words("everything"), "none").is_err());
        assert!(allowed(&words("device=a/b,alias=c"), "none").is_err());
    }

    #[test]
    fn an_agent_needs_a_socket_or_keys() {
        assert!(agents(&words("default=/no/such/socket")).is_err());
        assert!(agents(&words("default=/dev/null")).is_err());
    }
}
