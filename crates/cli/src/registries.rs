//! The client of registries, made from flags and this machine's settings.

use crate::{
    args_registry::{EcrArgs, RegistryArgs},
    clock, environment,
    failure::Failure,
    progress::Notes,
    registry_config::{self, Settings},
    uploads::Uploads,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use strake_cache::Store;
use strake_ecr::{CreateOptions, Ecr, EcrOptions};
use strake_registry::{
    Certificates, Client, DockerConfig, Journal, Keychain, Mirror, OnRetry, Options, Proxies,
    Retries, Retry, WebOptions,
};

/// A client with the logins and certificates of this machine; `notes` hears of what is tried again.
pub(crate) fn client(args: &RegistryArgs, notes: Option<&Notes>) -> Result<Client, Failure> {
    pushing(args, &EcrArgs::default(), None, notes)
}

/// The same, for what may have to make repositories; uploads that break off are remembered in the store.
pub(crate) fn pushing(
    args: &RegistryArgs,
    ecr: &EcrArgs,
    store: Option<&Store>,
    notes: Option<&Notes>,
) -> Result<Client, Failure> {
    let EcrArgs { ecr_create } = ecr;
    let on_retry = on_retry(notes);
    let keychain = Arc::new(keychain(on_retry.clone()));
    let mut options = options(args, Arc::clone(&keychain) as Arc<dyn Keychain>, on_retry)?;
    options.journal = store.map(|it| Arc::new(Uploads::of_store(it.root())) as Arc<dyn Journal>);
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
fn keychain(on_retry: Option<OnRetry>) -> Ecr {
    let search = environment::get(environment::PATH).unwrap_or_default();
    let other = Arc::new(DockerConfig::new(environment::credential_files(), search));
    Ecr::new(EcrOptions {
        web: WebOptions {
            ca: certificates(),
            proxies: Proxies::Environment,
            user_agent: concat!("strake/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect: std::time::Duration::from_secs(30),
        },
        clock: clock::now,
        retries: Retries::STANDARD,
        on_retry,
        other,
    })
}

fn certificates() -> Vec<Vec<u8>> {
    environment::ca_bundles().iter().filter_map(|it| std::fs::read(it).ok()).collect()
}

/// How registries are reached, logged in to as `keychain` says: flags before variables (clap reads both),
/// then the file of settings, then `certs.d`.
pub(crate) fn options(
    args: &RegistryArgs,
    keychain: Arc<dyn Keychain>,
    on_retry: Option<OnRetry>,
) -> Result<Options, Failure> {
    let RegistryArgs {
        plain_http,
        insecure,
        registry_ca,
        client_cert,
        mirrors,
        maps,
        resolve,
        config,
    } = args;
    let (usual, folders) = environment::registry_settings();
    let settings = Settings::read(config.as_deref(), usual.as_deref())?;
    let mut options = Options::standard(keychain);
    options.plain_http =
        plain_http.iter().cloned().chain(settings.hosts(|it| it.plain_http)).collect();
    options.insecure = insecure.iter().cloned().chain(settings.hosts(|it| it.insecure)).collect();
    options.resolve =
        resolve.iter().map(|it| address(it)).collect::<Result<BTreeMap<_, _>, _>>()?;
    options.mirrors = written_mirrors(mirrors, maps)?;
    let written: BTreeSet<String> = options.mirrors.iter().map(|it| it.prefix.clone()).collect();
    let of_file = settings.mirrors().into_iter().filter(|it| !written.contains(&it.prefix));
    options.mirrors.extend(of_file);
    options.whole = Some(Arc::new(|registry: &str| strake_ecr::recognise(registry).is_some()));
    let (all, own) = certificates_of(registry_ca, client_cert, &settings)?;
    options.ca = certificates().into_iter().chain(all).collect();
    options.host_tls = Some(Arc::new(move |registry: &str| {
        let mut found = own.get(registry).cloned().unwrap_or_default();
        registry_config::from_folders(&folders, registry, &mut found);
        (!found.ca.is_empty() || found.client.is_some()).then_some(found)
    }));
    options.on_retry = on_retry;
    Ok(options)
}

/// Tells `notes` of what is tried again.
fn on_retry(notes: Option<&Notes>) -> Option<OnRetry> {
    let notes = notes?.clone();
    Some(Arc::new(move |retry: &Retry| {
        let Retry { attempt, wait, cause } = retry;
        notes.warn(&format!("attempt {attempt} failed, next in {wait:?}: {cause}"));
    }))
}

/// Mirrors by prefix, in the order in which they are written.
fn written_mirrors(mirrors: &[String], maps: &[String]) -> Result<Vec<Mirror>, Failure> {
    let mut all: Vec<Mirror> = Vec::new();
    for (flag, written, falls_back) in
        [("--registry-mirror", mirrors, true), ("--registry-map", maps, false)]
    {
        for text in written {
            let Some((prefix, place)) = text.split_once('=') else {
                return Err(Failure::usage(format!("{flag} {text}: not PREFIX=PLACE"))
                    .hint(format!("e.g. {flag} docker.io=mirror.example")));
            };
            let place = place.to_owned();
            match all.iter_mut().find(|it| it.prefix == prefix) {
                Some(mirror) if mirror.falls_back == falls_back && falls_back => {
                    mirror.places.push(place);
                }
                Some(_) => {
                    return Err(Failure::usage(format!("{flag} {text}: {prefix} is mapped twice")));
                }
                None => {
                    let (prefix, places) = (prefix.to_owned(), vec![place]);
                    all.push(Mirror { prefix, places, falls_back });
                }
            }
        }
    }
    Ok(all)
}

/// Authorities for all registries, and what single ones have.
type Certified = (Vec<Vec<u8>>, BTreeMap<String, Certificates>);

fn certificates_of(
    registry_ca: &[String],
    client_cert: &[String],
    settings: &Settings,
) -> Result<Certified, Failure> {
    let (mut all, mut own): Certified = Default::default();
    for (name, registry) in &settings.registry {
        let entry = own.entry(name.clone()).or_default();
        for path in &registry.ca {
            entry.ca.push(fs_err::read(path)?);
        }
        if let (Some(certificate), Some(key)) = (&registry.client_cert, &registry.client_key) {
            entry.client = Some((fs_err::read(certificate)?, fs_err::read(key)?));
        }
    }
    for text in registry_ca {
        match text.split_once('=') {
            Some((host, path)) => {
                own.entry(host.to_owned()).or_default().ca.push(fs_err::read(path)?);
            }
            None => all.push(fs_err::read(text)?),
        }
    }
    for text in client_cert {
        let parts = text.split_once('=').and_then(|(host, it)| Some((host, it.split_once(',')?)));
        let Some((host, (certificate, key))) = parts else {
            return Err(Failure::usage(format!("--client-cert {text}: not HOST=CERT,KEY")));
        };
        let pair = (fs_err::read(certificate)?, fs_err::read(key)?);
        own.entry(host.to_owned()).or_default().client = Some(pair);
    }
    Ok((all, own))
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
