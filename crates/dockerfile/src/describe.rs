//! A Dockerfile as it was read: as JSON, as a listing for people, and as a Dockerfile again.

use crate::lex::{Heredoc, Word, WrittenFlag};
use crate::{Arguments, Dockerfile, Statement};
use serde_json::{Value, json};
use std::fmt::Write as _;
use strake_diag::{Diagnostic, Source, Span};

/// The file as one JSON object.
///
/// - `file`: the name; `escape`: the escape character.
/// - `directives`: `name` (lower case), `value`, `line`.
/// - `comments`: `text`, `line`; every comment, directives excepted.
/// - `instructions`, in order:
///   - `keyword` in upper case; `written`, the keyword as it is written.
///   - `line` and `end_line`, from 1, heredoc bodies included; `column` of the keyword, from 1.
///   - `stage`: number of the stage, from 0; nothing in front of the first FROM.
///   - `text`: the logical line: continuations joined, comments within dropped.
///   - `flags`: `name`, `value` (null without `=`), `line`, `column`.
///   - `form`: how the arguments are written:
///     - `line`: one word, all that is written (a command for the shell, or one value);
///     - `exec`: the strings of a JSON array;
///     - `words`: words parted by white space;
///     - `pairs`: `name=value` words with their quotes;
///     - `old-pair`: `NAME value` of ENV and LABEL, two words;
///     - `nested`: `words` is empty, and `nested` holds `keyword`, `written`, `flags`, `form`,
///       `words` of what stands behind ONBUILD or HEALTHCHECK.
///   - `words`: `text`, `line`, `column`; nothing is expanded.
///   - `heredocs`: `name`, `expand` (the delimiter is not quoted), `strip_tabs` (`<<-`), `content` as
///     written, `line` and `end_line` of the body with its delimiter.
///   - `comments`: texts of the comments directly above.
///   - `valid`: whether the instruction means anything; `problems` says why not.
/// - `problems`: what is wrong, as all commands tell it: `rule`, `severity`, `message`, `line`, ...
pub fn to_json(file: &Dockerfile, problems: &[Diagnostic]) -> Value {
    let at = Places::new(&file.source);
    let directives = file
        .directives
        .iter()
        .map(|it| json!({ "name": it.name, "value": it.value, "line": at.line(it.span.start) }));
    let comments =
        file.comments.iter().map(|it| json!({ "text": it.text, "line": at.line(it.span.start) }));
    let mut stages = 0;
    let instructions = file.statements.iter().map(|it| {
        stages += usize::from(is_from(it));
        instruction(it, stages.checked_sub(1), &at)
    });
    json!({
        "file": file.source.name,
        "escape": file.escape,
        "directives": directives.collect::<Vec<Value>>(),
        "comments": comments.collect::<Vec<Value>>(),
        "instructions": instructions.collect::<Vec<Value>>(),
        "problems": problems.iter().map(|it| strake_diag::json(it, &file.source)).collect::<Vec<Value>>(),
    })
}

fn instruction(it: &Statement, stage: Option<usize>, at: &Places<'_>) -> Value {
    let above: Vec<&str> = it.above.iter().map(|it| it.text.as_str()).collect();
    let heredocs: Vec<Value> = it.heredocs.iter().map(|it| heredoc(it, at)).collect();
    let mut value = json!({
        "keyword": it.keyword.text.to_ascii_uppercase(),
        "written": it.keyword.text,
        "line": at.line(it.span.start),
        "column": at.column(it.span.start),
        "end_line": at.line(last(it.extent)),
        "stage": stage,
        "text": it.text,
        "flags": flags(&it.flags, at),
        "heredocs": heredocs,
        "comments": above,
        "valid": it.instruction.is_some(),
    });
    arguments(&it.arguments, &mut value, at);
    value
}

fn arguments(arguments: &Arguments, value: &mut Value, at: &Places<'_>) {
    let (form, words): (_, Vec<Value>) = match arguments {
        Arguments::Line(line) => (
            "line",
            Some(line)
                .filter(|it| !it.text.is_empty())
                .map(|it| word(it, at))
                .into_iter()
                .collect(),
        ),
        Arguments::Exec(words) => ("exec", words.iter().map(|it| word(it, at)).collect()),
        Arguments::Words(words) => ("words", words.iter().map(|it| word(it, at)).collect()),
        Arguments::Pairs(words) => ("pairs", words.iter().map(|it| word(it, at)).collect()),
        Arguments::OldPair { name, value } => ("old-pair", vec![word(name, at), word(value, at)]),
        Arguments::Nested { keyword, flags: written, arguments: inner } => {
            let mut nested = json!({
                "keyword": keyword.text.to_ascii_uppercase(),
                "written": keyword.text,
                "flags": flags(written, at),
            });
            self::arguments(inner, &mut nested, at);
            value["nested"] = nested;
            ("nested", Vec::new())
        }
    };
    value["form"] = json!(form);
    value["words"] = json!(words);
}

fn flags(flags: &[WrittenFlag], at: &Places<'_>) -> Vec<Value> {
    let one = |it: &WrittenFlag| {
        json!({
            "name": it.name,
            "value": it.value.as_ref().map(|it| &it.text),
            "line": at.line(it.span.start),
            "column": at.column(it.span.start),
        })
    };
    flags.iter().map(one).collect()
}

fn word(word: &Word, at: &Places<'_>) -> Value {
    let Word { text, span } = word;
    json!({ "text": text, "line": at.line(span.start), "column": at.column(span.start) })
}

fn heredoc(heredoc: &Heredoc, at: &Places<'_>) -> Value {
    let Heredoc { name, expand, strip_tabs, content, span } = heredoc;
    json!({
        "name": name,
        "expand": expand,
        "strip_tabs": strip_tabs,
        "content": content,
        "line": at.line(span.start),
        "end_line": at.line(last(*span)),
    })
}

/// The file as a listing: one paragraph an instruction, one line a flag, word or heredoc.
pub fn to_text(file: &Dockerfile) -> String {
    let at = Places::new(&file.source);
    let mut out = String::new();
    for it in &file.directives {
        let _ = writeln!(out, "{}: directive {}={}", at.line(it.span.start), it.name, it.value);
    }
    for it in &file.statements {
        let (first, last) = (at.line(it.span.start), at.line(last(it.extent)));
        let lines = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let _ = writeln!(out, "{lines}: {}", it.keyword.text.to_ascii_uppercase());
        for comment in &it.above {
            let _ = writeln!(out, "  comment {}", comment.text);
        }
        list(&it.flags, &it.arguments, "  ", &mut out);
        for Heredoc { name, expand, strip_tabs, content, span: _ } in &it.heredocs {
            let dash = if *strip_tabs { "-" } else { "" };
            let raw = if *expand { "" } else { " (not expanded)" };
            let _ = writeln!(out, "  heredoc <<{dash}{name}{raw}");
            content.lines().for_each(|it| {
                let _ = writeln!(out, "    | {it}");
            });
        }
    }
    out
}

fn list(flags: &[WrittenFlag], arguments: &Arguments, indent: &str, out: &mut String) {
    for WrittenFlag { name, value, span: _ } in flags {
        let value = value.as_ref().map(|it| format!("={}", it.text)).unwrap_or_default();
        let _ = writeln!(out, "{indent}flag --{name}{value}");
    }
    let mut all = |kind: &str, words: &[&Word]| {
        for it in words {
            let _ = writeln!(out, "{indent}{kind} {}", json!(it.text));
        }
    };
    match arguments {
        Arguments::Line(line) if line.text.is_empty() => {}
        Arguments::Line(line) => all("line", &[line]),
        Arguments::Exec(words) => all("exec", &words.iter().collect::<Vec<_>>()),
        Arguments::Words(words) => all("word", &words.iter().collect::<Vec<_>>()),
        Arguments::Pairs(words) => all("pair", &words.iter().collect::<Vec<_>>()),
        Arguments::OldPair { name, value } => all("old-pair", &[name, value]),
        Arguments::Nested { keyword, flags, arguments } => {
            let _ = writeln!(out, "{indent}{}", keyword.text.to_ascii_uppercase());
            list(flags, arguments, &format!("{indent}  "), out);
        }
    }
}

/// The file as a Dockerfile again: directives, one line an instruction, heredocs; comments and
/// empty lines are dropped. Read once more it says the same.
pub fn to_dockerfile(file: &Dockerfile) -> String {
    let mut out = String::new();
    for it in &file.directives {
        let _ = writeln!(out, "# {}={}", it.name, it.value);
    }
    for it in &file.statements {
        out.push_str(&it.text);
        if continues(&it.text, file.escape) {
            // Only the last line of a file can end so: this takes its meaning away.
            let _ = write!(out, " {}", file.escape);
        }
        out.push('\n');
        for Heredoc { name, content, expand: _, strip_tabs: _, span: _ } in &it.heredocs {
            let _ = writeln!(out, "{content}{name}");
        }
    }
    out
}

/// Whether a line with this end would go on in the next one.
fn continues(text: &str, escape: char) -> bool {
    text.strip_suffix(escape).is_some_and(|rest| !rest.ends_with(escape))
}

fn is_from(it: &Statement) -> bool {
    it.keyword.text.eq_ignore_ascii_case("FROM")
}

/// The last byte of a span.
fn last(span: Span) -> u32 {
    span.end.saturating_sub(1).max(span.start)
}

/// Lines and columns of byte offsets, with one look at the text.
struct Places<'a> {
    source: &'a Source,
    /// Where lines begin.
    starts: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(source: &'a Source) -> Places<'a> {
        let newlines = source.text.bytes().enumerate().filter(|(_, it)| *it == b'\n');
        let starts = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        Places { source, starts }
    }

    /// From 1.
    fn line(&self, offset: u32) -> usize {
        self.starts.partition_point(|it| *it <= offset as usize)
    }

    /// From 1, in characters.
    fn column(&self, offset: u32) -> usize {
        let start = self.starts[self.line(offset) - 1];
        self.source.slice(Span::new(start, offset as usize)).chars().count() + 1
    }
}
