//! Checkstyle and JUnit.

use super::told;
use crate::Report;
use std::fmt::Write as _;

fn escape(text: &str) -> String {
    let mut out = String::new();
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            it if it < ' ' && it != '\t' => out.push('\u{fffd}'),
            it => out.push(it),
        }
    }
    out
}

/// One `file` for each file.
pub(super) fn checkstyle(reports: &[Report]) -> String {
    let mut text =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<checkstyle version=\"4.3\">\n".to_owned();
    for report in reports {
        let _ = writeln!(text, "<file name=\"{}\">", escape(&report.source.name));
        for it in told(report) {
            let _ = writeln!(
                text,
                "<error line=\"{}\" column=\"{}\" severity=\"{}\" message=\"{}\" source=\"{}\"/>",
                it.start.line,
                it.start.column,
                match it.level.word() {
                    "style" => "info",
                    word => word,
                },
                escape(it.message),
                escape(it.rule),
            );
        }
        text.push_str("</file>\n");
    }
    text.push_str("</checkstyle>\n");
    text
}

/// One suite for each file, one failed case for each finding.
pub(super) fn junit(reports: &[Report]) -> String {
    let count: usize = reports.iter().map(|it| told(it).len()).sum();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"strake lint\" tests=\"{}\" failures=\"{count}\">\n",
        count.max(reports.len())
    );
    for report in reports {
        let (name, all) = (escape(&report.source.name), told(report));
        let (tests, failures) = (all.len().max(1), all.len());
        let _ = writeln!(
            text,
            "<testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">"
        );
        if all.is_empty() {
            let _ = writeln!(text, "<testcase classname=\"{name}\" name=\"lint\"/>");
        }
        for it in all {
            let at = format!("{}:{}", it.start.line, it.start.column);
            let _ = writeln!(
                text,
                "<testcase classname=\"{name}\" name=\"{} {at}\"><failure type=\"{}\" message=\"{}\"/></testcase>",
                escape(it.rule),
                it.level.word(),
                escape(it.message),
            );
        }
        text.push_str("</testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}
