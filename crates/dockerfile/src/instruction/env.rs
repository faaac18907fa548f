//! `ENV name=value ..` ([reference](https://docs.docker.com/reference/dockerfile/#env)).

use super::{Pair, Written, pairs};
use crate::flag::{self, Flag};
use crate::lower::{Made, Scope};
use crate::problem::Outcome;
use strake_diag::Diagnostic;

/// ENV.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env {
    /// In order.
    pub pairs: Vec<Pair>,
}

pub(super) const FLAGS: &[Flag<Env>] = &[];

impl Env {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Env> {
        let mut env = Env { pairs: pairs::parse(written)? };
        flag::apply(FLAGS, &mut env, &written.flags, "ENV", problems);
        Ok(env)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Env { pairs } = self;
        let mut text = "ENV".to_owned();
        for (name, value) in pairs::expanded(pairs, scope)? {
            text.push_str(&format!(" {name}={value}"));
            scope.set_env(&name, &value);
        }
        Ok(Some(Made::config(text)))
    }
}
