//! `USER user[:group]` ([reference](https://docs.docker.com/reference/dockerfile/#user)).

use super::Written;
use crate::flag::{self, Flag};
use crate::lex::Word;
use crate::lower::{Made, Scope};
use crate::problem::Outcome;
use strake_diag::Diagnostic;

/// USER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Not yet expanded.
    pub user: Word,
}

pub(super) const FLAGS: &[Flag<User>] = &[];

impl User {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<User> {
        let mut it = User { user: written.one_word("a user")? };
        flag::apply(FLAGS, &mut it, &written.flags, "USER", problems);
        Ok(it)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let User { user } = self;
        let user = scope.expand(user)?;
        let text = format!("USER {user}");
        scope.config.user = user;
        Ok(Some(Made::config(text)))
    }
}
