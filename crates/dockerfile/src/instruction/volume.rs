//! `VOLUME path ..` ([reference](https://docs.docker.com/reference/dockerfile/#volume)).

use super::{Words, Written};
use crate::flag::{self, Flag};
use crate::lex::Word;
use crate::lower::{Made, Scope};
use crate::problem::{Outcome, error};
use strake_diag::Diagnostic;

/// VOLUME.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Not yet expanded.
    pub paths: Vec<Word>,
}

pub(super) const FLAGS: &[Flag<Volume>] = &[];

impl Volume {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Volume> {
        let Words(paths) = Words::parse(written, problems)?;
        if paths.is_empty() {
            return Err(written.missing("a path"));
        }
        let mut volume = Volume { paths };
        flag::apply(FLAGS, &mut volume, &written.flags, "VOLUME", problems);
        Ok(volume)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Volume { paths } = self;
        let mut all = Vec::new();
        for word in paths {
            let path = scope.expand(word)?.trim().to_owned();
            if path.is_empty() {
                return Err(error("empty-path", word.span, "the path of a VOLUME is empty"));
            }
            all.push(path);
        }
        let text = format!("VOLUME [{}]", all.join(" "));
        for path in all {
            scope.config.volumes.insert(path, serde_json::json!({}));
        }
        Ok(Some(Made::config(text)))
    }
}
