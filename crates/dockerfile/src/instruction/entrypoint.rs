//! `ENTRYPOINT command` ([reference](https://docs.docker.com/reference/dockerfile/#entrypoint)).

use super::{Command, Written};
use crate::flag::{self, Flag};
use crate::lower::{Made, Scope, quoted_list};
use crate::problem::Outcome;
use strake_diag::Diagnostic;

/// ENTRYPOINT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrypoint {
    /// What a container runs.
    pub command: Command,
}

pub(super) const FLAGS: &[Flag<Entrypoint>] = &[];

impl Entrypoint {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Entrypoint> {
        written.warn_of_no_command("`ENTRYPOINT []` takes an inherited one away", problems);
        let mut entrypoint =
            Entrypoint { command: Command::parse(written, &written.arguments, problems)? };
        flag::apply(FLAGS, &mut entrypoint, &written.flags, "ENTRYPOINT", problems);
        Ok(entrypoint)
    }

    /// A CMD that is not of this stage is taken away, for it was meant for another entrypoint.
    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Entrypoint { command } = self;
        let words = command.with_shell(&scope.shell());
        let text = format!("ENTRYPOINT {}", quoted_list(&words));
        scope.config.entrypoint = Some(words).filter(|it| !it.is_empty());
        if !scope.cmd_is_set {
            scope.config.cmd = None;
        }
        Ok(Some(Made::config(text)))
    }
}
