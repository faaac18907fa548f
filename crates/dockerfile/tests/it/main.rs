//! Dockerfiles in, plans and errors out.

mod cases;
mod requests;
mod support;
