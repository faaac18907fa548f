//! For people.

use super::{Told, told};
use crate::{Finding, Level, Report, Safety};
use std::fmt::Write as _;
use strake_diag::{Colour, Diagnostic, Fix, Severity, render};

/// With source lines and carets, and the evidence below.
pub(super) fn write(reports: &[Report], colour: Colour) -> String {
    let mut parts = Vec::new();
    for report in reports {
        for it in report.problems.iter().filter(|it| it.is_error()) {
            parts.push(render(it, &report.source, colour));
        }
        for it in &report.findings {
            parts.push(one(it, report, colour));
        }
    }
    parts.join("\n")
}

fn one(finding: &Finding, report: &Report, colour: Colour) -> String {
    let diagnostic = diagnostic(finding);
    let mut text = match &finding.file {
        None => render(&diagnostic, &report.source, colour),
        Some(file) => {
            let level = finding.level.word();
            let mut text = format!("{level}[{}]: {}\n", diagnostic.rule, diagnostic.message);
            let _ = writeln!(text, " --> {file}:{}", finding.span.start + 1);
            if let Some(hint) = &finding.hint {
                let _ = writeln!(text, "  = hint: {hint}");
            }
            if let Some(fix) = &diagnostic.fix {
                let _ = writeln!(text, "  = fix: {}", fix.message);
            }
            text
        }
    };
    for line in &finding.evidence {
        let _ = writeln!(text, "  = seen: {line}");
    }
    if let Some(seconds) = finding.weekly {
        let _ = writeln!(text, "  = cost: about {} a week", people(seconds));
    }
    text
}

/// As the other crates describe problems.
pub(crate) fn diagnostic(finding: &Finding) -> Diagnostic {
    let codes: Vec<&str> = finding.rule.aliases.to_vec();
    let rule = match codes.as_slice() {
        [] => finding.name().to_owned(),
        codes => format!("{}, {}", finding.rule.name, codes.join(", ")),
    };
    Diagnostic {
        rule: rule.into(),
        severity: match finding.level {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
            Level::Info | Level::Style => Severity::Info,
        },
        span: finding.span,
        message: finding.message.clone(),
        hint: finding.hint.clone(),
        labels: finding.labels.clone(),
        fix: finding.fix.as_ref().map(|it| Fix {
            message: match it.safety {
                Safety::Safe => format!("{} (--fix)", it.message),
                Safety::Unsafe => format!("{} (--fix --unsafe-fixes)", it.message),
                Safety::DisplayOnly => it.message.clone(),
            },
            edits: it.edits.clone(),
        }),
    }
}

/// Seconds as people say them.
pub(crate) fn people(seconds: f64) -> String {
    match seconds.round() as u64 {
        it @ 0..=119 => format!("{it} s"),
        it @ 120..=7199 => format!("{} min", it / 60),
        it => format!("{:.1} h", it as f64 / 3600.0),
    }
}

/// One line each.
pub(super) fn short(reports: &[Report]) -> String {
    let mut text = String::new();
    for Told { file, start, rule, level, message, .. } in reports.iter().flat_map(told) {
        let at = format!("{file}:{}:{}", start.line, start.column);
        let _ = writeln!(text, "{at}: {} {rule}: {message}", level.word());
    }
    text
}
