//! `strake doctor`: what a RUN can do on this machine.

use crate::{args::StoreArgs, environment, failure::Failure, say};
use strake_build::{FOREIGN_PLATFORMS, Foreign, RunOptions, foreign};
use strake_oci::Platform;
use strake_sandbox::Privilege;

pub(crate) fn run(args: StoreArgs) -> Result<(), Failure> {
    let uid = rustix::process::getuid().as_raw();
    let folder = environment::store(args.store, uid);
    let privilege = crate::commands::build::enter(None, false)?;
    let text = match &privilege {
        Privilege::Root => "namespaces, as root".to_owned(),
        Privilege::SubIds => "namespaces, as an ordinary user with ids from /etc/subuid".to_owned(),
        Privilege::SingleId => {
            "namespaces, as an ordinary user with one id; owners are recorded on the side"
                .to_owned()
        }
        Privilege::Emulated => {
            "emulated: no namespaces; paths, users and owners are emulated".to_owned()
        }
        Privilege::None { why } => format!("none: {why}; images without RUN can be built"),
    };
    say::data(&format!("sandbox:   {text}"));
    let store = strake_cache::Store::open(&folder)?;
    let probe = store.temp_dir("probe")?;
    let overlay = if matches!(privilege, Privilege::Emulated | Privilege::None { .. }) {
        "not tried"
    } else if strake_sandbox::overlay_works(probe.path()) {
        "works"
    } else {
        "refused; roots are copied"
    };
    say::data(&format!("overlayfs: {overlay}"));
    say::data(&format!("store:     {}", folder.display()));
    for line in platforms(&privilege) {
        say::data(&line);
    }
    Ok(())
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
