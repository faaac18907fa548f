//! RUN: a process over the root; what it changed becomes the layer.

use super::Made;
use crate::{
    Event, StepError,
    engine::{At, Engine},
    materialise, mounts,
    state::State,
};
use std::{
    collections::{BTreeSet, VecDeque},
    ffi::OsString,
    path::PathBuf,
};
use strake_layer::{Kind, Tree};
use strake_plan::{Network, RunOp, Security};
use strake_rootfs::{Prepare, Root, UserInfo};
use strake_sandbox::{ExitStatus, Identity, Output, Owner, Privilege, RunSpec};

/// How much of the output an error repeats.
const TAIL: usize = 4096;

/// BuildKit's PATH where neither base nor Dockerfile sets one.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const HOSTNAME: &str = "buildkitsandbox";

/// Contents that the RUN reads besides its root, for the key.
pub(super) fn sources(engine: &Engine<'_>, op: &RunOp) -> Result<Vec<(String, String)>, StepError> {
    let mut records = Vec::new();
    for copy in mounts::bind_copies(op) {
        records.extend(super::copy::Prepared::new(engine, &copy)?.records());
    }
    Ok(records)
}

pub(super) fn run(
    engine: &Engine<'_>,
    at: At<'_>,
    op: &RunOp,
    state: &State,
) -> Result<Made, StepError> {
    granted(op)?;
    let bench = engine.bench;
    if let Privilege::None { why } = &bench.privilege {
        return Err(StepError::NoSandbox { why: why.clone() });
    }
    // Unpacking makes the indexes that the tree is read from.
    let lowers = once(materialise::snapshots(&state.layers, bench)?);
    let tree = materialise::tree(&state.layers, bench)?;
    let (passwd, group) = mounts::user_files(&tree);
    let user = strake_rootfs::lookup_user(passwd, group, &op.user)?;
    let dir = bench.store.temp_dir("run")?;
    let root_dir = dir.path().join("root");
    let scratch = dir.path().join("scratch");
    fs_err::create_dir(&root_dir)?;
    fs_err::create_dir(&scratch)?;
    let root = Root::prepare(Prepare {
        lowers: &lowers,
        tree: &tree,
        dir: &root_dir,
        privilege: &bench.privilege,
        overlay: bench.overlay,
    })?;
    let mounted = mounts::prepare(engine, op, dir.path())?;
    let spec = RunSpec {
        root: root.spec(),
        argv: op.argv.iter().map(OsString::from).collect(),
        env: environment(engine, op, &user, &mounted.env),
        cwd: PathBuf::from(&op.cwd),
        user: Identity { uid: user.uid, gid: user.gid, groups: user.groups.clone() },
        hostname: HOSTNAME.to_owned(),
        network: network(op.network),
        mounts: mounted.mounts.clone(),
        hosts: hosts(&bench.extra_hosts),
        resolv_conf: bench.resolv_conf.clone(),
        ulimits: Vec::new(),
        shm_size: bench.shm_size.unwrap_or(64 << 20),
        privilege: bench.privilege.clone(),
        tmp: scratch,
        special_owners: special_owners(&tree, &bench.privilege),
    };
    let began = (bench.clock)();
    let owners = process(engine, at, &spec)?;
    drop(mounted);
    let ended = (bench.clock)();
    let changes = root.changes(&owners)?;
    let snapshot = root.into_snapshot()?;
    Ok(Made { changes, snapshot, guard: Some(dir), window: (began, ended) })
}

/// Topmost first, and each once: overlayfs refuses a folder that is there twice, as that of the empty
/// layer is after two steps that changed nothing. The upper of two shows everything of the lower.
fn once(snapshots: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    snapshots.into_iter().rev().filter(|it| seen.insert(it.clone())).collect()
}

/// Refuses what the sandbox cannot give.
fn granted(op: &RunOp) -> Result<(), StepError> {
    if op.security == Security::Insecure {
        return Err(StepError::Unsupported {
            what: "RUN --security=insecure".to_owned(),
            instead: "run such a step outside of the build and COPY its result",
        });
    }
    if let Some(device) = op.devices.first() {
        return Err(StepError::Unsupported {
            what: format!("RUN --device={}", device.name),
            instead: "run the step that needs the device outside of the build and COPY its result",
        });
    }
    Ok(())
}

/// Runs the process to its end and turns a failure into an error with its last output.
fn process(engine: &Engine<'_>, at: At<'_>, spec: &RunSpec) -> Result<Vec<Owner>, StepError> {
    let mut tail: VecDeque<u8> = VecDeque::new();
    let mut output = |chunk: Output<'_>| {
        let (bytes, stderr) = match chunk {
            Output::Stdout(bytes) => (bytes, false),
            Output::Stderr(bytes) => (bytes, true),
        };
        tail.extend(bytes);
        let excess = tail.len().saturating_sub(TAIL);
        tail.drain(..excess);
        (engine.emit)(Event::Output { vertex: at.vertex, stderr, bytes: bytes.to_vec() });
    };
    let outcome = strake_sandbox::run(spec, &engine.bench.cancel, &mut output)?;
    let (status, code) = match outcome.status {
        ExitStatus::Code(0) => return Ok(outcome.owners),
        ExitStatus::Code(code) => (format!("exit code: {code}"), code),
        ExitStatus::Signal(signal) => (format!("signal: {signal}"), 128 + signal),
    };
    Err(StepError::Exit {
        command: spec.argv.iter().map(|it| it.to_string_lossy()).collect::<Vec<_>>().join(" "),
        status,
        code,
        tail: tail.into(),
    })
}

fn environment(
    engine: &Engine<'_>,
    op: &RunOp,
    user: &UserInfo,
    secrets: &[(String, Vec<u8>)],
) -> Vec<(OsString, OsString)> {
    use std::os::unix::ffi::OsStringExt;
    let mut env: Vec<(OsString, OsString)> = engine.bench.host_env.clone();
    let written = op.env.iter().chain(&op.proxies);
    env.extend(written.map(|(name, value)| (name.into(), value.into())));
    let has = |env: &[(OsString, OsString)], name: &str| env.iter().any(|(it, _)| it == name);
    if !has(&env, "PATH") {
        env.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    if !has(&env, "HOME") {
        env.push(("HOME".into(), user.home.clone().into()));
    }
    for (name, value) in secrets {
        env.retain(|(it, _)| it != name.as_str());
        env.push((name.into(), OsString::from_vec(value.clone())));
    }
    env
}

fn hosts(extra: &[u8]) -> Vec<u8> {
    let mut text =
        format!("127.0.0.1\tlocalhost {HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n")
            .into_bytes();
    text.extend_from_slice(extra);
    text
}

fn network(network: Network) -> strake_sandbox::Network {
    match network {
        Network::Default => strake_sandbox::Network::Default,
        Network::None => strake_sandbox::Network::None,
        Network::Host => strake_sandbox::Network::Host,
    }
}

/// Owners of what cannot carry a record on disk, where owners are records.
fn special_owners(tree: &Tree, privilege: &Privilege) -> Vec<Owner> {
    use std::os::unix::ffi::OsStrExt;
    if !matches!(privilege, Privilege::SingleId) {
        return Vec::new();
    }
    tree.walk(b"")
        .map(|node| &node.entry)
        .filter(|it| matches!(it.kind, Kind::Symlink { .. } | Kind::Fifo))
        .filter(|it| (it.uid, it.gid) != (0, 0))
        .map(|it| Owner {
            path: PathBuf::from(std::ffi::OsStr::from_bytes(&it.path)),
            uid: it.uid,
            gid: it.gid,
        })
        .collect()
}
