//! Comments that ignore findings: `# hadolint ignore=`, `# check=skip=`, `# strake ignore=`.

use crate::{Facts, Finding, rules};
use std::collections::BTreeSet;
use strake_diag::Span;

/// What comments leave out.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    everywhere: BTreeSet<String>,
    /// Within a span.
    within: Vec<(Span, BTreeSet<String>)>,
    /// `check=error=true`.
    pub(crate) checks_are_errors: bool,
    /// Names in lower case that `check=experimental=` turns on.
    pub(crate) experimental: Vec<String>,
    /// Comments that ignore, where they stand.
    pub(crate) places: Vec<Span>,
}

impl Ignored {
    /// Reads every comment and the `check` directive.
    pub(crate) fn read(facts: &Facts<'_>) -> Ignored {
        let mut ignored = Ignored::default();
        let written = facts.file.directives.iter().filter(|it| it.name == "check");
        let written = written.map(|it| it.value.as_str());
        let checks: Vec<&str> = match &facts.settings.check {
            Some(check) => vec![check],
            None => written.collect(),
        };
        for check in checks {
            let skipped = ignored.check(check);
            ignored.everywhere.extend(skipped);
        }
        for comment in &facts.file.comments {
            let Some((scope, names)) = pragma(&comment.text) else { continue };
            ignored.places.push(comment.span);
            if scope == Scope::File {
                ignored.everywhere.extend(rules_named(&names, |_| true));
            }
        }
        for (at, statement) in facts.file.statements.iter().enumerate() {
            for comment in &statement.above {
                ignored.above(facts, at, &comment.text);
            }
        }
        ignored
    }

    fn above(&mut self, facts: &Facts<'_>, at: usize, text: &str) {
        if let Some(value) = text.strip_prefix("check=") {
            let skipped = self.check(value);
            self.within.push((facts.file.statements[at].extent, skipped));
        }
        let Some((scope, names)) = pragma(text) else { return };
        let names = rules_named(&names, |_| true);
        match scope {
            Scope::File => {}
            Scope::Line => self.within.push((facts.file.statements[at].extent, names)),
            Scope::Stage => {
                let Some(stage) = facts.stage_of(at) else { return };
                let stage = &facts.stages[stage];
                let first = facts.file.statements[stage.statement].extent;
                let last = stage.steps.clone().next_back().unwrap_or(stage.statement);
                self.within.push((first.to(facts.file.statements[last].extent), names));
            }
        }
    }

    /// `skip=A,B;error=true;experimental=all`: the rules to skip.
    fn check(&mut self, value: &str) -> BTreeSet<String> {
        let mut skipped = BTreeSet::new();
        for part in value.split(';') {
            let (key, value) = part.trim().split_once('=').unwrap_or((part, ""));
            // What stands behind a name is a remark.
            let name = |it: &str| it.split_whitespace().next().unwrap_or_default().to_owned();
            let names: Vec<String> = value.split(',').map(name).collect();
            match key.trim().to_ascii_lowercase().as_str() {
                "skip" => skipped.extend(rules_named(&names, |it| it.buildkit().is_some())),
                "error" => {
                    let word = value.split_whitespace().next().unwrap_or_default();
                    self.checks_are_errors |= word.eq_ignore_ascii_case("true");
                }
                "experimental" => {
                    self.experimental.extend(names.iter().map(|it| it.to_ascii_lowercase()));
                }
                _ => {}
            }
        }
        skipped
    }

    /// Whether comments leave a finding out.
    pub(crate) fn covers(&self, finding: &Finding) -> bool {
        let has = |names: &BTreeSet<String>| {
            names.contains(finding.rule.name)
                || finding.code.as_ref().is_some_and(|it| names.contains(it))
        };
        let inside = |it: &Span| {
            it.start <= finding.span.start && finding.span.start <= it.end.max(it.start)
        };
        finding.file.is_none()
            && (has(&self.everywhere)
                || self.within.iter().any(|(span, names)| inside(span) && has(names)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Line,
    Stage,
    File,
}

/// Scope and names of `hadolint [global|stage] ignore=A,B # why`.
fn pragma(text: &str) -> Option<(Scope, Vec<String>)> {
    let rest = text.strip_prefix("hadolint").or_else(|| text.strip_prefix("strake"))?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (scope, rest) = match rest.split_once(char::is_whitespace) {
        Some(("global", rest)) => (Scope::File, rest.trim_start()),
        Some(("stage", rest)) => (Scope::Stage, rest.trim_start()),
        Some(_) | None => (Scope::Line, rest),
    };
    let names = rest.strip_prefix("ignore")?.trim_start().strip_prefix('=')?;
    let names = names.split('#').next().unwrap_or_default();
    Some((scope, names.split(',').map(|it| it.trim().to_owned()).collect()))
}

fn rules_named(names: &[String], allowed: impl Fn(&crate::Rule) -> bool) -> BTreeSet<String> {
    let wanted = |rule: &&&'static crate::Rule| {
        allowed(rule) && names.iter().any(|it| it.eq_ignore_ascii_case("all") || rule.is_called(it))
    };
    let codes = names.iter().filter(|it| crate::is_shellcheck(it)).cloned();
    rules::ALL.iter().filter(wanted).map(|it| it.name.to_owned()).chain(codes).collect()
}
