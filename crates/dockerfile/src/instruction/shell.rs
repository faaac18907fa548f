//! `SHELL ["program", "argument"]` ([reference](https://docs.docker.com/reference/dockerfile/#shell)).

use super::Written;
use crate::flag::{self, Flag};
use crate::lower::{Made, Scope};
use crate::problem::{Outcome, error_hint};
use strake_diag::Diagnostic;

/// SHELL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shell {
    /// What is put in front of the shell form.
    pub words: Vec<String>,
}

pub(super) const FLAGS: &[Flag<Shell>] = &[];

impl Shell {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Shell> {
        let text = &written.arguments;
        let words = written.exec_form(text, &mut Vec::new())?.ok_or_else(|| {
            let hint = "write SHELL [\"/bin/bash\", \"-c\"]";
            error_hint("invalid-exec-form", text.whole(), "SHELL needs a JSON array", hint)
        })?;
        if words.is_empty() {
            return Err(written.missing("at least one word"));
        }
        let mut shell = Shell { words };
        flag::apply(FLAGS, &mut shell, &written.flags, "SHELL", problems);
        Ok(shell)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Shell { words } = self;
        scope.config.shell = Some(words.clone());
        Ok(Some(Made::config(format!("SHELL [{}]", words.join(" ")))))
    }
}
