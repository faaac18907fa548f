//! URLs: what they are called in messages, and the file names in them.

use crate::RemoteError;
use reqwest::Url;

/// The name of a file whose URL has none, as BuildKit calls it.
const UNNAMED: &str = "__unnamed__";

/// Parses an http or https URL.
pub(crate) fn parse(text: &str) -> Result<Url, RemoteError> {
    let bad = |why: String| RemoteError::BadUrl { url: shown(text), why };
    let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(bad("it is neither http nor https".to_owned())),
    }
}

/// A URL for people: without user and password, and without query, where tokens are.
pub(crate) fn shown(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return text.split(['?', '#']).next().unwrap_or(text).to_owned();
    };
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.into()
}

/// Host and port, as messages name a server.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The name that a file gets: the last component of the path, percent signs decoded.
pub(crate) fn file_name(url: &Url) -> Vec<u8> {
    let path = decoded(url.path());
    let mut parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    match parts.next_back() {
        None | Some(b"." | b"..") => UNNAMED.as_bytes().to_vec(),
        Some(name) => name.to_vec(),
    }
}

/// Resolves percent signs.
pub(crate) fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = (first == b'%').then(|| after.get(..2)).flatten();
        let hex = hex.and_then(|it| std::str::from_utf8(it).ok());
        match hex.and_then(|it| u8::from_str_radix(it, 16).ok()) {
            // A NUL cannot stand in a file name.
            Some(byte) if byte != 0 => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{file_name, parse, shown};

    #[test]
    fn names_are_those_of_buildkit() {
        let name = |url: &str| String::from_utf8(file_name(&parse(url).unwrap())).unwrap();
        assert_eq!(name("http://h/a.txt"), "a.txt");
        assert_eq!(name("http://h/a/b.tar.gz?x=y/z#f"), "b.tar.gz");
        assert_eq!(name("http://h/a%20b.txt"), "a b.txt");
        assert_eq!(name("http://h/dir/"), "dir");
        assert_eq!(name("http://h/a%2Fb"), "b");
        for unnamed in ["http://h", "http://h/", "http://h/?a=b", "http://h/%2e%2e"] {
            assert_eq!(name(unnamed), "__unnamed__", "{unnamed}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(shown("https://user:pass@h:1/a?token=x#y"), "https://h:1/a");
        assert_eq!(shown("no url?token=x"), "no url");
    }

    #[test]
    fn other_schemes_are_refused() {
        assert!(parse("ftp://h/a").is_err());
        assert!(parse("http://").is_err());
    }
}
