//! `HEALTHCHECK [flags] CMD command`, `HEALTHCHECK NONE`
//! ([reference](https://docs.docker.com/reference/dockerfile/#healthcheck)).

use super::{Command, Written, duration};
use crate::flag::{self, Arity, Flag};
use crate::lex::{Word, exec_form, head};
use crate::lower::{Made, Scope, quoted_list, quoted_rune};
use crate::problem::{Outcome, did_you_mean, error, error_hint};
use strake_diag::Diagnostic;
use strake_oci as oci;

/// HEALTHCHECK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// Nothing for NONE.
    pub command: Option<Command>,
    /// `--interval` in nanoseconds; 0 is the default of the engine.
    pub interval: i64,
    /// `--timeout`.
    pub timeout: i64,
    /// `--start-period`.
    pub start_period: i64,
    /// `--start-interval`.
    pub start_interval: i64,
    /// `--retries`.
    pub retries: i64,
}

pub(super) const FLAGS: &[Flag<Healthcheck>] = &[
    Flag {
        name: "interval",
        arity: Arity::Once,
        since: "1.0",
        doc: "Time between two checks.",
        set: |it, value| nanos(&value).map(|nanos| it.interval = nanos),
    },
    Flag {
        name: "timeout",
        arity: Arity::Once,
        since: "1.0",
        doc: "Time that one check may take.",
        set: |it, value| nanos(&value).map(|nanos| it.timeout = nanos),
    },
    Flag {
        name: "start-period",
        arity: Arity::Once,
        since: "1.0",
        doc: "Time in which failures do not count.",
        set: |it, value| nanos(&value).map(|nanos| it.start_period = nanos),
    },
    Flag {
        name: "start-interval",
        arity: Arity::Once,
        since: "1.6",
        doc: "Time between two checks during the start period.",
        set: |it, value| nanos(&value).map(|nanos| it.start_interval = nanos),
    },
    Flag {
        name: "retries",
        arity: Arity::Once,
        since: "1.0",
        doc: "Failures in a row until the container is unhealthy.",
        set: |it, value| retries(&value).map(|count| it.retries = count),
    },
];

impl Healthcheck {
    pub(super) fn parse(
        written: &Written,
        problems: &mut Vec<Diagnostic>,
    ) -> Outcome<Healthcheck> {
        let (kind, rest) = head(&written.arguments);
        let mut check = match kind.text.to_ascii_uppercase().as_str() {
            "" => return Err(written.missing("CMD and a command, or NONE")),
            "NONE" if !rest.text.is_empty() && exec_form(&rest.text) != Ok(Vec::new()) => {
                return Err(error("too-many-arguments", rest.whole(), "NONE takes no arguments"));
            }
            "NONE" => {
                if let Some(flag) = written.flags.first() {
                    let message = "flags have no effect with HEALTHCHECK NONE";
                    problems.push(Diagnostic::warning("useless-flag", flag.span, message));
                }
                return Ok(Healthcheck::default());
            }
            "CMD" if rest.text.is_empty() => return Err(written.missing("a command behind CMD")),
            "CMD" => {
                let command = Command::parse(written, &rest, problems)?;
                if matches!(&command, Command::Exec { words, .. } if words.is_empty()) {
                    return Err(written.missing("a command behind CMD"));
                }
                Healthcheck { command: Some(command), ..Healthcheck::default() }
            }
            _ => {
                let message = format!("HEALTHCHECK has no kind `{}`", kind.text);
                let hint = match did_you_mean(&kind.text, ["CMD", "NONE"]) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("write HEALTHCHECK CMD {}", written.arguments.text),
                };
                return Err(error_hint("unknown-healthcheck", kind.span, message, hint));
            }
        };
        flag::apply(FLAGS, &mut check, &written.flags, "HEALTHCHECK", problems);
        Ok(check)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Healthcheck { command, interval, timeout, start_period, start_interval, retries } =
            self;
        let test = match command {
            None => vec!["NONE".to_owned()],
            Some(Command::Shell(line)) => vec!["CMD-SHELL".to_owned(), line.text.clone()],
            Some(Command::Exec { words, span: _ }) => {
                [&["CMD".to_owned()], words.as_slice()].concat()
            }
        };
        let times: Vec<String> = [interval, timeout, start_period, start_interval]
            .iter()
            .map(|it| format!("\"{}\"", duration::text(**it)))
            .collect();
        let text = format!(
            "HEALTHCHECK &{{{} {} {}}}",
            quoted_list(&test),
            times.join(" "),
            quoted_rune(*retries),
        );
        scope.config.healthcheck = Some(oci::Healthcheck {
            test,
            interval: *interval,
            timeout: *timeout,
            start_period: *start_period,
            start_interval: *start_interval,
            retries: *retries,
        });
        Ok(Some(Made::config(text)))
    }
}

/// A duration of 0 or at least a millisecond.
fn nanos(value: &Word) -> Result<i64, String> {
    if value.text.is_empty() {
        return Ok(0);
    }
    match duration::parse(&value.text) {
        None => Err(format!("`{}` is not a duration such as 30s or 1m30s", value.text)),
        Some(0) => Ok(0),
        Some(nanos) if nanos < 1_000_000 => {
            Err(format!("`{}` is shorter than a millisecond", value.text))
        }
        Some(nanos) => Ok(nanos),
    }
}

fn retries(value: &Word) -> Result<i64, String> {
    if value.text.is_empty() {
        return Ok(0);
    }
    let count = value.text.parse::<i32>().ok().filter(|it| *it >= 0);
    count.map(i64::from).ok_or_else(|| format!("`{}` is not a number from 0 up", value.text))
}
