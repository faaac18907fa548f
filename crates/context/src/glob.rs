//! Go's `filepath.Match` and `filepath.Clean`, for Unix paths as bytes.

/// A pattern that Go refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// Whether the whole of `name` matches, where `*` and `?` never match a slash.
///
/// A mistake after a star is found only when what stands before the star matches, as in Go.
pub fn glob_match(pattern: &[u8], name: &[u8]) -> Result<bool, BadPattern> {
    let (mut pattern, mut name) = (pattern, name);
    while !pattern.is_empty() {
        let (star, chunk, rest) = next_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        if let Some(after) = match_chunk(chunk, name)?
            && (after.is_empty() || !pattern.is_empty())
        {
            name = after;
            continue;
        }
        match star.then(|| later_match(chunk, name, pattern.is_empty())).transpose()?.flatten() {
            Some(after) => name = after,
            None => return Ok(false),
        }
    }
    Ok(name.is_empty())
}

/// Lets the star before `chunk` eat one byte after another, up to the next slash.
fn later_match<'n>(
    chunk: &[u8],
    name: &'n [u8],
    last: bool,
) -> Result<Option<&'n [u8]>, BadPattern> {
    for eaten in 0..name.len() {
        if name[eaten] == b'/' {
            break;
        }
        if let Some(after) = match_chunk(chunk, &name[eaten + 1..])? {
            if last && !after.is_empty() {
                continue;
            }
            return Ok(Some(after));
        }
    }
    Ok(None)
}

/// Splits off what stands before the next star: whether stars lead, the chunk, the rest.
fn next_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
    let pattern = &pattern[stars..];
    let mut in_class = false;
    let mut at = 0;
    while at < pattern.len() {
        match pattern[at] {
            b'\\' if at + 1 < pattern.len() => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    (stars > 0, &pattern[..at], &pattern[at..])
}

/// Matches a star-free chunk at the start of `name` and returns what is left of it.
///
/// After a mismatch the chunk is still read to its end, for its syntax.
fn match_chunk<'n>(chunk: &[u8], name: &'n [u8]) -> Result<Option<&'n [u8]>, BadPattern> {
    let (mut chunk, mut name) = (chunk, name);
    let mut failed = false;
    while let Some((&first, rest)) = chunk.split_first() {
        failed = failed || name.is_empty();
        match first {
            b'[' => {
                let character = if failed { '\0' } else { take_char(&mut name) };
                chunk = rest;
                failed |= !match_class(&mut chunk, character)?;
            }
            b'?' => {
                failed = failed || name[0] == b'/';
                if !failed {
                    take_char(&mut name);
                }
                chunk = rest;
            }
            _ => {
                if first == b'\\' {
                    chunk = rest;
                }
                let (&literal, rest) = chunk.split_first().ok_or(BadPattern)?;
                failed = failed || name[0] != literal;
                if !failed {
                    name = &name[1..];
                }
                chunk = rest;
            }
        }
    }
    Ok((!failed).then_some(name))
}

/// Reads a class after its `[`, and says whether it holds `character`.
fn match_class(chunk: &mut &[u8], character: char) -> Result<bool, BadPattern> {
    let negated = chunk.first() == Some(&b'^');
    if negated {
        *chunk = &chunk[1..];
    }
    let mut found = false;
    let mut ranges = 0;
    loop {
        if chunk.first() == Some(&b']') && ranges > 0 {
            *chunk = &chunk[1..];
            return Ok(found != negated);
        }
        let low = class_char(chunk)?;
        let mut high = low;
        if chunk[0] == b'-' {
            *chunk = &chunk[1..];
            high = class_char(chunk)?;
        }
        found |= (low..=high).contains(&character);
        ranges += 1;
    }
}

/// One possibly escaped character of a class; at least one more byte follows it.
fn class_char(chunk: &mut &[u8]) -> Result<char, BadPattern> {
    match chunk.first() {
        None | Some(b'-' | b']') => return Err(BadPattern),
        Some(b'\\') => *chunk = &chunk[1..],
        Some(_) => {}
    }
    if chunk.is_empty() {
        return Err(BadPattern);
    }
    let before = *chunk;
    let character = take_char(chunk);
    let invalid = character == char::REPLACEMENT_CHARACTER && before.len() - chunk.len() == 1;
    if invalid || chunk.is_empty() { Err(BadPattern) } else { Ok(character) }
}

/// Takes one character off a non-empty slice; a byte that is not UTF-8 counts as one.
fn take_char(bytes: &mut &[u8]) -> char {
    for length in 1..=bytes.len().min(4) {
        if let Ok(text) = std::str::from_utf8(&bytes[..length])
            && let Some(character) = text.chars().next()
        {
            *bytes = &bytes[length..];
            return character;
        }
    }
    *bytes = &bytes[1..];
    char::REPLACEMENT_CHARACTER
}

/// Whether a path has an unescaped `*`, `?` or `[`.
pub fn has_wildcard(path: &[u8]) -> bool {
    let mut at = 0;
    while at < path.len() {
        match path[at] {
            b'\\' => at += 1,
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
        at += 1;
    }
    false
}

/// The shortest equivalent path: no `.`, no doubled slash, `..` applied. Empty becomes `.`.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            b".." if rooted => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/".as_slice(), &joined].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::{BadPattern, clean, glob_match, has_wildcard};

    #[test]
    fn matches_as_go_does() {
        for (pattern, name, expected) in [
            ("abc", "abc", Ok(true)),
            ("*", "abc", Ok(true)),
            ("*c", "abc", Ok(true)),
            ("a*", "a", Ok(true)),
            ("a*", "ab/c", Ok(false)),
            ("a*/b", "abc/b", Ok(true)),
            ("a*/b", "a/c/b", Ok(false)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Ok(true)),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Ok(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Ok(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Ok(false)),
            ("ab[b-d]", "abc", Ok(true)),
            ("ab[e-g]", "abc", Ok(false)),
            ("ab[^c]", "abc", Ok(false)),
            ("ab[^e-g]", "abc", Ok(true)),
            ("a\\*b", "a*b", Ok(true)),
            ("a\\*b", "ab", Ok(false)),
            ("a?b", "a☺b", Ok(true)),
            ("a[^a]b", "a☺b", Ok(true)),
            ("a???b", "a☺b", Ok(false)),
            ("[a-ζ]*", "α", Ok(true)),
            ("*[a-ζ]", "A", Ok(false)),
            ("a?b", "a/b", Ok(false)),
            ("a*b", "a/b", Ok(false)),
            ("[\\]a]", "]", Ok(true)),
            ("[x\\-]", "-", Ok(true)),
            ("[\\-x]", "a", Ok(false)),
            ("[]a]", "]", Err(BadPattern)),
            ("[x-]", "x", Err(BadPattern)),
            ("[-x]", "-", Err(BadPattern)),
            ("\\", "a", Err(BadPattern)),
            ("[a-b-c]", "a", Err(BadPattern)),
            ("[", "a", Err(BadPattern)),
            ("[^bc", "a", Err(BadPattern)),
            ("a[", "a", Err(BadPattern)),
            ("a[", "ab", Err(BadPattern)),
            ("a[", "x", Err(BadPattern)),
            ("a/b[", "x", Err(BadPattern)),
            ("*b[", "x", Err(BadPattern)),
            ("a*b[", "x", Ok(false)),
            ("*x", "xxx", Ok(true)),
            ("{a,b}", "a", Ok(false)),
            ("[!a]", "b", Ok(false)),
        ] {
            assert_eq!(
                glob_match(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn cleans_as_go_does() {
        for (path, expected) in [
            ("", "."),
            ("a//b/./c/", "a/b/c"),
            ("a/../b", "b"),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("/", "/"),
            ("a/..", "."),
            ("./", "."),
        ] {
            assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn an_escaped_wildcard_is_none() {
        assert!(has_wildcard(b"a/*.rs") && has_wildcard(b"[ab]") && has_wildcard(b"a?"));
        assert!(!has_wildcard(b"a/\\*.rs") && !has_wildcard(b"a.rs"));
    }
}
