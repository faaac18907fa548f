//! `strake logout`.

use crate::{args_registry::LogoutArgs, commands::login, environment, failure::Failure, say};
use strake_registry::Forgotten;

pub(crate) fn run(args: LogoutArgs) -> Result<(), Failure> {
    let LogoutArgs { registry, authfile } = args;
    let registry = login::host(registry)?;
    let file = login::file(authfile)?;
    let search = environment::get(environment::PATH).unwrap_or_default();
    let Forgotten { helpers, file: entry } =
        strake_registry::forget_login(&file, &search, &registry).map_err(login::keychain)?;
    for helper in &helpers {
        say::note(&format!("{helper} has forgotten the login to {registry}"));
    }
    if entry {
        say::note(&format!("removed the login to {registry} from {}", file.display()));
    }
    if helpers.is_empty() && !entry {
        say::note(&format!("{} has no login to {registry}", file.display()));
    }
    Ok(())
}
