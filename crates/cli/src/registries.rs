//! The client of registries, made from flags and this machine's settings.

use crate::{
    args_registry::{EcrArgs, RegistryArgs},
    clock, environment,
    failure::Failure,
    progress::Notes,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use strake_ecr::{CreateOptions, Ecr, EcrOptions};
use strake_registry::{Client, DockerConfig, Keychain, Options, Proxies, WebOptions};

/// A client with the logins and certificates of this machine; `notes` hears of what is tried again.
pub(crate) fn client(args: &RegistryArgs, notes: Option<&Notes>) -> Result<Client, Failure> {
    pushing(args, &EcrArgs::default(), notes)
}

/// The same, for what may have to make repositories.
pub(crate) fn pushing(
    args: &RegistryArgs,
    ecr: &EcrArgs,
    notes: Option<&Notes>,
) -> Result<Client, Failure> {
    let EcrArgs { ecr_create } = ecr;
    let keychain = Arc::new(keychain(args));
    let mut options = options(args, Arc::clone(&keychain) as Arc<dyn Keychain>, notes)?;
    if let Some(text) = ecr_create {
        let read = |path: &str| fs_err::read_to_string(path).map_err(|it| it.to_string());
        let create = CreateOptions::parse(text, &read).map_err(|it| {
            Failure::usage(format!("--ecr-create: {it}")).hint("e.g. --ecr-create=immutable,scan")
        })?;
        options.make_repository = Some(Arc::new(move |registry: &str, repository: &str| {
            keychain.create(registry, repository, &create)
        }));
    }
    Ok(Client::new(options)?)
}

/// The logins of this machine: to Amazon ECR by AWS credentials, else by docker's files and helpers.
fn keychain(args: &RegistryArgs) -> Ecr {
    let search = environment::get(environment::PATH).unwrap_or_default();
    let other = Arc::new(DockerConfig::new(environment::credential_files(), search));
    let _ = args;
    Ecr::new(EcrOptions {
        web: WebOptions {
            ca: certificates(),
            proxies: Proxies::Environment,
            user_agent: concat!("strake/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect: std::time::Duration::from_secs(30),
        },
        clock: clock::now,
        other,
    })
}

fn certificates() -> Vec<Vec<u8>> {
    environment::ca_bundles().iter().filter_map(|it| std::fs::read(it).ok()).collect()
}

/// How registries are reached, logged in to as `keychain` says.
pub(crate) fn options(
    args: &RegistryArgs,
    keychain: Arc<dyn Keychain>,
    notes: Option<&Notes>,
) -> Result<Options, Failure> {
    let RegistryArgs { plain_http, insecure, resolve } = args;
    let mut options = Options::standard(keychain);
    options.plain_http = plain_http.iter().cloned().collect();
    options.insecure = insecure.iter().cloned().collect();
    options.resolve =
        resolve.iter().map(|it| address(it)).collect::<Result<BTreeMap<_, _>, _>>()?;
    options.ca = certificates();
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

/// `HOST=IP[:PORT]`; without a port the registry's own counts.
fn address(written: &str) -> Result<(String, SocketAddr), Failure> {
    let wrong = || {
        Failure::usage(format!("--resolve {written}: not HOST=IP[:PORT]"))
            .hint("e.g. --resolve registry.example=127.0.0.1:5000")
    };
    let (host, address) = written.split_once('=').ok_or_else(wrong)?;
    let bare = address.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let address = match bare {
        Ok(ip) => SocketAddr::new(ip, 0),
        Err(_) => address.parse().map_err(|_| wrong())?,
    };
    Ok((host.to_owned(), address))
}
