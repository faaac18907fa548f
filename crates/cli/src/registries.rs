//! The client of registries, made from flags and this machine's settings.

use crate::{args_registry::RegistryArgs, environment, failure::Failure, progress::Notes};
use std::sync::Arc;
use strake_registry::{Client, DockerConfig, Keychain, Options};

/// A client with the logins and certificates of this machine; `notes` hears of what is tried again.
pub(crate) fn client(args: &RegistryArgs, notes: Option<&Notes>) -> Result<Client, Failure> {
    Ok(Client::new(options(args, keychain(), notes)?)?)
}

/// The logins of this machine.
pub(crate) fn keychain() -> Arc<dyn Keychain> {
    let search = environment::get(environment::PATH).unwrap_or_default();
    Arc::new(DockerConfig::new(environment::credential_files(), search))
}

/// How registries are reached, logged in to as `keychain` says.
pub(crate) fn options(
    args: &RegistryArgs,
    keychain: Arc<dyn Keychain>,
    notes: Option<&Notes>,
) -> Result<Options, Failure> {
    let RegistryArgs { plain_http, insecure } = args;
    let mut options = Options::standard(keychain);
    options.plain_http = plain_http.iter().cloned().collect();
    options.insecure = insecure.iter().cloned().collect();
    options.ca = environment::ca_bundles().iter().filter_map(|it| std::fs::read(it).ok()).collect();
    if let Some(notes) = notes.cloned() {
        options.on_retry = Some(Arc::new(move |retry: &strake_registry::Retry| {
            notes.warn(&format!(
                "attempt {} failed, next in {:?}: {}",
                retry.attempt, retry.wait, retry.cause
            ));
        }));
    }
    Ok(options)
}
