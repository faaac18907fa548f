//! Dockerfile text in, plan out.
//!
//! Invariant: no IO of any kind: base images, build arguments and contexts are values in a [`Request`].
//! Invariant: [`parse`] never fails and never panics; what could not be read is a diagnostic.
//! Invariant: what is parsed is lowered by destructuring without `..`, so that no flag is ignored.

mod arguments;
mod describe;
mod flag;
mod git_url;
pub mod instruction;
mod lex;
mod lower;
mod parse;
mod problem;

pub use arguments::Arguments;
pub use describe::{to_dockerfile, to_json, to_text};
pub use flag::{Arity, FlagDoc};
pub use git_url::{GitUrlError, parse_git_url};
pub use instruction::Instruction;
pub use lex::{Comment, Directive, Heredoc, Word, WrittenFlag};
pub use lower::{
    NamedContext, Outline, OutlineArg, OutlineMount, Request, Target, Wanted, global_arg, missing,
    outline, plan, targets, unused_build_args,
};
pub use parse::{Dockerfile, Statement, parse};
