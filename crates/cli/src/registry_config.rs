//! The file of settings of registries, and the folders `certs.d` of Docker and podman.

use crate::failure::Failure;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use strake_registry::{Certificates, Mirror};

/// What `config.toml` may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// By registry, or by the beginning of an image's name.
    #[serde(default)]
    pub(crate) registry: BTreeMap<String, Registry>,
}

/// One table `[registry."HOST[:PORT][/PATH]"]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Registry {
    /// Speak plain HTTP.
    #[serde(default)]
    pub(crate) plain_http: bool,
    /// Do not check certificates.
    #[serde(default)]
    pub(crate) insecure: bool,
    /// PEM bundles.
    #[serde(default)]
    pub(crate) ca: Vec<PathBuf>,
    /// PEM; `client-key` goes with it.
    #[serde(default)]
    pub(crate) client_cert: Option<PathBuf>,
    #[serde(default)]
    pub(crate) client_key: Option<PathBuf>,
    /// Places that images are read from first.
    #[serde(default)]
    pub(crate) mirrors: Vec<String>,
    /// The one place that images are read from.
    #[serde(default)]
    pub(crate) map: Option<String>,
}

impl Settings {
    /// Reads the file that was named, which must be there, or the usual one, which need not.
    pub(crate) fn read(named: Option<&Path>, usual: Option<&Path>) -> Result<Settings, Failure> {
        let path = match (named, usual) {
            (Some(path), _) => path,
            (None, Some(path)) if path.is_file() => path,
            _ => return Ok(Settings::default()),
        };
        let text = fs_err::read_to_string(path)?;
        let settings: Settings = toml::from_str(&text).map_err(|error| {
            Failure::usage(format!("{}: {}", path.display(), error.to_string().trim_end())).hint(
                "tables are [registry.\"HOST\"] with plain-http, insecure, ca, client-cert, \
                       client-key, mirrors and map",
            )
        })?;
        for (name, registry) in &settings.registry {
            if registry.map.is_some() && !registry.mirrors.is_empty() {
                let at = path.display();
                return Err(Failure::usage(format!("{at}: `{name}` has mirrors and a map"))
                    .hint("mirrors are asked before the registry, a map instead of it"));
            }
            if registry.client_cert.is_some() != registry.client_key.is_some() {
                let at = path.display();
                return Err(Failure::usage(format!(
                    "{at}: `{name}` has one of client-cert and client-key"
                )));
            }
        }
        Ok(settings)
    }

    /// Where images are read from.
    pub(crate) fn mirrors(&self) -> Vec<Mirror> {
        let mirror = |(prefix, registry): (&String, &Registry)| {
            let falls_back = registry.map.is_none();
            let places = match &registry.map {
                Some(place) => vec![place.clone()],
                None => registry.mirrors.clone(),
            };
            (!places.is_empty()).then(|| Mirror { prefix: prefix.clone(), places, falls_back })
        };
        self.registry.iter().filter_map(mirror).collect()
    }

    /// The registries that `is` holds of.
    pub(crate) fn hosts<'a>(
        &'a self,
        is: impl Fn(&Registry) -> bool + 'a,
    ) -> impl Iterator<Item = String> + 'a {
        self.registry.iter().filter(move |it| is(it.1)).map(|it| it.0.clone())
    }
}

/// Adds what the folders have for a registry: `*.crt` are authorities, `*.cert` and `*.key` a client's.
///
/// dockerd's manual, *Verify repository client with certificates*; containers-certs.d(5).
pub(crate) fn from_folders(folders: &[PathBuf], registry: &str, to: &mut Certificates) {
    for folder in folders {
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join(registry))
            .into_iter()
            .flatten()
            .flatten()
            .map(|it| it.path())
            .collect();
        files.sort();
        for file in files {
            let read = || std::fs::read(&file).ok();
            match file.extension().and_then(|it| it.to_str()) {
                Some("crt") => to.ca.extend(read()),
                Some("cert") if to.client.is_none() => {
                    to.client = read().zip(std::fs::read(file.with_extension("key")).ok());
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    fn read(text: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs_err::write(&path, text).unwrap();
        Settings::read(Some(&path), None).map_err(|it| it.message)
    }

    #[test]
    fn settings() {
        let settings = read(
            "[registry.\"docker.io\"]\nmirrors = [\"m.io\"]\n[registry.\"docker.io/library\"]\n\
             map = \"corp.io/base\"\n[registry.\"r.io:5000\"]\nplain-http = true\n",
        )
        .unwrap();
        let mirrors = settings.mirrors();
        assert_eq!(mirrors.len(), 2);
        assert!(mirrors[0].falls_back && !mirrors[1].falls_back);
        assert_eq!(settings.hosts(|it| it.plain_http).collect::<Vec<_>>(), ["r.io:5000"]);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (text, told) in [
            ("[registry.\"a\"]\nmirors = []\n", "mirors"),
            ("[registries]\n", "registries"),
            ("[registry.\"a\"]\nmap = \"b\"\nmirrors = [\"c\"]\n", "mirrors and a map"),
            ("[registry.\"a\"]\nclient-cert = \"b\"\n", "client-key"),
            ("nonsense", "nonsense"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("config.toml") && error.contains(told), "{text}: {error}");
        }
        assert!(Settings::read(None, None).unwrap().registry.is_empty());
    }
}
