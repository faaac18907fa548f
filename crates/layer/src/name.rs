//! Names in archives: how they are shown and what is made of them.

use std::fmt;

/// A path of an archive as it is shown to people: bytes that are no text are escaped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName(pub Vec<u8>);

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for it in chunk.valid().chars() {
                if it.is_control() {
                    write!(f, "{}", it.escape_default())?
                } else {
                    write!(f, "{it}")?
                }
            }
            chunk.invalid().iter().try_for_each(|it| write!(f, "\\x{it:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A name of an archive as a path relative to the root: without leading `/` and `./`, without
/// empty components. `None` if it has a `..` component or a NUL byte.
pub(crate) fn relative(name: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(name.len());
    for component in name.split(|it| *it == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return None,
            _ if component.contains(&0) => return None,
            _ => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(component);
            }
        }
    }
    Some(path)
}

/// As [`relative`], but `..` leads up to the root at most, as in archives that Docker unpacks.
pub(crate) fn clamped(name: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for component in name.split(|it| *it == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            _ if component.contains(&0) => return None,
            _ => parts.push(component),
        }
    }
    Some(parts.join(&b'/'))
}

/// The parent and the last component of a path in the form of [`crate::Entry::path`].
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|it| *it == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// `parent/name`, where an empty parent is the root.
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(parent.len() + name.len() + 1);
    path.extend_from_slice(parent);
    if !parent.is_empty() && !name.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Whether `path` lies below `ancestor` (and is not the same). Everything but the root itself is
/// below the root.
pub(crate) fn is_below(path: &[u8], ancestor: &[u8]) -> bool {
    if ancestor.is_empty() {
        return !path.is_empty();
    }
    path.len() > ancestor.len() && path.starts_with(ancestor) && path[ancestor.len()] == b'/'
}

/// Compares paths component by component: `a/b` comes before `a-b`.
pub(crate) fn compare(left: &[u8], right: &[u8]) -> std::cmp::Ordering {
    let same = left.iter().zip(right).take_while(|(it, other)| it == other).count();
    // A separator ends a component, so it is less than any other byte; the end is less still.
    let rank = |path: &[u8]| match path.get(same) {
        None => 0,
        Some(b'/') => 1,
        Some(byte) => 2 + u16::from(*byte),
    };
    rank(left).cmp(&rank(right))
}

#[cfg(test)]
mod tests {
    use super::{compare, is_below, relative};
    use std::cmp::Ordering;

    #[test]
    fn names_are_made_relative() {
        assert_eq!(relative(b"/./a//b/").unwrap(), b"a/b");
        assert_eq!(relative(b"./").unwrap(), b"");
        assert_eq!(relative(b"..a/b..").unwrap(), b"..a/b..");
        for hostile in [&b"../a"[..], b"a/../b", b"..", b"/..", b"a\0b"] {
            assert_eq!(relative(hostile), None);
        }
    }

    #[test]
    fn a_directory_comes_right_before_what_is_in_it() {
        let sorted: [&[u8]; 6] = [b"", b"a", b"a/b", b"a/b/c", b"a-b", b"aa"];
        for (at, left) in sorted.iter().enumerate() {
            for (other, right) in sorted.iter().enumerate() {
                assert_eq!(compare(left, right), at.cmp(&other));
            }
        }
        assert_eq!(compare(b"a/b", b"a/b"), Ordering::Equal);
        assert!(is_below(b"a/b", b"a") && is_below(b"a", b"") && !is_below(b"a-b", b"a"));
        assert!(!is_below(b"a", b"a") && !is_below(b"", b""));
    }
}
