//! The only place that prints. Standard output is data; all else goes to standard error.

use crate::failure::Failure;
use std::{io::Write, process::ExitCode};

/// A line of data. A reader that went away is no failure.
pub(crate) fn data(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A line for people.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A failure and what to do about it.
pub(crate) fn failure(failure: &Failure) {
    let message = failure.message.trim_end();
    // A rendered diagnostic brings its own heading.
    let heading = if message.starts_with("error[") { "" } else { "error: " };
    note(&format!("{heading}{message}"));
    if let Some(hint) = &failure.hint {
        note(&format!("hint: {hint}"));
    }
}

/// What clap says of words that it cannot read, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
