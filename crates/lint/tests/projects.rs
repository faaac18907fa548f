//! Projects with planted mistakes: what is found, and what all fixes make of them. `UPDATE=1` writes it
//! anew, to be read before it is kept.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::PathBuf};
use strake_diag::Source;
use strake_lint::{
    Builder, Commit, ContextFacts, History, IgnoreFile, Outside, Safety, Settings, fix_file, lint,
};

#[test]
fn planted_mistakes_are_found_and_mended() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/lint/projects");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        let played = play(&page);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, played).unwrap();
        } else {
            assert_eq!(played, page, "{}", path.display());
        }
        count += 1;
    }
    assert!(count >= 20);
}

fn play(page: &str) -> String {
    let block = |info: &str| {
        let at = page.find(&format!("```{info}\n"))? + info.len() + 4;
        page[at..].split("```").next().map(str::to_owned)
    };
    let file = |line: &str| {
        let mut words = line.split_whitespace();
        let path = words.next().unwrap();
        let size = words.next().map_or(0, |it| it.parse().unwrap());
        (path.trim_end_matches('/').to_owned(), size, path.ends_with('/'), words.next().is_some())
    };
    let ignore = block("text dockerignore");
    let ignore = ignore.map(|it| IgnoreFile::new(".dockerignore", ".dockerignore", &it));
    let files = block("text context").unwrap().lines().map(file).collect();
    let history = block("text history").map(|it| {
        let commit = |(at, line): (usize, &str)| Commit {
            time: 1_700_000_000 - i64::try_from(at).unwrap() * 86_400,
            paths: line.split_whitespace().map(str::to_owned).collect(),
        };
        History { commits: it.lines().enumerate().map(commit).collect() }.into()
    });
    let builder = if page.contains("# kaniko") { Builder::Kaniko } else { Builder::Strake };
    let context = Some(ContextFacts::new(files, ignore).unwrap().into());
    let outside = Outside { builder, context, history, ..Outside::default() };
    let source = Source::new("Dockerfile", block("dockerfile before").unwrap());
    let settings = Settings::default();
    let report = lint(&source, &outside, &settings).unwrap();
    let mut findings = String::new();
    for it in &report.findings {
        let place = match &it.file {
            Some(file) => format!("{file}:{}", it.span.start + 1),
            None => source.position(it.span.start).line.to_string(),
        };
        findings.push_str(&format!("{place} {}: {}\n", it.rule.name, it.message));
        it.evidence.iter().for_each(|it| findings.push_str(&format!("  {it}\n")));
    }
    let fixed = fix_file(&source, &outside, &settings, Safety::Unsafe).unwrap();
    let (_, problems) = strake_dockerfile::parse(&Source::new("f", fixed.text.clone()));
    assert!(problems.iter().all(|it| !it.is_error()), "{}", fixed.text);
    let written: String = fixed.files.iter().map(|it| format!("{}:\n{}", it.0, it.1)).collect();
    let mut played = page.to_owned();
    for (info, text) in
        [("text findings", findings), ("dockerfile after", fixed.text), ("text written", written)]
    {
        let at = played.find(&format!("```{info}\n")).unwrap() + info.len() + 4;
        let end = at + played[at..].find("```").unwrap();
        played.replace_range(at..end, &text);
    }
    played
}
