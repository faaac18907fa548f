//! As much of [HCL](https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md) as tells which
//! Dockerfiles a bake file builds: blocks, attributes, texts with variables, lists and maps. Calls and
//! operators are not evaluated, and say so.

use std::collections::BTreeMap;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    /// Text and what is put into it.
    Text(Vec<Part>),
    /// A variable.
    Name(String),
    /// In brackets.
    List(Vec<Expr>),
    /// In braces.
    Map(Vec<(String, Expr)>),
    /// What is not evaluated, as written.
    Other(String),
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Plain(String),
    /// What stands in `${..}`.
    Put(Expr),
}

/// What a block holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Body {
    pub(super) attributes: BTreeMap<String, Expr>,
    pub(super) blocks: Vec<Block>,
}

/// `kind "label" { .. }`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub(super) kind: String,
    pub(super) label: String,
    pub(super) body: Body,
}

/// How far variables are followed.
const DEEPEST: usize = 16;

/// Variables by name.
pub(super) type Scope = BTreeMap<String, Expr>;

/// The file, or the line that is not understood.
pub(super) fn parse(text: &str) -> Result<Body, String> {
    let mut parser = Parser { text, at: 0 };
    let body = parser.body()?;
    if parser.at < text.len() { Err(parser.here("a `}` too many")) } else { Ok(body) }
}

/// A text with its variables; what is not known is the error.
pub(super) fn evaluate(expr: &Expr, scope: &Scope) -> Result<String, String> {
    within(expr, scope, 0)
}

/// Variables that are made of each other have no value: the depth of texts in texts ends.
fn within(expr: &Expr, scope: &Scope, depth: usize) -> Result<String, String> {
    match resolve(expr, scope, depth)? {
        Expr::Text(parts) => parts
            .iter()
            .map(|it| match it {
                Part::Plain(text) => Ok(text.clone()),
                Part::Put(inner) if depth < DEEPEST => within(inner, scope, depth + 1),
                Part::Put(inner) => Err(shown(inner)),
            })
            .collect(),
        other => Err(shown(&other)),
    }
}

/// Follows variables.
pub(super) fn resolve(expr: &Expr, scope: &Scope, depth: usize) -> Result<Expr, String> {
    match expr {
        Expr::Name(name) if depth < DEEPEST => match scope.get(name) {
            Some(value) => resolve(value, scope, depth + 1),
            None => Err(name.clone()),
        },
        Expr::Other(text) => Err(text.clone()),
        other => Ok(other.clone()),
    }
}

fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Name(text) | Expr::Other(text) => text.clone(),
        Expr::List(_) => "a list".to_owned(),
        Expr::Map(_) => "a map".to_owned(),
        Expr::Text(_) => "a text".to_owned(),
    }
}

/// A quoted text, its escapes done.
pub(super) fn template(text: &str) -> Expr {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("$${") {
            plain.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let (inner, behind) = after.split_once('}').unwrap_or((after, ""));
            parts.push(Part::Plain(std::mem::take(&mut plain)));
            let inner = inner.trim();
            parts.push(Part::Put(match is_name(inner) {
                true => Expr::Name(inner.to_owned()),
                false => Expr::Other(format!("${{{inner}}}")),
            }));
            rest = behind;
        } else {
            plain.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    parts.push(Part::Plain(plain));
    Expr::Text(parts)
}

fn is_name(text: &str) -> bool {
    let first = |it: char| it.is_ascii_alphabetic() || it == '_';
    text.starts_with(first)
        && text.chars().all(|it| it.is_ascii_alphanumeric() || "_-".contains(it))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn here(&self, why: &str) -> String {
        format!("line {}: {why}", self.text[..self.at].matches('\n').count() + 1)
    }

    /// White space and comments.
    fn space(&mut self) {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            let rest = self.rest();
            let end = if rest.starts_with('#') || rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |it| it + 2)
            } else {
                return;
            };
            self.at += end;
        }
    }

    fn takes(&mut self, what: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(what);
        self.at += if found { what.len() } else { 0 };
        found
    }

    fn word(&mut self) -> Option<String> {
        self.space();
        let is = |it: char| !(it.is_ascii_alphanumeric() || "_-.".contains(it));
        let rest = self.rest();
        let word = rest[..rest.find(is).unwrap_or(rest.len())].to_owned();
        self.at += word.len();
        (!word.is_empty()).then_some(word)
    }

    fn body(&mut self) -> Result<Body, String> {
        let mut body = Body::default();
        loop {
            self.space();
            if self.rest().is_empty() || self.rest().starts_with('}') {
                return Ok(body);
            }
            let quoted = self.rest().starts_with('"');
            let name = if quoted { Some(self.quoted()?) } else { self.word() };
            let name = name.ok_or_else(|| self.here("a name is expected"))?;
            if self.takes("=") {
                let value = self.expr()?;
                body.attributes.insert(name, value);
                continue;
            }
            let mut label = String::new();
            self.space();
            while self.rest().starts_with('"') {
                label = self.quoted()?;
                self.space();
            }
            if !self.takes("{") {
                return Err(self.here(&format!("`=` or `{{` is expected behind `{name}`")));
            }
            let inner = self.body()?;
            if !self.takes("}") {
                return Err(self.here("a `}` is missing"));
            }
            body.blocks.push(Block { kind: name, label, body: inner });
        }
    }

    /// Between quotes, with escapes done.
    fn quoted(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.text[self.at + 1..].char_indices();
        let mut depth = 0_usize;
        while let Some((at, it)) = chars.next() {
            match it {
                '"' if depth == 0 => {
                    self.at += at + 2;
                    return Ok(text);
                }
                '\\' if depth == 0 => text.push(match chars.next().map(|it| it.1) {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some(other) => other,
                    None => break,
                }),
                it => {
                    let opens = it == '{' && text.ends_with('$');
                    depth =
                        if opens { depth + 1 } else { depth - usize::from(it == '}' && depth > 0) };
                    text.push(it);
                }
            }
        }
        Err(self.here("a quote is not closed"))
    }

    fn expr(&mut self) -> Result<Expr, String> {
        self.space();
        let start = self.at;
        let first = match self.rest().chars().next() {
            Some('"') => template(&self.quoted()?),
            Some('[') => self.list()?,
            Some('{') => self.map()?,
            Some('<') if self.rest().starts_with("<<") => return self.heredoc(),
            _ => match self.word() {
                Some(word)
                    if is_name(&word) && !matches!(word.as_str(), "true" | "false" | "null") =>
                {
                    Expr::Name(word)
                }
                Some(word) => Expr::Text(vec![Part::Plain(word)]),
                None => Expr::Other(String::new()),
            },
        };
        let gap = self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
        let ends =
            |it: Option<char>| matches!(it, None | Some('\n' | '\r' | ',' | ']' | '}' | '#' | ':'));
        let next = self.rest()[gap..].chars().next();
        if ends(next) || self.rest()[gap..].starts_with("//") {
            return Ok(first);
        }
        self.skip();
        Ok(Expr::Other(self.text[start..self.at].trim().to_owned()))
    }

    /// To the end of an expression that is not read.
    fn skip(&mut self) {
        let (mut depth, mut quoted) = (0_i32, false);
        let mut end = self.rest().len();
        for (at, it) in self.rest().char_indices() {
            match it {
                '"' => quoted = !quoted,
                _ if quoted => {}
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' | ',' | '\n' if depth == 0 => {
                    end = at;
                    break;
                }
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
        }
        self.at += end;
    }

    fn list(&mut self) -> Result<Expr, String> {
        let mut items = Vec::new();
        self.at += 1;
        while !self.takes("]") {
            if self.rest().is_empty() {
                return Err(self.here("a `]` is missing"));
            }
            let before = self.at;
            items.push(self.expr()?);
            let comma = self.takes(",");
            if self.at == before && !comma {
                return Err(self.here("a value is expected"));
            }
        }
        Ok(Expr::List(items))
    }

    fn map(&mut self) -> Result<Expr, String> {
        let mut items = Vec::new();
        self.at += 1;
        while !self.takes("}") {
            let quoted = self.rest().starts_with('"');
            let key = if quoted { Some(self.quoted()?) } else { self.word() };
            let key = key.ok_or_else(|| self.here("a key is expected"))?;
            if !self.takes("=") && !self.takes(":") {
                return Err(self.here(&format!("`=` is expected behind `{key}`")));
            }
            items.push((key, self.expr()?));
            self.takes(",");
        }
        Ok(Expr::Map(items))
    }

    fn heredoc(&mut self) -> Result<Expr, String> {
        let (line, rest) = self.rest().split_once('\n').unwrap_or((self.rest(), ""));
        let indented = line.starts_with("<<-");
        let mark = line.trim_start_matches(['<', '-']).trim().to_owned();
        let end = rest.lines().position(|it| it.trim() == mark);
        let end = end.ok_or_else(|| self.here("a heredoc is not closed"))?;
        let lines: Vec<&str> = rest.lines().take(end).collect();
        let depth = |it: &&str| it.len() - it.trim_start().len();
        let margin = lines.iter().filter(|it| !it.trim().is_empty()).map(depth).min();
        let margin = margin.filter(|_| indented).unwrap_or(0);
        let text: String =
            lines.iter().map(|it| format!("{}\n", it.get(margin..).unwrap_or(""))).collect();
        let used: usize = rest.split_inclusive('\n').take(end + 1).map(str::len).sum();
        self.at += (line.len() + 1 + used).min(self.rest().len());
        Ok(template(&text))
    }
}
