//! The parsers of what registries send, for fuzzing: `fuzz/src/registry.rs` says what must hold.

use crate::{challenge, document, link};

/// Reads `WWW-Authenticate` headers; returns the realm that a login would be asked for at.
pub fn www_authenticate(header: &[u8]) -> Option<String> {
    match challenge::parse([header].into_iter())? {
        challenge::Challenge::Basic => Some(String::new()),
        challenge::Challenge::Bearer { realm, .. } => {
            challenge::realm(&realm, false).ok().map(String::from)
        }
    }
}

/// Reads a `Link` header of a list; returns the addresses and whether each is the next page.
pub fn link(header: &str) -> Vec<(String, bool)> {
    link::targets(header).into_iter().map(|it| (it.target, it.is_next)).collect()
}

/// Reads a manifest or an index; returns how many documents and blobs it names.
pub fn document(bytes: &[u8], content_type: Option<&str>) -> Option<(usize, usize)> {
    let below = document::below("fuzz", bytes, content_type).ok()?;
    Some((below.children.len(), below.layers.len() + usize::from(below.config.is_some())))
}
