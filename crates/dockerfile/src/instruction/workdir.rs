//! `WORKDIR path` ([reference](https://docs.docker.com/reference/dockerfile/#workdir)).

use super::Written;
use crate::flag::{self, Flag};
use crate::lex::Word;
use crate::lower::{Made, Scope, join};
use crate::problem::Outcome;
use strake_diag::Diagnostic;
use strake_plan::{Op, WorkdirOp};

/// WORKDIR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workdir {
    /// Not yet expanded.
    pub path: Word,
}

pub(super) const FLAGS: &[Flag<Workdir>] = &[];

impl Workdir {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Workdir> {
        let mut it = Workdir { path: written.one_word("a path")? };
        flag::apply(FLAGS, &mut it, &written.flags, "WORKDIR", problems);
        Ok(it)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Workdir { path } = self;
        let written = scope.expand(path)?;
        let path = join(&scope.cwd(), &written);
        // Docker keeps an absolute path as it is written: `/app/` has its slash in the config.
        let shown = if written.starts_with('/') { written } else { path.clone() };
        let created_by = format!("WORKDIR {shown}");
        scope.config.working_dir = shown;
        if path == "/" {
            return Ok(Some(Made::config(created_by)));
        }
        let user = scope.config.user.clone();
        Ok(Some(Made { op: Op::Workdir(WorkdirOp { path, user }), created_by }))
    }
}
