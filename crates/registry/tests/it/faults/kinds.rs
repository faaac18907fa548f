//! What goes wrong, and at which verbs it can.

use super::verbs::{Body, Verb};
use crate::proxy::{Fault, Head};
use std::sync::atomic::{AtomicUsize, Ordering};
use strake_oci::Digest;

/// What a fault is made for.
pub(super) struct Site<'a> {
    pub(super) head: &'a Head,
    /// The port of another way to the registry.
    pub(super) elsewhere: u16,
    /// The token that is good now.
    pub(super) token: &'a AtomicUsize,
}

/// What goes wrong, and at which verbs it can.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) at: fn(&Verb) -> bool,
    pub(super) make: fn(&Site<'_>) -> Fault,
    /// Waited for until patience ends.
    pub(super) stalls: bool,
    /// How it ends each time, and the number of retries, depend on which connections are used again.
    pub(super) loose: bool,
}

const fn kind(name: &'static str, at: fn(&Verb) -> bool, make: fn(&Site<'_>) -> Fault) -> Kind {
    Kind { name, at, make, stalls: false, loose: false }
}

const fn stalling(name: &'static str, at: fn(&Verb) -> bool, make: fn(&Site<'_>) -> Fault) -> Kind {
    Kind { name, at, make, stalls: true, loose: false }
}

fn always(_: &Verb) -> bool {
    true
}

fn up(verb: &Verb) -> bool {
    verb.body == Body::Up
}

fn down(verb: &Verb) -> bool {
    verb.body == Body::Down
}

pub(super) const KINDS: [Kind; 24] = [
    kind("429, Retry-After", always, |_| status(429, &[("Retry-After", "0")])),
    kind("429, Retry-After of an hour", always, |_| status(429, &[("Retry-After", "3600")])),
    kind("500", always, |_| status(500, &[])),
    kind("502", always, |_| status(502, &[])),
    kind("503", always, |_| status(503, &[])),
    kind("reset before an answer", always, |_| Fault { request_ends: Some(0), ..Fault::default() }),
    kind("answer is lost", always, |_| Fault { lost: true, ..Fault::default() }),
    stalling("stall before an answer", always, |_| Fault { silent: true, ..Fault::default() }),
    kind("reset in the body", up, |_| Fault { request_ends: Some(50), ..Fault::default() }),
    stalling(
        "stall in the body",
        |it| up(it) && !it.manifests(),
        |_| Fault { request_stalls: Some(50), ..Fault::default() },
    ),
    kind("answer ends early", down, |_| Fault { answer_ends: Some(50), ..Fault::default() }),
    stalling("answer stalls", down, |_| Fault { answer_stalls: Some(50), ..Fault::default() }),
    kind("a byte is another", down, |_| Fault { corrupts: Some(50), ..Fault::default() }),
    kind("answer comes twice", |it| !down(it), |_| Fault { twice: true, ..Fault::default() }),
    Kind {
        loose: true,
        ..kind(
            "again in place of the next answer",
            |it| !down(it),
            |_| Fault { late: true, ..Fault::default() },
        )
    },
    kind("401 in the middle", always, |site| challenge(site.head)),
    kind("the token has ended", always, |site| {
        site.token.fetch_add(1, Ordering::SeqCst);
        challenge(site.head)
    }),
    kind("403", always, |_| status(403, &[])),
    kind("307 to another host", always, |site| {
        let there = format!("http://127.0.0.1:{}{}", site.elsewhere, site.head.target);
        status(307, &[("Location", &there)])
    }),
    kind("307 in a circle", always, |site| status(307, &[("Location", &site.head.target)])),
    kind(
        "another digest",
        |it| matches!(it.method, "PUT" | "GET") && !it.name.starts_with("GET blob"),
        |_| {
            let other = Digest::of(b"another").to_string();
            Fault::edit(move |answer| answer.put("Docker-Content-Digest", &other))
        },
    ),
    kind(
        "no Location",
        |it| it.chunks() || it.name == "POST upload",
        |_| Fault::edit(|answer| answer.drop("Location")),
    ),
    kind("201 to a chunk", Verb::chunks, |_| Fault::edit(|answer| answer.status = 201)),
    kind("202 to a mount", Verb::mounts, |site| {
        let target = site.head.target.split('?').next().map(str::to_owned);
        Fault { target, ..Fault::default() }
    }),
];

fn status(status: u16, headers: &[(&str, &str)]) -> Fault {
    Fault::status(status, headers, r#"{"errors":[{"code":"TEST","message":"as the test wants"}]}"#)
}

/// Where tokens are.
pub(super) fn challenge(head: &Head) -> Fault {
    let scheme = format!("Bearer realm=\"http://{}/token\",service=\"x\"", head.header("host"));
    status(401, &[("WWW-Authenticate", &scheme)])
}
