//! `strake doctor`: what a RUN can do on this machine.

use crate::{args::StoreArgs, environment, failure::Failure, say};
use strake_sandbox::Privilege;

pub(crate) fn run(args: StoreArgs) -> Result<(), Failure> {
    let uid = rustix::process::getuid().as_raw();
    let folder = environment::store(args.store, uid);
    let privilege = crate::commands::build::enter(false)?;
    let text = match &privilege {
        Privilege::Root => "namespaces, as root".to_owned(),
        Privilege::SubIds => "namespaces, as an ordinary user with ids from /etc/subuid".to_owned(),
        Privilege::SingleId => {
            "namespaces, as an ordinary user with one id; owners are recorded on the side"
                .to_owned()
        }
        Privilege::None { why } => format!("none: {why}; images without RUN can be built"),
    };
    say::data(&format!("sandbox:   {text}"));
    let store = strake_cache::Store::open(&folder)?;
    let probe = store.temp_dir("probe")?;
    let overlay = if matches!(privilege, Privilege::None { .. }) {
        "not tried"
    } else if strake_sandbox::overlay_works(probe.path()) {
        "works"
    } else {
        "refused; roots are copied"
    };
    say::data(&format!("overlayfs: {overlay}"));
    say::data(&format!("store:     {}", folder.display()));
    Ok(())
}
