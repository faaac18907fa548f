//! What is fetched, from servers and repositories that the tests start themselves.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod git;
mod http;
mod server;
mod smart;
mod tls;
mod unpack;
