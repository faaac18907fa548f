//! SARIF 2.1.0 ([specification](https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html)).

use super::{Told, told};
use crate::{Level, Report, is_shellcheck, rules};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One run with the rules that found something.
pub(super) fn write(reports: &[Report]) -> String {
    let all: Vec<(&Report, Told<'_>)> =
        reports.iter().flat_map(|it| told(it).into_iter().map(move |told| (it, told))).collect();
    let names: BTreeSet<&str> = all.iter().map(|(_, it)| it.rule).collect();
    let described: Vec<Value> = names.iter().map(|it| rule(it)).collect();
    let results: Vec<Value> = all.iter().map(|(report, it)| result(report, it)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "strake",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": "https://github.com/strake/strake",
                "rules": described,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn rule(name: &str) -> Value {
    match rules::ALL.iter().find(|it| it.name == name) {
        Some(rule) => json!({
            "id": name,
            "name": name,
            "shortDescription": { "text": rule.summary() },
            "help": { "text": rule.doc, "markdown": rule.doc },
            "defaultConfiguration": { "level": level(rule.level) },
            "properties": { "tags": rule.aliases },
        }),
        None if is_shellcheck(name) => json!({
            "id": name,
            "helpUri": format!("https://www.shellcheck.net/wiki/{name}"),
        }),
        None => json!({ "id": name }),
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info | Level::Style => "note",
    }
}

fn result(report: &Report, it: &Told<'_>) -> Value {
    let message = match it.hint {
        Some(hint) => format!("{}; {hint}", it.message),
        None => it.message.to_owned(),
    };
    let mut result = json!({
        "ruleId": it.rule,
        "level": level(it.level),
        "message": { "text": message },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(it.file) },
            "region": {
                "startLine": it.start.line,
                "startColumn": it.start.column,
                "endLine": it.end.line.max(it.start.line),
                "endColumn": it.end.column.max(1),
            },
        }}],
    });
    let fix = it.finding.and_then(|it| it.fix.as_ref()).filter(|it| !it.edits.is_empty());
    if let Some(fix) = fix {
        let replacements = fix.edits.iter().map(|it| {
            let source = &report.source;
            let (start, end) = (source.position(it.span.start), source.position(it.span.end));
            json!({
                "deletedRegion": {
                    "startLine": start.line,
                    "startColumn": start.column,
                    "endLine": end.line,
                    "endColumn": end.column,
                },
                "insertedContent": { "text": it.text },
            })
        });
        result["fixes"] = json!([{
            "description": { "text": fix.message },
            "artifactChanges": [{
                "artifactLocation": { "uri": uri(it.file) },
                "replacements": replacements.collect::<Vec<Value>>(),
            }],
        }]);
    }
    result
}

/// A path as a relative reference of a URI.
fn uri(path: &str) -> String {
    let mut text = String::new();
    for byte in path.trim_start_matches("./").bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => text.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
