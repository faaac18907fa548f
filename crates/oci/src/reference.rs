//! Image references: `[registry/]repository[:tag][@digest]`.

use crate::Digest;
use std::{fmt, str::FromStr};

/// A normalised image reference. Grammar: the distribution project's *reference* package;
/// a missing registry is `docker.io`, a one-word repository there is under `library/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Host and port, e.g. `docker.io` or `localhost:5000`.
    pub registry: String,
    /// Path within the registry, e.g. `library/node`.
    pub repository: String,
    /// Tag, where written.
    pub tag: Option<String>,
    /// Digest, where written; wins over the tag.
    pub digest: Option<Digest>,
}

/// The text is not an image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid image reference `{text}`: {why}")]
pub struct InvalidReference {
    /// What was read.
    pub text: String,
    /// Which rule it breaks.
    pub why: &'static str,
}

impl Reference {
    /// The tag to ask a registry for: the written one, or `latest`.
    pub fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// What goes into a manifest URL: the digest, else the tag.
    pub fn manifest_name(&self) -> String {
        match self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag_or_latest().to_owned(),
        }
    }

    /// As people write it: without `docker.io/` and `library/`, where it is still the same without.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let first = self.repository.split('/').next().unwrap_or_default();
        let short = match full.strip_prefix("docker.io/") {
            Some(short) if !is_like_host(first) => short,
            _ => return full,
        };
        match short.strip_prefix("library/") {
            Some(word) if self.repository.matches('/').count() == 1 => word.to_owned(),
            _ => short.to_owned(),
        }
    }

    /// With its tag written out.
    pub fn tagged(&self) -> Reference {
        Reference { tag: Some(self.tag_or_latest().to_owned()), ..self.clone() }
    }

    /// The same repository at another digest.
    pub fn at(&self, digest: Digest) -> Reference {
        Reference { digest: Some(digest), tag: None, ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match (&self.tag, &self.digest) {
            (None, None) => f.write_str(":latest"),
            (tag, digest) => {
                tag.iter().try_for_each(|it| write!(f, ":{it}"))?;
                digest.iter().try_for_each(|it| write!(f, "@{it}"))
            }
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Reference, InvalidReference> {
        parse(text).map_err(|why| InvalidReference { text: text.chars().take(300).collect(), why })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            (rest, Some(digest.parse().map_err(|_| "the digest is not sha256:<64 hex digits>")?))
        }
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if tag.is_some_and(|it| !is_tag(it)) {
        return Err(
            "a tag has at most 128 letters, digits, `_`, `.` or `-` and starts with none of the last two",
        );
    }
    if name.is_empty() {
        return Err("the name is empty");
    }
    let (registry, path) = split_registry(name);
    let repository = match registry {
        "docker.io" if !path.contains('/') => format!("library/{path}"),
        _ => path.to_owned(),
    };
    if !is_host(registry) {
        return Err("the registry is not a host name with an optional port");
    }
    if repository.bytes().any(|it| it.is_ascii_uppercase()) {
        return Err("repository name must be lowercase");
    }
    if repository.len() > 255 {
        return Err("a repository has at most 255 characters");
    }
    if !repository.split('/').all(is_component) {
        return Err(
            "a repository has components of lower-case letters, digits and single separators",
        );
    }
    Ok(Reference { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
}

/// The first component is a registry when it looks like a host: a dot, a port, capitals or `localhost`.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((host, path)) if is_like_host(host) => {
            (if host == "index.docker.io" { "docker.io" } else { host }, path)
        }
        _ => ("docker.io", name),
    }
}

fn is_like_host(text: &str) -> bool {
    text.contains(['.', ':'])
        || text == "localhost"
        || text.bytes().any(|it| it.is_ascii_uppercase())
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((v6, rest)) => {
            let ok = !v6.is_empty() && v6.bytes().all(|it| it.is_ascii_hexdigit() || it == b':');
            return ok && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let label = |it: &str| {
        !it.is_empty()
            && it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
            && !it.starts_with('-')
            && !it.ends_with('-')
    };
    name.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok() && text.bytes().all(|it| it.is_ascii_digit())
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.bytes().all(|it| it.is_ascii_alphanumeric() || b"_.-".contains(&it))
        && !tag.starts_with(['.', '-'])
}

/// Letters and digits, parted by one `.`, one or two `_`, or any number of `-`.
fn is_component(text: &str) -> bool {
    let alnum = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else {
        return false;
    };
    if !alnum(first) || !alnum(last) {
        return false;
    }
    let separators = text.split(|it: char| alnum(u8::try_from(it).unwrap_or(b'!')));
    separators
        .filter(|it| !it.is_empty())
        .all(|it| it == "." || it == "_" || it == "__" || it.bytes().all(|it| it == b'-'))
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn short_names_mean_the_same() {
        for (text, want) in [
            ("docker.io/library/node:20", "node:20"),
            ("docker.io/ann/app", "ann/app:latest"),
            ("docker.io/library/ann/app", "library/ann/app:latest"),
            ("docker.io/r.io/app", "docker.io/r.io/app:latest"),
            ("docker.io/localhost/app", "docker.io/localhost/app:latest"),
            ("docker.io/library/localhost", "localhost:latest"),
            ("r.io/library/node", "r.io/library/node:latest"),
        ] {
            let read: Reference = text.parse().unwrap();
            assert_eq!(read.familiar(), want);
            let again: Reference = want.parse().unwrap();
            assert_eq!((&again.registry, &again.repository), (&read.registry, &read.repository));
        }
    }

    #[test]
    fn written_and_meant() {
        let zeros = "0".repeat(64);
        for (text, want) in [
            ("node", "docker.io/library/node:latest".to_owned()),
            ("node:20-alpine", "docker.io/library/node:20-alpine".to_owned()),
            ("a/b", "docker.io/a/b:latest".to_owned()),
            ("index.docker.io/a/b", "docker.io/a/b:latest".to_owned()),
            ("localhost/a", "localhost/a:latest".to_owned()),
            ("localhost:5000/a/b_c/d--e:v1", "localhost:5000/a/b_c/d--e:v1".to_owned()),
            ("[::1]:5000/a", "[::1]:5000/a:latest".to_owned()),
            (&format!("x.y/z@sha256:{zeros}"), format!("x.y/z@sha256:{zeros}")),
            (&format!("x.y/z:t@sha256:{zeros}"), format!("x.y/z:t@sha256:{zeros}")),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), want, "{text}");
        }
        assert_eq!("docker.io/library/a".parse::<Reference>().unwrap().familiar(), "a:latest");
    }

    #[test]
    fn refused() {
        for text in
            ["", ":", "a:", "A", "a/B", "a//b", "a:b:c", "a@md5:0", "-a", "a..b", "a/", "a b"]
        {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
