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
        let path = join(scope.cwd(), &scope.expand(path)?);
        let created_by = format!("WORKDIR {path}");
        scope.config.working_dir.clone_from(&path);
        if path == "/" {
            return Ok(Some(Made::config(created_by)));
        }
        let user = scope.config.user.clone();
        Ok(Some(Made { op: Op::Workdir(WorkdirOp { path, user }), created_by }))
    }
}
