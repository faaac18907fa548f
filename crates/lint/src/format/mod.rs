//! Findings as text for people and for other programs.

mod annotations;
mod hadolint;
mod human;
mod json;
mod sarif;
mod xml;

use crate::{Finding, Level, Report};
use strake_diag::{Colour, Position};

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// With source lines and carets.
    Human,
    /// `file:line:column: level rule: message`, one a line.
    Short,
    /// One object.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// Annotations of GitHub Actions.
    Github,
    /// GitLab code quality.
    Gitlab,
    /// Checkstyle XML.
    Checkstyle,
    /// JUnit XML.
    Junit,
    /// As hadolint writes JSON.
    HadolintJson,
    /// As hadolint writes to a terminal.
    HadolintTty,
}

/// The names of formats.
pub const FORMATS: &[(&str, Format)] = &[
    ("human", Format::Human),
    ("short", Format::Short),
    ("json", Format::Json),
    ("sarif", Format::Sarif),
    ("github", Format::Github),
    ("gitlab", Format::Gitlab),
    ("checkstyle", Format::Checkstyle),
    ("junit", Format::Junit),
    ("hadolint-json", Format::HadolintJson),
    ("hadolint-tty", Format::HadolintTty),
];

impl Format {
    /// The format of a name; names of hadolint's are taken behind `hadolint-`.
    pub fn read(name: &str) -> Option<Format> {
        let name = match name {
            "hadolint" => "hadolint-json",
            "text" => "human",
            "hadolint-sarif" => "sarif",
            "hadolint-checkstyle" => "checkstyle",
            "hadolint-junit" => "junit",
            "hadolint-codeclimate" | "hadolint-gitlab_codeclimate" => "gitlab",
            "hadolint-gnu" => "short",
            other => other,
        };
        FORMATS.iter().find(|(it, _)| *it == name).map(|(_, format)| *format)
    }
}

/// All reports in one text, without a newline at the end where there is nothing to say.
pub fn write(reports: &[Report], format: Format, colour: Colour) -> String {
    match format {
        Format::Human => human::write(reports, colour),
        Format::Short => human::short(reports),
        Format::Json => json::write(reports),
        Format::Sarif => sarif::write(reports),
        Format::Github => annotations::github(reports),
        Format::Gitlab => annotations::gitlab(reports),
        Format::Checkstyle => xml::checkstyle(reports),
        Format::Junit => xml::junit(reports),
        Format::HadolintJson => hadolint::json(reports),
        Format::HadolintTty => hadolint::tty(reports),
    }
}

/// One thing to tell: a finding or what the parser said.
struct Told<'a> {
    file: &'a str,
    start: Position,
    end: Position,
    rule: &'a str,
    level: Level,
    message: &'a str,
    hint: Option<&'a str>,
    finding: Option<&'a Finding>,
}

/// Everything in a report, parse errors first. The parser's warnings are findings of rules already.
fn told(report: &Report) -> Vec<Told<'_>> {
    let source = &report.source;
    let mut all = Vec::new();
    for it in report.problems.iter().filter(|it| it.is_error()) {
        all.push(Told {
            file: &source.name,
            start: source.position(it.span.start),
            end: source.position(it.span.end),
            rule: &it.rule,
            level: Level::Error,
            message: &it.message,
            hint: it.hint.as_deref(),
            finding: None,
        });
    }
    let one = Position { line: 1, column: 1 };
    for it in &report.findings {
        let here = it.file.is_none();
        all.push(Told {
            file: it.file.as_deref().unwrap_or(&source.name),
            start: if here { source.position(it.span.start) } else { line(it) },
            end: if here { source.position(it.span.end) } else { one.max(line(it)) },
            rule: it.name(),
            level: it.level,
            message: &it.message,
            hint: it.hint.as_deref(),
            finding: Some(it),
        });
    }
    all
}

/// A finding in another file keeps its line, from 0, where its span begins.
fn line(it: &Finding) -> Position {
    Position { line: it.span.start + 1, column: 1 }
}
