//! Puts fixes in.

use crate::{Finding, Outside, Report, Safety, Settings, SettingsError, lint};
use strake_diag::{Diagnostic, Edit, Source};

/// A file after its fixes.
#[derive(Debug)]
pub struct Fixed {
    /// The text.
    pub text: String,
    /// How many fixes went in, all passes together.
    pub count: usize,
    /// Other files to write: name in the context, and text.
    pub files: Vec<(String, String)>,
    /// What is left.
    pub report: Report,
}

/// Passes until nothing more goes in; one fix may make room for the next.
const PASSES: usize = 12;

/// Puts in all fixes up to `safety`, again and again until there are none.
pub fn fix_file(
    source: &Source,
    outside: &Outside,
    settings: &Settings,
    safety: Safety,
) -> Result<Fixed, SettingsError> {
    let mut source = source.clone();
    let mut report = lint(&source, outside, settings)?;
    let (mut count, mut files) = (0, Vec::new());
    for _ in 0..PASSES {
        let (text, applied) = apply(&source.text, &report.findings, safety);
        for finding in &report.findings {
            if let Some(fix) = finding.fix.as_ref().filter(|it| it.safety <= safety) {
                for file in &fix.files {
                    if !files.contains(file) {
                        files.push(file.clone());
                        count += 1;
                    }
                }
            }
        }
        if applied == 0 || text == source.text {
            break;
        }
        let next = Source::new(source.name.clone(), text);
        let errors = |it: &[Diagnostic]| it.iter().filter(|it| it.is_error()).count();
        let after = lint(&next, outside, settings)?;
        // A fix never makes a file worse: that pass is thrown away.
        if errors(&after.problems) > errors(&report.problems) {
            break;
        }
        count += applied;
        source = next;
        report = after;
    }
    // What another file mends is found no more once that is written.
    let written = |it: &Finding| {
        let fix = it.fix.as_ref().filter(|it| it.safety <= safety);
        fix.is_some_and(|it| it.files.iter().any(|it| files.contains(it)))
    };
    report.findings.retain(|it| !written(it));
    Ok(Fixed { text: source.text, count, files, report })
}

/// The text with the fixes of `findings` up to `safety`, and how many went in. Of two that touch the
/// same place the first goes in.
pub fn apply(text: &str, findings: &[Finding], safety: Safety) -> (String, usize) {
    let mut taken: Vec<&Edit> = Vec::new();
    let mut count = 0;
    for finding in findings.iter().filter(|it| it.file.is_none()) {
        let Some(fix) = finding.fix.as_ref().filter(|it| it.safety <= safety) else { continue };
        if fix.edits.is_empty() {
            continue;
        }
        let clash = |edit: &Edit| {
            taken.iter().any(|it| {
                it.span.start < edit.span.end && edit.span.start < it.span.end
                    || it.span.start == edit.span.start
            })
        };
        let sound = |edit: &Edit| {
            let (start, end) = (edit.span.start as usize, edit.span.end as usize);
            text.is_char_boundary(start) && text.is_char_boundary(end) && end <= text.len()
        };
        if fix.edits.iter().any(clash) || !fix.edits.iter().all(sound) {
            continue;
        }
        taken.extend(&fix.edits);
        count += 1;
    }
    taken.sort_by_key(|it| it.span);
    let mut out = String::new();
    let mut at = 0;
    for Edit { span, text: new } in taken {
        out.push_str(&text[at..span.start as usize]);
        out.push_str(new);
        at = span.end as usize;
    }
    out.push_str(&text[at..]);
    (out, count)
}
