//! `LABEL name=value ..` ([reference](https://docs.docker.com/reference/dockerfile/#label)).

use super::{Pair, Written, pairs};
use crate::flag::{self, Flag};
use crate::lower::{Made, Scope};
use crate::problem::Outcome;
use strake_diag::Diagnostic;

/// LABEL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// In order.
    pub pairs: Vec<Pair>,
}

pub(super) const FLAGS: &[Flag<Label>] = &[];

impl Label {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Label> {
        let mut label = Label { pairs: pairs::parse(written)? };
        flag::apply(FLAGS, &mut label, &written.flags, "LABEL", problems);
        Ok(label)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Label { pairs } = self;
        let mut text = "LABEL".to_owned();
        for (name, value) in pairs::expanded(pairs, scope)? {
            text.push_str(&format!(" {name}={value}"));
            scope.config.labels.insert(name, value);
        }
        Ok(Some(Made::config(text)))
    }
}
