//! Variables of Dockerfile words: which are used, and what they become.

/// A use of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// Its name.
    pub name: String,
    /// It stands there with a default or an alternative: `${A:-b}`.
    pub has_default: bool,
    /// Offset of the `$`.
    pub at: usize,
}

/// The variables that a word uses. Single quotes hide them.
pub(crate) fn uses(word: &str, escape: char) -> Vec<Use> {
    let mut found = Vec::new();
    scan(word, escape, &mut |piece| {
        if let Piece::Variable { name, operator, at, .. } = piece {
            let has_default = operator.starts_with([':', '-', '+', '?']);
            found.push(Use { name: name.to_owned(), has_default, at });
        }
    });
    found
}

/// The word with its quotes taken away and variables put in; what is not known stays as written.
pub(crate) fn expand(word: &str, escape: char, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    scan(word, escape, &mut |piece| match piece {
        Piece::Char(it) => text.push(it),
        Piece::Variable { name, operator, written, .. } => match lookup(name) {
            Some(value) if !value.is_empty() || !operator.starts_with(":-") => {
                match operator.strip_prefix(":+").or(operator.strip_prefix('+')) {
                    Some(other) => text.push_str(other),
                    None => text.push_str(&value),
                }
            }
            _ => match operator.strip_prefix(":-").or(operator.strip_prefix('-')) {
                Some(default) => text.push_str(&expand(default, escape, lookup)),
                None => text.push_str(written),
            },
        },
    });
    text
}

enum Piece<'a> {
    Char(char),
    Variable { name: &'a str, operator: &'a str, written: &'a str, at: usize },
}

fn scan<'a>(word: &'a str, escape: char, out: &mut dyn FnMut(Piece<'a>)) {
    let mut at = 0;
    let mut quote = None;
    while let Some(it) = word[at..].chars().next() {
        let next = at + it.len_utf8();
        match it {
            '\'' | '"' if quote.is_none() => quote = Some(it),
            _ if Some(it) == quote => quote = None,
            _ if it == escape && quote != Some('\'') => {
                let Some(escaped) = word[next..].chars().next() else { return };
                out(Piece::Char(escaped));
                at = next + escaped.len_utf8();
                continue;
            }
            '$' if quote != Some('\'') => {
                let (name, operator, length) = variable(&word[next..]);
                if !name.is_empty() {
                    let end = next + length;
                    out(Piece::Variable { name, operator, written: &word[at..end], at });
                    at = end;
                    continue;
                }
                out(Piece::Char(it));
            }
            _ => out(Piece::Char(it)),
        }
        at = next;
    }
}

/// Name, operator with its word, and length of what stands behind `$`.
fn variable(rest: &str) -> (&str, &str, usize) {
    let name_end = |text: &str| {
        text.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_')).unwrap_or(text.len())
    };
    let Some(inside) = rest.strip_prefix('{') else {
        let end = name_end(rest);
        return (&rest[..end], "", end);
    };
    let end = name_end(inside);
    let mut depth = 1;
    for (at, it) in inside.char_indices().skip_while(|(at, _)| *at < end) {
        match it {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&inside[..end], &inside[end..at], at + 2);
        }
    }
    ("", "", 0)
}

#[cfg(test)]
mod tests {
    use super::{expand, uses};

    #[test]
    fn uses_and_values() {
        let names = |word| uses(word, '\\').into_iter().map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names("$A/${B:-$C}'$D'\\$E"), ["A", "B"]);
        let lookup = |name: &str| (name == "A").then(|| "1".to_owned());
        assert_eq!(expand("x$A-${B:-${A}}-$C\"q\"", '\\', &lookup), "x1-1-$Cq");
        assert_eq!(expand("${A:+y}", '\\', &lookup), "y");
    }
}
