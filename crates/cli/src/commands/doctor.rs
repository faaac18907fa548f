//! `strake doctor`: what a RUN can do on this machine.

use crate::{args::DoctorArgs, environment, failure::Failure, say};
use std::path::Path;
use strake_build::{FOREIGN_PLATFORMS, Foreign, RunOptions, foreign};
use strake_oci::Platform;
use strake_sandbox::{Advice, Facts, Privilege, advice};

pub(crate) fn run(args: DoctorArgs) -> Result<(), Failure> {
    let DoctorArgs { json, store } = args;
    let uid = rustix::process::getuid().as_raw();
    let folder = environment::store(store.store, uid);
    // Before anything is entered, which would change them.
    let facts = Facts::read(Path::new("/"));
    let privilege = crate::commands::build::enter(None, false)?;
    let advice = advice(&facts, &privilege);
    let overlay = overlay(&folder, &privilege)?;
    if json {
        let told = as_json(&facts, &privilege, advice, overlay, &folder);
        say::data(&told.to_string());
        return Ok(());
    }
    say::data(&format!("sandbox:   {}", backend(&privilege).1));
    for line in better(advice) {
        say::data(&line);
    }
    say::data(&format!("overlayfs: {overlay}"));
    say::data(&format!("store:     {}", folder.display()));
    for line in machine(&facts) {
        say::data(&line);
    }
    for line in platforms(&privilege) {
        say::data(&line);
    }
    Ok(())
}

/// The name of a backend for `--sandbox`, and what it is.
fn backend(privilege: &Privilege) -> (Option<&'static str>, String) {
    match privilege {
        Privilege::Root => (Some("namespaces"), "namespaces, as root".to_owned()),
        Privilege::SubIds => (
            Some("namespaces"),
            "namespaces, as an ordinary user with ids from /etc/subuid".to_owned(),
        ),
        Privilege::SingleId => (
            Some("namespaces"),
            "namespaces, as an ordinary user with one id; owners are recorded on the side"
                .to_owned(),
        ),
        Privilege::Emulated => (
            Some("emulated"),
            "emulated: no namespaces; paths, users and owners are emulated".to_owned(),
        ),
        Privilege::Chroot => (Some("chroot"), "chroot: no namespaces and no /proc".to_owned()),
        Privilege::None { why } => (None, format!("none: {why}; images without RUN can be built")),
    }
}

fn overlay(folder: &Path, privilege: &Privilege) -> Result<&'static str, Failure> {
    let store = strake_cache::Store::open(folder)?;
    let probe = store.temp_dir("probe")?;
    Ok(match privilege {
        Privilege::Emulated | Privilege::Chroot | Privilege::None { .. } => "not tried",
        _ if strake_sandbox::overlay_works(probe.path()) => "works",
        _ => "refused; roots are copied",
    })
}

/// The next better way, where there is one.
fn better(advice: Option<Advice>) -> Vec<String> {
    let Some(Advice { reason, host, docker, kubernetes, systemd }) = advice else {
        return Vec::new();
    };
    let ways =
        [("host", host), ("docker", docker), ("kubernetes", kubernetes), ("systemd", systemd)];
    let mut lines = vec![format!("better:    {reason}")];
    let told = ways.iter().filter_map(|(name, way)| Some((name, (*way)?)));
    lines.extend(told.map(|(name, way)| format!("           {:<11} {way}", format!("{name}:"))));
    lines
}

/// What the machine says.
fn machine(facts: &Facts) -> Vec<String> {
    let Facts {
        kernel,
        filtered,
        no_new_privileges,
        capabilities,
        max_user_namespaces,
        unprivileged_clone,
        apparmor_restricts,
        apparmor,
        ptrace_scope,
        cgroup,
    } = facts;
    let filter = if *filtered { "a filter" } else { "no filter" };
    let gained = if *no_new_privileges { ", no new privileges" } else { "" };
    let sysctls = [
        ("user.max_user_namespaces", max_user_namespaces),
        ("kernel.unprivileged_userns_clone", unprivileged_clone),
        ("kernel.apparmor_restrict_unprivileged_userns", apparmor_restricts),
        ("kernel.yama.ptrace_scope", ptrace_scope),
    ];
    let mut lines = vec![
        format!("kernel:    {kernel}"),
        format!("seccomp:   {filter}{gained}"),
        format!("caps:      {capabilities:016x}"),
    ];
    let known = sysctls.iter().filter_map(|(name, value)| value.map(|it| (name, it)));
    lines.extend(known.map(|(name, value)| format!("sysctl:    {name} = {value}")));
    lines.extend(apparmor.iter().map(|it| format!("apparmor:  {it}")));
    lines.push(format!("cgroup:    {cgroup}"));
    lines
}

fn as_json(
    facts: &Facts,
    privilege: &Privilege,
    advice: Option<Advice>,
    overlay: &str,
    folder: &Path,
) -> serde_json::Value {
    let Facts {
        kernel,
        filtered,
        no_new_privileges,
        capabilities,
        max_user_namespaces,
        unprivileged_clone,
        apparmor_restricts,
        apparmor,
        ptrace_scope,
        cgroup,
    } = facts;
    let (name, meaning) = backend(privilege);
    let better = advice.map(|Advice { reason, host, docker, kubernetes, systemd }| {
        serde_json::json!({
            "reason": reason,
            "host": host,
            "docker": docker,
            "kubernetes": kubernetes,
            "systemd": systemd,
        })
    });
    serde_json::json!({
        "sandbox": name,
        "meaning": meaning,
        "better": better,
        "overlayfs": overlay,
        "store": folder.display().to_string(),
        "kernel": kernel,
        "seccomp_filter": filtered,
        "no_new_privileges": no_new_privileges,
        "capabilities": format!("{capabilities:016x}"),
        "sysctl": {
            "user.max_user_namespaces": max_user_namespaces,
            "kernel.unprivileged_userns_clone": unprivileged_clone,
            "kernel.apparmor_restrict_unprivileged_userns": apparmor_restricts,
            "kernel.yama.ptrace_scope": ptrace_scope,
        },
        "apparmor": apparmor,
        "cgroup": cgroup.to_string(),
    })
}

/// Which platforms a RUN can be of.
fn platforms(privilege: &Privilege) -> Vec<String> {
    let options = RunOptions::standard();
    let own = strake_build::own_interpreters(&options.interpreter_folders, privilege);
    let (host, mut native) = (Platform::host(), Vec::new());
    let (mut interpreted, mut missing) = (Vec::new(), Vec::new());
    for name in FOREIGN_PLATFORMS {
        let Ok(platform) = name.parse::<Platform>() else { continue };
        match foreign(&platform, &host, &options.binfmt) {
            Foreign::Native => native.push((*name).to_owned()),
            Foreign::Interpreter { path, fixed: true } => {
                interpreted.push(format!("{name} by {}", path.display()));
            }
            Foreign::Interpreter { path, fixed: false } => {
                interpreted.push(format!("{name} where the image has {}", path.display()));
            }
            Foreign::Missing | Foreign::Unknown
                if own.contains(&platform.architecture.as_str()) =>
            {
                interpreted.push(format!("{name} by QEMU"));
            }
            Foreign::Missing | Foreign::Unknown => missing.push((*name).to_owned()),
        }
    }
    let mut lines = vec![format!("platforms: {} by this processor", native.join(", "))];
    lines.extend(interpreted.iter().map(|it| format!("           {it}")));
    if !missing.is_empty() {
        lines.push(format!(
            "           not {}: no interpreter (qemu-user-static)",
            missing.join(", ")
        ));
    }
    lines
}
