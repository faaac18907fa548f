//! What `strake build` reads before it plans: arguments, contexts, secrets.

use crate::{epoch, failure::Failure, proxies};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use strake_build::Secrets;
use strake_plan::GitSource;

/// `NAME=VALUE`, or `NAME` from the environment (unset there: not given).
pub(crate) fn build_args(written: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut args = Vec::new();
    for text in written {
        match text.split_once('=') {
            Some(("", _)) => {
                return Err(Failure::usage(format!("--build-arg `{text}` has no name"))
                    .hint("write NAME=VALUE"));
            }
            Some((name, value)) => args.push((name.to_owned(), value.to_owned())),
            None => args.extend(crate::environment::text(text).map(|it| (text.clone(), it))),
        }
    }
    // As buildx does: the variable is an argument where none is given.
    if !args.iter().any(|it| it.0 == epoch::NAME)
        && let Some(value) = crate::environment::text(epoch::NAME)
    {
        args.push((epoch::NAME.to_owned(), value));
    }
    proxies::add(&mut args)?;
    Ok(args)
}

/// `--label NAME[=VALUE]`: without a value it is empty, as in Docker.
pub(crate) fn labels(written: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let whole = |it: &String| if it.contains('=') { it.clone() } else { format!("{it}=") };
    pairs("--label", &written.iter().map(whole).collect::<Vec<_>>())
}

/// The size that a flag has.
pub(crate) fn size(flag: &str, text: &str) -> Result<u64, Failure> {
    crate::units::size(text).map_err(|error| Failure::usage(format!("{flag}: {error}")))
}

/// `NAME=VALUE` pairs of `flag`.
pub(crate) fn pairs(flag: &str, written: &[String]) -> Result<Vec<(String, String)>, Failure> {
    written
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Failure::usage(format!("{flag} `{text}`: expected NAME=VALUE"))),
        })
        .collect()
}

/// Where a named context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A local folder.
    Folder(PathBuf),
    /// An image in a registry (or `scratch`).
    Image(String),
    /// An OCI layout and what of it.
    Layout(PathBuf, Option<String>),
    /// A Git repository.
    Repository(GitSource),
    /// A file of a web server.
    File(String),
}

/// `--build-context NAME=SOURCE`.
pub(crate) fn named_contexts(written: &[String]) -> Result<BTreeMap<String, Named>, Failure> {
    let mut contexts = BTreeMap::new();
    for (name, source) in pairs("--build-context", written)? {
        let named = named_context(&source)?;
        contexts.insert(name.to_ascii_lowercase(), named);
    }
    Ok(contexts)
}

fn named_context(source: &str) -> Result<Named, Failure> {
    if let Some(image) = source.strip_prefix("docker-image://") {
        return Ok(Named::Image(image.to_owned()));
    }
    if let Some(layout) = source.strip_prefix("oci-layout://") {
        return Ok(layout_source(layout));
    }
    if source.starts_with("target:") || source.starts_with("input:") {
        return Err(Failure::usage(format!("--build-context `{source}` needs a bake file"))
            .hint("build that target first and name its oci-layout://"));
    }
    let folder = PathBuf::from(source);
    if folder.is_dir() {
        return Ok(Named::Folder(folder));
    }
    if let Some(repository) = repository(source)? {
        return Ok(Named::Repository(repository));
    }
    if is_url(source) {
        return Ok(Named::File(source.to_owned()));
    }
    if let Some((scheme, _)) = source.split_once("://") {
        return Err(Failure::usage(format!("--build-context: strake cannot fetch {scheme}://"))
            .hint("use a folder, docker-image://, oci-layout://, http(s):// or a Git address"));
    }
    let what = if folder.exists() { "is no folder" } else { "is not there" };
    Err(Failure::usage(format!("--build-context: `{source}` {what}"))
        .hint("an image is written docker-image://REF, a layout oci-layout://DIR[:TAG]"))
}

/// The repository that `source` is the address of.
pub(crate) fn repository(source: &str) -> Result<Option<GitSource>, Failure> {
    let parsed = strake_dockerfile::parse_git_url(source).transpose();
    parsed.map_err(|error| Failure::usage(format!("context `{source}`: {error}")))
}

/// Whether `source` is the address of a file.
pub(crate) fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// `DIR`, `DIR:TAG`, `DIR@DIGEST`. A colon belongs to the folder's name where that folder exists.
fn layout_source(text: &str) -> Named {
    if Path::new(text).is_dir() {
        return Named::Layout(PathBuf::from(text), None);
    }
    if let Some((folder, digest)) = text.split_once('@') {
        let folder = match folder.rsplit_once(':') {
            Some((short, _)) if !Path::new(folder).is_dir() => short,
            _ => folder,
        };
        return Named::Layout(PathBuf::from(folder), Some(digest.to_owned()));
    }
    match text.rsplit_once(':') {
        Some((folder, tag)) => Named::Layout(PathBuf::from(folder), Some(tag.to_owned())),
        None => Named::Layout(PathBuf::from(text), None),
    }
}

/// `--secret id=ID[,src=FILE|,env=NAME][,type=file|env]`.
pub(crate) fn secrets(written: &[String]) -> Result<Secrets, Failure> {
    written.iter().map(|it| secret(it)).collect()
}

fn secret(text: &str) -> Result<(String, Vec<u8>), Failure> {
    let (mut id, mut file, mut env, mut kind) = (None, None, None, None);
    for part in text.split(',') {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match key {
            "id" => id = Some(value.to_owned()),
            "src" | "source" => file = Some(PathBuf::from(value)),
            "env" => env = Some(value.to_owned()),
            "type" if value == "file" || value == "env" => kind = Some(value.to_owned()),
            _ => {
                return Err(Failure::usage(format!("--secret `{text}`: unknown part `{part}`"))
                    .hint("write id=ID,src=FILE or id=ID,env=NAME"));
            }
        }
    }
    let id = id
        .or_else(|| file.as_ref()?.file_name()?.to_str().map(str::to_owned))
        .or_else(|| env.clone())
        .ok_or_else(|| Failure::usage(format!("--secret `{text}` has no id")))?;
    if kind.as_deref() == Some("env") && env.is_none() {
        env = file.take().map(|it| it.to_string_lossy().into_owned());
    }
    let from_env = |name: &str| crate::environment::get(name);
    let content = match (file, env) {
        (Some(file), _) => read_secret(&file, &id)?,
        (None, Some(name)) => from_env(&name)
            .map(|it| it.into_encoded_bytes())
            .ok_or_else(|| Failure::new(format!("--secret `{id}`: variable {name} is not set")))?,
        (None, None) => match from_env(&id) {
            Some(value) => value.into_encoded_bytes(),
            None => read_secret(Path::new(&id), &id)?,
        },
    };
    Ok((id, content))
}

fn read_secret(file: &Path, id: &str) -> Result<Vec<u8>, Failure> {
    fs_err::read(file).map_err(|error| Failure::new(format!("--secret `{id}`: {error}")))
}

/// Docker's word for the machine. A RUN has its network, so the machine is where the RUN is.
const HOST_GATEWAY: &str = "host-gateway";

/// `--add-host HOST:IP` as lines of /etc/hosts.
pub(crate) fn extra_hosts(written: &[String]) -> Result<Vec<u8>, Failure> {
    let mut lines = String::new();
    for text in written {
        let wrong = || {
            Failure::usage(format!("--add-host `{text}`: expected HOST:IP"))
                .hint("write e.g. db.local:10.0.0.5, db.local=::1 or db.local:host-gateway")
        };
        let (host, ip) = text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(wrong)?;
        let ip = ip.trim_start_matches('[').trim_end_matches(']');
        let ip = if ip == HOST_GATEWAY { "127.0.0.1" } else { ip };
        if host.is_empty() || ip.parse::<std::net::IpAddr>().is_err() {
            return Err(wrong());
        }
        lines.push_str(&format!("{ip}\t{host}\n"));
    }
    Ok(lines.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Named, extra_hosts, named_context, pairs, secret};
    use std::path::PathBuf;

    #[test]
    fn contexts() {
        assert_eq!(
            named_context("docker-image://node:20").unwrap(),
            Named::Image("node:20".to_owned())
        );
        assert_eq!(
            named_context("oci-layout:///no/such:tag").unwrap(),
            Named::Layout(PathBuf::from("/no/such"), Some("tag".to_owned()))
        );
        assert!(named_context("/no/such/folder").is_err());
        assert!(matches!(named_context("https://h/x.git#v1:dir"), Ok(Named::Repository(_))));
        assert_eq!(named_context("https://h/x").unwrap(), Named::File("https://h/x".to_owned()));
        for refused in ["ftp://h/x", "target:base", "input:base", "https://h/x.git?what=1"] {
            assert!(named_context(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn hosts_and_pairs() {
        assert_eq!(extra_hosts(&["a:1.2.3.4".to_owned()]).unwrap(), b"1.2.3.4\ta\n");
        assert_eq!(extra_hosts(&["a=[::1]".to_owned()]).unwrap(), b"::1\ta\n");
        let machine = extra_hosts(&["a:host-gateway".to_owned()]).unwrap();
        assert_eq!(machine, b"127.0.0.1\ta\n");
        assert!(extra_hosts(&["a".to_owned()]).is_err());
        let labels = super::labels(&["a".to_owned(), "b=c=d".to_owned()]).unwrap();
        assert_eq!(labels, [("a".into(), String::new()), ("b".into(), "c=d".into())]);
        assert!(pairs("--label", &["=x".to_owned()]).is_err());
    }

    #[test]
    fn secrets_need_a_source() {
        assert!(secret("src=/no/such/file").is_err());
        assert!(secret("id=a,what=b").is_err());
    }
}
