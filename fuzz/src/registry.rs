//! What must hold for whatever a registry sends, and for every image reference: no panic, no unbounded
//! work, and nothing that is read can mean something else when it is written and read again.

use strake_oci::Reference;
use strake_registry::parsers;

/// A `WWW-Authenticate` header. Credentials go to https only.
pub fn www_authenticate(header: &[u8]) {
    if let Some(realm) = parsers::www_authenticate(header)
        && !realm.is_empty()
    {
        assert!(realm.starts_with("https://") && realm.len() < 100_000, "{realm}");
    }
}

/// A `Link` header: each address stands in it.
pub fn link(header: &str) {
    for (target, _) in parsers::link(header) {
        assert!(header.contains(&format!("<{target}>")), "{target}");
    }
}

/// An image reference: what is read prints, and prints as what is read.
pub fn reference(text: &str) {
    let Ok(read) = text.parse::<Reference>() else { return };
    for printed in [read.to_string(), read.familiar()] {
        let mut again: Reference = printed.parse().expect("what is printed reads");
        if read.tag.is_none() && read.digest.is_none() {
            again.tag = None;
        }
        assert_eq!(again, read, "{text} {printed}");
    }
}

/// A manifest or an index, with its content type on the first line: what it names stands in it.
pub fn document(text: &str) {
    let (kind, body) = text.split_once('\n').unwrap_or(("", text));
    let kind = Some(kind).filter(|it| !it.is_empty());
    if let Some((documents, blobs)) = parsers::document(body.as_bytes(), kind) {
        assert!(body.matches("sha256:").count() >= documents + blobs, "{documents} {blobs}");
    }
}
