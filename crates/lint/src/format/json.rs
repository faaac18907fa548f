//! Our own JSON.

use super::{Told, told};
use crate::Report;
use serde_json::{Value, json};

/// One object: `findings`, each with file, line, column, end_line, end_column, rule, aliases, level,
/// message, and hint, evidence, cost_seconds_per_week and fix where there are any.
pub(super) fn write(reports: &[Report]) -> String {
    let mut all = Vec::new();
    for report in reports {
        all.extend(told(report).iter().map(|it| value(it, report)));
    }
    format!("{:#}\n", json!({ "findings": all }))
}

fn value(it: &Told<'_>, report: &Report) -> Value {
    let Told { file, start, end, rule, level, message, hint, finding } = it;
    let mut value = json!({
        "file": file,
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "rule": rule,
        "level": level,
        "message": message,
        "hint": hint,
        "aliases": [],
    });
    let Some(finding) = finding else { return value };
    value["aliases"] = json!(finding.rule.aliases);
    if !finding.evidence.is_empty() {
        value["evidence"] = json!(finding.evidence);
    }
    if let Some(seconds) = finding.weekly {
        value["cost_seconds_per_week"] = json!(seconds);
    }
    if let Some(fix) = &finding.fix {
        let source = &report.source;
        let edits = fix.edits.iter().map(|it| {
            let (start, end) = (source.position(it.span.start), source.position(it.span.end));
            json!({
                "line": start.line,
                "column": start.column,
                "end_line": end.line,
                "end_column": end.column,
                "text": it.text,
            })
        });
        value["fix"] = json!({
            "message": fix.message,
            "safety": fix.safety,
            "edits": edits.collect::<Vec<Value>>(),
            "files": fix.files,
        });
    }
    value
}
