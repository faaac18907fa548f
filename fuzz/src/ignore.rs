//! What must hold for every ignore file: it agrees with a matcher that follows the definition
//! ([patternmatcher](https://pkg.go.dev/github.com/moby/patternmatcher)) step by step, without
//! regular expressions and without remembering anything.

use strake_context::{Patterns, read_patterns};

/// An ignore file, and behind a zero byte paths, a line each.
pub fn agrees(text: &str) {
    let (file, paths) = text.split_once('\0').unwrap_or((text, "a\na/b\n.git/x\nb/a/c.txt\nab"));
    let written = read_patterns(file);
    let Ok(patterns) = Patterns::new(&written) else { return };
    // Escapes and classes are those of Go's regular expressions: no second opinion on them here.
    if written.iter().any(|it| it.contains(['\\', '[', ']', '^'])) || written.len() > 40 {
        return;
    }
    let slow: Vec<Slow> = written.iter().filter_map(|it| Slow::new(it)).collect();
    for path in paths.lines().take(20) {
        let sound = path.len() < 60 && path.split('/').all(|it| !matches!(it, "" | "." | ".."));
        if !sound {
            continue;
        }
        let want = excluded(&slow, path).0;
        assert_eq!(patterns.matches(path.as_bytes()), want, "{written:?} on {path:?}");
    }
}

/// One pattern in small parts.
struct Slow {
    negated: bool,
    parts: Vec<Part>,
    /// `**x` without another wildcard: what a path ends with.
    suffix: Option<String>,
}

#[derive(Clone, Copy)]
enum Part {
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `**` or `**/` with more behind it: any folders.
    Folders,
    /// `**` at the end: anything.
    All,
}

impl Slow {
    fn new(written: &str) -> Option<Slow> {
        let trimmed = written.trim();
        if trimmed.is_empty() {
            return None;
        }
        let clean = String::from_utf8(strake_context::clean(trimmed.as_bytes())).ok()?;
        let (negated, text) = match clean.strip_prefix('!') {
            Some(rest) => (true, rest.to_owned()),
            None => (false, clean),
        };
        let suffix = text.strip_prefix("**").filter(|it| !it.contains(['*', '?']));
        let suffix = suffix.map(str::to_owned);
        let (mut parts, mut chars) = (Vec::new(), text.chars().peekable());
        while let Some(it) = chars.next() {
            parts.push(match it {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    chars.next_if_eq(&'/');
                    if chars.peek().is_some() { Part::Folders } else { Part::All }
                }
                '*' => Part::Many,
                '?' => Part::One,
                other => Part::Char(other),
            });
        }
        Some(Slow { negated, parts, suffix })
    }

    fn matches(&self, path: &str) -> bool {
        match &self.suffix {
            Some(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path)
            }
            None => matches(&self.parts, &path.chars().collect::<Vec<char>>()),
        }
    }
}

/// Tries every way in which the parts could divide the path.
fn matches(parts: &[Part], path: &[char]) -> bool {
    let Some((part, rest)) = parts.split_first() else { return path.is_empty() };
    let within = path.iter().take_while(|it| **it != '/').count();
    match part {
        Part::Char(want) => path.first() == Some(want) && matches(rest, &path[1..]),
        Part::One => within > 0 && matches(rest, &path[1..]),
        Part::Many => (0..=within).any(|taken| matches(rest, &path[taken..])),
        Part::Folders => {
            let behind_slash = |taken: &usize| *taken == 0 || path[*taken - 1] == '/';
            (0..=path.len()).filter(behind_slash).any(|taken| matches(rest, &path[taken..]))
        }
        Part::All => true,
    }
}

/// Whether a path is excluded, and which patterns hold for what is below it.
///
/// A pattern that cannot change the result is not looked at, and then does not hold below.
fn excluded(patterns: &[Slow], path: &str) -> (bool, Vec<bool>) {
    let above = match path.rsplit_once('/') {
        Some((parent, _)) => excluded(patterns, parent).1,
        None => vec![false; patterns.len()],
    };
    let (mut result, mut holds) = (false, vec![false; patterns.len()]);
    for (at, pattern) in patterns.iter().enumerate() {
        holds[at] = above[at] || pattern.negated == result && pattern.matches(path);
        if holds[at] {
            result = !pattern.negated;
        }
    }
    (result, holds)
}
