//! The proxies of Docker's config.json, which `docker build` gives to every RUN.
//!
//! [Configure the Docker CLI to use a proxy](https://docs.docker.com/engine/cli/proxy/) of Docker's
//! manual.

use crate::{environment, failure::Failure};
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};

/// Where the settings are for any daemon, and so for none.
const ANY: &str = "default";

/// The key of a setting and the argument that it becomes.
const SETTINGS: [(&str, &str); 5] = [
    ("httpProxy", "HTTP_PROXY"),
    ("httpsProxy", "HTTPS_PROXY"),
    ("ftpProxy", "FTP_PROXY"),
    ("noProxy", "NO_PROXY"),
    ("allProxy", "ALL_PROXY"),
];

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    proxies: BTreeMap<String, BTreeMap<String, String>>,
}

/// Adds them to the build arguments, each unless it is given.
pub(crate) fn add(args: &mut Vec<(String, String)>) -> Result<(), Failure> {
    match environment::docker_config().filter(|it| it.is_file()) {
        Some(file) => add_from(&file, args),
        None => Ok(()),
    }
}

fn add_from(path: &Path, args: &mut Vec<(String, String)>) -> Result<(), Failure> {
    let bytes = fs_err::read(path)?;
    let file: File = serde_json::from_slice(&bytes).map_err(|error| {
        // What the file holds is not quoted: there are credentials in it.
        let at = format!("{}:{}:{}", path.display(), error.line(), error.column());
        Failure::new(format!("{at}: Docker's configuration cannot be read")).hint("mend the JSON")
    })?;
    let Some(settings) = file.proxies.get(ANY) else { return Ok(()) };
    for (key, name) in SETTINGS {
        let Some(value) = settings.get(key).filter(|it| !it.is_empty()) else { continue };
        if !args.iter().any(|it| it.0.eq_ignore_ascii_case(name)) {
            args.push((name.to_owned(), value.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::add_from;

    #[test]
    fn what_is_given_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let mut args = vec![("https_proxy".to_owned(), "given".to_owned())];
        let text = r#"{"auths":{},"proxies":{"default":{"httpProxy":"http://p:3128",
            "httpsProxy":"http://p:3129","noProxy":""},"tcp://d":{"allProxy":"x"}}}"#;
        std::fs::write(&path, text).unwrap();
        add_from(&path, &mut args).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(args, [pair("https_proxy", "given"), pair("HTTP_PROXY", "http://p:3128")]);
        std::fs::write(&path, r#"{"auths":{"r":{"auth":"s3cret"}},}"#).unwrap();
        let failure = add_from(&path, &mut args).unwrap_err();
        assert!(failure.message.contains("config.json:1:") && !failure.message.contains("s3cret"));
    }
}
