//! What ShellCheck says of the scripts of RUN.

use crate::rule::{FixKind, Rule, Sink};
use crate::Facts;

pub(super) static RULES: &[&Rule] = &[&SHELLCHECK];

rule!(SHELLCHECK = "shellcheck", [], Shell, Warning, on, FixKind::None, shellcheck);

fn shellcheck(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        for remark in facts.outside.remarks.get(&step.index).into_iter().flatten() {
            let start = step.script.offset(remark.line, remark.column);
            let end = step.script.offset(remark.end_line, remark.end_column).max(start);
            let finding = out.at(step.script.span(start, end), remark.message.clone());
            finding.level = remark.level;
            finding.code = Some(remark.name());
        }
    }
}
