//! From characters to logical lines, words, flags and expanded values.

mod exec_form;
mod expand;
mod glob;
mod heredoc;
mod lines;
mod text;
mod words;

pub(crate) use exec_form::{NotExec, exec_form};
pub(crate) use expand::{Env, Expanded, Lexer};
pub use heredoc::Heredoc;
pub(crate) use heredoc::{heredocs_of, is_heredoc, strip_tabs};
pub use lines::{Comment, Directive};
pub(crate) use lines::{Line, Lines, read_lines};
pub(crate) use text::Text;
pub use words::{Word, WrittenFlag};
pub(crate) use words::{head, leading_flags, quoted_words, split_spaces};
