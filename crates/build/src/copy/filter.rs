//! `--exclude` and `--parents`: which entries below a source are copied.

use super::{CopyError, join, source::Found, source::is_directory, split};
use strake_context::{Matched, Patterns};

/// Patterns relative to the directory that is copied.
pub(super) struct Filter {
    include: Option<Patterns>,
    exclude: Patterns,
}

impl Filter {
    /// `include` is the pattern of `--parents`.
    pub(super) fn new(include: Option<&str>, exclude: &[String]) -> Result<Filter, CopyError> {
        let include = include.map(|pattern| Patterns::new(&[pattern])).transpose()?;
        Ok(Filter { include, exclude: Patterns::new(exclude)? })
    }

    /// Whether everything passes.
    pub(super) fn is_empty(&self) -> bool {
        self.include.is_none() && self.exclude.is_empty()
    }

    /// Keeps what passes, and the directories above it. The first entry is the top and stays.
    ///
    /// `entries` are as walked; the patterns are matched against paths below `base`.
    pub(super) fn apply(&self, base: &[u8], entries: Vec<Found>) -> Vec<Found> {
        if self.is_empty() {
            return entries;
        }
        let mut kept = Vec::new();
        // The directories above the current entry: what their children inherit, and the entry
        // itself as long as it has not been kept.
        let mut above: Vec<(Vec<u8>, Matched, Matched, Option<Found>)> = Vec::new();
        for (at, found) in entries.into_iter().enumerate() {
            let path = below(base, &found.entry.path).to_vec();
            if at == 0 && path.is_empty() {
                kept.push(found);
                continue;
            }
            while above.last().is_some_and(|(directory, ..)| !is_below(&path, directory)) {
                above.pop();
            }
            let root = (Matched::default(), Matched::default());
            let (in_included, in_excluded) =
                above.last().map_or(root, |(_, a, b, _)| (a.clone(), b.clone()));
            let (included, to_include) = match &self.include {
                Some(include) => include.matches_below(&path, &in_included),
                None => (true, Matched::default()),
            };
            let (excluded, to_exclude) = self.exclude.matches_below(&path, &in_excluded);
            let keep = included && !excluded;
            if keep {
                kept.extend(above.iter_mut().filter_map(|(.., pending)| pending.take()));
            }
            if is_directory(&found.entry) {
                let pending = if keep {
                    kept.push(found);
                    None
                } else {
                    Some(found)
                };
                above.push((path, to_include, to_exclude, pending));
            } else if keep {
                kept.push(found);
            }
        }
        kept
    }

    /// Whether a file that a wildcard matched is excluded by its path below the wildcard's base.
    pub(super) fn excludes(&self, path: &[u8]) -> bool {
        self.exclude.matches(path)
    }
}

/// The path of an entry below the directory that is copied.
pub(super) fn below<'a>(base: &[u8], path: &'a [u8]) -> &'a [u8] {
    if base.is_empty() {
        return path;
    }
    path.get(base.len() + 1..).unwrap_or_default()
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.len() > directory.len() && path.starts_with(directory) && path[directory.len()] == b'/'
}

/// What `--parents` copies: the directory, and the pattern below it. `/./` parts the two.
pub(super) fn pivot(written: &str) -> (String, String) {
    let (directory, pattern) = written.split_once("/./").unwrap_or(("/", written));
    let pattern = super::rooted(pattern.as_bytes());
    (directory.to_owned(), String::from_utf8_lossy(&pattern).into_owned())
}

/// The part of a pattern before its first wildcard, to walk no more than that.
pub(super) fn plain_start(base: &[u8], pattern: &str) -> Vec<u8> {
    let mut start = base.to_vec();
    for part in pattern.split('/') {
        if part.contains(['*', '?', '[', '\\']) {
            break;
        }
        start = join(&start, part.as_bytes());
    }
    start
}

/// The directories from below `base` down to the one above `path`.
pub(super) fn between(base: &[u8], path: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut at = split(path).0;
    while at.len() > base.len() {
        found.push(at.to_vec());
        at = split(at).0;
    }
    found.reverse();
    found
}
