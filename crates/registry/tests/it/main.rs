//! The client from outside: against a registry that misbehaves, and against Debian's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod debian_registry;
mod layouts;
mod real;
mod support;
