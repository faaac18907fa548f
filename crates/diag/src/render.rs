//! Diagnostics for people and as JSON.

use crate::{Diagnostic, Severity, Source, Span};
use annotate_snippets::{
    AnnotationKind, Group, Level, Renderer, Snippet, Title, renderer::DecorStyle,
};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::ops::Range;

/// Whether the output may hold escape sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Plain text; nothing is told by colour alone.
    Never,
    /// ANSI escape sequences.
    Always,
}

/// One diagnostic for people, with the source line. The first line after the title names
/// `file:line:column`; there is a newline at the end.
pub fn render(diagnostic: &Diagnostic, source: &Source, colour: Colour) -> String {
    let Diagnostic { rule, severity, span, message, hint, labels, fix } = diagnostic;
    let level = match severity {
        Severity::Info => Level::INFO,
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let title: Title<'_> = level.primary_title(message.as_str()).id(rule.as_ref());
    let mut snippet = Snippet::source(source.text.as_str())
        .path(source.name.as_str())
        .annotation(AnnotationKind::Primary.span(visible(source, *span)));
    for label in labels {
        snippet = snippet.annotation(
            AnnotationKind::Context.span(visible(source, label.span)).label(label.message.as_str()),
        );
    }
    let mut group: Group<'_> = title.element(snippet);
    if let Some(hint) = hint {
        group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
    }
    if let Some(fix) = fix {
        group = group.element(Level::HELP.with_name("fix").message(fix.message.as_str()));
    }
    let renderer = match colour {
        Colour::Never => Renderer::plain(),
        Colour::Always => Renderer::styled(),
    };
    let mut text = renderer.decor_style(DecorStyle::Ascii).render(&[group]);
    // A span at the very end of the text has no line of its own to be shown with.
    let at = source.position(span.start);
    let place = format!("{}:{}:{}", source.name, at.line, at.column);
    if !text.contains(&place) {
        let _ = write!(text, "\n --> {place}");
    }
    text.push('\n');
    text
}

/// All of them, in order of place, with an empty line between two.
pub fn render_all(diagnostics: &[Diagnostic], source: &Source, colour: Colour) -> String {
    let mut ordered: Vec<&Diagnostic> = diagnostics.iter().collect();
    ordered.sort_by_key(|it| it.span);
    let all: Vec<String> = ordered.iter().map(|it| render(it, source, colour)).collect();
    all.join("\n")
}

/// One diagnostic as one line of JSON.
pub fn json_line(diagnostic: &Diagnostic, source: &Source) -> String {
    json(diagnostic, source).to_string()
}

/// One diagnostic as an object: `rule`, `severity`, `message`, `file`, `line`, `column`,
/// `end_line`, `end_column`, and `hint`, `labels` and `fix` where there are any.
pub fn json(diagnostic: &Diagnostic, source: &Source) -> Value {
    let Diagnostic { rule, severity, span, message, hint, labels, fix } = diagnostic;
    let mut value = place(source, *span);
    value["rule"] = json!(rule);
    value["severity"] = json!(severity);
    value["message"] = json!(message);
    if let Some(hint) = hint {
        value["hint"] = json!(hint);
    }
    if !labels.is_empty() {
        let with_place = labels.iter().map(|label| {
            let mut at = place(source, label.span);
            at["message"] = json!(label.message);
            at
        });
        value["labels"] = with_place.collect();
    }
    if let Some(fix) = fix {
        let edits: Vec<Value> = fix
            .edits
            .iter()
            .map(|edit| {
                let mut at = place(source, edit.span);
                at["text"] = json!(edit.text);
                at
            })
            .collect();
        value["fix"] = json!({ "message": fix.message, "edits": edits });
    }
    value
}

fn place(source: &Source, span: Span) -> Value {
    let (start, end) = (source.position(span.start), source.position(span.end));
    json!({
        "file": source.name,
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
    })
}

/// The span as the renderer wants it: within the text, on character boundaries, and without the
/// newlines at its end.
fn visible(source: &Source, span: Span) -> Range<usize> {
    let start = source.floor(span.start as usize);
    let text = source.slice(span);
    start..start + text.trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::{Colour, json, render};
    use crate::{Diagnostic, Source, Span};

    #[test]
    fn the_place_and_the_hint_are_in_the_text() {
        let source = Source::new("Dockerfile", "FROM x\nCOPPY a b\n");
        let problem =
            Diagnostic::error("unknown-instruction", Span::new(7, 12), "unknown instruction")
                .hint("did you mean COPY?");
        let text = render(&problem, &source, Colour::Never);
        assert!(text.contains("Dockerfile:2:1"), "{text}");
        assert!(text.contains("unknown instruction"), "{text}");
        assert!(text.contains("hint: did you mean COPY?"), "{text}");
        assert!(text.contains("COPPY a b"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(render(&problem, &source, Colour::Always).contains('\u{1b}'));
    }

    #[test]
    fn any_span_renders() {
        for text in ["", "a", "ä\n", "\n\n", "a\r\nb"] {
            let source = Source::new("f", text);
            for start in 0..6 {
                for end in start..7 {
                    let problem = Diagnostic::error("r", Span::new(start, end), "m");
                    let at = source.position(u32::try_from(start).unwrap());
                    let out = render(&problem, &source, Colour::Never);
                    assert!(out.contains(&format!("f:{}:{}", at.line, at.column)), "{out}");
                }
            }
        }
    }

    #[test]
    fn json_has_lines_and_columns() {
        let source = Source::new("f", "a\nbc\n");
        let value = json(&Diagnostic::warning("r", Span::new(2, 4), "m"), &source);
        assert_eq!(value["line"], 2);
        assert_eq!(value["end_column"], 3);
        assert_eq!(value["severity"], "warning");
    }
}
