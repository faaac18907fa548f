//! Dockerfiles in, plans and errors out.

mod cases;
mod git_urls;
mod requests;
mod support;
