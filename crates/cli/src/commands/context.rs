//! `strake context`: what a build context contains, and what the ignore file does about it.

use crate::linting::args::ContextArgs;
use crate::linting::context::look;
use crate::{failure::Failure, say};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use strake_lint::{ContextFacts, ContextFile, Ignoring, bytes, suggested_ignores};

/// So many of the largest are shown.
const LARGEST: usize = 10;

pub(crate) fn run(args: &ContextArgs) -> Result<(), Failure> {
    let ContextArgs { context, file, list, why, suggest, format } = args;
    if !context.is_dir() {
        return Err(Failure::usage(format!("{} is no folder", context.display()))
            .hint("`strake context` looks at folders on this machine"));
    }
    let facts = look(context, file.as_deref())?;
    if *suggest {
        let lines = suggested_ignores(&facts, None);
        let old = facts.ignore.as_ref().map(|it| it.text.clone()).unwrap_or_default();
        let new = lines.iter().filter(|it| !old.lines().any(|old| old == it.as_str()));
        let text: Vec<String> = old.lines().map(str::to_owned).chain(new.cloned()).collect();
        say::data(&text.join("\n"));
        return Ok(());
    }
    if !why.is_empty() {
        return why.iter().try_for_each(|path| told_why(&facts, path, context));
    }
    if format == "json" {
        say::data(&format!("{:#}", object(&facts)));
        return Ok(());
    }
    if *list {
        facts.files.iter().for_each(|it| say::data(&line(&facts, it)));
        return Ok(());
    }
    overview(&facts);
    Ok(())
}

fn rule(facts: &ContextFacts, line: usize) -> String {
    let ignore = facts.ignore.as_ref();
    let pattern = ignore.and_then(|it| it.patterns.iter().find(|it| it.0 == line));
    let path = ignore.map_or("", |it| it.path.as_str());
    format!("{path}:{}: {}", line + 1, pattern.map_or("", |it| it.1.as_str()))
}

fn line(facts: &ContextFacts, file: &ContextFile) -> String {
    let ContextFile { path, size, folder, line, ignored, secret } = file;
    let mark = if *ignored { "-" } else { "+" };
    let what = if *folder { "folder".to_owned() } else { bytes(*size) };
    let by = line.map(|it| format!("  ({})", rule(facts, it))).unwrap_or_default();
    let secret = if *secret { "  looks like a secret" } else { "" };
    format!("{mark} {path}  {what}{by}{secret}")
}

fn told_why(facts: &ContextFacts, path: &str, context: &Path) -> Result<(), Failure> {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let wrong = |it: strake_context::ContextError| Failure::new(crate::failure::chain(&it));
    let ignoring = facts.ignore.as_ref().map(Ignoring::new).transpose().map_err(wrong)?;
    let (ignored, decides, hits) = ignoring.map(|it| it.of(path)).unwrap_or_default();
    let there =
        if context.join(path).symlink_metadata().is_ok() { "" } else { ", and is not there" };
    let verdict = if ignored { "left out" } else { "sent" };
    say::data(&format!("{path}: {verdict}{there}"));
    for hit in hits {
        let mark = if Some(hit) == decides { "decides" } else { "matches, too" };
        say::data(&format!("    {} {mark}", rule(facts, hit)));
    }
    Ok(())
}

/// Sizes of what lies at the top, the largest first.
fn largest(facts: &ContextFacts) -> Vec<(String, u64, usize)> {
    let mut tops: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for file in facts.kept().filter(|it| !it.folder) {
        let top = file.path.split('/').next().unwrap_or(&file.path);
        let entry = tops.entry(top).or_default();
        *entry = (entry.0 + file.size, entry.1 + 1);
    }
    let mut all: Vec<(String, u64, usize)> =
        tops.into_iter().map(|(path, (size, count))| (path.to_owned(), size, count)).collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.1));
    all
}

fn dead(facts: &ContextFacts) -> Vec<usize> {
    let ignore = facts.ignore.iter();
    ignore
        .flat_map(|it| it.patterns.iter().map(|it| it.0).filter(|line| !it.alive.contains(line)))
        .collect()
}

fn overview(facts: &ContextFacts) {
    let (size, count) = facts.size_of("");
    let cut = if facts.cut { " or more" } else { "" };
    say::data(&format!("{} in {count} files{cut} are sent", bytes(size)));
    match &facts.ignore {
        Some(ignore) => {
            let left: usize = facts.files.iter().filter(|it| it.ignored).count();
            let lines = ignore.patterns.len();
            say::data(&format!("{}: {lines} patterns leave out {left} entries", ignore.path));
        }
        None => say::data("there is no .dockerignore"),
    }
    if let Some(other) = &facts.shadowed {
        say::data(&format!("{other} does not count beside it"));
    }
    section(
        "largest:",
        largest(facts)
            .iter()
            .take(LARGEST)
            .map(|(path, size, count)| format!("{:>10}  {path} ({count} files)", bytes(*size))),
    );
    section("patterns that match nothing:", dead(facts).into_iter().map(|it| rule(facts, it)));
    let secrets = facts.kept().filter(|it| it.secret).map(|it| it.path.clone());
    section("looks like secrets:", secrets);
    let old = facts.ignore.as_ref().map(|it| it.text.clone()).unwrap_or_default();
    let new = suggested_ignores(facts, None);
    let new = new.into_iter().filter(|it| !old.lines().any(|old| old == it.as_str()));
    section("the ignore file could have (--suggest writes it):", new);
}

fn section(title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        say::data(&format!("\n{title}"));
        lines.iter().for_each(|it| say::data(&format!("  {it}")));
    }
}

fn object(facts: &ContextFacts) -> Value {
    let (size, count) = facts.size_of("");
    let files: Vec<Value> = facts
        .files
        .iter()
        .map(|it| {
            json!({
                "path": it.path,
                "size": it.size,
                "folder": it.folder,
                "sent": !it.ignored,
                "line": it.line.map(|it| it + 1),
                "secret": it.secret,
            })
        })
        .collect();
    json!({
        "size": size,
        "count": count,
        "ignore_file": facts.ignore.as_ref().map(|it| &it.path),
        "shadowed": facts.shadowed,
        "dead_patterns": dead(facts).into_iter().map(|it| it + 1).collect::<Vec<_>>(),
        "suggested": suggested_ignores(facts, None),
        "files": files,
    })
}
