//! One file per instruction. The table below is the only list of them.

use crate::flag::FlagDoc;
use crate::lex::{Heredoc, NotExec, Text, Word, WrittenFlag, exec_form};
use crate::lower::{Made, Scope};
use crate::problem::{Outcome, error, error_hint};
use strake_diag::{Diagnostic, Span};

mod command;
mod device;
mod duration;
mod files;
mod mount;
mod pairs;

pub use arg::Declared;
pub use command::{Command, Words};
pub use files::Files;
pub use mount::{Mount, MountOption, mount_options};
pub use pairs::Pair;

macro_rules! instructions {
    ($($keyword:literal => $module:ident::$Type:ident,)*) => {
        $(mod $module; pub use $module::$Type;)*

        /// One instruction.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Instruction {
            $(#[doc = $keyword] $Type($Type),)*
        }

        /// Every keyword.
        pub const KEYWORDS: &[&str] = &[$($keyword,)*];

        impl Instruction {
            /// In upper case.
            pub fn keyword(&self) -> &'static str {
                match self { $(Instruction::$Type(_) => $keyword,)* }
            }

            /// The flags of an instruction, for the documentation and for tests.
            pub fn flags(keyword: &str) -> Vec<FlagDoc> {
                match keyword {
                    $($keyword => $module::FLAGS.iter().map(|it| it.doc()).collect(),)*
                    _ => Vec::new(),
                }
            }

            /// Reads one; nothing if the keyword is unknown.
            pub(crate) fn parse(
                written: &Written,
                problems: &mut Vec<Diagnostic>,
            ) -> Option<Outcome<Instruction>> {
                match written.keyword.text.to_ascii_uppercase().as_str() {
                    $($keyword => Some($Type::parse(written, problems).map(Instruction::$Type)),)*
                    _ => None,
                }
            }

            /// What it means at this place of a stage; nothing if it only changes the scope.
            pub(crate) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
                match self { $(Instruction::$Type(it) => it.lower(scope),)* }
            }
        }
    };
}

instructions! {
    "ADD" => add::Add,
    "ARG" => arg::Arg,
    "CMD" => cmd::Cmd,
    "COPY" => copy::Copy,
    "ENTRYPOINT" => entrypoint::Entrypoint,
    "ENV" => env::Env,
    "EXPOSE" => expose::Expose,
    "FROM" => from::From,
    "HEALTHCHECK" => healthcheck::Healthcheck,
    "LABEL" => label::Label,
    "MAINTAINER" => maintainer::Maintainer,
    "ONBUILD" => onbuild::Onbuild,
    "RUN" => run::Run,
    "SHELL" => shell::Shell,
    "STOPSIGNAL" => stopsignal::Stopsignal,
    "USER" => user::User,
    "VOLUME" => volume::Volume,
    "WORKDIR" => workdir::Workdir,
}

/// One instruction as written: flags unread, words unexpanded.
pub(crate) struct Written {
    pub(crate) keyword: Word,
    pub(crate) flags: Vec<WrittenFlag>,
    /// All behind the flags.
    pub(crate) arguments: Text,
    pub(crate) heredocs: Vec<Heredoc>,
    pub(crate) escape: char,
    pub(crate) span: Span,
}

impl Written {
    /// The keyword in upper case.
    pub(crate) fn name(&self) -> String {
        self.keyword.text.to_ascii_uppercase()
    }

    /// The arguments as one word, which must be there.
    pub(crate) fn one_word(&self, what: &str) -> Outcome<Word> {
        if self.arguments.text.is_empty() {
            return Err(self.missing(what));
        }
        Ok(Word { text: self.arguments.text.clone(), span: self.arguments.whole() })
    }

    /// Warns that there is no command: the shell form of nothing, as Docker has it.
    pub(crate) fn warn_of_no_command(&self, hint: &str, problems: &mut Vec<Diagnostic>) {
        if self.arguments.text.is_empty() {
            let message = format!("{} has no command: the shell gets nothing to do", self.name());
            problems.push(Diagnostic::warning("no-command", self.span, message).hint(hint));
        }
    }

    /// `KEYWORD needs what`.
    pub(crate) fn missing(&self, what: &str) -> Box<Diagnostic> {
        error("missing-argument", self.span, format!("{} needs {what}", self.name()))
    }

    /// The words of an exec form, or nothing for the shell form; a broken array warns, for it
    /// becomes shell form as Docker has it.
    pub(crate) fn exec_form(
        &self,
        text: &Text,
        problems: &mut Vec<Diagnostic>,
    ) -> Outcome<Option<Vec<String>>> {
        match exec_form(&text.text) {
            Ok(words) => Ok(Some(words)),
            Err(NotExec::Shell) => Ok(None),
            Err(NotExec::Broken) => {
                let message = "not a valid JSON array, so it is not the exec form";
                problems.push(
                    Diagnostic::warning("broken-exec-form", text.whole(), message)
                        .hint("write strings in double quotes with commas between them"),
                );
                Ok(None)
            }
            Err(NotExec::NotStrings) => Err(error_hint(
                "invalid-exec-form",
                text.whole(),
                "an exec form holds strings only",
                "put every element into double quotes",
            )),
        }
    }
}
