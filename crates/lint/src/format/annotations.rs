//! What code hosts show beside lines.

use super::told;
use crate::{Level, Report};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Workflow commands of GitHub Actions.
pub(super) fn github(reports: &[Report]) -> String {
    let mut text = String::new();
    for it in reports.iter().flat_map(told) {
        let command = match it.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info | Level::Style => "notice",
        };
        let (start, end) = (it.start, it.end);
        let _ = writeln!(
            text,
            "::{command} file={},line={},endLine={},col={},title={}::{}",
            property(it.file),
            start.line,
            end.line.max(start.line),
            start.column,
            property(it.rule),
            data(&match it.hint {
                Some(hint) => format!("{}\n{hint}", it.message),
                None => it.message.to_owned(),
            }),
        );
    }
    text
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// GitLab's code quality report.
pub(super) fn gitlab(reports: &[Report]) -> String {
    let all: Vec<Value> = reports
        .iter()
        .flat_map(told)
        .map(|it| {
            let severity = match it.level {
                Level::Error => "major",
                Level::Warning => "minor",
                Level::Info | Level::Style => "info",
            };
            let place = format!("{} {} {} {}", it.file, it.rule, it.start.line, it.message);
            json!({
                "description": it.message,
                "check_name": it.rule,
                "fingerprint": strake_oci::Digest::of(place.as_bytes()).hex(),
                "severity": severity,
                "location": { "path": it.file, "lines": { "begin": it.start.line } },
            })
        })
        .collect();
    format!("{:#}\n", Value::from(all))
}
