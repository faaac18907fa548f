//! The client from outside: against a registry that misbehaves, and against Debian's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod copying;
mod debian_registry;
mod fake;
mod layouts;
mod login;
mod pulling;
mod pushing;
mod real;
mod support;
