//! A list of findings that are known, so that only new ones count.

use crate::failure::Failure;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use strake_lint::{Finding, Report};

/// A finding by file, rule and the text of its line, which stays when lines move.
fn place(report: &Report, it: &Finding) -> (String, String, String) {
    let line = report.source.position(it.span.start).line as usize;
    let text = report.source.text.lines().nth(line - 1).unwrap_or_default().trim().to_owned();
    let file = it.file.clone().unwrap_or_else(|| report.source.name.clone());
    (file, it.name().to_owned(), text)
}

/// Everything that was found, as JSON.
pub(super) fn write(reports: &[Report]) -> String {
    let mut counts: BTreeMap<(String, String, String), u32> = BTreeMap::new();
    for report in reports {
        for it in &report.findings {
            *counts.entry(place(report, it)).or_default() += 1;
        }
    }
    let all = counts.iter().map(|((file, rule, line), count)| {
        json!({ "file": file, "rule": rule, "line": line, "count": count })
    });
    format!("{:#}\n", json!({ "version": 1, "findings": all.collect::<Vec<Value>>() }))
}

/// Takes away what a baseline lists.
pub(super) fn leave_out(reports: &mut [Report], text: &str) -> Result<(), Failure> {
    let wrong = || Failure::usage("the baseline is not one that --write-baseline wrote");
    let value: Value = serde_json::from_str(text).map_err(|_| wrong())?;
    let mut known: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for it in value["findings"].as_array().ok_or_else(wrong)? {
        let field = |name: &str| it[name].as_str().map(str::to_owned).ok_or_else(wrong);
        let count = it["count"].as_u64().ok_or_else(wrong)?;
        known.insert((field("file")?, field("rule")?, field("line")?), count);
    }
    for report in reports {
        let places: Vec<_> = report.findings.iter().map(|it| place(report, it)).collect();
        let mut places = places.into_iter();
        report.findings.retain(|_| {
            let left = places.next().and_then(|it| known.get_mut(&it));
            match left {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                Some(_) | None => true,
            }
        });
    }
    Ok(())
}
