//! Runs one program over a tree, for trying the sandbox out by hand and for its tests.
//!
//! `sandbox-run [OPTION]... -- PROGRAM [ARGUMENT]...`; [`Options`] has what there is.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program")]

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use strake_sandbox::{
    Backend, BindLimits, CancelToken, EnterOptions, ExitStatus, Identity, Limits, Mount,
    MountSource, Network, Output, Privilege, RootSpec, RunSpec, Security, Starter, Ulimit, enter,
    lend_places, make_places, maybe_init,
};

/// What the command line says; every option takes one value but the last six.
#[derive(Default)]
struct Options {
    lower: Vec<PathBuf>,
    upper: PathBuf,
    work: PathBuf,
    plain: Option<PathBuf>,
    tmp: PathBuf,
    user: String,
    cwd: PathBuf,
    env: Vec<(OsString, OsString)>,
    mounts: Vec<Mount>,
    ulimits: Vec<Ulimit>,
    limits: Limits,
    insecure: bool,
    network_none: bool,
    single_id: bool,
    backend: Option<Backend>,
    show_privilege: bool,
    ahead: bool,
    cancel_on_output: bool,
    argv: Vec<OsString>,
}

fn main() {
    maybe_init();
    let options = options();
    let entered = enter(&EnterOptions {
        path: std::env::var_os("PATH"),
        single_id: options.single_id,
        backend: options.backend,
    });
    let privilege = entered.expect("ids can be mapped");
    if options.show_privilege {
        println!("{privilege:?}");
        return;
    }
    let (cancel_on_output, ahead) = (options.cancel_on_output, options.ahead);
    let mut spec = spec(options, privilege);
    lend(&mut spec);
    let cancel = CancelToken::new().expect("descriptors are to be had");
    let before = if ahead { 2 } else { 0 };
    let starter = Starter::new(before + 1);
    for _ in 0..before {
        // It fails at once; the sandbox of the next run is made all the same.
        let nothing = RunSpec { argv: Vec::new(), ..spec.clone() };
        starter.run(&nothing, &cancel, &mut |_| ()).expect_err("there is no program");
        renew_work(&spec);
    }
    let finished = starter.run(&spec, &cancel, &mut |output| {
        let written = match output {
            Output::Stdout(bytes) => std::io::stdout().write_all(bytes),
            Output::Stderr(bytes) => std::io::stderr().write_all(bytes),
        };
        written.expect("output can be written");
        if cancel_on_output {
            cancel.cancel();
        }
    });
    renew_work(&spec);
    match finished {
        Ok(finished) => {
            for owner in finished.owners {
                println!("owner {} {}:{}", owner.path.display(), owner.uid, owner.gid);
            }
            match finished.status {
                ExitStatus::Code(code) => std::process::exit(code),
                ExitStatus::Signal(signal) => std::process::exit(128 + signal),
            }
        }
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(125);
        }
    }
}

fn options() -> Options {
    let mut options = Options { cwd: "/".into(), user: "0:0".into(), ..Options::default() };
    let mut args = std::env::args_os().skip(1);
    while let Some(name) = args.next() {
        let mut value = || args.next().expect("the option has a value");
        match name.to_str().expect("options are UTF-8") {
            "--lower" => options.lower.push(value().into()),
            "--upper" => options.upper = value().into(),
            "--work" => options.work = value().into(),
            "--plain" => options.plain = Some(value().into()),
            "--tmp" => options.tmp = value().into(),
            "--user" => options.user = text(value()),
            "--cwd" => options.cwd = value().into(),
            "--env" => {
                let pair = text(value());
                let (key, value) = pair.split_once('=').expect("KEY=VALUE");
                options.env.push((key.into(), value.into()));
            }
            kind @ ("--bind" | "--bind-ro" | "--discard" | "--tmpfs" | "--secret") => {
                options.mounts.push(mount(kind, &text(value())));
            }
            "--network-none" => options.network_none = true,
            "--insecure" => options.insecure = true,
            "--memory" => options.limits.memory = text(value()).parse().ok(),
            "--ulimit" => options.ulimits.push(ulimit(&text(value()))),
            "--chroot" => options.backend = Some(Backend::Chroot),
            "--emulated" => options.backend = Some(Backend::Emulated),
            "--single-id" => options.single_id = true,
            "--cancel-on-output" => options.cancel_on_output = true,
            "--ahead" => options.ahead = true,
            "--privilege" => options.show_privilege = true,
            "--" => options.argv = args.by_ref().collect(),
            other => panic!("unknown option {other}"),
        }
    }
    options
}

fn text(value: OsString) -> String {
    value.into_string().expect("values are UTF-8")
}

/// Reads `SOURCE:TARGET`; the source of a secret is its content, that of a tmpfs is empty.
fn mount(kind: &str, value: &str) -> Mount {
    let (from, target) = value.split_once(':').expect("SOURCE:TARGET");
    let source = match kind {
        "--bind" => bind(from, false),
        "--bind-ro" => bind(from, true),
        "--discard" => MountSource::BindOverlay { lower: from.into() },
        "--secret" => MountSource::SecretFile { content: from.into(), mode: 0o400, uid: 0, gid: 0 },
        _ => MountSource::Tmpfs { size: Some(1 << 20), mode: 0o1777 },
    };
    Mount { target: target.into(), source }
}

/// Reads `NAME=SOFT:HARD`.
fn ulimit(value: &str) -> Ulimit {
    let (name, limits) = value.split_once('=').expect("NAME=SOFT:HARD");
    let (soft, hard) = limits.split_once(':').expect("SOFT:HARD");
    let number = |it: &str| it.parse().expect("limits are numbers");
    Ulimit { name: name.into(), soft: number(soft), hard: number(hard) }
}

fn bind(from: &str, readonly: bool) -> MountSource {
    MountSource::Bind { path: from.into(), readonly, limits: BindLimits::default() }
}

fn spec(options: Options, privilege: Privilege) -> RunSpec {
    let numbers: Vec<u32> =
        options.user.split(':').map(|id| id.parse().expect("ids are numbers")).collect();
    let [uid, gid, groups @ ..] = numbers.as_slice() else { panic!("UID:GID[:GROUP]...") };
    RunSpec {
        root: options.plain.map_or(
            RootSpec::Overlay { lower: options.lower, upper: options.upper, work: options.work },
            RootSpec::Plain,
        ),
        argv: options.argv,
        env: options.env,
        cwd: options.cwd,
        user: Identity { uid: *uid, gid: *gid, groups: groups.to_vec() },
        hostname: "buildkitsandbox".into(),
        network: if options.network_none { Network::None } else { Network::Default },
        mounts: options.mounts,
        hosts: b"127.0.0.1\tlocalhost buildkitsandbox\n".to_vec(),
        resolv_conf: std::fs::read("/etc/resolv.conf").unwrap_or_default(),
        ulimits: options.ulimits,
        limits: options.limits,
        security: if options.insecure { Security::Insecure } else { Security::Sandbox },
        shm_size: 64 << 20,
        privilege,
        tmp: options.tmp,
        lent: Vec::new(),
        special_owners: Vec::new(),
        has_devices: true,
    }
}

/// Empties what the kernel works in.
fn renew_work(spec: &RunSpec) {
    if let RootSpec::Overlay { work, .. } = &spec.root {
        std::fs::remove_dir_all(work).expect("it is there");
        std::fs::create_dir(work).expect("it is gone");
    }
}

/// Looks into the layers for what the tree has.
fn lend(spec: &mut RunSpec) {
    let RootSpec::Overlay { lower, .. } = &spec.root else { return };
    // Beside the scratch directory: that is emptied after each run.
    let (lower, folder) = (lower.clone(), spec.tmp.with_extension("places"));
    let has = |path: &Path| {
        let path = path.strip_prefix("/").unwrap_or(path);
        lower.iter().any(|it| it.join(path).symlink_metadata().is_ok())
    };
    let made = lend_places(spec, has, |places| {
        std::fs::create_dir_all(&folder)
            .and_then(|()| make_places(&folder, places))
            .map(|()| folder)
    });
    made.expect("places can be made");
}
