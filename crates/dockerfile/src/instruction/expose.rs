//! `EXPOSE port[-port][/protocol] ..` ([reference](https://docs.docker.com/reference/dockerfile/#expose)).

use super::Written;
use crate::flag::{self, Flag};
use crate::lex::{Word, split_spaces};
use crate::lower::{Made, Scope};
use crate::problem::{Outcome, error_hint};
use strake_diag::Diagnostic;

/// EXPOSE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expose {
    /// Not yet expanded.
    pub ports: Vec<Word>,
}

pub(super) const FLAGS: &[Flag<Expose>] = &[];

impl Expose {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Expose> {
        let ports = split_spaces(&written.arguments);
        if ports.is_empty() {
            return Err(written.missing("a port"));
        }
        let mut expose = Expose { ports };
        flag::apply(FLAGS, &mut expose, &written.flags, "EXPOSE", problems);
        Ok(expose)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Expose { ports } = self;
        let mut all = Vec::new();
        for word in ports {
            for port in scope.expand_words(word)? {
                all.extend(parse_port(&port).ok_or_else(|| {
                    let message = format!("`{port}` is not a port");
                    let hint = "write PORT, PORT/tcp, PORT/udp, PORT/sctp or FIRST-LAST";
                    error_hint("invalid-port", word.span, message, hint)
                })?);
            }
        }
        let text = format!("EXPOSE [{}]", all.join(" "));
        for port in all {
            scope.config.exposed_ports.insert(port, serde_json::json!({}));
        }
        Ok(Some(Made::config(text)))
    }
}

/// `[[address:]host:]port[-port][/protocol]` as `port/protocol`; what is in front of the last
/// colon only has to be sound.
fn parse_port(text: &str) -> Option<Vec<String>> {
    let (host, container) = match text.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, text),
    };
    let (ports, protocol) = container.split_once('/').unwrap_or((container, ""));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        _ => return None,
    };
    let (first, last) = range(ports)?;
    if let Some(host) = host {
        let (address, host_ports) = host.rsplit_once(':').unwrap_or(("", host));
        let address = address.trim_start_matches('[').trim_end_matches(']');
        if !address.is_empty() && address.parse::<std::net::IpAddr>().is_err() {
            return None;
        }
        if !host_ports.is_empty() {
            let (from, to) = range(host_ports)?;
            if to - from != last - first && first != last {
                return None;
            }
        }
    }
    Some((first..=last).map(|it| format!("{it}/{protocol}")).collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let digits = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
    let number = |it: &str| it.parse::<u16>().ok().filter(|_| digits(it));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}
