//! Heredocs: which words begin one, and their bodies.

use super::{Env, Lexer};
use strake_diag::Span;

/// A heredoc of RUN, COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter.
    pub name: String,
    /// Whether variables are expanded: the delimiter is not quoted.
    pub expand: bool,
    /// `<<-`: tabs in front of lines are dropped.
    pub strip_tabs: bool,
    /// The body as written.
    pub content: String,
    /// Where the body stands.
    pub span: Span,
}

/// The heredocs that a line begins, bodies still empty; the error is a message.
pub(crate) fn heredocs_of(line: &str) -> Result<Vec<Heredoc>, String> {
    if !line.contains("<<") {
        return Ok(Vec::new());
    }
    let lexer = Lexer {
        raw_quotes: true,
        raw_escapes: true,
        keep_unset: true,
        heredocs: true,
        ..Lexer::new('\\')
    };
    // A line that cannot be split is the shell's business; it begins no heredoc.
    let Ok(expanded) = lexer.expand(line, &Env::default()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for word in expanded.words {
        found.extend(is_heredoc(&word)?);
    }
    Ok(found)
}

/// What `word` begins, if it is `[N]<<[-]NAME` and nothing else.
pub(crate) fn is_heredoc(word: &str) -> Result<Option<Heredoc>, String> {
    let rest = word.trim_start_matches(|it: char| it.is_ascii_digit());
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let plain = Lexer { keep_unset: true, ..Lexer::new('\\') };
    let raw = Lexer { raw_quotes: true, ..plain };
    let unquoted = plain.expand(rest, &Env::default())?.words;
    let quoted = raw.expand(rest, &Env::default())?.words;
    let ([name], [written]) = (unquoted.as_slice(), quoted.as_slice()) else { return Ok(None) };
    let quotes = |it: &str| it.matches(['\'', '"']).count();
    Ok(Some(Heredoc {
        name: name.clone(),
        expand: quotes(name) == quotes(written),
        strip_tabs,
        content: String::new(),
        span: Span::default(),
    }))
}

/// The body without tabs in front of its lines.
pub(crate) fn strip_tabs(content: &str) -> String {
    content.split_inclusive('\n').map(|it| it.trim_start_matches('\t')).collect()
}
