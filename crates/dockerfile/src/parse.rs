//! The parsed Dockerfile.

use crate::instruction::{KEYWORDS, Written};
use crate::lex::{
    Comment, Directive, Heredoc, Line, Lines, Text, Word, WrittenFlag, head, leading_flags,
    read_lines,
};
use crate::problem::{did_you_mean, error};
use crate::{Arguments, Instruction};
use strake_diag::{Diagnostic, Source, Span};

/// A Dockerfile as far as it could be read.
#[derive(Clone, Debug)]
pub struct Dockerfile {
    /// The text.
    pub source: Source,
    /// `\` or `` ` ``.
    pub escape: char,
    /// Parser directives.
    pub directives: Vec<Directive>,
    /// Every comment, directives excepted.
    pub comments: Vec<Comment>,
    /// Every instruction in order.
    pub statements: Vec<Statement>,
    /// The errors among the diagnostics of [`parse`]: with any, there is no plan.
    pub(crate) errors: Vec<Diagnostic>,
}

/// One instruction of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// As written.
    pub keyword: Word,
    /// Flags as written.
    pub flags: Vec<WrittenFlag>,
    /// What stands behind them.
    pub arguments: Arguments,
    /// The bodies below, as written.
    pub heredocs: Vec<Heredoc>,
    /// From the keyword to the last character, heredoc bodies excepted.
    pub span: Span,
    /// With heredoc bodies.
    pub extent: Span,
    /// The logical line: continuations joined, comments dropped.
    pub text: String,
    /// Where the pieces of [`Statement::text`] stand.
    pub(crate) places: Text,
    /// The comments directly above.
    pub above: Vec<Comment>,
    /// Empty lines between continued ones.
    pub empty_continuations: Vec<Span>,
    /// What it means; nothing where it could not be read.
    pub instruction: Option<Instruction>,
}

impl Statement {
    /// Where a part of [`Statement::text`] stands in the source.
    pub fn span_of(&self, range: std::ops::Range<usize>) -> Span {
        self.places.span(range)
    }

    /// The pieces that a part of [`Statement::text`] was joined from: where each begins, in the part and
    /// in the source.
    pub fn pieces(&self, range: std::ops::Range<usize>) -> Vec<(usize, usize)> {
        self.places.pieces(range)
    }

    /// The offset in [`Statement::text`] of a place in the source; nothing for one that is not part
    /// of the logical line.
    pub fn offset_of(&self, source: u32) -> Option<usize> {
        self.places.offset(source as usize)
    }
}

/// Reads a Dockerfile. Never fails: what could not be read is among the diagnostics.
pub fn parse(source: &Source) -> (Dockerfile, Vec<Diagnostic>) {
    let Lines { directives, comments, escape, lines, mut problems } = read_lines(&source.text);
    let statements: Vec<Statement> =
        lines.into_iter().map(|it| statement(it, escape, &mut problems)).collect();
    let has_stage = statements.iter().any(|it| it.keyword.text.eq_ignore_ascii_case("FROM"));
    if !has_stage && !problems.iter().any(Diagnostic::is_error) {
        let end = statements.first().map_or(Span::default(), |it| it.span);
        let message = if statements.is_empty() {
            "the file has no instructions"
        } else {
            "the file has no FROM"
        };
        problems.push(
            Diagnostic::error("no-stage", end, message)
                .hint("begin with `FROM image` or `FROM scratch`"),
        );
    }
    check_order(&statements, &mut problems);
    problems.sort_by_key(|it| it.span);
    let errors = problems.iter().filter(|it| it.is_error()).cloned().collect();
    (
        Dockerfile { source: source.clone(), escape, directives, comments, statements, errors },
        problems,
    )
}

/// Only ARG may stand above the first FROM.
fn check_order(statements: &[Statement], problems: &mut Vec<Diagnostic>) {
    let is = |it: &Statement, name: &str| it.keyword.text.eq_ignore_ascii_case(name);
    if !statements.iter().any(|it| is(it, "FROM")) {
        return;
    }
    let early = statements.iter().take_while(|it| !is(it, "FROM"));
    for it in early.filter(|it| !is(it, "ARG") && it.instruction.is_some()) {
        let keyword = it.keyword.text.to_ascii_uppercase();
        let message = format!("{keyword} stands before the first FROM");
        problems.push(
            Diagnostic::error("no-stage", it.keyword.span, message)
                .hint("only ARG may stand there: move it below FROM"),
        );
    }
}

fn statement(line: Line, escape: char, problems: &mut Vec<Diagnostic>) -> Statement {
    let Line { text, extent, heredocs, above, empty_continuations } = line;
    let (keyword, flags, instruction) = instruction(&text, heredocs.clone(), escape, problems);
    let behind = leading_flags(&head(&text).1).1;
    Statement {
        arguments: Arguments::read(&keyword.text, &behind, escape),
        keyword,
        flags,
        heredocs,
        span: text.whole(),
        extent,
        text: text.text.clone(),
        places: text,
        above,
        empty_continuations,
        instruction,
    }
}

/// Reads one instruction from a logical line.
pub(crate) fn instruction(
    text: &Text,
    heredocs: Vec<Heredoc>,
    escape: char,
    problems: &mut Vec<Diagnostic>,
) -> (Word, Vec<WrittenFlag>, Option<Instruction>) {
    let (keyword, rest) = head(text);
    let (flags, arguments) = leading_flags(&rest);
    let written = Written {
        keyword: keyword.clone(),
        flags: flags.clone(),
        arguments,
        heredocs,
        escape,
        span: text.whole(),
    };
    let before = problems.iter().filter(|it| it.is_error()).count();
    let parsed = match Instruction::parse(&written, problems) {
        None => {
            problems.push(unknown(&keyword, escape));
            None
        }
        Some(Err(problem)) => {
            problems.push(*problem);
            None
        }
        Some(Ok(instruction)) => Some(instruction),
    };
    let sound = problems.iter().filter(|it| it.is_error()).count() == before;
    (keyword, flags, parsed.filter(|_| sound))
}

fn unknown(keyword: &Word, escape: char) -> Diagnostic {
    let message = format!("unknown instruction `{}`", keyword.text);
    let problem = error("unknown-instruction", keyword.span, message);
    match did_you_mean(&keyword.text, KEYWORDS.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => {
            let how = match escape {
                '`' => "a backtick".to_owned(),
                other => format!("`{other}`"),
            };
            problem.hint(format!("a long command is continued by {how} at the end of its line"))
        }
    }
}
