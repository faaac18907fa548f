//! Points of other linters' tests and trackers, in Dockerfiles of our own: `testdata/lint/elsewhere`.
//! `UPDATE=1` writes the answers anew, to be read before they are kept.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::PathBuf};
use strake_diag::Source;
use strake_lint::{Outside, Settings, lint};

#[test]
fn points_of_others_are_answered() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/lint/elsewhere");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("README.md") {
            continue;
        }
        let page = fs::read_to_string(&path).unwrap();
        let mut sections = page.split("\n## ");
        let mut answered = sections.next().unwrap().to_owned();
        for section in sections {
            answered.push_str("\n## ");
            answered.push_str(&answer(section));
            count += 1;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, answered).unwrap();
        } else {
            assert_eq!(answered, page, "{}", path.display());
        }
    }
    assert!(count >= 50);
}

/// A section with what is found now in the place of what it says.
fn answer(section: &str) -> String {
    let question = section.split("\n```text\n").next().unwrap().trim_end();
    let rules = question.lines().find_map(|it| it.strip_prefix("Rules: ")).unwrap();
    let text = question.split_once("```dockerfile\n").unwrap().1;
    let source = Source::new("Dockerfile", text.strip_suffix("```").unwrap());
    let settings =
        Settings { select: rules.split(", ").map(str::to_owned).collect(), ..Settings::default() };
    let report = lint(&source, &Outside::default(), &settings).unwrap();
    let mut found = String::new();
    for it in report.problems.iter().filter(|it| it.is_error()) {
        let line = source.position(it.span.start).line;
        found.push_str(&format!("{line} error: {}\n", it.message));
    }
    for it in &report.findings {
        let line = source.position(it.span.start).line;
        let also = it.rule.hadolint().or(it.rule.buildkit());
        let also = also.map_or(String::new(), |it| format!(" ({it})"));
        found.push_str(&format!("{line} {}{also}\n", it.name()));
    }
    let found = if found.is_empty() { "nothing\n".to_owned() } else { found };
    format!("{question}\n\n```text\n{found}```\n")
}
