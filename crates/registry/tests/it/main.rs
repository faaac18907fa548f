//! The client from outside: against a registry that misbehaves, and against Debian's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod chunks;
mod copying;
mod debian_registry;
mod fake;
mod faults;
mod layouts;
mod login;
mod messages;
mod places;
#[expect(dead_code, reason = "shared with xtask and other tests")]
#[path = "../../../../xtask/src/proxy.rs"]
mod proxy;
mod pulling;
mod pushing;
mod real;
mod support;
