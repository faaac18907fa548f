//! How problems are put: rules, "did you mean", short forms.

use strake_diag::{Diagnostic, Span};

/// What most functions here return: a value, or what is wrong with the text.
pub(crate) type Outcome<T> = Result<T, Box<Diagnostic>>;

/// An error under `rule`.
pub(crate) fn error(rule: &'static str, span: Span, message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(rule, span, message))
}

/// An error under `rule` with a hint.
pub(crate) fn error_hint(
    rule: &'static str,
    span: Span,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(rule, span, message).hint(hint))
}

/// The candidate that `written` was probably meant to be.
pub(crate) fn did_you_mean<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    if written.len() > 40 {
        return None;
    }
    candidates
        .into_iter()
        .map(|it| (distance(&written, &it.to_ascii_lowercase()), it))
        .filter(|(distance, it)| *distance <= 1 + it.len().min(written.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, it)| it)
}

/// Edits between two words: insert, delete, replace or swap one character.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![(0..=right.len()).collect::<Vec<usize>>()];
    for (i, from) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in right.iter().enumerate() {
            let replace = rows[i][j] + usize::from(from != to);
            let mut best = replace.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && left[i - 1] == *to && right[j - 1] == *from {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["COPY", "RUN", "WORKDIR", "ENTRYPOINT"];
        for (written, want) in [
            ("COPPY", Some("COPY")),
            ("cpoy", Some("COPY")),
            ("WORKDI", Some("WORKDIR")),
            ("ENTRYPIONT", Some("ENTRYPOINT")),
            ("APT-GET", None),
            ("R", None),
        ] {
            assert_eq!(did_you_mean(written, known), want, "{written}");
        }
    }
}
