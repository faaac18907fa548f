//! Patterns of stars and question marks, which most are: matched step by step, for an expression of the
//! `regex` crate takes a thousand times as long to make.

/// A piece of a pattern, each with the Go expression that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// `?`: `[^/]`
    One,
    /// `*`: `[^/]*`
    Many,
    /// `**` or `**/` before more: `(.*/)?`
    Folders,
    /// `**` or `**/` at the end: `.*`
    All,
}

/// A pattern without classes and escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wild(Vec<Part>);

impl Wild {
    /// Takes a pattern apart; none where a regular expression is needed.
    pub(crate) fn new(text: &str) -> Option<Wild> {
        if text.contains(['[', ']', '\\', '^']) {
            return None;
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            let part = match character {
                '*' if rest.next_if_eq(&'*').is_some() => {
                    rest.next_if_eq(&'/');
                    if rest.peek().is_some() { Part::Folders } else { Part::All }
                }
                '*' => Part::Many,
                '?' => Part::One,
                other => {
                    literal.push(other);
                    continue;
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Some(Wild(parts))
    }

    /// Whether the whole path matches. The time is that of its length times the pattern's.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let start =
            |part: &Part| matches!(part, Part::Literal(it) if !path.starts_with(it.as_str()));
        let end = |part: &Part| matches!(part, Part::Literal(it) if !path.ends_with(it.as_str()));
        if self.0.first().is_some_and(start) || self.0.last().is_some_and(end) {
            return false;
        }
        let mut reached = vec![false; path.len() + 1];
        reached[0] = true;
        for part in &self.0 {
            reached = part.step(path, &reached);
        }
        reached[path.len()]
    }
}

impl Part {
    /// Where the part can end, out of where it can begin: offsets in the path.
    fn step(&self, path: &str, reached: &[bool]) -> Vec<bool> {
        let mut next = vec![false; reached.len()];
        let bytes = path.as_bytes();
        // Whether the part can go on from before.
        let mut open = false;
        for at in (0..reached.len()).filter(|at| path.is_char_boundary(*at)) {
            let here = path[at..].chars().next();
            match self {
                Part::Literal(literal) => {
                    if reached[at] && path[at..].starts_with(literal.as_str()) {
                        next[at + literal.len()] = true;
                    }
                }
                Part::One => {
                    if let Some(character) = here.filter(|it| reached[at] && *it != '/') {
                        next[at + character.len_utf8()] = true;
                    }
                }
                Part::Many => {
                    open |= reached[at];
                    next[at] = open;
                    open &= here != Some('/');
                }
                Part::Folders => {
                    next[at] = reached[at] || open && bytes[at - 1] == b'/';
                    open = (open || reached[at]) && here != Some('\n');
                }
                Part::All => {
                    open |= reached[at];
                    next[at] = open;
                    open &= here != Some('\n');
                }
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::Wild;

    #[test]
    fn matches_wholly() {
        for (pattern, path, expected) in [
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("*/b", "a/b", true),
            ("**/b*", "b", true),
            ("**/b*", "x/y/bc", true),
            ("**/b*", "x/y/cb", false),
            ("a**b?", "a/x/bc", true),
            ("a**b?", "axbc", false),
            ("?", "ü", true),
            ("*?", "ü", true),
            ("*??", "ü", false),
            ("?*", "/", false),
            ("*a**", "xa/\n/y", false),
            ("*\n*", "a\nb", true),
            ("**/a?", "\n/ab", false),
        ] {
            assert_eq!(Wild::new(pattern).unwrap().matches(path), expected, "{pattern} {path:?}");
        }
        assert_eq!(Wild::new("a[b]*"), None);
    }
}
