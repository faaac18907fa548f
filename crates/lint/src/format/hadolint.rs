//! As hadolint writes: its codes, its levels, the line of the instruction.

use super::{Told, told};
use crate::Report;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// hadolint's code, or our name.
fn code<'a>(it: &Told<'a>) -> &'a str {
    match it.finding {
        Some(finding) => finding.rule.hadolint().unwrap_or(finding.name()),
        None => "DL1000",
    }
}

/// The line of the instruction that a finding is in: hadolint knows no other.
fn line(it: &Told<'_>, report: &Report) -> u32 {
    let Some(finding) = it.finding.filter(|it| it.file.is_none()) else { return it.start.line };
    let (file, _) = strake_dockerfile::parse(&report.source);
    let inside = |extent: strake_diag::Span| {
        extent.start <= finding.span.start && finding.span.start < extent.end
    };
    let found = file.statements.iter().find(|it| inside(it.extent));
    found.map_or(it.start.line, |it| report.source.position(it.span.start).line)
}

/// A list of objects.
pub(super) fn json(reports: &[Report]) -> String {
    let mut all: Vec<Value> = Vec::new();
    for report in reports {
        for it in told(report) {
            all.push(json!({
                "code": code(&it),
                "column": 1,
                "file": it.file,
                "level": it.level.word(),
                "line": line(&it, report),
                "message": it.message,
            }));
        }
    }
    format!("{}\n", Value::from(all))
}

/// One line each.
pub(super) fn tty(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        for it in told(report) {
            let (file, line) = (it.file, line(&it, report));
            let _ =
                writeln!(text, "{file}:{line} {} {}: {}", code(&it), it.level.word(), it.message);
        }
    }
    text
}
