//! `STOPSIGNAL signal` ([reference](https://docs.docker.com/reference/dockerfile/#stopsignal)).

use super::Written;
use crate::flag::{self, Flag};
use crate::lex::Word;
use crate::lower::{Made, Scope};
use crate::problem::{Outcome, error_hint};
use strake_diag::Diagnostic;

/// STOPSIGNAL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stopsignal {
    /// Not yet expanded.
    pub signal: Word,
}

pub(super) const FLAGS: &[Flag<Stopsignal>] = &[];

impl Stopsignal {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Stopsignal> {
        let mut it = Stopsignal { signal: written.one_word("a signal")? };
        flag::apply(FLAGS, &mut it, &written.flags, "STOPSIGNAL", problems);
        Ok(it)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Stopsignal { signal } = self;
        let text = scope.expand(signal)?;
        if !is_signal(&text) {
            let message = format!("`{text}` is not a signal");
            let hint = "use a name such as SIGTERM, or a number";
            return Err(error_hint("invalid-signal", signal.span, message, hint));
        }
        scope.config.stop_signal.clone_from(&text);
        Ok(Some(Made::config(format!("STOPSIGNAL {text}"))))
    }
}

/// Names of Linux signals without `SIG`.
const SIGNALS: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

/// A number above 0, or a name in any case, with or without `SIG`.
fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i32>() {
        return number > 0;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |prefix: &str, most: u8| {
        let rest = name.strip_prefix(prefix).and_then(|it| it.parse::<u8>().ok());
        rest.is_some_and(|it| (1..=most).contains(&it))
    };
    SIGNALS.contains(&name) || offset("RTMIN+", 15) || offset("RTMAX-", 14)
}
