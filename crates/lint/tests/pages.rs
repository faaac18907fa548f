//! Runs every rule's page: its fenced blocks are the rule's tests. `UPDATE=1` writes findings and
//! fixed texts anew, to be read before they are kept.
//!
//! Blocks `text context` (a path and its bytes a line), `text dockerignore`, `text history` (a commit
//! a line: changed paths), `text pipeline NAME` and `toml settings` hold for the blocks below them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeMap, fs, path::PathBuf};
use strake_diag::{Diagnostic, Source};
use strake_lint::{
    Builder, Commit, ContextFacts, FixKind, History, IgnoreFile, Level, Outside, Remark, Rule,
    Safety, Settings, fix_file, lint, read_project, rules,
};

#[test]
fn pages() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for rule in rules::ALL.iter() {
        let page = play(rule, rule.doc, &mut wrong);
        if page == rule.doc {
            continue;
        }
        if update {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rules");
            fs::write(folder.join(format!("{}.md", rule.name)), page).unwrap();
        } else {
            let differs = page.lines().zip(rule.doc.lines()).find(|(a, b)| a != b);
            wrong.push(format!("{}: page and rule disagree: {differs:?}", rule.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_lists_all_rules() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("RULES.md");
    let table = rules::table();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &table).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), table, "UPDATE=1 writes it anew");
}

/// What is known beside the file, as blocks of a page have said so far.
#[derive(Default)]
struct Beside {
    context: Option<String>,
    ignore: Option<String>,
    shadowed: Option<String>,
    outside: Outside,
    settings: Settings,
}

impl Beside {
    fn set(&mut self, info: &str, body: &str) {
        match info {
            "text context" => self.context = Some(body.to_owned()),
            "text dockerignore" => self.ignore = Some(body.to_owned()),
            "text history" => {
                let commit = |(at, line): (usize, &str)| Commit {
                    time: 1_700_000_000 - i64::try_from(at).unwrap() * 86_400,
                    paths: line.split_whitespace().map(str::to_owned).collect(),
                };
                let commits = body.lines().enumerate().map(commit).collect();
                self.outside.history = Some(History { commits }.into());
            }
            "text shellcheck" => self.outside.remarks = remarks(body),
            "toml settings" => {
                self.settings = read_project("strake.toml", body).unwrap();
                self.outside.builder = self.settings.builder.unwrap_or(Builder::Strake);
            }
            _ if info.starts_with("text shadowed") => {
                let other = info.strip_prefix("text shadowed").unwrap().trim();
                self.shadowed = Some(other.to_owned()).filter(|it| !it.is_empty());
            }
            _ if info.starts_with("text platform ") => {
                let mut words = info.split(' ').skip(2).map(str::to_owned);
                let (image, wanted, has) = (words.next(), words.next(), words.next());
                let found = (wanted.unwrap(), has.unwrap());
                self.outside.platforms.insert(image.unwrap(), found);
            }
            _ => {
                let name = info.strip_prefix("text pipeline ").unwrap_or_else(|| panic!("{info}"));
                self.outside.pipelines = vec![(name.to_owned(), body.to_owned())].into();
            }
        }
        if let Some(text) = &self.context {
            let file = |line: &str| {
                let mut words = line.split_whitespace();
                let path = words.next().unwrap();
                let size = words.next().map_or(100, |it| it.parse().unwrap());
                let secret = words.next() == Some("secret");
                (path.trim_end_matches('/').to_owned(), size, path.ends_with('/'), secret)
            };
            let ignore = self
                .ignore
                .as_ref()
                .map(|it| IgnoreFile::new(".dockerignore", ".dockerignore", it));
            let files = text.lines().map(file).collect();
            let mut context = ContextFacts::new(files, ignore).unwrap();
            context.shadowed = self.shadowed.clone();
            self.outside.context = Some(context.into());
        }
    }
}

/// `STATEMENT LINE:COLUMN-LINE:COLUMN CODE LEVEL MESSAGE` a line.
fn remarks(body: &str) -> BTreeMap<usize, Vec<Remark>> {
    let mut all: BTreeMap<usize, Vec<Remark>> = BTreeMap::new();
    for line in body.lines() {
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        let place: Vec<usize> = words[1].split([':', '-']).map(|it| it.parse().unwrap()).collect();
        let remark = Remark {
            code: words[2].strip_prefix("SC").unwrap().parse().unwrap(),
            level: Level::read(words[3]).unwrap(),
            message: words[4].to_owned(),
            line: place[0],
            column: place[1],
            end_line: place[2],
            end_column: place[3],
        };
        all.entry(words[0].parse().unwrap()).or_default().push(remark);
    }
    all
}

/// The page with the findings and texts that the rule gives now.
fn play(rule: &'static Rule, page: &str, wrong: &mut Vec<String>) -> String {
    let (mut out, mut beside) = (String::new(), Beside::default());
    let (mut has, mut last) = ([0; 3], None::<Done>);
    for part in parts(page) {
        let Part { before, info, body } = part;
        out.push_str(before);
        let Some(info) = info else { continue };
        let body = match info {
            "dockerfile bad" => {
                has[0] += 1;
                let done = run(rule, body, &beside);
                if done.findings.is_empty() {
                    wrong.push(format!("{}: nothing is found in\n{body}", rule.name));
                }
                check_fixed(rule, &done, &beside, wrong);
                last = Some(done);
                body.to_owned()
            }
            "dockerfile good" => {
                has[1] += 1;
                let done = run(rule, body, &beside);
                if !done.findings.is_empty() {
                    wrong.push(format!("{}: good\n{body}is flagged: {}", rule.name, done.findings));
                }
                body.to_owned()
            }
            "text findings" => last.as_ref().unwrap().findings.clone(),
            "dockerfile fixed" => {
                has[2] += 1;
                last.as_ref().unwrap().fixed.clone()
            }
            "text written" => last.as_ref().unwrap().written.clone(),
            _ => {
                beside.set(info, body);
                body.to_owned()
            }
        };
        out.push_str(&format!("```{info}\n{body}```\n"));
    }
    let fixes = rule.fix != FixKind::None;
    if has[0] == 0 || has[1] == 0 || (has[2] > 0) != fixes && !page.contains("```text written") {
        wrong.push(format!("{}: a page has bad, good, and fixed where there is a fix", rule.name));
    }
    out
}

struct Done {
    findings: String,
    fixed: String,
    written: String,
    text: String,
    safest: Option<Safety>,
}

fn run(rule: &'static Rule, text: &str, beside: &Beside) -> Done {
    let settings = Settings { select: vec![rule.name.to_owned()], ..beside.settings.clone() };
    let source = Source::new("Dockerfile", text);
    let report = lint(&source, &beside.outside, &settings).unwrap();
    let mut findings = String::new();
    let mut safest = None;
    for it in &report.findings {
        let at = source.position(it.span.start);
        let place = match &it.file {
            None => format!("{}:{}", at.line, at.column),
            Some(file) => format!("{file}:{}", it.span.start + 1),
        };
        findings.push_str(&format!("{place} {}\n", it.message));
        for line in &it.evidence {
            findings.push_str(&format!("  {line}\n"));
        }
        let allowed = match rule.fix {
            FixKind::None => None,
            FixKind::Sometimes(it) | FixKind::Always(it) => Some(it),
        };
        if let Some(fix) = &it.fix {
            assert!(
                allowed.is_some_and(|it| fix.safety <= it),
                "{}: fix is not as told",
                rule.name
            );
            safest = safest.max(Some(fix.safety));
        }
    }
    let fixed = fix_file(&source, &beside.outside, &settings, Safety::DisplayOnly).unwrap();
    let written = fixed.files.iter().map(|(name, text)| format!("{name}:\n{text}")).collect();
    Done { findings, fixed: fixed.text, written, text: text.to_owned(), safest }
}

/// What is fixed parses, and fixing again changes nothing.
fn check_fixed(rule: &'static Rule, done: &Done, beside: &Beside, wrong: &mut Vec<String>) {
    if done.fixed == done.text {
        return;
    }
    let (_, problems) = strake_dockerfile::parse(&Source::new("f", done.fixed.clone()));
    if problems.iter().any(Diagnostic::is_error) {
        wrong.push(format!("{}: the fixed text does not parse:\n{}", rule.name, done.fixed));
    }
    let again = run(rule, &done.fixed, beside);
    if again.fixed != done.fixed {
        wrong.push(format!("{}: the fix is not final:\n{}", rule.name, again.fixed));
    }
    assert!(done.safest.is_some());
}

struct Part<'a> {
    before: &'a str,
    info: Option<&'a str>,
    body: &'a str,
}

fn parts(page: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find("```") {
        let (before, block) = rest.split_at(at);
        let (info, block) = block[3..].split_once('\n').unwrap();
        let (body, after) = block.split_at(block.find("```").unwrap());
        parts.push(Part { before, info: Some(info), body });
        rest = after[3..].strip_prefix('\n').unwrap_or(&after[3..]);
    }
    parts.push(Part { before: rest, info: None, body: "" });
    parts
}
