//! One simple command of a shell script, as words with places.

use strake_diag::Span;

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Without quotes; expansions stay as they are written.
    pub text: String,
    /// As written.
    pub raw: String,
    /// Where.
    pub span: Span,
}

impl Arg {
    /// Whether it has a variable or a substitution.
    pub fn is_dynamic(&self) -> bool {
        self.raw.contains('$') || self.raw.contains('`')
    }
}

/// How a command follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// `;`, a newline, or it is the first.
    Start,
    /// `&&`.
    And,
    /// `||`.
    Or,
    /// `|`.
    Pipe,
}

/// A redirection to or from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Writes rather than reads.
    pub writes: bool,
    /// The file.
    pub file: String,
}

/// A simple command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cmd {
    /// The program, without quotes.
    pub name: String,
    /// What follows it.
    pub args: Vec<Arg>,
    /// `NAME=value` in front.
    pub assignments: Vec<(String, String)>,
    /// To and from files.
    pub redirects: Vec<Redirect>,
    /// All of it.
    pub span: Span,
    /// The name alone.
    pub name_span: Span,
    /// How it follows the one before.
    pub join: Join,
    /// Commands of one pipeline share it.
    pub pipeline: usize,
    /// 0 for the script itself, more within `$(..)`, `( .. )`, `if` and the like.
    pub depth: usize,
    /// Within `$(..)`.
    pub substituted: bool,
}

impl Cmd {
    /// The program without its folder.
    pub fn program(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    /// Whether the program is one of these.
    pub fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }

    /// The words that are no flags.
    pub fn plain(&self) -> impl Iterator<Item = &Arg> {
        self.args.iter().filter(|it| !it.text.starts_with('-'))
    }

    /// The texts of the words that are no flags.
    pub fn plain_texts(&self) -> Vec<&str> {
        self.plain().map(|it| it.text.as_str()).collect()
    }

    /// Whether a word is exactly this.
    pub fn has(&self, word: &str) -> bool {
        self.args.iter().any(|it| it.text == word)
    }

    /// Whether any of these words is there.
    pub fn has_any(&self, words: &[&str]) -> bool {
        words.iter().any(|it| self.has(it))
    }

    /// The first word that is no flag is one of these.
    pub fn verb(&self, verbs: &[&str]) -> bool {
        self.plain().next().is_some_and(|it| verbs.contains(&it.text.as_str()))
    }

    /// The names of flags: `--a=b` is `a`, `-xy` is `x` and `y`.
    pub fn flags(&self) -> Vec<&str> {
        let mut found = Vec::new();
        for arg in &self.args {
            let text = arg.text.as_str();
            if text == "--" {
                break;
            }
            if let Some(long) = text.strip_prefix("--") {
                found.push(long.split('=').next().unwrap_or(long));
            } else if let Some(short) = text.strip_prefix('-') {
                for (at, it) in short.char_indices() {
                    found.push(&short[at..at + it.len_utf8()]);
                }
            }
        }
        found
    }

    /// Whether a flag is there, by any of its names.
    pub fn has_flag(&self, names: &[&str]) -> bool {
        self.flags().iter().any(|it| names.contains(it))
    }

    /// The value of `--name=value`, `--name value` or `-n value`.
    pub fn value_of(&self, names: &[&str]) -> Option<&Arg> {
        for (at, arg) in self.args.iter().enumerate() {
            if names.contains(&arg.text.as_str()) {
                return self.args.get(at + 1);
            }
            let with = |it: &&str| arg.text.strip_prefix(*it).is_some_and(|it| it.starts_with('='));
            if names.iter().any(with) {
                return Some(arg);
            }
        }
        None
    }

    /// Plain words behind the verb, without the values of `with_value` flags.
    pub fn operands(&self, with_value: &[&str]) -> Vec<&Arg> {
        let mut found = Vec::new();
        let mut skip = false;
        let mut only_plain = false;
        for arg in &self.args {
            if std::mem::take(&mut skip) {
                continue;
            }
            let text = arg.text.as_str();
            if !only_plain && text == "--" {
                only_plain = true;
            } else if !only_plain && text.starts_with('-') && text.len() > 1 {
                skip = with_value.contains(&text);
            } else {
                found.push(arg);
            }
        }
        found
    }
}

/// A word without its quotes. Expansions stay as they are written.
pub(crate) fn unquote(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    let mut quote = None;
    while let Some(it) = chars.next() {
        match (quote, it) {
            (None, '\'' | '"') => quote = Some(it),
            (Some(open), _) if it == open => quote = None,
            (None, '\\') => match chars.next() {
                Some('\n') | None => {}
                Some(next) => text.push(next),
            },
            (Some('"'), '\\') => match chars.peek() {
                Some('$' | '`' | '"' | '\\') => text.extend(chars.next()),
                _ => text.push('\\'),
            },
            (_, it) => text.push(it),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::unquote;

    #[test]
    fn quotes_go_and_expansions_stay() {
        for (raw, want) in [
            ("a", "a"),
            ("'a b'", "a b"),
            ("\"a $B\"c", "a $Bc"),
            ("a\\ b", "a b"),
            ("\"a\\\"b\"", "a\"b"),
            ("'a\\'", "a\\"),
        ] {
            assert_eq!(unquote(raw), want, "{raw}");
        }
    }
}
