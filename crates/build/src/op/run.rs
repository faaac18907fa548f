//! RUN: a process over the root; what it changed becomes the layer.

use super::Made;
use crate::{
    Allow, Event, Foreign, HOSTNAME, StepError,
    cdi::{self, Added},
    engine::{At, Engine},
    foreign::{Own, foreign},
    materialise,
    mounts::{self, Mounted},
    program::{Attempt, ProgramError},
    run_folders,
    state::State,
};
use std::{
    collections::VecDeque,
    ffi::OsString,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use strake_layer::{Kind, Node, Tree};
use strake_oci::Platform;
use strake_plan::{Network, RunOp, Security};
use strake_rootfs::{Prepare, Root, UserInfo};
use strake_sandbox::{
    ExitStatus, Identity, Output, Owner, Privilege, RootSpec, RunError, RunSpec, Ulimit,
};

/// How much of the output an error repeats.
const TAIL: usize = 4096;

/// BuildKit's PATH where neither base nor Dockerfile sets one.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the RUN reads besides its root, and what it is given from outside that it can see, for the
/// key. What is as always has no record.
pub(super) fn sources(engine: &Engine<'_>, op: &RunOp) -> Result<Vec<(String, String)>, StepError> {
    // Asked before the cache is: what is not allowed is not to be had from there either.
    allowed(op, &engine.bench.run.allow)?;
    let mut records = Vec::new();
    for copy in mounts::bind_copies(op) {
        records.extend(super::copy::Prepared::new(engine, &copy)?.records());
    }
    let bench = engine.bench;
    if bench.run.hostname != HOSTNAME {
        records.push(("run.hostname".to_owned(), bench.run.hostname.clone()));
    }
    if !bench.extra_hosts.is_empty() {
        let hosts = String::from_utf8_lossy(&bench.extra_hosts).into_owned();
        records.push(("run.hosts".to_owned(), hosts));
    }
    for Ulimit { name, soft, hard } in &bench.run.ulimits {
        records.push((format!("run.ulimit.{name}"), format!("{soft}:{hard}")));
    }
    if let Some(size) = bench.shm_size {
        records.push(("run.shm-size".to_owned(), size.to_string()));
    }
    Ok(records)
}

pub(super) fn run(
    engine: &Engine<'_>,
    at: At<'_>,
    op: &RunOp,
    state: &State,
) -> Result<Made, StepError> {
    let bench = engine.bench;
    if let Privilege::None { why } = &bench.privilege {
        return Err(StepError::NoSandbox { why: why.clone() });
    }
    let devices = cdi::devices(&op.devices, &bench.run.cdi_folders, &bench.run.allow)?;
    for name in &devices.missing {
        let bytes =
            format!("no specification has the device {name}: it is left out\n").into_bytes();
        (engine.emit)(Event::Output { vertex: at.vertex, stderr: true, bytes });
    }
    // Unpacking makes the indexes that the tree is read from.
    let lowers = materialise::once(materialise::snapshots(&state.layers, engine)?);
    let tree = materialise::tree(&state.layers, engine)?;
    interpreted(engine, &at.stage.platform, &tree)?;
    let (passwd, group) = mounts::user_files(&tree);
    let user = strake_rootfs::lookup_user(passwd, group, &op.user)?;
    let ground = Ground { op, state, user: &user, devices: &devices, lowers: &lowers, tree: &tree };
    match attempt(engine, at, &ground, false) {
        Err(StepError::Run(RunError::MakesDevice)) => {
            let bytes =
                b"this RUN makes a device: once more from its start, with files checked for \
                devices, which user namespaces do not have\n";
            (engine.emit)(Event::Output { vertex: at.vertex, stderr: true, bytes: bytes.to_vec() });
            attempt(engine, at, &ground, true)
        }
        done => done,
    }
}

/// What a RUN starts from.
struct Ground<'a> {
    op: &'a RunOp,
    state: &'a State,
    user: &'a UserInfo,
    devices: &'a Added,
    lowers: &'a [PathBuf],
    tree: &'a Arc<Tree>,
}

/// Runs the program over a root of its own. `checked` says that it will make a device.
fn attempt(
    engine: &Engine<'_>,
    at: At<'_>,
    ground: &Ground<'_>,
    checked: bool,
) -> Result<Made, StepError> {
    let bench = engine.bench;
    let Ground { op, state, user, devices, lowers, tree } = *ground;
    let dir = engine.run_folders.take(&bench.store)?;
    let (root_dir, scratch) = (run_folders::root(&dir), run_folders::scratch(&dir));
    let layers: Vec<_> = state.layers.iter().map(|it| it.diff_id).collect();
    let kept = bench.take_kept(&layers);
    if let Some(kept) = &kept {
        // An empty folder gives way.
        fs_err::rename(run_folders::root(kept), &root_dir)?;
    }
    let prepare = if kept.is_some() { Root::adopt } else { Root::prepare };
    let root = prepare(Prepare {
        lowers,
        tree,
        dir: &root_dir,
        privilege: &bench.privilege,
        overlay: bench.overlay(),
    })?;
    let mounted = mounts::prepare(engine, op, dir.path())?;
    let began = file_clock(&scratch)?.min((bench.clock)());
    let given = Given { op, user, mounted: &mounted, devices, scratch };
    let mut spec = spec(engine, given, root.spec(), special_owners(tree, &bench.privilege));
    spec.has_devices = checked || has_devices(tree, &spec);
    let has = |path: &Path| {
        let path = path.strip_prefix("/").unwrap_or(path);
        tree.get(path.as_os_str().as_bytes()).is_some()
    };
    strake_sandbox::lend_places(&mut spec, has, |places| engine.places(places))?;
    let owners = process(engine, at, &spec).map_err(|error| {
        let attempt = Attempt {
            program: op.argv.first().map_or("", String::as_str),
            user: &op.user,
            path: &variable(&spec.env, "PATH"),
            cwd: &op.cwd,
            is_shell: op.argv.get(1).is_some_and(|it| it == "-c"),
            tree,
            lowers,
        };
        not_started(engine, &at.stage.platform, &attempt, error)
    })?;
    drop(mounted);
    let ended = (bench.clock)();
    let changes = root.changes(&owners)?;
    let snapshot = root.into_snapshot()?;
    let warnings = Vec::new();
    Ok(Made { changes, snapshot, guard: Some(dir), window: (began, ended), warnings })
}

/// The time that the kernel gives to files, which is a few milliseconds behind its clock: that of a
/// folder just touched.
fn file_clock(folder: &std::path::Path) -> std::io::Result<i64> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
    use std::os::unix::fs::MetadataExt;
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let now = Timestamps { last_access: now, last_modification: now };
    rustix::fs::utimensat(CWD, folder, &now, AtFlags::empty())?;
    Ok(fs_err::metadata(folder)?.mtime())
}

/// Whether `--allow` grants what the RUN asks for.
fn allowed(op: &RunOp, allow: &Allow) -> Result<(), StepError> {
    if op.security == Security::Insecure && !allow.insecure {
        let (what, entitlement) = ("RUN --security=insecure", "security.insecure");
        return Err(StepError::NotAllowed { what, entitlement });
    }
    if op.network == Network::Host && !allow.network_host {
        let (what, entitlement) = ("RUN --network=host", "network.host");
        return Err(StepError::NotAllowed { what, entitlement });
    }
    Ok(())
}

/// Whether this kernel can run programs of the platform over that root.
fn interpreted(engine: &Engine<'_>, platform: &Platform, tree: &Tree) -> Result<(), StepError> {
    use std::os::unix::ffi::OsStrExt;
    let (bench, host) = (engine.bench, Platform::host());
    let why = match foreign(platform, &host, &bench.run.binfmt) {
        Foreign::Native | Foreign::Interpreter { fixed: true, .. } => return Ok(()),
        Foreign::Interpreter { path, fixed: false } => {
            let found = tree.resolve(path.as_os_str().as_bytes()).ok();
            if found.is_some_and(|it| tree.get(&it).is_some()) {
                return Ok(());
            }
            format!(
                "the interpreter {} is registered without the flag F and is not in the image",
                path.display()
            )
        }
        Foreign::Missing => "the kernel has no interpreter for them".to_owned(),
        Foreign::Unknown => String::new(),
    };
    let folders = &bench.run.interpreter_folders;
    let own = engine.interpreters.get_or_init(|| Own::register(folders, &bench.privilege));
    if own.as_ref().is_some_and(|it| it.has(&platform.architecture)) || why.is_empty() {
        return Ok(());
    }
    Err(not_interpreted(platform, why))
}

/// Says more about a program that did not start.
fn not_started(
    engine: &Engine<'_>,
    platform: &Platform,
    attempt: &Attempt<'_>,
    error: StepError,
) -> StepError {
    let StepError::Run(RunError::NotExecutable { program: _, cause }) = error else { return error };
    let format = cause.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error());
    let host = Platform::host();
    if format && foreign(platform, &host, &engine.bench.run.binfmt) == Foreign::Unknown {
        let why = "the kernel has no interpreter for them (binfmt_misc is not mounted here)";
        return not_interpreted(platform, why.to_owned());
    }
    ProgramError::of(attempt, cause).into()
}

fn not_interpreted(platform: &Platform, why: String) -> StepError {
    let (platform, host) = (Box::new(platform.clone()), Box::new(Platform::host()));
    StepError::Foreign { platform, host, why }
}

/// What a RUN is made of.
struct Given<'a> {
    op: &'a RunOp,
    user: &'a UserInfo,
    mounted: &'a Mounted,
    devices: &'a Added,
    scratch: PathBuf,
}

fn spec(engine: &Engine<'_>, given: Given<'_>, root: RootSpec, owners: Vec<Owner>) -> RunSpec {
    let Given { op, user, mounted, devices, scratch } = given;
    let bench = engine.bench;
    // The primary group is among the others too, as in BuildKit.
    let mut groups = vec![user.gid];
    for gid in user.groups.iter().chain(&devices.groups) {
        if !groups.contains(gid) {
            groups.push(*gid);
        }
    }
    RunSpec {
        root,
        argv: op.argv.iter().map(OsString::from).collect(),
        env: environment(engine, &Variables { op, user, mounted, devices }),
        cwd: PathBuf::from(&op.cwd),
        user: Identity { uid: user.uid, gid: user.gid, groups },
        hostname: bench.run.hostname.clone(),
        network: network(op.network),
        mounts: devices.mounts.iter().chain(&mounted.mounts).cloned().collect(),
        hosts: hosts(&bench.run.hostname, &bench.extra_hosts),
        resolv_conf: bench.resolv_conf.clone(),
        ulimits: bench.run.ulimits.clone(),
        limits: bench.run.limits.clone(),
        security: match op.security {
            Security::Sandbox => strake_sandbox::Security::Sandbox,
            Security::Insecure => strake_sandbox::Security::Insecure,
        },
        shm_size: bench.shm_size.unwrap_or(64 << 20),
        privilege: bench.privilege.clone(),
        tmp: scratch,
        lent: Vec::new(),
        special_owners: owners,
        has_devices: true,
    }
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
    let outcome = engine.starter.run(spec, &engine.bench.cancel, &mut output)?;
    let (status, code) = match outcome.status {
        ExitStatus::Code(0) => return Ok(outcome.owners),
        ExitStatus::Code(code) => (format!("exit code: {code}"), code),
        ExitStatus::Signal(signal) => {
            let code = 128 + signal;
            (format!("exit code: {code} (signal: {signal})"), code)
        }
    };
    let status = if spec.limits.memory.is_some() && code == 128 + 9 {
        format!("{status}, perhaps by the kernel, for want of more --memory")
    } else {
        status
    };
    Err(StepError::Exit {
        command: spec.argv.iter().map(|it| it.to_string_lossy()).collect::<Vec<_>>().join(" "),
        status,
        code,
        tail: tail.into(),
    })
}

/// Variables of one RUN.
struct Variables<'a> {
    op: &'a RunOp,
    user: &'a UserInfo,
    mounted: &'a Mounted,
    devices: &'a Added,
}

fn environment(engine: &Engine<'_>, variables: &Variables<'_>) -> Vec<(OsString, OsString)> {
    use std::os::unix::ffi::OsStringExt;
    let Variables { op, user, mounted, devices } = variables;
    let mut env: Vec<(OsString, OsString)> = engine.bench.host_env.clone();
    let written = op.env.iter().chain(&op.proxies);
    env.extend(written.map(|(name, value)| (name.into(), value.into())));
    let has = |env: &[(OsString, OsString)], name: &str| env.iter().any(|(it, _)| it == name);
    if !has(&env, "PATH") {
        env.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    // An empty one counts as none: so does runc.
    env.retain(|(name, value)| name != "HOME" || !value.is_empty());
    if !has(&env, "HOME") {
        env.push(("HOME".into(), user.home.clone().into()));
    }
    let devices = devices.env.iter().map(|(name, value)| (name, value.clone().into_bytes()));
    let secrets = mounted.env.iter().map(|(name, value)| (name, value.clone()));
    for (name, value) in devices.chain(secrets) {
        env.retain(|(it, _)| it != name.as_str());
        env.push((name.into(), OsString::from_vec(value)));
    }
    env
}

fn variable(env: &[(OsString, OsString)], name: &str) -> String {
    let found = env.iter().rev().find(|(it, _)| it == name);
    found.map(|(_, value)| value.to_string_lossy().into_owned()).unwrap_or_default()
}

fn hosts(hostname: &str, extra: &[u8]) -> Vec<u8> {
    let mut text =
        format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n")
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

/// Whether the program may see records of devices, where devices are records beside real owners.
fn has_devices(tree: &Tree, spec: &RunSpec) -> bool {
    use strake_sandbox::MountSource;
    let of_files = |it: &strake_sandbox::Mount| {
        !matches!(it.source, MountSource::Tmpfs { .. } | MountSource::SecretFile { .. })
    };
    // Those of /dev, which images of Debian have, are covered by the sandbox's own.
    let is_device = |it: &Node| {
        matches!(it.entry.kind, Kind::Character { .. } | Kind::Block { .. })
            && !it.entry.path.starts_with(b"dev/")
    };
    spec.privilege == Privilege::SubIds
        && (spec.mounts.iter().any(of_files) || tree.walk(b"").any(is_device))
}

/// Owners of what cannot carry a record on disk, where owners are records.
fn special_owners(tree: &Tree, privilege: &Privilege) -> Vec<Owner> {
    use std::os::unix::ffi::OsStrExt;
    if !matches!(privilege, Privilege::SingleId | Privilege::Emulated) {
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
