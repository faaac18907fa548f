//! Commands in shell form or exec form: RUN, CMD, ENTRYPOINT, HEALTHCHECK CMD; and word lists.

use super::Written;
use crate::lex::{Text, Word, split_spaces};
use crate::problem::Outcome;
use strake_diag::{Diagnostic, Span};

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Given to the SHELL as one argument.
    Shell(Word),
    /// Run as it is.
    Exec {
        /// The words.
        words: Vec<String>,
        /// The array.
        span: Span,
    },
}

impl Command {
    pub(super) fn parse(
        written: &Written,
        text: &Text,
        problems: &mut Vec<Diagnostic>,
    ) -> Outcome<Command> {
        let span = text.whole();
        Ok(match written.exec_form(text, problems)? {
            Some(words) => Command::Exec { words, span },
            None => Command::Shell(Word { text: text.text.clone(), span }),
        })
    }

    /// The whole command, with `shell` in front of the shell form.
    pub(crate) fn with_shell(&self, shell: &[String]) -> Vec<String> {
        match self {
            Command::Shell(line) => shell.iter().cloned().chain([line.text.clone()]).collect(),
            Command::Exec { words, span: _ } => words.clone(),
        }
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Command::Shell(line) => line.span,
            Command::Exec { words: _, span } => *span,
        }
    }
}

/// Words parted by white space, or a JSON array of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub Vec<Word>);

impl Words {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Words> {
        let text = &written.arguments;
        let words = match written.exec_form(text, problems)? {
            Some(words) => {
                words.into_iter().map(|it| Word { text: it, span: text.whole() }).collect()
            }
            None => split_spaces(text),
        };
        Ok(Words(words))
    }
}
