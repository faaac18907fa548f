//! `CMD command` ([reference](https://docs.docker.com/reference/dockerfile/#cmd)).

use super::{Command, Written};
use crate::flag::{self, Flag};
use crate::lower::{Made, Scope, quoted_list};
use crate::problem::Outcome;
use strake_diag::Diagnostic;

/// CMD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cmd {
    /// The default command.
    pub command: Command,
}

pub(super) const FLAGS: &[Flag<Cmd>] = &[];

impl Cmd {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Cmd> {
        written.warn_of_no_command("`CMD []` takes an inherited one away", problems);
        let mut cmd = Cmd { command: Command::parse(written, &written.arguments, problems)? };
        flag::apply(FLAGS, &mut cmd, &written.flags, "CMD", problems);
        Ok(cmd)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Cmd { command } = self;
        let words = command.with_shell(&scope.shell());
        let text = format!("CMD {}", quoted_list(&words));
        scope.config.cmd = Some(words).filter(|it| !it.is_empty());
        scope.config.args_escaped = Some(true);
        scope.cmd_is_set = true;
        Ok(Some(Made::config(text)))
    }
}
