//! Rules over a parsed Dockerfile, with evidence and fixes.
//!
//! Invariant: no IO, no environment, no clock. What the build context, Git and the store know comes
//! in [`Outside`]; where it is missing, rules that need it are silent.
//! Invariant: same input, same findings, in order of place.
//! Invariant: a rule calls no other rule, and does not ask whether another runs.

mod comments;
mod context;
mod facts;
mod fix;
pub mod format;
mod outside;
mod rule;
pub mod rules;
mod settings;
mod shellcheck;

pub use context::Ignoring;
pub use facts::{
    Arg, Base, Churn, Cmd, Facts, Install, Join, Mount, Redirect, Script, Stage, Step, Tool,
    Transfer, Var, bytes, install, is_like, is_self_contained,
};
pub use fix::{Fixed, apply, fix_file};
pub use outside::{Builder, Commit, ContextFacts, ContextFile, History, IgnoreFile, Outside};
pub use rule::{Finding, Fix, FixKind, Group, Level, Rule, Safety, Sink, edit};
pub use rules::suggested_ignores;
pub use settings::{
    LabelKind, Settings, SettingsError, Shellcheck, is_shellcheck, near_rule, read_hadolint,
    read_project, rules_of,
};
pub use shellcheck::{Remark, ShellScript, scripts};

use comments::Ignored;
use strake_diag::{Diagnostic, Source};
use strake_dockerfile::Dockerfile;

/// What was found in one file.
#[derive(Debug)]
pub struct Report {
    /// The file.
    pub source: Source,
    /// In order of place.
    pub findings: Vec<Finding>,
    /// What the parser said; with an error there are no findings that need a whole file.
    pub problems: Vec<Diagnostic>,
}

/// Runs the active rules of `settings` over one file.
pub fn lint(
    source: &Source,
    outside: &Outside,
    settings: &Settings,
) -> Result<Report, SettingsError> {
    lint_parsed(strake_dockerfile::parse(source), outside, settings)
}

/// The same of a file that the parser has read.
pub fn lint_parsed(
    (file, problems): (Dockerfile, Vec<Diagnostic>),
    outside: &Outside,
    settings: &Settings,
) -> Result<Report, SettingsError> {
    let active = settings.active()?;
    let ran: Vec<&str> = active.iter().map(|it| it.0.name).collect();
    let facts = Facts::new(&file, &problems, outside, settings);
    let ignored = Ignored::read(&facts);
    let mut findings = Vec::new();
    for (rule, level) in active {
        let before = findings.len();
        (rule.check)(&facts, &mut Sink::new(rule, &mut findings));
        for finding in &mut findings[before..] {
            finding.level = match &finding.code {
                Some(code) => settings.level_of(code).unwrap_or(finding.level),
                None => level,
            };
            if ignored.checks_are_errors && rule.buildkit().is_some() {
                finding.level = Level::Error;
            }
        }
    }
    let of_buildkit =
        settings.select.is_empty() || settings.select.iter().any(|it| it == "buildkit");
    for name in &ignored.experimental {
        for rule in rules::ALL.iter().filter(|it| !it.on && it.buildkit().is_some()) {
            let wanted = name == "all" || rule.is_called(name);
            if wanted && of_buildkit && !ran.contains(&rule.name) {
                (rule.check)(&facts, &mut Sink::new(rule, &mut findings));
            }
        }
    }
    findings.retain(|it| it.code.as_ref().is_none_or(|it| settings.wants(it)));
    if !settings.no_comments {
        findings.retain(|it| !ignored.covers(it));
    }
    findings.sort_by(|a, b| (a.span, a.name()).cmp(&(b.span, b.name())));
    drop(facts);
    Ok(Report { source: file.source, findings, problems })
}
