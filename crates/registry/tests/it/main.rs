//! The client from outside: against a registry that misbehaves, and against Debian's.

mod debian_registry;
mod real;
mod support;
