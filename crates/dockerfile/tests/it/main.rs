//! Dockerfiles in, plans and errors out.

mod cases;
mod git_urls;
mod printed;
mod requests;
mod support;
mod support_table;
