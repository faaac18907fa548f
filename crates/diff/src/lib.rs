//! In what two images differ: config, history, flattened tree and, on request, each layer.
//!
//! Invariant: no IO. An image arrives as its config and the indexes of its layers.
//! Invariant: times of creation never count; times of files only on request.

mod config;
mod entry;
mod layers;
mod tree;

use std::{fmt, sync::Arc};
use strake_layer::Index;
use strake_oci::ImageConfig;

/// An image, as far as it is compared.
#[derive(Clone, Debug)]
pub struct Image {
    /// The config.
    pub config: ImageConfig,
    /// What each layer holds, base first.
    pub layers: Vec<Arc<Index>>,
}

/// What counts.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Times of files, in whole seconds.
    pub times: bool,
    /// Each layer by itself, too: its entries, deletions and opaque directories.
    pub layers: bool,
    /// Places to leave out, each with all that is below: `/etc/hosts`, `config.config.Env`,
    /// `history`.
    pub ignore: Vec<String>,
}

/// One fact that is not the same in both images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where: `config.config.Env`, `history[3]`, `/etc/passwd`, `layer[2]/etc`.
    pub at: String,
    /// Which fact of it, e.g. `mode`; empty where there is but one.
    pub fact: &'static str,
    /// What the first image has; `None` is nothing at all.
    pub left: Option<String>,
    /// What the second image has.
    pub right: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { at, fact, left, right } = self;
        write!(f, "{at}: ")?;
        match (left, right) {
            (Some(left), None) => write!(f, "only in the first: {left}"),
            (None, Some(right)) => write!(f, "only in the second: {right}"),
            (left, right) => {
                let space = if fact.is_empty() { "" } else { " " };
                let [left, right] = [left, right].map(|it| it.as_deref().unwrap_or("nothing"));
                write!(f, "{fact}{space}{left} | {right}")
            }
        }
    }
}

/// Compares two images. Nothing is returned for images that are alike.
pub fn compare(left: &Image, right: &Image, options: &Options) -> Vec<Difference> {
    let Options { times, layers, ignore } = options;
    let mut found = config::compare(&left.config, &right.config);
    if left.layers.len() != right.layers.len() {
        found.push(Difference {
            at: "layers".to_owned(),
            fact: "",
            left: Some(left.layers.len().to_string()),
            right: Some(right.layers.len().to_string()),
        });
    }
    found.extend(tree::compare(&left.layers, &right.layers, *times));
    if *layers {
        found.extend(layers::compare(&left.layers, &right.layers, *times));
    }
    found.retain(|it| !ignore.iter().any(|place| is_in(&it.at, place)));
    found
}

/// Whether `at` is `place` or below it.
fn is_in(at: &str, place: &str) -> bool {
    let place = place.strip_suffix('/').unwrap_or(place);
    at.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.', '[']))
}

#[cfg(test)]
mod tests {
    use super::is_in;

    #[test]
    fn a_place_ends_where_a_name_ends() {
        assert!(is_in("/etc/hosts", "/etc"));
        assert!(is_in("/etc", "/etc/"));
        assert!(is_in("history[3]", "history"));
        assert!(is_in("config.config.Env[1]", "config.config.Env"));
        assert!(!is_in("/etcetera", "/etc"));
    }
}
