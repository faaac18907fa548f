//! `MAINTAINER name` ([reference](https://docs.docker.com/reference/dockerfile/#maintainer-deprecated)).

use super::Written;
use crate::flag::{self, Flag};
use crate::lex::Word;
use crate::lower::{Made, Scope};
use crate::problem::Outcome;
use strake_diag::Diagnostic;

/// MAINTAINER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintainer {
    /// Not yet expanded.
    pub name: Word,
}

pub(super) const FLAGS: &[Flag<Maintainer>] = &[];

impl Maintainer {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Maintainer> {
        let mut it = Maintainer { name: written.one_word("a name")? };
        flag::apply(FLAGS, &mut it, &written.flags, "MAINTAINER", problems);
        Ok(it)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Maintainer { name } = self;
        scope.author = Some(name.text.clone());
        Ok(Some(Made::config(format!("MAINTAINER {}", name.text))))
    }
}
