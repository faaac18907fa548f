//! What is said when something failed, and the exit code.

use std::{fmt, io, path::Path};

/// A failure, ready to be shown.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened and where; several lines where there is an excerpt.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// Exit code: 1 for a failed build, 2 for a wrong call, 130 for Ctrl-C.
    pub(crate) code: u8,
}

impl Failure {
    /// A failed build.
    pub(crate) fn new(message: impl fmt::Display) -> Failure {
        Failure { message: message.to_string(), hint: None, code: 1 }
    }

    /// A call that cannot be meant.
    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure { message: message.to_string(), hint: None, code: 2 }
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn hint(self, hint: impl fmt::Display) -> Failure {
        Failure { hint: Some(hint.to_string()), ..self }
    }

    /// Adds what to do, where something is known.
    #[must_use]
    pub(crate) fn maybe_hint(self, hint: Option<String>) -> Failure {
        Failure { hint: hint.or(self.hint), ..self }
    }
}

/// The message of an error with those of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// What to do where a full disk is among the causes.
pub(crate) fn disk_hint(
    error: &(dyn std::error::Error + 'static),
    store: Option<&Path>,
) -> Option<String> {
    let mut causes = std::iter::successors(Some(error), |it| it.source());
    causes.any(|it| it.downcast_ref().or(plain(it)).is_some_and(is_full)).then(|| {
        let at = store.map(|it| format!(" at {}", it.display())).unwrap_or_default();
        format!(
            "the disk is full: `strake prune` makes room in the store{at}, or `--store` names a \
             folder on another disk"
        )
    })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The file error inside of a step's error that shows as that error, and hides it as a cause.
fn plain<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    match error.downcast_ref::<strake_build::StepError>()? {
        strake_build::StepError::Io(error) => Some(error),
        _ => None,
    }
}

macro_rules! from_error {
    ($($type:ty),* $(,)?) => {
        $(impl From<$type> for Failure {
            fn from(error: $type) -> Failure {
                Failure::new(chain(&error)).maybe_hint(disk_hint(&error, None))
            }
        })*
    };
}

from_error!(
    std::io::Error,
    strake_oci::InvalidReference,
    strake_oci::InvalidPlatform,
    strake_sandbox::EnterError,
);

impl From<strake_export::ExportError> for Failure {
    fn from(error: strake_export::ExportError) -> Failure {
        let full = matches!(&error, strake_export::ExportError::Io(it) if is_full(it));
        let hint = "the disk is full: make room there, or name another place with `-o`";
        Failure::new(chain(&error)).maybe_hint(full.then(|| hint.to_owned()))
    }
}

impl From<strake_cache::StoreError> for Failure {
    fn from(error: strake_cache::StoreError) -> Failure {
        Failure::new(chain(&error)).maybe_hint(error.hint().map(str::to_owned))
    }
}

impl From<strake_registry::Error> for Failure {
    fn from(error: strake_registry::Error) -> Failure {
        Failure::new(chain(&error)).maybe_hint(strake_ecr::hint(&error).or_else(|| error.hint()))
    }
}

impl From<strake_build::StepError> for Failure {
    fn from(error: strake_build::StepError) -> Failure {
        let hint = error.hint().or_else(|| disk_hint(&error, None));
        Failure::new(chain(&error)).maybe_hint(hint)
    }
}
