//! Every environment variable that strake reads, and the only place that reads them.

use std::{env, ffi::OsString, path::PathBuf};

/// Folder of the store.
pub(crate) const STORE: &str = "STRAKE_STORE";
/// Base of per-user caches.
pub(crate) const XDG_CACHE_HOME: &str = "XDG_CACHE_HOME";
/// Base of per-user settings.
pub(crate) const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// Home folder.
pub(crate) const HOME: &str = "HOME";
/// Folder of Docker's config.json.
pub(crate) const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// Credentials file of podman and skopeo.
pub(crate) const REGISTRY_AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
/// Where podman keeps its credentials.
pub(crate) const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
/// Certificate bundle.
pub(crate) const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// Where programs are found: newuidmap and credential helpers.
pub(crate) const PATH: &str = "PATH";
/// The socket of the user's SSH agent, for `--ssh default`.
pub(crate) const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";
/// The platforms of an image where `--platform` says nothing.
pub(crate) const DOCKER_DEFAULT_PLATFORM: &str = "DOCKER_DEFAULT_PLATFORM";
/// Labels with the commit, which buildx adds.
pub(crate) const BUILDX_GIT_LABELS: &str = "BUILDX_GIT_LABELS";
/// Whether such a label says that there are changes that no commit has.
pub(crate) const BUILDX_GIT_CHECK_DIRTY: &str = "BUILDX_GIT_CHECK_DIRTY";
/// How progress is shown where `--progress` says nothing.
pub(crate) const BUILDKIT_PROGRESS: &str = "BUILDKIT_PROGRESS";
/// Turns colour off.
pub(crate) const NO_COLOR: &str = "NO_COLOR";

/// Proxies, which git's own transport reads.
const PROXIES: [&str; 7] =
    ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];

/// The value, where it is set and not empty.
pub(crate) fn get(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|it| !it.is_empty())
}

/// The value as text.
pub(crate) fn text(name: &str) -> Option<String> {
    get(name).map(|it| it.to_string_lossy().into_owned())
}

/// The value as a path.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    get(name).map(PathBuf::from)
}

/// The folder of the store: flag, variable, the user's cache, `/var/tmp`.
pub(crate) fn store(flag: Option<PathBuf>, uid: u32) -> PathBuf {
    flag.or_else(|| path(STORE))
        .or_else(|| path(XDG_CACHE_HOME).filter(|it| it.is_absolute()).map(|it| it.join("strake")))
        .or_else(|| {
            let home = path(HOME).filter(|it| it.is_absolute() && it.is_dir());
            home.map(|it| it.join(".cache/strake"))
        })
        .unwrap_or_else(|| PathBuf::from(format!("/var/tmp/strake-{uid}")))
}

/// Docker's config.json, there or not.
pub(crate) fn docker_config() -> Option<PathBuf> {
    let folder = path(DOCKER_CONFIG).or_else(|| path(HOME).map(|it| it.join(".docker")));
    folder.map(|it| it.join("config.json"))
}

/// The files that may hold registry credentials, in order of precedence.
pub(crate) fn credential_files() -> Vec<PathBuf> {
    let candidates = [
        path(REGISTRY_AUTH_FILE),
        docker_config(),
        path(XDG_RUNTIME_DIR).map(|it| it.join("containers/auth.json")),
        path(HOME).map(|it| it.join(".config/containers/auth.json")),
    ];
    candidates.into_iter().flatten().filter(|it| it.is_file()).collect()
}

/// The file that a login is written to: what podman is told, else docker's.
pub(crate) fn login_file() -> Option<PathBuf> {
    let docker = path(DOCKER_CONFIG).or_else(|| path(HOME).map(|it| it.join(".docker")));
    path(REGISTRY_AUTH_FILE).or_else(|| docker.map(|it| it.join("config.json")))
}

/// The file with settings of registries, and the folders that have certificates by registry.
pub(crate) fn registry_settings() -> (Option<PathBuf>, Vec<PathBuf>) {
    let home = path(XDG_CONFIG_HOME).filter(|it| it.is_absolute());
    let home = home.or_else(|| path(HOME).map(|it| it.join(".config")));
    let of_user = |name: &str| home.as_ref().map(|it| it.join(name));
    let folders = [
        of_user("containers/certs.d"),
        of_user("docker/certs.d"),
        Some(PathBuf::from("/etc/containers/certs.d")),
        Some(PathBuf::from("/etc/docker/certs.d")),
    ];
    (of_user("strake/config.toml"), folders.into_iter().flatten().collect())
}

/// The system's CA bundles that exist here.
pub(crate) fn ca_bundles() -> Vec<PathBuf> {
    let known = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    match path(SSL_CERT_FILE) {
        Some(file) => vec![file],
        None => known.iter().map(PathBuf::from).find(|it| it.is_file()).into_iter().collect(),
    }
}

/// What `git` gets to see: where programs are, proxies, and certificates.
pub(crate) fn for_git() -> Vec<(OsString, OsString)> {
    let kept = [PATH].into_iter().chain(PROXIES);
    let mut kept: Vec<_> = kept.filter_map(|it| Some((it.into(), get(it)?))).collect();
    kept.extend(get(SSL_CERT_FILE).map(|it| ("GIT_SSL_CAINFO".into(), it)));
    kept
}

/// The files with the keys of hosts that ssh knows.
pub(crate) fn known_hosts() -> Vec<PathBuf> {
    let own = path(HOME).map(|it| it.join(".ssh/known_hosts"));
    let system = Some(PathBuf::from("/etc/ssh/ssh_known_hosts"));
    [own, system].into_iter().flatten().filter(|it| it.is_file()).collect()
}
