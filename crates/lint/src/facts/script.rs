//! The body of a RUN, read by a shell parser.

use super::command::{Arg, Cmd, Join, Redirect, unquote};
use brush_parser::ast::{
    AndOr, AssignmentValue, Command, CommandPrefixOrSuffixItem as Item, CompoundCommand,
    CompoundList, ElseClause, IoFileRedirectKind, IoFileRedirectTarget, IoRedirect, Pipeline,
    SimpleCommand, Word,
};
use brush_parser::word::{WordPiece, WordPieceWithSource};
use brush_parser::{ParserOptions, SourceSpan, TokenizerOptions};
use strake_diag::Span;

/// Longer scripts are not read.
const LONGEST: usize = 128 << 10;
/// Scripts that open more than so many brackets are not read, for the parser is recursive.
const DEEPEST: usize = 256;

/// A script as commands in order.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Every simple command, those in substitutions included.
    pub commands: Vec<Cmd>,
    /// Whether the shell parser took it; without, there are no commands.
    pub parsed: bool,
    /// The script.
    pub text: String,
    /// Offsets in the text, and where they stand in the source.
    places: Vec<(usize, usize)>,
}

impl Script {
    /// A script without its commands.
    pub(crate) fn unread(text: String, places: Vec<(usize, usize)>) -> Script {
        Script { text, places, ..Script::default() }
    }

    /// Reads `text`, of which byte `offset` stands at `source` for each of `places`.
    pub(crate) fn read(text: String, places: Vec<(usize, usize)>) -> Script {
        let mut script = Script::unread(text, places);
        let Some(program) = parse(&script.text) else { return script };
        let mut walk = Walk { script: &script, at: None, found: Vec::new(), depth: 0, lines: 0 };
        for list in &program.complete_commands {
            walk.list(list, false);
        }
        let found = walk.found;
        script.commands = found;
        script.parsed = true;
        script
    }

    /// A script of one command whose words are known.
    pub(crate) fn of_words(words: &[String], span: Span) -> Script {
        let mut args = words.iter().map(|it| Arg { text: it.clone(), raw: it.clone(), span });
        let Some(first) = args.next() else { return Script::default() };
        let command = Cmd {
            name: first.text,
            args: args.collect(),
            assignments: Vec::new(),
            redirects: Vec::new(),
            span,
            name_span: span,
            join: Join::Start,
            pipeline: 0,
            depth: 0,
            substituted: false,
        };
        Script { commands: vec![command], parsed: true, ..Script::default() }
    }

    /// How many commands each pipeline has.
    pub fn pipeline_length(&self, id: usize) -> usize {
        self.commands.iter().filter(|it| it.pipeline == id).count()
    }

    fn place(&self, offset: usize) -> usize {
        let above = self.places.partition_point(|(at, _)| *at <= offset);
        let piece = above.checked_sub(1).map(|it| self.places[it]);
        piece.map_or(0, |(at, source)| source + (offset - at))
    }

    /// The number of the character at a line and a column, both from 1.
    pub(crate) fn offset(&self, line: usize, column: usize) -> usize {
        let above = self.text.split_inclusive('\n').take(line.saturating_sub(1));
        let above: usize = above.map(|it| it.chars().count()).sum();
        (above + column.saturating_sub(1)).min(self.text.chars().count())
    }

    /// Where characters of the text stand in the source.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        let (start, end) = if self.text.is_ascii() {
            (start, end)
        } else {
            let byte = |at: usize| {
                self.text.char_indices().nth(at).map_or(self.text.len(), |(offset, _)| offset)
            };
            (byte(start), byte(end))
        };
        let last = if end > start { self.place(end - 1) + 1 } else { self.place(start) };
        Span::new(self.place(start), last)
    }
}

fn options() -> ParserOptions {
    ParserOptions::default()
}

/// The program, if the shell parser takes it.
fn parse(text: &str) -> Option<brush_parser::ast::Program> {
    let brackets = text.bytes().filter(|it| matches!(it, b'(' | b'{' | b'`')).count();
    if text.len() > LONGEST || brackets > DEEPEST {
        return None;
    }
    let read = || {
        let tokens =
            brush_parser::uncached_tokenize_str(text, &TokenizerOptions::default()).ok()?;
        brush_parser::parse_tokens(&tokens, &options()).ok()
    };
    std::panic::catch_unwind(read).ok().flatten()
}

struct Walk<'a> {
    script: &'a Script,
    /// The place of all that is found, within a substitution.
    at: Option<Span>,
    found: Vec<Cmd>,
    depth: usize,
    /// Pipelines so far.
    lines: usize,
}

impl Walk<'_> {
    fn list(&mut self, list: &CompoundList, substituted: bool) {
        for item in &list.0 {
            self.pipeline(&item.0.first, Join::Start, substituted);
            for next in &item.0.additional {
                match next {
                    AndOr::And(it) => self.pipeline(it, Join::And, substituted),
                    AndOr::Or(it) => self.pipeline(it, Join::Or, substituted),
                }
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, mut join: Join, substituted: bool) {
        self.lines += 1;
        let id = self.lines;
        for command in &pipeline.seq {
            self.command(command, join, id, substituted);
            join = Join::Pipe;
        }
    }

    fn command(&mut self, command: &Command, join: Join, id: usize, substituted: bool) {
        match command {
            Command::Simple(simple) => self.simple(simple, join, id, substituted),
            Command::Compound(compound, redirects) => {
                let before = self.found.len();
                self.depth += 1;
                self.compound(compound, substituted);
                self.depth -= 1;
                if let Some(first) = self.found.get_mut(before) {
                    first.join = join;
                }
                if let (Some(list), Some(last)) = (redirects, self.found.last_mut()) {
                    last.redirects.extend(list.0.iter().filter_map(redirect));
                }
                // What a group writes goes through the pipe it stands in.
                if join == Join::Pipe
                    && let Some(first) = self.found.get_mut(before)
                {
                    first.pipeline = id;
                }
            }
            Command::Function(function) => {
                self.depth += 1;
                self.compound(&function.body.0, substituted);
                self.depth -= 1;
            }
            Command::ExtendedTest(..) => {}
            #[expect(unreachable_patterns, reason = "the parser may learn more kinds of commands")]
            _ => {}
        }
    }

    fn compound(&mut self, compound: &CompoundCommand, substituted: bool) {
        match compound {
            CompoundCommand::BraceGroup(it) => self.list(&it.list, substituted),
            CompoundCommand::Subshell(it) => self.list(&it.list, substituted),
            CompoundCommand::ForClause(it) => {
                for word in it.values.iter().flatten() {
                    self.substitutions(&word.value, word.loc.as_ref());
                }
                self.list(&it.body.list, substituted);
            }
            CompoundCommand::ArithmeticForClause(it) => self.list(&it.body.list, substituted),
            CompoundCommand::CaseClause(it) => {
                for body in it.cases.iter().filter_map(|it| it.cmd.as_ref()) {
                    self.list(body, substituted);
                }
            }
            CompoundCommand::IfClause(it) => {
                self.list(&it.condition, substituted);
                self.list(&it.then, substituted);
                for ElseClause { condition, body } in it.elses.iter().flatten() {
                    if let Some(condition) = condition {
                        self.list(condition, substituted);
                    }
                    self.list(body, substituted);
                }
            }
            CompoundCommand::WhileClause(it) | CompoundCommand::UntilClause(it) => {
                self.list(&it.0, substituted);
                self.list(&it.1.list, substituted);
            }
            _ => {}
        }
    }

    fn simple(&mut self, simple: &SimpleCommand, join: Join, id: usize, substituted: bool) {
        let mut words: Vec<&Word> = Vec::new();
        let (mut assignments, mut redirects) = (Vec::new(), Vec::new());
        let prefix = simple.prefix.iter().flat_map(|it| &it.0);
        for item in prefix {
            match item {
                Item::AssignmentWord(assignment, word) => {
                    let value = match &assignment.value {
                        AssignmentValue::Scalar(value) => unquote(&value.value),
                        AssignmentValue::Array(_) => String::new(),
                    };
                    assignments.push((assignment.name.to_string(), value));
                    self.substitutions(&word.value, word.loc.as_ref());
                }
                Item::IoRedirect(it) => redirects.extend(redirect(it)),
                Item::Word(_) | Item::ProcessSubstitution(..) => {}
            }
        }
        words.extend(&simple.word_or_name);
        for item in simple.suffix.iter().flat_map(|it| &it.0) {
            match item {
                Item::Word(word) | Item::AssignmentWord(_, word) => words.push(word),
                Item::IoRedirect(it) => redirects.extend(redirect(it)),
                Item::ProcessSubstitution(_, shell) => {
                    self.depth += 1;
                    self.list(&shell.list, true);
                    self.depth -= 1;
                }
            }
        }
        self.finish(&words, assignments, redirects, (join, id, substituted));
    }

    fn finish(
        &mut self,
        words: &[&Word],
        assignments: Vec<(String, String)>,
        redirects: Vec<Redirect>,
        (join, id, substituted): (Join, usize, bool),
    ) {
        let args: Vec<Arg> = words
            .iter()
            .map(|it| Arg {
                text: unquote(&it.value),
                raw: it.value.clone(),
                span: self.span(it.loc.as_ref()),
            })
            .collect();
        if let Some((first, rest)) = args.split_first() {
            let span = args.iter().fold(first.span, |span, it| span.to(it.span));
            self.found.push(Cmd {
                name: first.text.clone(),
                args: rest.to_vec(),
                assignments,
                redirects,
                span,
                name_span: first.span,
                join,
                pipeline: id,
                depth: self.depth,
                substituted,
            });
        }
        for word in words {
            self.substitutions(&word.value, word.loc.as_ref());
        }
    }

    fn span(&self, loc: Option<&SourceSpan>) -> Span {
        match (self.at, loc) {
            (Some(at), _) => at,
            (None, Some(loc)) => self.script.span(loc.start.index, loc.end.index),
            (None, None) => Span::default(),
        }
    }

    /// The commands of `$(..)` and backquotes in a word.
    fn substitutions(&mut self, word: &str, loc: Option<&SourceSpan>) {
        if !word.contains("$(") && !word.contains('`') || self.depth > 16 {
            return;
        }
        let read = || brush_parser::word::parse(word, &options()).ok();
        let Some(pieces) = std::panic::catch_unwind(read).ok().flatten() else { return };
        let mut inner = Vec::new();
        collect(&pieces, &mut inner);
        let outer = self.at;
        self.at = Some(self.span(loc));
        self.depth += 1;
        for text in inner {
            let Some(program) = parse(&text) else { continue };
            for list in &program.complete_commands {
                self.list(list, true);
            }
        }
        self.depth -= 1;
        self.at = outer;
    }
}

fn collect(pieces: &[WordPieceWithSource], found: &mut Vec<String>) {
    for piece in pieces {
        match &piece.piece {
            WordPiece::CommandSubstitution(it) | WordPiece::BackquotedCommandSubstitution(it) => {
                found.push(it.clone());
            }
            WordPiece::DoubleQuotedSequence(it) | WordPiece::GettextDoubleQuotedSequence(it) => {
                collect(it, found);
            }
            _ => {}
        }
    }
}

fn redirect(it: &IoRedirect) -> Option<Redirect> {
    match it {
        IoRedirect::File(_, kind, IoFileRedirectTarget::Filename(word)) => Some(Redirect {
            writes: !matches!(kind, IoFileRedirectKind::Read | IoFileRedirectKind::DuplicateInput),
            file: unquote(&word.value),
        }),
        IoRedirect::OutputAndError(word, _) => {
            Some(Redirect { writes: true, file: unquote(&word.value) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Script;

    fn names(text: &str) -> Vec<String> {
        let script = Script::read(text.to_owned(), vec![(0, 100)]);
        assert!(script.parsed, "{text}");
        script.commands.iter().map(|it| it.name.clone()).collect()
    }

    #[test]
    fn commands_are_found_wherever_they_stand() {
        assert_eq!(names("a && b | c; d || e"), ["a", "b", "c", "d", "e"]);
        assert_eq!(names("if a; then b; else c; fi"), ["a", "b", "c"]);
        assert_eq!(names("for x in $(a); do b; done"), ["a", "b"]);
        assert_eq!(names("(a; { b; })"), ["a", "b"]);
        assert_eq!(names("x=$(a `b`) c \"$(d)\""), ["a", "b", "c", "d"]);
        assert_eq!(names("while a; do case $x in y) b;; esac; done"), ["a", "b"]);
    }

    #[test]
    fn places_are_those_of_the_source() {
        let script = Script::read("apt-get install 'vim'".to_owned(), vec![(0, 100)]);
        let command = &script.commands[0];
        assert_eq!((command.span.start, command.span.end), (100, 121));
        assert_eq!((command.args[1].span.start, command.args[1].text.as_str()), (116, "vim"));
    }

    #[test]
    fn what_is_no_script_has_no_commands() {
        for text in ["if", "a && ", "'", &"(".repeat(5000), "$((((((((((((("] {
            assert!(!Script::read(text.to_owned(), Vec::new()).parsed, "{text}");
        }
    }
}
