//! What stands above what: a step is built again when anything above it changed.

use crate::facts::{Churn, Install, Tool, install, is_self_contained};
use crate::rule::{Finding, Fix, FixKind, Rule, Safety, Sink, edit};
use crate::{Cmd, Facts, Step, Transfer};
use strake_diag::{Edit, Span};
use strake_dockerfile::Instruction;

pub(super) static RULES: &[&Rule] = &[
    &WIDE_COPY, &NO_LOCK, &NO_MEMBERS, &VOLATILE, &UNUSED_ARG, &CHURNY, &UPDATE_ALONE, &EARLY_LABEL,
    &TESTS,
];

rule!(WIDE_COPY = "copy-all-before-install", [], Cache, Warning, on,
    FixKind::Sometimes(Safety::Unsafe), wide_copy);
rule!(NO_LOCK = "manifest-without-lockfile", [], Cache, Warning, on,
    FixKind::Sometimes(Safety::Unsafe), no_lock);
rule!(NO_MEMBERS = "workspace-members-missing", [], Cache, Warning, on,
    FixKind::Always(Safety::Unsafe), no_members);
rule!(VOLATILE = "volatile-variable-early", [], Cache, Warning, on,
    FixKind::Sometimes(Safety::Unsafe), volatile);
rule!(UNUSED_ARG = "unused-arg", [], Cache, Info, on, FixKind::Sometimes(Safety::Unsafe), unused_arg);
rule!(CHURNY = "changing-files-early", [], Cache, Warning, on, FixKind::None, churny);
rule!(UPDATE_ALONE = "update-without-install", [], Cache, Warning, on,
    FixKind::Sometimes(Safety::Unsafe), update_alone);
rule!(EARLY_LABEL = "metadata-early", [], Cache, Info, on, FixKind::None, early_label);
rule!(TESTS = "tests-on-the-way", [], Cache, Info, on, FixKind::None, tests);

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Every install of a step that no substitution hides.
fn installs<'a>(step: &'a Step<'_>) -> Vec<Install<'a>> {
    step.script.commands.iter().filter(|it| !it.substituted).filter_map(install).collect()
}

fn wide_copy(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let steps = facts.steps_of(stage.index);
        let wide = steps.iter().find(|it| it.from_context().is_some_and(|it| it.is_wide()));
        let Some(copy) = wide else { continue };
        for run in steps.iter().filter(|it| it.index > copy.index && !it.onbuild) {
            let found = installs(run);
            let Some(first) = found.first() else { continue };
            report_wide(facts, copy, run, first, out);
        }
    }
}

fn report_wide(
    facts: &Facts<'_>,
    copy: &Step<'_>,
    run: &Step<'_>,
    install: &Install<'_>,
    out: &mut Sink<'_>,
) {
    let Some(transfer) = copy.from_context() else { return };
    let tool = install.tool;
    let message = match tool.system {
        true => format!("{} installs again whenever any file of the context changes", tool.name),
        false => format!("{} installs all dependencies again whenever any file changes", tool.name),
    };
    let before = facts.churn(&|path| transfer.selects(path));
    let after = facts.churn(&|path| !tool.system && tool.reads(name_of(path)) && transfer.selects(path));
    let finding = out.at(copy.span(), message);
    finding.label(install.cmd.span, "installed here");
    if let (Some(Churn { changed, of }), Some(after)) = (before, after) {
        finding.evidence(format!(
            "in {changed} of the last {of} commits this order installs again; below the install, {}",
            after.changed
        ));
        finding.weekly = facts.weekly(run, changed.saturating_sub(after.changed));
        if let Some(seconds) = facts.seconds(run) {
            finding.evidence(format!("the install took {seconds:.1} s when it was last built"));
        }
    }
    if tool.system {
        finding.hint("put this RUN above the COPY");
        move_system(facts, copy, run, finding);
    } else {
        let names: Vec<&str> =
            tool.manifests.iter().take(1).chain(tool.locks.iter().take(1)).copied().collect();
        finding.hint(format!("copy {} first, install, and copy the rest below", names.join(" and ")));
        split_copy(facts, copy, run, tool, &transfer, finding);
    }
}

/// Whether nothing between two steps of a stage makes a difference when the second moves up.
fn may_pass(facts: &Facts<'_>, upper: &Step<'_>, lower: &Step<'_>, workdir: bool) -> bool {
    facts.steps[upper.index + 1..lower.index].iter().all(|it| {
        workdir && matches!(it.instruction, Some(Instruction::Workdir(_)))
            || matches!(
            it.instruction,
            Some(Instruction::Label(_) | Instruction::Expose(_) | Instruction::Cmd(_)
                | Instruction::Entrypoint(_) | Instruction::Volume(_) | Instruction::Stopsignal(_)
                | Instruction::Copy(_))
        )
    })
}

fn move_system(facts: &Facts<'_>, copy: &Step<'_>, run: &Step<'_>, finding: &mut Finding) {
    let plain = run.script.commands.iter().all(is_self_contained) && !run.script.commands.is_empty();
    if !plain || !may_pass(facts, copy, run, true) {
        return;
    }
    finding.fix(moved_up(facts, copy, run, "move the RUN above the COPY", String::new()));
}

/// Moves the lines of `run` above those of `copy`, with `first` in front of them.
fn moved_up(facts: &Facts<'_>, copy: &Step<'_>, run: &Step<'_>, what: &str, first: String) -> Fix {
    let text = &facts.file.source.text;
    let (to, from) = (facts.whole_lines(copy.index), facts.whole_lines(run.index));
    let mut moved = text[from.start as usize..from.end as usize].to_owned();
    if !moved.ends_with('\n') {
        moved.push('\n');
    }
    let at = Span { start: to.start, end: to.start };
    // Where the RUN was last, the text now ends as before.
    Fix::risky(what, vec![edit(at, format!("{first}{moved}")), edit(from, "")])
}

/// Puts a COPY of the manifests and the install above the wide COPY.
fn split_copy(
    facts: &Facts<'_>,
    copy: &Step<'_>,
    run: &Step<'_>,
    tool: &Tool,
    transfer: &Transfer<'_>,
    finding: &mut Finding,
) {
    let Some(context) = &facts.outside.context else { return };
    let whole = transfer.files.sources.len() == 1
        && matches!(transfer.files.sources[0].text.as_str(), "." | "./");
    let alone = run.script.commands.iter().all(|it| install(it).is_some() || harmless(it));
    if !whole || !alone || !may_pass(facts, copy, run, false) || run.onbuild || copy.onbuild {
        return;
    }
    let top = |it: &&crate::ContextFile| {
        !it.folder && !it.path.contains('/') && tool.reads(&it.path)
    };
    let names: Vec<&str> = context.kept().filter(top).map(|it| it.path.as_str()).collect();
    let nested = context.kept().any(|it| {
        it.path.contains('/') && tool.wants(name_of(&it.path)) && !it.path.contains("node_modules/")
    });
    let named = run.script.commands.iter().flat_map(|it| &it.args).filter(|it| it.text.ends_with(".txt"));
    let all_there = named.into_iter().all(|it| names.contains(&it.text.trim_start_matches("./")));
    if !names.iter().any(|it| tool.wants(it)) || nested || !all_there {
        return;
    }
    let statement = copy.statement;
    let flags: Vec<&str> =
        statement.flags.iter().map(|it| facts.file.source.slice(it.span)).collect();
    let dest = transfer.files.dest.text.trim_end_matches('/');
    let dest = if dest.is_empty() { "/".to_owned() } else { format!("{dest}/") };
    let keyword = if statement.keyword.text.chars().all(|it| it.is_lowercase()) { "copy" } else { "COPY" };
    let words = [vec![keyword], flags, names, vec![dest.as_str()]].concat();
    let line = format!("{}\n", words.join(" "));
    let what = "copy the manifests, install, and copy the rest below";
    finding.fix(moved_up(facts, copy, run, what, line));
}

/// Commands beside an install that look at nothing of the sources.
fn harmless(cmd: &Cmd) -> bool {
    is_self_contained(cmd)
        || cmd.is(&["npm", "yarn", "pnpm"]) && cmd.has("cache")
        || cmd.is(&["pip", "pip3"]) && cmd.has("--upgrade") && cmd.has("pip")
}

fn no_lock(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in &facts.steps {
        let Some(stage) = step.stage else { continue };
        for Install { tool, cmd } in installs(step).into_iter().filter(|it| !it.tool.locks.is_empty()) {
            let above = facts.steps_of(stage).iter().filter(|it| it.index < step.index);
            let copies: Vec<&Step<'_>> = above.filter(|it| it.from_context().is_some()).collect();
            let takes = |is: &dyn Fn(&str) -> bool| {
                copies.iter().copied().find(|it| it.from_context().is_some_and(|it| {
                    it.files.sources.iter().any(|it| is(name_of(&it.text)) || {
                        it.text.contains('*') && tool.manifests.iter().chain(tool.locks).any(|name| {
                            is(name) && strake_context::glob_match(name_of(&it.text).as_bytes(), name.as_bytes()).unwrap_or(false)
                        })
                    })
                }))
            };
            let wide = copies.iter().any(|it| it.from_context().is_some_and(|it| it.is_wide()));
            let mounted = step.mounts.iter().any(|it| it.kind == "bind");
            let lock = takes(&|name| tool.locks(name));
            let Some(copy) = takes(&|name| tool.wants(name)).filter(|_| !wide && !mounted) else { continue };
            // These two have lockfiles only where somebody asked for them.
            let rare = matches!(tool.name, "Gradle" | ".NET");
            let there = facts.outside.context.as_ref().is_some_and(|context| {
                context.files.iter().any(|it| tool.locks(name_of(&it.path)))
            });
            if lock.is_none() && (!rare || there) {
                report_no_lock(facts, copy, tool, cmd, out);
            }
        }
    }
}

fn report_no_lock(facts: &Facts<'_>, copy: &Step<'_>, tool: &Tool, cmd: &Cmd, out: &mut Sink<'_>) {
    let Some(transfer) = copy.from_context() else { return };
    let Some(source) = transfer.files.sources.iter().find(|it| tool.wants(name_of(&it.text))) else {
        return;
    };
    let folder = source.text.rsplit_once('/').map_or("", |it| it.0).trim_start_matches("./");
    let path = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let context = facts.outside.context.as_ref();
    let there = context.and_then(|it| tool.locks.iter().find_map(|name| it.find(&path(name))));
    let message = match (context, there) {
        (None, _) => format!("`{}` is copied without {}", source.text, tool.locks[0]),
        (Some(_), Some(lock)) if lock.ignored => {
            format!("{} is there, but the ignore file leaves it out", lock.path)
        }
        (Some(_), Some(lock)) => format!("`{}` is copied without {}", source.text, lock.path),
        (Some(_), None) => format!("there is no {}: each install may take other versions", tool.locks[0]),
    };
    let finding = out.at(source.span, message);
    finding.label(cmd.span, "installed here");
    match there {
        Some(lock) if !lock.ignored => {
            finding.hint("copy both, or what is installed is not what was tested");
            let at = Span { start: source.span.end, end: source.span.end };
            let words = copy.statement.flags.is_empty() || !facts.file.source.slice(copy.span()).contains('[');
            let many = transfer.files.dest.text.ends_with('/') || transfer.files.dest.text.ends_with('.');
            if words && many {
                let name = if source.text.starts_with("./") { format!("./{}", lock.path) } else { lock.path.clone() };
                finding.fix(Fix::risky(format!("copy {name}, too"), vec![edit(at, format!(" {name}"))]));
            }
        }
        Some(_) => drop(finding.hint("take it out of the ignore file")),
        None => drop(finding.hint("make a lockfile and copy it, too")),
    }
}

fn no_members(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = &facts.outside.context else { return };
    for step in &facts.steps {
        let Some(stage) = step.stage else { continue };
        for Install { tool, cmd } in installs(step) {
            let members: Vec<&str> = context
                .kept()
                .filter(|it| !it.folder && it.path.contains('/') && !it.path.contains("node_modules/"))
                .filter(|it| tool.manifests.iter().any(|name| !name.contains('*') && name_of(&it.path) == *name))
                .map(|it| it.path.as_str())
                .collect();
            let workspace = match tool.name {
                "npm" | "yarn" | "pnpm" | "bun" => {
                    context.has("pnpm-workspace.yaml") && tool.name == "pnpm"
                        || members.iter().filter(|it| it.starts_with("packages/") || it.starts_with("apps/")).count() > 1
                }
                "cargo" => members.len() > 1 && context.has("Cargo.toml"),
                _ => false,
            };
            let above: Vec<&Step<'_>> =
                facts.steps_of(stage).iter().filter(|it| it.index < step.index).collect();
            let copied = |path: &str| above.iter().any(|it| it.from_context().is_some_and(|it| it.selects(path)));
            let root = tool.manifests.first().is_some_and(|it| copied(it));
            let missing: Vec<&str> = members.into_iter().filter(|it| !copied(it)).collect();
            if workspace && root && !missing.is_empty() && !step.mounts.iter().any(|it| it.kind == "bind") {
                let message = format!(
                    "{} workspace members are not there when {} installs, `{}` for one",
                    missing.len(), tool.name, missing[0]
                );
                let hint = format!("`COPY --parents **/{} ./` copies all manifests in their folders", tool.manifests[0]);
                let line = facts.whole_lines(step.index).start;
                let text = format!("COPY --parents **/{} ./\n", tool.manifests[0]);
                let fix = vec![edit(Span { start: line, end: line }, text)];
                out.at(cmd.span, message).hint(hint).fix(Fix::risky("copy all manifests", fix));
            }
        }
    }
}

const VOLATILE_NAMES: &[&str] = &[
    "GIT_SHA", "GIT_COMMIT", "GIT_HASH", "GIT_REV", "GIT_REVISION", "COMMIT", "COMMIT_SHA", "COMMIT_HASH",
    "SHA", "REVISION", "VCS_REF", "SOURCE_COMMIT", "BUILD_DATE", "BUILD_TIME", "BUILD_TIMESTAMP",
    "BUILD_NUMBER", "BUILD_NUM", "BUILD_ID", "BUILD_SHA", "BUILD_VERSION", "BUILD_REV", "TIMESTAMP",
    "GITHUB_SHA", "GITHUB_RUN_ID", "GITHUB_RUN_NUMBER", "GITHUB_REF", "CI_COMMIT_SHA",
    "CI_COMMIT_SHORT_SHA", "CI_PIPELINE_ID", "CI_JOB_ID", "APP_VERSION", "GIT_BRANCH", "GIT_TAG",
    "RELEASE_VERSION", "IMAGE_VERSION", "CREATED", "DATE",
];

fn is_volatile(name: &str) -> bool {
    VOLATILE_NAMES.contains(&name.to_ascii_uppercase().as_str())
}

fn mentions(step: &Step<'_>, name: &str) -> bool {
    let in_text = |text: &str| {
        text.match_indices(name).any(|(at, _)| {
            let word = |it: char| it.is_ascii_alphanumeric() || it == '_';
            !text[..at].ends_with(word) && !text[at + name.len()..].starts_with(word)
        })
    };
    in_text(&step.statement.text) || step.statement.heredocs.iter().any(|it| in_text(&it.content))
}

fn volatile(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let steps = facts.steps_of(stage.index);
        for var in facts.vars.iter().filter(|it| it.stage == Some(stage.index)) {
            let of_another = |it: &str| facts.uses(it).iter().any(|it| is_volatile(&it.name));
            let changes = is_volatile(&var.name)
                && (var.arg || var.value.as_deref().is_some_and(|it| it.contains('$')))
                || !var.arg && var.value.as_deref().is_some_and(of_another);
            if !changes {
                continue;
            }
            let below = || steps.iter().filter(|it| it.index > var.statement);
            let names: Vec<&str> = below()
                .filter_map(|it| match it.instruction {
                    Some(Instruction::Env(env)) if mentions(it, &var.name) => Some(env),
                    Some(_) | None => None,
                })
                .flat_map(|it| &it.pairs)
                .map(|it| it.name.text.as_str())
                .chain([var.name.as_str()])
                .collect();
            let uses = |it: &Step<'_>| names.iter().any(|name| mentions(it, name));
            let victims: Vec<&Step<'_>> =
                below().filter(|it| it.run().is_some() && !it.onbuild).take_while(|it| !uses(it)).collect();
            let dear: Vec<&&Step<'_>> = victims.iter().filter(|it| is_dear(it)).collect();
            let Some(first) = dear.first() else { continue };
            report_volatile(facts, var, first, victims.last().copied(), dear.len(), out);
        }
    }
}

/// Installs, builds, fetches: all but a few small commands.
fn is_dear(step: &Step<'_>) -> bool {
    const CHEAP: &[&str] = &[
        "echo", "true", "mkdir", "chmod", "chown", "ln", "test", "[", "set", "touch", "rm", "cp", "mv",
        "printf", "cat", "useradd", "adduser", "addgroup", "groupadd", "export",
    ];
    step.script.commands.iter().any(|it| !it.is(CHEAP))
}

fn report_volatile(
    facts: &Facts<'_>,
    var: &crate::Var,
    first: &Step<'_>,
    last: Option<&Step<'_>>,
    count: usize,
    out: &mut Sink<'_>,
) {
    let keyword = if var.arg { "ARG" } else { "ENV" };
    let what = if count == 1 { "a RUN".to_owned() } else { format!("{count} RUNs") };
    let message = format!("every new value of {keyword} {} builds {what} below again", var.name);
    let finding = out.at(var.span, message);
    finding.label(first.span(), "does not use it, and is built again all the same");
    finding.hint("put it below them, in front of what uses it");
    if let Some(seconds) = facts.seconds(first) {
        finding.evidence(format!("this RUN took {seconds:.1} s when it was last built"));
        let commits = facts.outside.history.as_ref().map_or(0, |it| it.commits.len());
        finding.weekly = facts.weekly(first, commits);
    }
    let statement = &facts.file.statements[var.statement];
    let single = facts.vars.iter().filter(|it| it.statement == var.statement).count() == 1;
    let Some(last) = last else { return };
    let between = &facts.steps[var.statement + 1..=last.index];
    // Labels with the value go along: what they stand between does not matter.
    let users: Vec<&Step<'_>> = between.iter().filter(|it| mentions(it, &var.name)).collect();
    let free = users.iter().all(|it| matches!(it.instruction, Some(Instruction::Label(_))) && !it.onbuild);
    if single && free && statement.heredocs.is_empty() {
        let to = facts.whole_lines(last.index);
        let text = &facts.file.source.text;
        let along = users.iter().map(|it| facts.whole_lines(it.index));
        let from: Vec<Span> = [facts.whole_lines(var.statement)].into_iter().chain(along).collect();
        let mut moved: String =
            from.iter().map(|it| &text[it.start as usize..it.end as usize]).collect();
        if !text[..to.end as usize].ends_with('\n') {
            moved = format!("\n{}", moved.trim_end_matches('\n'));
        }
        let at = Span { start: to.end, end: to.end };
        let what = format!("move {keyword} {} below", var.name);
        let mut edits: Vec<Edit> = from.into_iter().map(|it| edit(it, "")).collect();
        edits.push(edit(at, moved));
        finding.fix(Fix::risky(what, edits));
    }
}

fn unused_arg(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let steps = facts.steps_of(stage.index);
        for var in facts.vars.iter().filter(|it| it.arg && it.stage == Some(stage.index)) {
            let below = || steps.iter().filter(|it| it.index > var.statement);
            // A program may read its environment; these do not.
            let known = |it: &Cmd| {
                is_self_contained(it)
                    || it.is(&["mkdir", "chown", "chmod", "ln", "cp", "mv", "rm", "useradd", "groupadd", "touch", "test"])
            };
            let read = |it: &Step<'_>| {
                mentions(it, &var.name) || it.run().is_some() && !it.script.commands.iter().all(known)
                    || it.run().is_some() && it.script.commands.is_empty()
            };
            let name = var.name.to_ascii_lowercase();
            let tools = ["debian_frontend", "source_date_epoch"].contains(&name.as_str())
                || name.ends_with("_proxy") || name.starts_with("buildkit_");
            let any = below().any(|it| it.run().is_some());
            if !any || tools || below().any(read) || is_volatile(&var.name) {
                continue;
            }
            let message = format!("nothing uses ARG {}, and its value is in the key of each RUN below", var.name);
            let finding = out.at(var.span, message);
            finding.hint("take it out");
            let single = facts.vars.iter().filter(|it| it.statement == var.statement).count() == 1;
            if single {
                let lines = facts.whole_lines(var.statement);
                finding.fix(Fix::risky(format!("take ARG {} out", var.name), vec![edit(lines, "")]));
            }
        }
    }
}

fn churny(facts: &Facts<'_>, out: &mut Sink<'_>) {
    if facts.outside.history.as_ref().is_none_or(|it| it.commits.len() < 10) {
        return;
    }
    for stage in &facts.stages {
        let steps = facts.steps_of(stage.index);
        for copy in steps {
            let Some(transfer) = copy.from_context().filter(|it| !it.is_wide()) else { continue };
            let next = steps.iter().filter(|it| it.index > copy.index && !it.onbuild);
            let run = next.clone().find(|it| !installs(it).is_empty());
            let Some(run) = run else { continue };
            let found = installs(run);
            let tool = found[0].tool;
            let about = |path: &str| tool.reads(name_of(path)) || path.split('/').any(|it| tool.reads(it));
            let needed = transfer.files.sources.iter().all(|it| tool.reads(name_of(&it.text)) || it.text.contains('*'));
            let named = transfer.files.sources.iter().any(|it| mentions(run, name_of(it.text.trim_end_matches('/'))));
            if needed || named || transfer.files.sources.is_empty() {
                continue;
            }
            let Some(own) = facts.churn(&|path| transfer.selects(path) && !about(path)) else { continue };
            if own.changed * 5 >= own.of {
                let message = format!("what this copies changes often, and {} installs again each time", tool.name);
                let finding = out.at(copy.span(), message);
                finding.label(found[0].cmd.span, "installed here");
                finding.evidence(format!("it changed in {} of the last {} commits", own.changed, own.of));
                finding.hint("copy it below the install");
                finding.weekly = facts.weekly(run, own.changed);
            }
        }
    }
}

fn update_alone(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let is = |it: &Cmd| it.is(&["apt-get", "apt"]);
    for step in facts.runs().filter(|it| !it.onbuild) {
        let commands = &step.script.commands;
        let Some(update) = commands.iter().find(|it| is(it) && it.verb(&["update"])) else { continue };
        let uses = |it: &Cmd| is(it) && !it.verb(&["update"]) || it.program() == "aptitude";
        if commands.iter().any(uses) || step.mounts_over("/var/lib/apt/lists") {
            continue;
        }
        let Some(stage) = step.stage else { continue };
        let below = facts.steps_of(stage).iter().filter(|it| it.index > step.index);
        let found = below.clone().find_map(|it| {
            it.script.commands.iter().find(|it| is(it) && it.has("install")).map(|cmd| (it, cmd))
        });
        let Some((run, cmd)) = found else { continue };
        if run.script.commands.iter().any(|it| is(it) && it.verb(&["update"])) {
            continue;
        }
        let message = "this layer is cached while packages move on: the install below then fails or is stale";
        let finding = out.at(update.span, message);
        finding.label(cmd.span, "installed here");
        finding.hint("write `apt-get update && apt-get install ..` in one RUN");
        let alone = commands.len() == 1 && step.mounts.is_empty() && run.index == step.index + 1;
        let shell = run.script.commands.first().is_some_and(|it| std::ptr::eq(it, cmd))
            && cmd.name_span != run.span() && cmd.depth == 0;
        if alone && shell && update.name_span != step.span() {
            let at = Span { start: cmd.span.start, end: cmd.span.start };
            let edits = vec![edit(facts.whole_lines(step.index), ""), edit(at, "apt-get update && ")];
            finding.fix(Fix::risky("update in the RUN that installs", edits));
        }
    }
}

/// Metadata is in the keys of kaniko and buildah, and nowhere else.
fn early_label(facts: &Facts<'_>, out: &mut Sink<'_>) {
    if !facts.outside.builder.is_linear() {
        return;
    }
    for stage in &facts.stages {
        let steps = facts.steps_of(stage.index);
        for step in steps.iter().filter(|it| !it.onbuild) {
            let Some(Instruction::Label(_)) = step.instruction else { continue };
            let changes = facts.uses(&step.statement.text).iter().any(|it| {
                is_volatile(&it.name) || facts.var(&it.name, step.index).is_some_and(|it| it.arg)
            });
            let victim = steps.iter().find(|it| it.index > step.index && it.run().is_some() && is_dear(it));
            if let Some(victim) = victim.filter(|_| changes) {
                let name = facts.outside.builder.name();
                let message = format!("{name} builds all below again when this label changes");
                out.at(step.span(), message)
                    .label(victim.span(), "built again")
                    .hint("put the LABEL at the end of the stage");
            }
        }
    }
}

fn is_test(cmd: &Cmd) -> bool {
    let words: Vec<&str> = cmd.plain_texts();
    let first = words.first().copied().unwrap_or_default();
    match cmd.program() {
        "npm" | "pnpm" | "yarn" => {
            first == "test" || first == "lint" || first == "run" && words.get(1).is_some_and(|it| {
                ["test", "lint"].iter().any(|name| it == name || it.starts_with(&format!("{name}:")))
            })
        }
        "pytest" | "jest" | "vitest" | "rspec" | "phpunit" | "eslint" | "flake8" | "mypy" | "tox" => true,
        "go" | "cargo" | "dotnet" | "mvn" | "gradle" | "make" | "mix" => {
            first == "test" || first == "vet" || first == "clippy"
        }
        _ => false,
    }
}

fn tests(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs().filter(|it| !it.onbuild) {
        let Some(stage) = step.stage.filter(|it| facts.stages[*it].needed) else { continue };
        let name = facts.stages[stage].from.name.as_ref().map(|it| it.text.to_lowercase());
        let meant = name.is_some_and(|it| ["test", "lint", "check", "ci"].iter().any(|word| it.contains(word)));
        let Some(cmd) = step.script.commands.iter().find(|it| is_test(it)) else { continue };
        if !meant {
            let message = "the image waits for its tests, and they run again for every change";
            let finding = out.at(cmd.span, message);
            finding.hint("run them in a stage of their own, built with --target");
            if let Some(seconds) = facts.seconds(step) {
                finding.evidence(format!("this took {seconds:.1} s when it was last built"));
                let commits = facts.outside.history.as_ref().map_or(0, |it| it.commits.len());
                finding.weekly = facts.weekly(step, commits);
            }
        }
    }
}
