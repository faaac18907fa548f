//! COPY and ADD.

use crate::facts::Cmd;
use crate::rule::{Fix, FixKind, Rule, Safety, Sink, edit};
use crate::Facts;
use strake_dockerfile::Instruction;

pub(super) static RULES: &[&Rule] =
    &[&ARCHIVE, &ADD_FOR_COPY, &MANY_TO_FILE, &RELATIVE_DEST, &IGNORED_SOURCE];

rule!(ARCHIVE = "copy-then-unpack", ["DL3010"], Cache, Info, on, FixKind::None, archive);
rule!(ADD_FOR_COPY = "add-instead-of-copy", ["DL3020"], Language, Error, on,
    FixKind::Sometimes(Safety::Unsafe), add_for_copy);
rule!(MANY_TO_FILE = "many-sources-no-folder", ["DL3021"], Language, Error, on,
    FixKind::None, many_to_file);
rule!(RELATIVE_DEST = "relative-destination", ["DL3045"], Language, Warning, on, FixKind::None,
    relative_dest);
rule!(IGNORED_SOURCE = "ignored-source", ["CopyIgnoredFile"], Context, Warning, on, FixKind::None,
    ignored_source);

const ARCHIVES: &[&str] = &[
    ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".lzma", ".tlz", ".Z", ".tZ",
    ".lz", ".tz2", ".zst", ".tzst", ".tar.gz", ".tar.xz", ".tb2", ".tar.lz", ".tar.bz2",
];

fn is_archive(path: &str) -> bool {
    let path = path.trim_matches(['"', '\'']);
    ARCHIVES.iter().any(|it| path.ends_with(it))
}

fn last(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

fn archive(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(Instruction::Copy(copy)) = step.instruction else { continue };
        if copy.from.is_some() {
            continue;
        }
        let Some(source) = copy.files.sources.iter().find(|it| is_archive(&it.text)) else { continue };
        let dest = &copy.files.dest.text;
        let name = if is_archive(dest) { last(dest) } else { last(&source.text) };
        let unpacks = |it: &Cmd| {
            let tar = it.program() == "tar"
                && (it.has_flag(&["x", "extract", "get"])
                    || it.args.first().is_some_and(|it| !it.text.starts_with('-') && it.text.contains('x')));
            let other = ["unzip", "gunzip", "bunzip2", "unlzma", "unxz", "zgz", "uncompress", "zcat", "gzcat"];
            (tar || it.is(&other)) && it.args.iter().any(|it| last(&it.text) == name)
        };
        let later = facts.steps[step.index + 1..].iter().filter(|it| it.stage == step.stage);
        let found = later.flat_map(|it| &it.script.commands).find(|it| unpacks(it));
        if let Some(cmd) = found {
            let message = "the archive is copied into one layer and unpacked into another";
            out.at(source.span, message)
                .label(cmd.span, "unpacked here")
                .hint("ADD unpacks tar archives by itself; or mount it: RUN --mount=type=bind");
        }
    }
}

fn add_for_copy(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(Instruction::Add(add)) = step.instruction else { continue };
        let plain = |it: &str| {
            !it.contains("://") && !is_archive(it) && !it.starts_with("git@") && !it.contains('$')
        };
        let sources = &add.files.sources;
        let Some(first) = sources.iter().find(|it| plain(&it.text)) else { continue };
        let message = "ADD does more than COPY, and nothing of it is needed here";
        let finding = out.at(step.statement.keyword.span, message);
        finding.label(first.span, "a plain path");
        let only = sources.iter().all(|it| plain(&it.text) && !it.text.contains(['*', '?', '[']));
        let flags = add.checksum.is_none() && add.unpack.is_none() && add.keep_git_dir.is_none();
        let lower = step.statement.keyword.text == "add";
        if only && flags && !step.onbuild {
            let word = if lower { "copy" } else { "COPY" };
            let edits = vec![edit(step.statement.keyword.span, word)];
            // A file may be an archive whatever it is called, and COPY would not unpack it.
            finding.fix(Fix::risky("write COPY", edits));
        }
    }
}

fn many_to_file(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(Instruction::Copy(copy)) = step.instruction else { continue };
        let dest = copy.files.dest.text.trim_matches(['"', '\'']);
        let folder = dest.ends_with('/') || dest == "." || dest == "..";
        if copy.files.sources.len() + copy.files.heredocs.len() > 1 && !folder && !dest.contains('$') {
            let message = format!("`{dest}` must be a folder, and end with `/`, to take several files");
            out.at(copy.files.dest.span, message);
        }
    }
}

fn relative_dest(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(Instruction::Copy(copy)) = step.instruction else { continue };
        let dest = copy.files.dest.text.trim_matches(['"', '\'']);
        let bytes = dest.as_bytes();
        let drive = bytes.len() > 1 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
        if step.cwd.is_none() && !dest.starts_with(['/', '$']) && !drive && !workdir_above(facts, step.index) {
            let message = format!("where `{dest}` is depends on the base image");
            out.at(copy.files.dest.span, message).hint("put a WORKDIR above, or write an absolute path");
        }
    }
}

/// A WORKDIR stands above in this stage or those below it.
fn workdir_above(facts: &Facts<'_>, index: usize) -> bool {
    let mut stage = facts.stage_of(index);
    let mut before = index;
    while let Some(at) = stage {
        let steps = facts.steps_of(at);
        let is = |it: &crate::Step<'_>| {
            it.index < before && matches!(it.instruction, Some(Instruction::Workdir(_)))
        };
        if steps.iter().any(is) {
            return true;
        }
        stage = match &facts.stages[at].base {
            crate::Base::Stage(below) => Some(*below),
            crate::Base::Scratch | crate::Base::Image(_) => None,
        };
        before = usize::MAX;
    }
    false
}

fn ignored_source(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = &facts.outside.context else { return };
    let Some(ignore) = &context.ignore else { return };
    if ignore.patterns.iter().any(|(_, it)| it.starts_with('!')) {
        return;
    }
    let list: Vec<&str> = ignore.patterns.iter().map(|(_, it)| it.as_str()).collect();
    let Ok(patterns) = strake_context::Patterns::new(&list) else { return };
    for step in &facts.steps {
        let Some(transfer) = step.from_context() else { continue };
        for source in &transfer.files.sources {
            if source.text.contains("://") || source.text.contains(['*', '?', '[', '$']) {
                continue;
            }
            let path = strake_context::clean(source.text.as_bytes());
            let path = String::from_utf8_lossy(&path).trim_start_matches('/').to_owned();
            if path != "." && !path.is_empty() && patterns.matches(path.as_bytes()) {
                let message = format!("`{}` is left out by {}", source.text, ignore.path);
                let by = context.find(&path).and_then(|it| it.line);
                let finding = out.at(source.span, message);
                if let Some(line) = by {
                    finding.evidence(format!("line {} of {} leaves it out", line + 1, ignore.path));
                }
            }
        }
    }
}
