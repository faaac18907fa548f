//! Where text positions live, and how problems are described and rendered.
//!
//! Invariant: no Dockerfile knowledge, and nothing is printed.

mod diagnostic;
mod render;
mod source;

pub use diagnostic::{Diagnostic, Edit, Fix, Label, Severity};
pub use render::{Colour, json, json_line, render, render_all};
pub use source::{Position, Source, Span};
