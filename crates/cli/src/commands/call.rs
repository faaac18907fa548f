//! `strake build --call`: what is asked of a Dockerfile instead of building it. Texts and JSON are
//! those of `docker buildx build --call`.

use crate::{failure::Failure, say};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use strake_diag::Source;
use strake_dockerfile::{Outline, OutlineArg, OutlineMount, Target};

/// What is asked, and how it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) ask: Ask,
    pub(crate) json: bool,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The arguments, secrets and agents that a target takes.
    Outline,
    /// The stages.
    Targets,
    /// What BuildKit's checks find.
    Check,
}

/// Reads `--call METHOD[,format=json|text]`; nothing for a build.
pub(crate) fn read(written: Option<&str>, check: bool) -> Result<Option<Call>, Failure> {
    if check {
        return read(Some("check"), false);
    }
    let Some(written) = written else { return Ok(None) };
    let mut parts = written.split(',');
    let (mut method, mut json) = (parts.next().unwrap_or_default(), false);
    if let Some(name) = method.strip_prefix("method=") {
        method = name;
    }
    for part in parts {
        json = match part {
            "format=json" => true,
            "format=text" => false,
            _ => {
                return Err(Failure::usage(format!("--call {written}: unknown part `{part}`"))
                    .hint("write e.g. --call=outline,format=json"));
            }
        };
    }
    match method {
        "build" | "" => Ok(None),
        "outline" => Ok(Some(Call { ask: Ask::Outline, json })),
        "targets" => Ok(Some(Call { ask: Ask::Targets, json })),
        "check" | "lint" => Ok(Some(Call { ask: Ask::Check, json })),
        other => Err(Failure::usage(format!("--call={other} is not known"))
            .hint("use build, check, outline or targets")),
    }
}

/// Tells what a target takes.
pub(crate) fn tell_outline(call: Call, outline: &Outline, source: &Source) {
    if call.json {
        say::data(&format!("{:#}", outline_json(outline, source)));
    } else {
        outline_text(outline).iter().for_each(|it| say::data(it));
    }
}

/// Tells which stages there are.
pub(crate) fn tell_targets(call: Call, targets: &[Target], source: &Source) {
    if call.json {
        let all: Vec<Value> = targets.iter().map(target_json).collect();
        let told = json!({ "targets": all, "sources": [base64(&source.text)] });
        say::data(&format!("{told:#}"));
        return;
    }
    let mut rows = vec![["TARGET".to_owned(), "DESCRIPTION".to_owned()]];
    rows.extend(targets.iter().map(|it| {
        let name = match (it.name.as_str(), it.default) {
            ("", true) => "(default)".to_owned(),
            (name, true) => format!("{name} (default)"),
            (name, false) => name.to_owned(),
        };
        [name, it.description.clone()]
    }));
    table(&rows).iter().for_each(|it| say::data(it));
}

fn outline_text(outline: &Outline) -> Vec<String> {
    let Outline { name, description, args, secrets, ssh } = outline;
    let mut lines = Vec::new();
    if !name.is_empty() || !description.is_empty() {
        lines.push(format!("TARGET:      {name}"));
        if !description.is_empty() {
            lines.push(format!("DESCRIPTION: {description}"));
        }
        lines.push(String::new());
    }
    if !args.is_empty() {
        let mut rows = vec![["BUILD ARG".to_owned(), "VALUE".to_owned(), "DESCRIPTION".to_owned()]];
        rows.extend(
            args.iter().map(|it| [it.name.clone(), it.value.clone(), it.description.clone()]),
        );
        lines.extend(table(&rows));
        lines.push(String::new());
    }
    for (heading, mounts) in [("SECRET", secrets), ("SSH", ssh)] {
        if mounts.is_empty() {
            continue;
        }
        let mut rows = vec![[heading.to_owned(), "REQUIRED".to_owned()]];
        let required = |it: &OutlineMount| if it.required { "true" } else { "" }.to_owned();
        rows.extend(mounts.iter().map(|it| [it.name.clone(), required(it)]));
        lines.extend(table(&rows));
        lines.push(String::new());
    }
    lines
}

/// Columns with three spaces between them.
fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter().map(|it| it[column].chars().count()).max().unwrap_or_default() + 3
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn outline_json(outline: &Outline, source: &Source) -> Value {
    let Outline { name, description, args, secrets, ssh } = outline;
    let mut told = Map::new();
    put(&mut told, "name", name);
    put(&mut told, "description", description);
    let args: Vec<Value> = args.iter().map(arg_json).collect();
    let secrets: Vec<Value> = secrets.iter().map(mount_json).collect();
    let ssh: Vec<Value> = ssh.iter().map(mount_json).collect();
    for (key, all) in [("args", args), ("secrets", secrets), ("ssh", ssh)] {
        if !all.is_empty() {
            told.insert(key.to_owned(), all.into());
        }
    }
    told.insert("sources".to_owned(), json!([base64(&source.text)]));
    told.into()
}

fn arg_json(arg: &OutlineArg) -> Value {
    let OutlineArg { name, description, value, lines } = arg;
    let mut told = Map::new();
    put(&mut told, "name", name);
    put(&mut told, "description", description);
    put(&mut told, "value", value);
    told.insert("location".to_owned(), location(*lines));
    told.into()
}

fn mount_json(mount: &OutlineMount) -> Value {
    let OutlineMount { name, required, lines } = mount;
    let mut told = Map::new();
    put(&mut told, "name", name);
    if *required {
        told.insert("required".to_owned(), true.into());
    }
    told.insert("location".to_owned(), location(*lines));
    told.into()
}

fn target_json(target: &Target) -> Value {
    let Target { name, description, default, base, platform, lines } = target;
    let mut told = Map::new();
    put(&mut told, "name", name);
    if *default {
        told.insert("default".to_owned(), true.into());
    }
    put(&mut told, "description", description);
    put(&mut told, "base", base);
    put(&mut told, "platform", platform);
    told.insert("location".to_owned(), location(*lines));
    told.into()
}

/// Empty texts are left out, as buildx leaves them out.
fn put(told: &mut Map<String, Value>, key: &str, value: &str) {
    if !value.is_empty() {
        told.insert(key.to_owned(), value.into());
    }
}

/// One range a line.
fn location((first, last): (u32, u32)) -> Value {
    let line = |it: u32| json!({ "start": { "line": it }, "end": { "line": it } });
    json!({ "ranges": (first..=last).map(line).collect::<Vec<Value>>() })
}

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Fails where the checks find something, for a build that asks for it.
pub(crate) fn violations(report: &strake_lint::Report) -> Result<(), Failure> {
    let found = report.findings.iter().filter_map(|it| Some((it.rule.buildkit()?, it)));
    let names: std::collections::BTreeSet<&str> = found.clone().map(|it| it.0).collect();
    let Some((_, first)) = found.clone().next() else { return Ok(()) };
    let line = report.source.position(first.span.start).line;
    let names: Vec<&str> = names.into_iter().collect();
    let text = format!("line {line}: checks that are errors here found {}", names.join(", "));
    Err(Failure::new(text)
        .hint("`strake build --check` tells all of it, `# check=error=true` asks for it"))
}

/// Tells what BuildKit's checks find; something is a failure.
pub(crate) fn tell_checks(call: Call, report: &strake_lint::Report) -> Result<(), Failure> {
    let source = &report.source;
    let found: Vec<&strake_lint::Finding> =
        report.findings.iter().filter(|it| it.rule.buildkit().is_some()).collect();
    if call.json {
        let warnings: Vec<Value> = found.iter().map(|it| warning(it, source)).collect();
        let told = json!({ "warnings": warnings, "sources": [base64(&source.text)] });
        say::data(&format!("{told:#}"));
    } else if found.is_empty() {
        say::data("Check complete, no warnings found.");
    } else {
        let count = if found.len() == 1 {
            "1 warning has".to_owned()
        } else {
            format!("{} warnings have", found.len())
        };
        say::data(&format!("Check complete, {count} been found!"));
        for it in &found {
            let name = it.rule.buildkit().unwrap_or_default();
            say::data(&format!("\nWARNING: {name}"));
            let shown = strake_diag::Diagnostic::warning(it.rule.name, it.span, it.message.clone());
            say::data(strake_diag::render(&shown, source, strake_diag::Colour::Never).trim_end());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("{} checks found something", found.len()))
        .hint("`strake rules NAME` explains one, `# check=skip=NAME` leaves one out"))
}

fn warning(it: &strake_lint::Finding, source: &Source) -> Value {
    // BuildKit points to the instruction that does not count, not to the one that does.
    let above =
        it.labels.first().filter(|_| it.rule.buildkit() == Some("MultipleInstructionsDisallowed"));
    let span = above.map_or(it.span, |it| it.span);
    let (start, end) = (source.position(span.start), source.position(span.end));
    json!({
        "ruleName": it.rule.buildkit(),
        "description": it.rule.summary(),
        "detail": it.message,
        "location": { "ranges": [{
            "start": { "line": start.line },
            "end": { "line": end.line.max(start.line) },
        }] },
    })
}
