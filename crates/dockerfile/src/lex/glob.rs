//! Patterns of `${v#pattern}`, `${v%pattern}` and `${v/pattern/..}`: `*`, `?` and escapes.

use super::expand::{LONGEST, TOO_LONG};

/// A parsed pattern.
pub(crate) struct Glob {
    tokens: Vec<Token>,
    greedy: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    Any,
    Star,
}

impl Glob {
    /// Reads a pattern. `\}` and `\/` are plain characters; otherwise only `*`, `?` and `\` may be
    /// escaped; the error is a message.
    pub(crate) fn new(pattern: &str, greedy: bool) -> Result<Glob, String> {
        let mut tokens = Vec::new();
        let mut chars = pattern.chars();
        while let Some(it) = chars.next() {
            tokens.push(match it {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => match chars.next() {
                    Some(next @ ('*' | '?' | '\\' | '}' | '/')) => Token::Char(next),
                    Some(next) => return Err(format!("invalid escape `\\{next}` in `{pattern}`")),
                    None => return Err(format!("nothing is escaped at the end of `{pattern}`")),
                },
                other => Token::Char(other),
            });
        }
        Ok(Glob { tokens, greedy })
    }

    /// The same pattern from right to left.
    pub(crate) fn reversed(mut self) -> Glob {
        self.tokens.reverse();
        self
    }

    /// Where a match that begins at `start` ends. Stars take as much (greedy) or as little as they
    /// can, the left one first, and stop at newlines.
    pub(crate) fn match_at(&self, text: &[char], start: usize) -> Option<usize> {
        if !self.tokens.contains(&Token::Star) {
            let rest = text.get(start..start + self.tokens.len())?;
            let same = |(token, it): (&Token, &char)| match token {
                Token::Char(want) => want == it,
                Token::Any | Token::Star => *it != '\n',
            };
            return self.tokens.iter().zip(rest).all(same).then_some(start + rest.len());
        }
        let width = text.len() + 1;
        let mut seen = vec![false; width * (self.tokens.len() + 1)];
        let mut open = vec![(0, start)];
        while let Some((token, at)) = open.pop() {
            if std::mem::replace(&mut seen[token * width + at], true) {
                continue;
            }
            let Some(want) = self.tokens.get(token) else { return Some(at) };
            let here = text.get(at).copied();
            match want {
                Token::Char(it) if here == Some(*it) => open.push((token + 1, at + 1)),
                Token::Any if here.is_some_and(|it| it != '\n') => open.push((token + 1, at + 1)),
                Token::Star => {
                    let take = here.filter(|it| *it != '\n').map(|_| (token, at + 1));
                    let leave = Some((token + 1, at));
                    let order = if self.greedy { [leave, take] } else { [take, leave] };
                    open.extend(order.into_iter().flatten());
                }
                Token::Char(_) | Token::Any => {}
            }
        }
        None
    }

    /// `text` with the first match, or all, replaced.
    pub(crate) fn replace(&self, text: &str, with: &str, all: bool) -> Result<String, String> {
        let text: Vec<char> = text.chars().collect();
        let (mut out, mut at, mut last_end) = (String::new(), 0, None);
        while at <= text.len() {
            let found = self.match_at(&text, at).filter(|end| *end > at || last_end != Some(at));
            match found {
                Some(end) => {
                    out.push_str(with);
                    if out.len() > LONGEST {
                        return Err(TOO_LONG.to_owned());
                    }
                    if end == at {
                        out.extend(text.get(at));
                        at += 1;
                    } else {
                        at = end;
                    }
                    last_end = Some(end);
                    if !all {
                        break;
                    }
                }
                None => {
                    out.extend(text.get(at));
                    at += 1;
                }
            }
        }
        out.extend(text.iter().skip(at));
        Ok(out)
    }
}
