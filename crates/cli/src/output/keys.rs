//! Every type and key of `-o` that buildx has: what takes it, or what to do instead.

use super::Wrong;
use std::collections::BTreeMap;

/// The types.
const TYPES: &[&str] = &["oci", "docker", "tar", "local", "image", "registry"];
pub(super) const TYPES_HINT: &str =
    "type=oci, docker, tar, local, image or registry; or a folder alone";

const IMAGES: &[&str] = &["oci", "docker", "image", "registry"];
const PUSHED: &[&str] = &["image", "registry"];
const FILES: &[&str] = &["tar", "local"];

/// A key and the types that take it.
const KEYS: &[(&str, &[&str])] = &[
    ("type", TYPES),
    ("dest", &["oci", "docker", "tar", "local"]),
    ("tar", &["oci", "docker"]),
    ("name", IMAGES),
    ("compression", IMAGES),
    ("compression-level", IMAGES),
    ("force-compression", IMAGES),
    ("oci-mediatypes", IMAGES),
    ("rewrite-timestamp", IMAGES),
    ("source-date-epoch", IMAGES),
    ("platform-split", FILES),
    ("mode", &["local"]),
    ("unpack", PUSHED),
    ("store", PUSHED),
    ("name-canonical", PUSHED),
    ("dangling-name-prefix", PUSHED),
    ("push", PUSHED),
    ("push-by-digest", PUSHED),
];

/// Keys that buildx has and strake has not, with what to do. A star stands for anything.
const NOT_HERE: &[(&str, &str)] = &[
    ("epoch", "use source-date-epoch"),
    ("attestation-*", "leave it out: attestations are not made"),
    ("buildinfo*", "leave it out: build info is not part of an image any more"),
    ("prefer-nondist-layers", "leave it out: all layers are distributed"),
    ("oci-artifact", "leave it out: attestations are not made"),
    ("registry.insecure", "use --plain-http HOST or --insecure-registry HOST"),
    ("context", "leave it out: there is no daemon to load into"),
];

/// Types that buildx has and strake has not.
const TYPES_NOT_HERE: &[(&str, &str)] =
    &[("cacheonly", "write type=cacheonly alone: steps are always cached")];

/// Whether a key is one of the annotations'.
pub(super) fn is_annotation(key: &str) -> bool {
    let rest = key.strip_prefix("annotation");
    rest.is_some_and(|it| it.is_empty() || it.starts_with(['.', '-', '[']))
}

/// Whether a field begins with a key, so that it can be no path.
pub(super) fn has_known_key(field: &str) -> bool {
    let Some((key, _)) = field.split_once('=') else { return false };
    is_annotation(key) || KEYS.iter().any(|it| it.0 == key) || instead(NOT_HERE, key).is_some()
}

/// Whether the type is there and takes all of the keys.
pub(super) fn check(kind: &str, values: &BTreeMap<String, String>) -> Result<(), Wrong> {
    if !TYPES.contains(&kind) {
        let hint = instead(TYPES_NOT_HERE, kind).map(str::to_owned);
        let hint = hint.or_else(|| nearest(kind, TYPES)).unwrap_or_else(|| TYPES_HINT.to_owned());
        return Err((format!("`type={kind}` is not there"), Some(hint)));
    }
    for key in values.keys() {
        if is_annotation(key) && IMAGES.contains(&kind) {
            continue;
        }
        match KEYS.iter().find(|it| it.0 == key) {
            Some((_, types)) if types.contains(&kind) => {}
            Some((_, types)) => {
                let hint = format!("it is for type={}", types.join(", "));
                return Err((format!("`{key}` has no meaning for type={kind}"), Some(hint)));
            }
            None if is_annotation(key) => {
                let hint = format!("it is for type={}", IMAGES.join(", "));
                return Err((format!("`{key}` has no meaning for type={kind}"), Some(hint)));
            }
            None => return Err(unknown(key)),
        }
    }
    Ok(())
}

fn unknown(key: &str) -> Wrong {
    if let Some(hint) = instead(NOT_HERE, key) {
        return (format!("`{key}` is not supported"), Some(hint.to_owned()));
    }
    let names: Vec<_> = KEYS.iter().map(|it| it.0).collect();
    let hint = nearest(key, &names).unwrap_or_else(|| format!("keys are {}", names.join(", ")));
    (format!("`{key}` is not known"), Some(hint))
}

fn instead(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    let matches = |name: &str| match name.strip_suffix('*') {
        Some(start) => key.starts_with(start),
        None => key == name,
    };
    table.iter().find(|it| matches(it.0)).map(|it| it.1)
}

fn nearest(word: &str, words: &[&str]) -> Option<String> {
    let near = words.iter().map(|it| (distance(word, it), it)).min()?;
    let allowed = (word.len() / 3).max(1);
    (near.0 <= allowed).then(|| format!("did you mean `{}`?", near.1))
}

/// Levenshtein's distance, by letters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = corner + usize::from(letter != *other);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{KEYS, NOT_HERE, TYPES, distance};

    #[test]
    fn no_key_is_in_both_tables_and_all_types_exist() {
        for (key, types) in KEYS {
            assert!(!NOT_HERE.iter().any(|it| it.0 == *key), "{key}");
            assert!(types.iter().all(|it| TYPES.contains(it)), "{key}");
        }
    }

    #[test]
    fn distances() {
        assert_eq!(distance("compresion", "compression"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
