//! `ONBUILD instruction` ([reference](https://docs.docker.com/reference/dockerfile/#onbuild)).

use super::{Instruction, Written};
use crate::flag::{self, Flag};
use crate::lower::{Made, Scope};
use crate::parse;
use crate::problem::{Outcome, error_hint};
use strake_diag::{Diagnostic, Severity};

/// ONBUILD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild {
    /// The trigger's text with its heredocs, as the config keeps it.
    pub trigger: String,
    /// What it means; nothing where it will fail in the images that stand on this one.
    pub instruction: Option<Box<Instruction>>,
}

pub(super) const FLAGS: &[Flag<Onbuild>] = &[];

/// Docker reads the words of a trigger when it is written, and all else when it is used.
fn is_put_off(keyword: &str, written: &Written, rule: &str) -> bool {
    let rest = crate::lex::leading_flags(&crate::lex::head(&written.arguments).1).1;
    let pairs = matches!(keyword, "ENV" | "LABEL") && !rest.text.is_empty();
    !(pairs && matches!(rule, "missing-argument" | "missing-value") || rule == "invalid-exec-form")
}

impl Onbuild {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Onbuild> {
        written.one_word("an instruction")?;
        let keyword = crate::lex::head(&written.arguments).0;
        let upper = keyword.text.to_ascii_uppercase();
        if matches!(upper.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
            let message = format!("{upper} cannot stand behind ONBUILD");
            let hint = "ONBUILD takes any instruction but FROM, MAINTAINER and ONBUILD";
            return Err(error_hint("invalid-trigger", keyword.span, message, hint));
        }
        let mut found = Vec::new();
        let heredocs = written.heredocs.clone();
        let (_, _, instruction) =
            parse::instruction(&written.arguments, heredocs, written.escape, &mut found);
        for problem in &mut found {
            if problem.is_error() && is_put_off(&upper, written, &problem.rule) {
                problem.severity = Severity::Warning;
                problem.message.push_str(", so this trigger will fail");
            }
        }
        let fatal = found.iter().any(Diagnostic::is_error);
        problems.append(&mut found);
        if fatal {
            // The reason is among the problems already; this instruction only has to go too.
            let reason = problems.pop();
            return Err(reason.map_or_else(|| written.missing("an instruction"), Box::new));
        }
        let mut trigger = written.arguments.text.clone();
        for heredoc in &written.heredocs {
            trigger.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
        }
        let mut onbuild = Onbuild { trigger, instruction: instruction.map(Box::new) };
        flag::apply(FLAGS, &mut onbuild, &written.flags, "ONBUILD", problems);
        Ok(onbuild)
    }

    /// Docker writes no history for it.
    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Onbuild { trigger, instruction: _ } = self;
        scope.config.on_build.get_or_insert_default().push(trigger.clone());
        Ok(None)
    }
}
