//! Bytes that lie in layers for nothing.

use crate::facts::{Install, install};
use crate::rule::{Fix, FixKind, Rule, Safety, Sink, edit};
use crate::{Cmd, Facts, Join, Step};
use std::collections::BTreeMap;
use strake_dockerfile::Instruction;

pub(super) static RULES: &[&Rule] = &[
    &CHOWN, &REMOVED_LATER, &COPIED_TWICE, &INSTALLED_TWICE, &WIDE_FROM, &BUILD_TOOLS, &COMPILED,
];

rule!(CHOWN = "chown-doubles-layer", [], Cache, Warning, on, FixKind::Sometimes(Safety::Unsafe), chown);
rule!(REMOVED_LATER = "removed-in-later-layer", [], Cache, Warning, on, FixKind::None, removed_later);
rule!(COPIED_TWICE = "copied-twice", [], Cache, Info, on, FixKind::None, copied_twice);
rule!(INSTALLED_TWICE = "installed-twice", [], Cache, Info, on, FixKind::None, installed_twice);
rule!(WIDE_FROM = "wide-copy-from-stage", [], Cache, Info, on, FixKind::None, wide_from);
rule!(BUILD_TOOLS = "build-tools-shipped", [], Cache, Info, off, FixKind::None, build_tools);
rule!(COMPILED = "times-in-layers", [], Cache, Info, off, FixKind::None, compiled);

/// Where a COPY puts things: the folder, and whether it is the destination itself that is named.
fn dest(facts: &Facts<'_>, step: &Step<'_>) -> Option<String> {
    let transfer = step.transfer()?;
    facts.dest_of(step, &transfer).map(|it| it.trim_end_matches('/').to_owned())
}

fn absolute(step: &Step<'_>, path: &str) -> Option<String> {
    let path = path.trim_end_matches(['*', '/']);
    match path {
        it if it.starts_with('/') => Some(it.to_owned()),
        "" | "." => step.cwd.clone(),
        it if it.starts_with('$') => None,
        it => Some(format!("{}/{}", step.cwd.as_deref()?.trim_end_matches('/'), it.trim_start_matches("./"))),
    }
}

fn chown(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs().filter(|it| !it.onbuild) {
        let Some(stage) = step.stage else { continue };
        for cmd in step.script.commands.iter().filter(|it| it.is(&["chown", "chmod"])) {
            let deep = cmd.has_flag(&["R", "recursive"]);
            let operands: Vec<_> = cmd.plain().collect();
            let Some((how, targets)) = operands.split_first() else { continue };
            for target in targets {
                let Some(path) = absolute(step, &target.text) else { continue };
                let copied = facts.steps_of(stage).iter().find(|it| {
                    it.index < step.index && it.transfer().is_some() && !it.onbuild && dest(facts, it).is_some_and(|dest| {
                        dest == path || deep && dest.starts_with(&format!("{path}/"))
                    })
                });
                let Some(copy) = copied.filter(|_| deep) else { continue };
                let flag = if cmd.name == "chown" { "--chown" } else { "--chmod" };
                let message = format!("{} -R writes all that was copied a second time, into this layer", cmd.name);
                let finding = out.at(cmd.span, message);
                finding.label(copy.span(), "copied here").hint(format!("write COPY {flag}={}", how.text));
                if let Some(it) = size(facts, copy) {
                    finding.evidence(format!("that is {it}"));
                }
                if let Some(fix) = onto_copy(facts, step, cmd, copy, flag, &how.text, &path) {
                    finding.fix(fix);
                }
                break;
            }
        }
    }
}

fn size(facts: &Facts<'_>, copy: &Step<'_>) -> Option<String> {
    let (context, transfer) = (facts.outside.context.as_ref()?, copy.from_context()?);
    let files = context.kept().filter(|it| !it.folder && transfer.selects(&it.path));
    let (sum, count) = files.fold((0, 0), |(sum, count), it| (sum + it.size, count + 1));
    (count > 0).then(|| format!("{} in {count} files", crate::bytes(sum)))
}

/// Takes the command out and gives the COPY a flag, where the RUN does nothing else.
fn onto_copy(
    facts: &Facts<'_>,
    step: &Step<'_>,
    cmd: &Cmd,
    copy: &Step<'_>,
    flag: &str,
    value: &str,
    path: &str,
) -> Option<Fix> {
    let exact = dest(facts, copy).as_deref() == Some(path);
    let between = &facts.steps[copy.index + 1..step.index];
    let quiet = between.iter().all(|it| it.run().is_none() && it.transfer().is_none());
    let alone = step.script.commands.len() == 1 && cmd.plain().count() == 2;
    let number = value.bytes().all(|it| it.is_ascii_digit() || it == b':');
    let has = copy.statement.flags.iter().any(|it| flag == format!("--{}", it.name));
    let symbolic = flag == "--chown" || number;
    if !exact || !quiet || !alone || has || value.contains('$') || !symbolic {
        return None;
    }
    let keyword = copy.statement.keyword.span;
    let at = strake_diag::Span { start: keyword.end, end: keyword.end };
    let lines = facts.whole_lines(step.index);
    let edits = vec![edit(at, format!(" {flag}={value}")), edit(lines, "")];
    Some(Fix::risky(format!("write COPY {flag}={value}"), edits))
}

fn removed_later(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let shipped = stage.index + 1 == facts.stages.len()
            || facts.stages.iter().any(|it| it.base == crate::Base::Stage(stage.index));
        if !shipped {
            continue;
        }
        let steps = facts.steps_of(stage.index);
        for step in steps.iter().filter(|it| it.run().is_some() && !it.onbuild) {
            for cmd in step.script.commands.iter().filter(|it| it.is(&["rm"])) {
                if let Some((path, from)) = cmd.plain().find_map(|it| made_above(facts, step, steps, &it.text)) {
                    let message = format!("{path} stays in the layer below, this only hides it");
                    let finding = out.at(cmd.span, message);
                    finding.label(from.span(), "it is written here");
                    finding.hint("remove it in the RUN that makes it, mount it, or leave it to a stage");
                    if let Some(it) = size(facts, from) {
                        finding.evidence(format!("what was copied is {it}"));
                    }
                    break;
                }
            }
        }
    }
}

/// A path of `rm`, and the step above that made it.
fn made_above<'a>(
    facts: &Facts<'_>,
    step: &Step<'_>,
    steps: &'a [Step<'a>],
    written: &str,
) -> Option<(String, &'a Step<'a>)> {
    let path = absolute(step, written)?;
    if path.is_empty() || path == "/" {
        return None;
    }
    let own = step.script.commands.iter().any(|it| !it.is(&["rm"]) && makes(step, it, &path));
    let above = steps.iter().filter(|it| it.index < step.index && !it.onbuild);
    let found = above.rev().find(|it| {
        let copied = it.transfer().is_some_and(|transfer| {
            let Some(folder) = facts.dest_of(it, &transfer) else { return false };
            let folder = folder.trim_end_matches('/');
            let named = transfer.files.sources.iter().any(|source| {
                let name = source.text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
                path == format!("{folder}/{name}")
            });
            path == folder || named
        });
        copied || it.script.commands.iter().any(|cmd| makes(it, cmd, &path))
    });
    found.filter(|_| !own).map(|it| (path, it))
}

/// A download or an archive at this path.
fn makes(step: &Step<'_>, cmd: &Cmd, path: &str) -> bool {
    let writes = cmd.redirects.iter().any(|it| it.writes && absolute(step, &it.file).as_deref() == Some(path));
    let output = cmd.value_of(&["-o", "--output", "-O", "--output-document"]);
    let loads = cmd.is(&["curl", "wget"]) && output.is_some_and(|it| absolute(step, &it.text).as_deref() == Some(path));
    let clones = cmd.is(&["git"]) && cmd.verb(&["clone"])
        && cmd.plain().last().is_some_and(|it| absolute(step, &it.text).as_deref() == Some(path));
    writes || loads || clones
}

fn copied_twice(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = &facts.outside.context else { return };
    for stage in &facts.stages {
        let steps = facts.steps_of(stage.index);
        let copies: Vec<&Step<'_>> =
            steps.iter().filter(|it| it.from_context().is_some_and(|it| !it.add)).collect();
        for (at, late) in copies.iter().enumerate() {
            let (Some(second), Some(to)) = (late.from_context(), dest(facts, late)) else { continue };
            for early in &copies[..at] {
                let (Some(first), Some(from)) = (early.from_context(), dest(facts, early)) else { continue };
                let same = from == to && first.is_wide() == second.is_wide();
                let inside = second.is_wide() && !first.is_wide();
                if !same && !inside {
                    continue;
                }
                let both = context.kept().filter(|it| {
                    !it.folder && first.selects(&it.path) && second.selects(&it.path)
                });
                let (sum, count) = both.fold((0_u64, 0), |(sum, n), it| (sum + it.size, n + 1));
                if count > 0 && sum > 1_000_000 {
                    let message = "what was copied above is copied again, into another layer";
                    out.at(late.span(), message)
                        .label(early.span(), "copied here")
                        .evidence(format!("that is {} in {count} files", crate::bytes(sum)))
                        .hint("leave it out of one: --exclude, or name the sources");
                }
            }
        }
    }
}

fn installed_twice(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let mut seen: BTreeMap<Vec<String>, (usize, strake_diag::Span, Option<String>)> = BTreeMap::new();
    for step in facts.runs().filter(|it| !it.onbuild) {
        let Some(stage) = step.stage else { continue };
        for Install { tool, cmd } in step.script.commands.iter().filter_map(install).filter(|it| it.tool.system) {
            let mut words: Vec<String> = cmd
                .plain()
                .filter(|it| !matches!(it.text.as_str(), "install" | "add"))
                .map(|it| it.text.clone())
                .collect();
            words.sort();
            words.insert(0, tool.name.to_owned());
            if words.len() < 3 {
                continue;
            }
            let image = facts.image_of(stage).map(str::to_owned);
            match seen.get(&words) {
                Some((other, span, base)) if *other != stage && *base == image => {
                    let message = format!("{} installs the same packages in another stage", tool.name);
                    out.at(cmd.span, message)
                        .label(*span, "there")
                        .hint("put them into a stage that both stand on");
                }
                Some(_) => {}
                None => drop(seen.insert(words, (stage, cmd.span, image))),
            }
        }
    }
}

fn wide_from(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(last) = facts.last_stage() else { return };
    for step in facts.steps_of(last.index) {
        let Some(Instruction::Copy(copy)) = step.instruction else { continue };
        let Some(from) = &copy.from else { continue };
        let Some(stage) = facts.stage_meant(from, last.index) else { continue };
        let roots: Vec<String> = facts
            .steps_of(stage)
            .iter()
            .filter(|it| it.from_context().is_some_and(|it| it.is_wide()))
            .filter_map(|it| dest(facts, it))
            .collect();
        let builds = facts.steps_of(stage).iter().any(|it| {
            it.script.commands.iter().any(|it| install(it).is_some() || it.has("build"))
        });
        for source in &copy.files.sources {
            let path = source.text.trim_end_matches('/');
            if builds && roots.iter().any(|it| it == path || !path.starts_with('/') && format!("/{path}") == *it) {
                let message = "sources and build tools of the stage come along";
                out.at(source.span, message).hint("copy what was built, and what it needs to run");
            }
        }
    }
}

fn build_tools(facts: &Facts<'_>, out: &mut Sink<'_>) {
    const TOOLS: &[&str] = &["gcc", "g++", "make", "build-essential", "build-base", "cmake", "git"];
    let Some(last) = facts.last_stage() else { return };
    for step in facts.steps_of(last.index) {
        for cmd in step.script.commands.iter().filter(|it| install(it).is_some_and(|it| it.tool.system)) {
            let removed = step.script.commands.iter().any(|it| it.has_any(&["purge", "remove", "del", "autoremove"]));
            let virtual_package = cmd.has_flag(&["virtual", "t"]);
            let name = |it: &&crate::Arg| TOOLS.contains(&it.text.split('=').next().unwrap_or_default());
            if let Some(tool) = cmd.plain().find(name).filter(|_| !removed && !virtual_package) {
                let message = format!("{} stays in the finished image", tool.text);
                out.at(tool.span, message).hint("build in a stage of its own");
            }
        }
    }
}

fn compiled(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        let makes = |it: &&Cmd| {
            it.is(&["zip", "jar"])
                || it.is(&["tar"]) && it.has_flag(&["c", "create"]) && it.value_of(&["--mtime"]).is_none()
                || it.program().starts_with("python") && it.has("compileall") && it.value_of(&["--invalidation-mode"]).is_none()
        };
        if let Some(cmd) = step.script.commands.iter().find(makes).filter(|it| it.join != Join::Pipe) {
            let message = "what this writes has the time in it, so that no two builds are alike";
            out.at(cmd.span, message).hint("give it SOURCE_DATE_EPOCH, or a fixed time");
        }
    }
}
