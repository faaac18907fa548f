//! `strake lsp`: findings, quick fixes and pages of rules for editors
//! ([Language Server Protocol](https://microsoft.github.io/language-server-protocol/)), on standard
//! input and output.

use super::discover::Target;
use super::evidence::Evidence;
use super::settings;
use super::shellcheck::{Checker, Remarks};
use crate::{environment, failure::Failure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, Write as _};
use std::path::{Path, PathBuf};
use strake_diag::{Source, Span};
use strake_lint::{Finding, Level, Report, Safety, Settings};

/// Serves until `exit`, or until the input ends.
pub(crate) fn run() -> Result<(), Failure> {
    let mut input = std::io::stdin().lock();
    let mut server = Server::default();
    while let Some(message) = read(&mut input)? {
        if message["method"] == "exit" {
            break;
        }
        for answer in server.handle(&message) {
            write(&answer)?;
        }
    }
    Ok(())
}

fn read(input: &mut impl BufRead) -> Result<Option<Value>, Failure> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<usize>().ok();
        }
    }
    let length = length.ok_or_else(|| Failure::new("a message without Content-Length"))?;
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    serde_json::from_slice(&bytes).map(Some).map_err(Failure::new)
}

/// What ShellCheck says, where it is installed; an editor goes on without.
fn remarks(target: &Target, source: &Source, settings: &Settings) -> Remarks {
    let store = environment::store(None, rustix::process::getuid().as_raw());
    let checker = Checker::find(settings, Some(&store)).ok().flatten();
    let found = checker.and_then(|it| it.remarks(&[(target, source.clone())]).ok());
    found.and_then(|it| it.into_iter().next()).unwrap_or_default()
}

fn write(message: &Value) -> Result<(), Failure> {
    let text = message.to_string();
    let mut out = std::io::stdout().lock();
    write!(out, "Content-Length: {}\r\n\r\n{text}", text.len())?;
    Ok(out.flush()?)
}

/// Open documents by their address.
#[derive(Default)]
struct Server {
    documents: BTreeMap<String, Report>,
}

impl Server {
    fn handle(&mut self, message: &Value) -> Vec<Value> {
        let params = &message["params"];
        let uri = params["textDocument"]["uri"].as_str().unwrap_or_default().to_owned();
        let answer = |result: Value| {
            vec![json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })]
        };
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => answer(json!({
                "capabilities": {
                    "positionEncoding": "utf-16",
                    "textDocumentSync": { "openClose": true, "change": 1, "save": true },
                    "codeActionProvider": { "codeActionKinds": ["quickfix", "source.fixAll"] },
                    "hoverProvider": true,
                },
                "serverInfo": { "name": "strake", "version": env!("CARGO_PKG_VERSION") },
            })),
            "shutdown" => answer(Value::Null),
            "textDocument/didOpen" => {
                let text = params["textDocument"]["text"].as_str().unwrap_or_default();
                self.lint(&uri, text)
            }
            "textDocument/didChange" => {
                let text = params["contentChanges"][0]["text"].as_str().unwrap_or_default();
                self.lint(&uri, text)
            }
            "textDocument/didClose" => {
                self.documents.remove(&uri);
                vec![published(&uri, Vec::new())]
            }
            "textDocument/codeAction" => answer(self.actions(&uri, &params["range"])),
            "textDocument/hover" => answer(self.hover(&uri, &params["position"])),
            _ if message["id"].is_null() => Vec::new(),
            method => vec![json!({
                "jsonrpc": "2.0",
                "id": message["id"],
                "error": { "code": -32601, "message": format!("{method} is not known") },
            })],
        }
    }

    fn lint(&mut self, uri: &str, text: &str) -> Vec<Value> {
        let path = path_of(uri);
        let target = Target::file(&path, None);
        let source = Source::new(target.name.clone(), text);
        let settings = settings::nearest(&path).unwrap_or_default();
        let builder = settings.builder.unwrap_or_default();
        let evidence = Evidence::with(builder, !path.is_file(), None);
        let parsed = strake_dockerfile::parse(&source);
        let mut outside = evidence.of(&target, &parsed.0).unwrap_or_default();
        outside.remarks = remarks(&target, &source, &settings);
        let Ok(report) = strake_lint::lint_parsed(parsed, &outside, &settings) else {
            return Vec::new();
        };
        let message = published(uri, diagnostics(&report));
        self.documents.insert(uri.to_owned(), report);
        vec![message]
    }

    /// Fixes of what is within a range.
    fn actions(&self, uri: &str, range: &Value) -> Value {
        let Some(report) = self.documents.get(uri) else { return json!([]) };
        let source = &report.source;
        let line = |name: &str| range[name]["line"].as_u64().unwrap_or(0);
        let inside = |it: &&Finding| {
            let first = u64::from(source.position(it.span.start).line) - 1;
            let last = u64::from(source.position(it.span.end).line) - 1;
            it.file.is_none() && first <= line("end") && line("start") <= last
        };
        let mut actions = Vec::new();
        for finding in report.findings.iter().filter(inside) {
            let Some(fix) = finding.fix.as_ref().filter(|it| !it.edits.is_empty()) else {
                continue;
            };
            let edits: Vec<Value> = fix
                .edits
                .iter()
                .map(|it| json!({ "range": range_of(source, it.span), "newText": it.text }))
                .collect();
            actions.push(json!({
                "title": fix.message,
                "kind": "quickfix",
                "isPreferred": fix.safety == Safety::Safe,
                "diagnostics": [diagnostic(finding, source)],
                "edit": { "changes": { uri: edits } },
            }));
        }
        actions.into()
    }

    /// The page of the rule whose finding is under the cursor.
    fn hover(&self, uri: &str, position: &Value) -> Value {
        let Some(report) = self.documents.get(uri) else { return Value::Null };
        let at = offset(&report.source, position);
        let under = |it: &&Finding| {
            it.file.is_none() && it.span.start <= at && at <= it.span.end.max(it.span.start + 1)
        };
        let found: Vec<&Finding> = report.findings.iter().filter(under).collect();
        let Some(first) = found.first() else { return Value::Null };
        let mut text = first.rule.doc.to_owned();
        for line in &first.evidence {
            text.push_str(&format!("\n{line}\n"));
        }
        json!({
            "contents": { "kind": "markdown", "value": text },
            "range": range_of(&report.source, first.span),
        })
    }
}

fn published(uri: &str, diagnostics: Vec<Value>) -> Value {
    json!({
        "jsonrpc": "2.0",
        "method": "textDocument/publishDiagnostics",
        "params": { "uri": uri, "diagnostics": diagnostics },
    })
}

fn diagnostics(report: &Report) -> Vec<Value> {
    let source = &report.source;
    let errors = report.problems.iter().filter(|it| it.is_error()).map(|it| {
        json!({
            "range": range_of(source, it.span),
            "severity": 1,
            "code": it.rule,
            "source": "strake",
            "message": it.message,
        })
    });
    let found = report.findings.iter().filter(|it| it.file.is_none());
    errors.chain(found.map(|it| diagnostic(it, source))).collect()
}

fn diagnostic(finding: &Finding, source: &Source) -> Value {
    let message = match &finding.hint {
        Some(hint) => format!("{}\n{hint}", finding.message),
        None => finding.message.clone(),
    };
    json!({
        "range": range_of(source, finding.span),
        "severity": match finding.level {
            Level::Error => 1,
            Level::Warning => 2,
            Level::Info => 3,
            Level::Style => 4,
        },
        "code": finding.name(),
        "source": "strake",
        "message": message,
    })
}

/// Lines and UTF-16 units from 0.
fn range_of(source: &Source, span: Span) -> Value {
    let at = |offset: u32| {
        let line = source.position(offset).line - 1;
        let start = line_start(&source.text, line);
        let before = source.slice(Span { start, end: offset });
        json!({ "line": line, "character": before.encode_utf16().count() })
    };
    json!({ "start": at(span.start), "end": at(span.end) })
}

fn line_start(text: &str, line: u32) -> u32 {
    let whole = text.split_inclusive('\n').take(line as usize).map(str::len).sum::<usize>();
    u32::try_from(whole).unwrap_or(u32::MAX)
}

fn offset(source: &Source, position: &Value) -> u32 {
    let number = |name: &str| u32::try_from(position[name].as_u64().unwrap_or(0)).unwrap_or(0);
    let start = line_start(&source.text, number("line"));
    let line = source.text.get(start as usize..).unwrap_or_default();
    let mut units = 0;
    for (at, it) in line.char_indices() {
        if units >= number("character") as usize || it == '\n' {
            return start + u32::try_from(at).unwrap_or(0);
        }
        units += it.len_utf16();
    }
    start + u32::try_from(line.len()).unwrap_or(0)
}

/// The path of a `file:` address.
fn path_of(uri: &str) -> PathBuf {
    let path = uri.strip_prefix("file://").unwrap_or(uri);
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        match hex.and_then(|it| u8::from_str_radix(it, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    Path::new(&*String::from_utf8_lossy(&bytes)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn addresses_are_paths() {
        assert_eq!(path_of("file:///a%20b/Dockerfile").to_str(), Some("/a b/Dockerfile"));
    }
}
