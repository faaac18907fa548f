//! Logical lines: directives, comments, continuations, heredoc bodies.

use super::{Heredoc, Text, Word, exec_form, head, heredocs_of, leading_flags};
use crate::problem::{Outcome, error, error_hint};
use strake_diag::{Diagnostic, Span};

/// A parser directive: `# escape=x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// In lower case.
    pub name: String,
    /// As written.
    pub value: String,
    /// The line.
    pub span: Span,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Without `#` and the space around.
    pub text: String,
    /// From `#` to the end of the line.
    pub span: Span,
}

/// All logical lines of a text.
pub(crate) struct Lines {
    pub(crate) directives: Vec<Directive>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) escape: char,
    pub(crate) lines: Vec<Line>,
    pub(crate) problems: Vec<Diagnostic>,
}

/// One logical line, an instruction as a rule.
pub(crate) struct Line {
    pub(crate) text: Text,
    /// With heredoc bodies.
    pub(crate) extent: Span,
    pub(crate) heredocs: Vec<Heredoc>,
    /// The comments directly above, empty ones excepted.
    pub(crate) above: Vec<Comment>,
    /// Empty lines between continued ones.
    pub(crate) empty_continuations: Vec<Span>,
}

/// No line is longer, as in BuildKit; instructions may be, in several lines.
const LONGEST_LINE: usize = 65_535;

/// Splits a text; never fails.
pub(crate) fn read_lines(text: &str) -> Lines {
    let mut reader = Reader {
        text,
        at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 },
        directives_over: false,
        shebang: false,
        above: Vec::new(),
        out: Lines {
            directives: Vec::new(),
            comments: Vec::new(),
            escape: '\\',
            lines: Vec::new(),
            problems: Vec::new(),
        },
    };
    let shebang = text[reader.at..].starts_with("#!");
    if shebang {
        reader.take();
        reader.shebang = true;
    }
    if reader.other_syntax() {
        return reader.out;
    }
    while let Some(physical) = reader.take() {
        if let Err(problem) = reader.line(physical) {
            reader.out.problems.push(*problem);
        }
    }
    reader.out
}

/// A line of the file: where it begins, its text without the newline and with it.
#[derive(Clone, Copy)]
struct Physical<'a> {
    start: usize,
    text: &'a str,
    whole: &'a str,
}

impl<'a> Physical<'a> {
    /// Without the space in front.
    fn trimmed(self) -> Physical<'a> {
        let text = self.text.trim_start();
        Physical { start: self.start + (self.text.len() - text.len()), text, whole: self.whole }
    }

    fn is_comment(self) -> bool {
        self.text.trim_start().starts_with('#')
    }

    fn span(self) -> Span {
        Span::new(self.start, self.start + self.text.len())
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    directives_over: bool,
    /// The file begins with `#!`.
    shebang: bool,
    above: Vec<Comment>,
    out: Lines,
}

impl<'a> Reader<'a> {
    fn take(&mut self) -> Option<Physical<'a>> {
        let rest = &self.text[self.at..];
        let whole = rest.split_inclusive('\n').next()?;
        let physical =
            Physical { start: self.at, text: whole.trim_end_matches(['\r', '\n']), whole };
        self.at += whole.len();
        if whole.strip_suffix('\n').unwrap_or(whole).len() > LONGEST_LINE {
            let start = Span::new(physical.start, physical.start + 1);
            let message = format!("a line is longer than {LONGEST_LINE} bytes");
            let hint = "break it with the escape character, or put the text into a file";
            self.out.problems.push(*error_hint("long-line", start, message, hint));
        }
        Some(physical)
    }

    /// `// syntax=..` and `{"syntax": ".."}` name a frontend for files that are no Dockerfiles.
    /// True where it is not ours.
    fn other_syntax(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let hashed = rest.lines().map_while(|it| directive_parts(it, "#"));
        if hashed.into_iter().any(|(name, _)| name == "syntax") {
            return false;
        }
        let mut slashed = rest.lines().map_while(|it| directive_parts(it, "//"));
        let found = slashed.find(|(name, _)| name == "syntax").map(|(_, value)| value);
        let found = found.or_else(|| {
            let object = rest.trim_start().starts_with('{');
            let json = object.then(|| serde_json::from_str::<serde_json::Value>(rest).ok());
            json.flatten()?.get("syntax")?.as_str().map(str::to_owned)
        });
        let first = rest.lines().next().unwrap_or_default();
        let span = Span::new(self.at, self.at + first.len());
        let Some(Err(problem)) = found.map(|it| check_syntax(&it, span)) else { return false };
        self.out.problems.push(*problem);
        true
    }

    fn line(&mut self, first: Physical<'a>) -> Outcome<()> {
        let first = first.trimmed();
        if !self.directives_over && self.directive(first)? {
            return Ok(());
        }
        if first.is_comment() {
            self.comment(first);
            return Ok(());
        }
        if first.text.is_empty() {
            return Ok(());
        }
        let (text, empty_continuations) = self.continued(first);
        if text.text.trim().is_empty() {
            return Ok(());
        }
        let span = text.trimmed().whole();
        if let Some(empty) = empty_continuations.first() {
            let message = "an empty line within a continued one";
            let hint = "take it out: such lines may become errors";
            let problem = Diagnostic::warning("empty-continuation", *empty, message).hint(hint);
            self.out.problems.push(problem);
        }
        let heredocs = self.heredocs(&text, span);
        let extent = heredocs.iter().flatten().fold(span, |span, it| span.to(it.span));
        let above = std::mem::take(&mut self.above);
        let (heredocs, problem) = match heredocs {
            Ok(heredocs) => (heredocs, Ok(())),
            Err(problem) => (Vec::new(), Err(problem)),
        };
        self.out.lines.push(Line {
            text: text.trimmed(),
            extent,
            heredocs,
            above,
            empty_continuations,
        });
        problem
    }

    fn comment(&mut self, line: Physical<'_>) {
        let comment = Comment { text: line.text[1..].trim().to_owned(), span: line.span() };
        if comment.text.is_empty() {
            self.above.clear();
        } else {
            self.above.push(comment.clone());
        }
        self.out.comments.push(comment);
    }

    /// Joins continued lines. Comments within them are dropped, empty lines are noted.
    fn continued(&mut self, first: Physical<'a>) -> (Text, Vec<Span>) {
        let (mut text, mut empty) = (Text::default(), Vec::new());
        let (piece, mut more) = continuation(first.text, self.out.escape);
        text.push(piece, first.start);
        while more {
            let Some(line) = self.take() else { break };
            if line.is_comment() {
                let line = line.trimmed();
                let comment = Comment { text: line.text[1..].trim().to_owned(), span: line.span() };
                self.out.comments.push(comment);
                continue;
            }
            if line.text.trim().is_empty() {
                empty.push(line.span());
                continue;
            }
            let piece;
            (piece, more) = continuation(line.text, self.out.escape);
            text.push(piece, line.start);
        }
        (text, empty)
    }

    /// The bodies of the heredocs that a line begins.
    fn heredocs(&mut self, line: &Text, span: Span) -> Outcome<Vec<Heredoc>> {
        if !takes_heredocs(line) {
            return Ok(Vec::new());
        }
        let begun = heredocs_of(&line.text).map_err(|why| error("heredoc", span, why))?;
        let mut heredocs = Vec::new();
        for heredoc in begun {
            let start = self.at;
            match self.body(heredoc) {
                Ok(heredoc) => heredocs.push(heredoc),
                // `$(( 1 << 2 ))` is a shift, not a heredoc without an end.
                Err(name) if !is_name(&name) => self.at = start,
                Err(name) => {
                    let message = format!("heredoc `{name}` is not closed");
                    let hint = format!("end it with a line that holds only `{name}`");
                    return Err(error_hint("heredoc", span, message, hint));
                }
            }
        }
        Ok(heredocs)
    }

    /// Reads a body up to its delimiter; without one the error is the delimiter.
    fn body(&mut self, mut heredoc: Heredoc) -> Result<Heredoc, String> {
        let start = self.at;
        loop {
            let Some(line) = self.take() else { return Err(heredoc.name) };
            let end = match heredoc.strip_tabs {
                true => line.text.trim_start_matches('\t'),
                false => line.text,
            };
            if end == heredoc.name {
                heredoc.span = Span::new(start, line.start + line.text.len());
                return Ok(heredoc);
            }
            heredoc.content.push_str(line.whole);
        }
    }

    /// Whether the line is a parser directive; the first that is none ends them.
    fn directive(&mut self, line: Physical<'_>) -> Outcome<bool> {
        let Some((name, value)) = directive_parts(line.text, "#") else {
            self.directives_over = true;
            return Ok(false);
        };
        if name == "escape" && self.shebang {
            // BuildKit reads the others behind `#!`, but not this one.
            self.comment(line);
            return Ok(true);
        }
        let span = line.span();
        if self.out.directives.iter().any(|it| it.name == name) {
            let message = format!("only one {name} parser directive can be used");
            return Err(error("directive", span, message));
        }
        self.out.directives.push(Directive { name: name.clone(), value: value.clone(), span });
        match name.as_str() {
            "escape" => self.out.escape = escape_character(&value, span)?,
            "syntax" => check_syntax(&value, span)?,
            _ => {}
        }
        Ok(true)
    }
}

fn escape_character(value: &str, span: Span) -> Outcome<char> {
    match value {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        _ => {
            let message = format!("`{value}` cannot be the escape character");
            Err(error_hint("directive", span, message, "use \\ or `"))
        }
    }
}

/// Any image called `dockerfile` is the language that is read here, from whichever registry.
fn check_syntax(value: &str, span: Span) -> Outcome<()> {
    let image = value.split_whitespace().next().unwrap_or(value);
    let name = image.rsplit('/').next().unwrap_or(image);
    let name = name.split(['@', ':']).next().unwrap_or(name);
    if matches!(name, "dockerfile" | "dockerfile-upstream" | "dockerfile.v0") {
        return Ok(());
    }
    let message = format!("the syntax `{image}` is a program of its own, and is not run");
    let hint = "remove the line if the file is a plain Dockerfile";
    Err(error_hint("unsupported", span, message, hint))
}

/// Name and value of `# name=value`, if the name is known.
fn directive_parts(line: &str, comment: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix(comment)?.split_once('=')?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let known = matches!(name.as_str(), "escape" | "syntax" | "check");
    (known && !value.is_empty()).then(|| (name, value.to_owned()))
}

/// A line without its continuation character, and whether it had one. Two escape characters are
/// no continuation.
fn continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        Some(_) | None => (line, false),
    }
}

/// Whether a word is what people call a heredoc's delimiter.
fn is_name(word: &str) -> bool {
    word.starts_with(|it: char| it.is_alphabetic() || it == '_')
        && !word.contains([')', ']', '}', ';', '&', '|'])
}

/// Only RUN, COPY and ADD, also behind ONBUILD, and not in exec form.
fn takes_heredocs(line: &Text) -> bool {
    let (keyword, rest) = head(line);
    let (keyword, rest) = if is(&keyword, "ONBUILD") { head(&rest) } else { (keyword, rest) };
    let takes = ["RUN", "COPY", "ADD"].iter().any(|it| is(&keyword, it));
    takes && exec_form(&leading_flags(&rest).1.text).is_err()
}

fn is(keyword: &Word, name: &str) -> bool {
    keyword.text.eq_ignore_ascii_case(name)
}
