//! Cache mounts: their chances, and how they come to nothing.

use crate::facts::{Cmd, Tool, install};
use crate::rule::{Fix, FixKind, Rule, Safety, Sink, edit};
use crate::{Facts, Mount, Step};
use strake_diag::Span;
use strake_dockerfile::Instruction;
use strake_dockerfile::instruction::Command;

pub(super) static RULES: &[&Rule] =
    &[&CHANCE, &ELSEWHERE, &DEFEATED, &ARTEFACT, &PLATFORMS, &UNLOCKED, &BIND];

rule!(CHANCE = "cache-mount-chance", [], Cache, Info, off, FixKind::Sometimes(Safety::Unsafe), chance);
rule!(ELSEWHERE = "cache-mount-elsewhere", [], Cache, Warning, on, FixKind::None, elsewhere);
rule!(DEFEATED = "cache-mount-defeated", [], Cache, Warning, on,
    FixKind::Sometimes(Safety::Unsafe), defeated);
rule!(ARTEFACT = "artefact-in-cache-mount", [], Cache, Error, on,
    FixKind::Sometimes(Safety::Unsafe), artefact);
rule!(PLATFORMS = "cache-mount-of-all-platforms", [], Cache, Warning, on, FixKind::None, platforms);
rule!(UNLOCKED = "cache-mount-unlocked", [], Cache, Warning, on, FixKind::Always(Safety::Unsafe),
    unlocked);
rule!(BIND = "bind-mount-chance", [], Cache, Info, off, FixKind::None, bind);

/// The home folder of a step's user, as far as it can be guessed.
fn home(step: &Step<'_>) -> Option<String> {
    match step.user.as_deref() {
        None | Some("root" | "0" | "0:0" | "root:root") => Some("/root".to_owned()),
        Some(user) => {
            let name = user.split(':').next().unwrap_or_default();
            let number = name.bytes().all(|it| it.is_ascii_digit());
            (!number && !name.contains('$')).then(|| format!("/home/{name}"))
        }
    }
}

fn caches(step: &Step<'_>, tool: &Tool) -> Vec<String> {
    let home = home(step);
    let place = |it: &&str| match (it.strip_prefix("/root/"), &home) {
        (Some(rest), Some(home)) => format!("{home}/{rest}"),
        _ => (*it).to_owned(),
    };
    tool.caches.iter().map(place).collect()
}

/// Compilers that keep what they made, besides the tools that install.
fn builds(cmd: &Cmd) -> Option<(&'static str, &'static [&'static str])> {
    if cmd.is(&["go"]) && cmd.verb(&["build", "install", "test"]) {
        return Some(("go", &["/root/.cache/go-build", "/go/pkg/mod"]));
    }
    if cmd.is(&["cargo"]) && cmd.verb(&["build", "install", "test"]) {
        return Some(("cargo", &["/usr/local/cargo/registry"]));
    }
    if cmd.is(&["mvn", "./mvnw"]) {
        return Some(("Maven", &["/root/.m2"]));
    }
    if cmd.is(&["gradle", "./gradlew"]) {
        return Some(("Gradle", &["/root/.gradle"]));
    }
    None
}

fn chance(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs().filter(|it| !it.onbuild && home(it).as_deref() == Some("/root")) {
        if step.mounts.iter().any(|it| it.kind == "cache") {
            continue;
        }
        let Some(run) = step.run() else { continue };
        let found = step.script.commands.iter().find_map(|it| match (install(it), builds(it)) {
            (Some(it), _) => Some((it.tool.name, it.tool.caches, it.cmd)),
            (None, Some((name, caches))) => Some((name, caches, it)),
            (None, None) => None,
        });
        let Some((name, caches, cmd)) = found else { continue };
        let message = format!("{name} fetches all of it again when this RUN is built again");
        let finding = out.at(cmd.span, message);
        let mut folders: Vec<&str> = caches.iter().take(if name == "go" && caches.len() > 1 { 2 } else { 1 }).copied().collect();
        if name == "apt" {
            folders = vec!["/var/cache/apt", "/var/lib/apt"];
        }
        let sharing = if name == "apt" { ",sharing=locked" } else { "" };
        let mounts: Vec<String> =
            folders.iter().map(|it| format!("--mount=type=cache,target={it}{sharing}")).collect();
        finding.hint(format!("write RUN {}", mounts.join(" ")));
        let keeps = |it: &Cmd| {
            it.has_any(&["--no-cache", "--no-cache-dir", "clean", "autoclean"]) || it.is(&["rm"])
        };
        if name != "apt" && !step.script.commands.iter().any(keeps) && matches!(run.command, Command::Shell(_)) {
            let keyword = step.statement.keyword.span;
            let at = Span { start: keyword.end, end: keyword.end };
            finding.fix(Fix::risky("add a cache mount", vec![edit(at, format!(" {}", mounts.join(" ")))]));
        }
    }
}

fn elsewhere(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        let own: Vec<&Mount> = step.mounts.iter().filter(|it| it.kind == "cache").collect();
        for mount in &own {
            let target = facts.expand(mount.target(), step.index);
            // A folder that is a cache of some tool, though not of this user.
            let root = target.strip_prefix("/root/").filter(|_| home(step).is_some_and(|it| it != "/root"));
            if root.is_some() {
                let user = step.user.clone().unwrap_or_default();
                let message = format!("{user} does not keep anything in {target}: the mount stays empty");
                out.at(mount.span, message).hint("mount it below that user's home, with uid= and gid=");
                continue;
            }
            let tools: Vec<&Tool> =
                step.script.commands.iter().filter_map(install).map(|it| it.tool).collect();
            let Some(tool) = tools.first().filter(|_| own.len() == 1 && tools.len() == 1) else { continue };
            let near = caches(step, tool);
            let other = crate::facts::tools().iter().find(|it| {
                it.name != tool.name && it.caches.contains(&target.as_str()) && !tool.caches.contains(&target.as_str())
            });
            let moved = step.script.text.contains(target.as_str()) || facts.vars.iter().any(|it| {
                it.value.as_deref().is_some_and(|it| it.contains(target.as_str()))
            });
            if let Some(other) = other.filter(|_| !near.iter().any(|it| mount.caches(it)) && !moved) {
                let message = format!("{target} is where {} keeps its files, and {} does not", other.name, tool.name);
                out.at(mount.span, message).hint(format!("{} keeps them in {}", tool.name, near[0]));
            }
        }
    }
}

fn defeated(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        for mount in step.mounts.iter().filter(|it| it.kind == "cache") {
            let target = mount.target();
            let defeats = |cmd: &&Cmd| {
                let is = |folder: &str| mount.caches(folder) || target.starts_with(folder);
                let removes = cmd.is(&["rm"]) && cmd.plain().any(|it| {
                    let path = it.text.trim_end_matches(['*', '/']);
                    path == target || path.starts_with(&format!("{target}/"))
                });
                let pip = crate::rules::pip_args(cmd).is_some() && cmd.has("--no-cache-dir") && target.contains("pip");
                let apk = cmd.is(&["apk"]) && cmd.has("--no-cache") && is("/var/cache/apk");
                let cleans = cmd.is(&["apt-get", "apt"]) && cmd.verb(&["clean"]) && is("/var/cache/apt")
                    || cmd.is(&["dnf", "microdnf", "yum"]) && cmd.verb(&["clean"]) && target.starts_with("/var/cache")
                    || cmd.is(&["yarn", "npm"]) && cmd.has("cache") && cmd.has("clean")
                    || cmd.is(&["pip", "pip3"]) && cmd.has("cache") && cmd.has("purge");
                removes || pip || apk || cleans
            };
            if let Some(cmd) = step.script.commands.iter().find(defeats) {
                let message = "this empties the cache mount, or does not use it";
                let finding = out.at(cmd.span, message);
                finding.label(mount.span, "the mount").hint("what is in a mount is in no layer: leave it there");
                let unused = cmd.args.iter().find(|it| matches!(it.raw.as_str(), "--no-cache-dir" | "--no-cache"));
                if let Some(flag) = unused {
                    let gap = Span { start: flag.span.start.saturating_sub(1), end: flag.span.end };
                    let text = &facts.file.source.text[gap.start as usize..gap.end as usize];
                    if text.starts_with(' ') {
                        finding.fix(Fix::risky("let it use the mount", vec![edit(gap, "")]));
                    }
                }
            }
        }
        docker_clean(facts, step, out);
    }
}

/// Debian and Ubuntu images empty /var/cache/apt after each install.
fn docker_clean(facts: &Facts<'_>, step: &Step<'_>, out: &mut Sink<'_>) {
    let Some(stage) = step.stage else { return };
    let apt = step.script.commands.iter().any(|it| it.is(&["apt-get", "apt"]) && it.has("install"));
    let Some(mount) = step.mounts.iter().find(|it| it.caches("/var/cache/apt")).filter(|_| apt) else { return };
    let image = facts.image_of(stage).unwrap_or_default();
    let known = ["debian", "ubuntu", "python", "node", "golang", "ruby", "php", "buildpack-deps", "openjdk"];
    let name = image.split([':', '@']).next().unwrap_or_default();
    let debian = known.contains(&name.rsplit('/').next().unwrap_or_default()) && !image.contains("alpine");
    let told = facts.runs().filter(|it| it.index <= step.index).any(|it| {
        it.script.text.contains("docker-clean") || it.script.text.contains("Keep-Downloaded-Packages")
    });
    if debian && !told {
        let message = "these images delete fetched packages after each install, so this mount stays empty";
        let finding = out.at(mount.span, message);
        finding.hint("run `rm -f /etc/apt/apt.conf.d/docker-clean` above");
        if let Some(first) = step.script.commands.first().filter(|it| it.depth == 0 && !it.substituted) {
            let at = Span { start: first.span.start, end: first.span.start };
            let text = "rm -f /etc/apt/apt.conf.d/docker-clean && ";
            finding.fix(Fix::risky("keep what is fetched", vec![edit(at, text)]));
        }
    }
}

fn artefact(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        let Some(stage) = step.stage else { continue };
        for mount in step.mounts.iter().filter(|it| it.kind == "cache") {
            let target = facts.expand(mount.target(), step.index);
            let target = match (target.starts_with('/'), &step.cwd) {
                (false, Some(cwd)) => format!("{}/{target}", cwd.trim_end_matches('/')),
                _ => target,
            };
            for later in facts.steps.iter().filter(|it| it.index > step.index) {
                let Some(Instruction::Copy(copy)) = later.instruction else { continue };
                let Some(from) = &copy.from else { continue };
                if later.stage.and_then(|it| facts.stage_meant(from, it)) != Some(stage) {
                    continue;
                }
                for source in &copy.files.sources {
                    let path = facts.expand(&source.text, later.index);
                    let path = if path.starts_with('/') { path } else { format!("/{path}") };
                    if path == target || path.starts_with(&format!("{target}/")) {
                        let message = format!("{path} lies in a cache mount, so no layer has it");
                        let finding = out.at(source.span, message);
                        finding.label(mount.span, "the mount");
                        finding.hint("copy it out of the mount at the end of that RUN");
                        if let Some(fix) = take_out(step, &path, source.span) {
                            finding.fix(fix);
                        }
                    }
                }
            }
        }
    }
}

/// Copies a file out of a mount at the end of the RUN, and takes it from there.
fn take_out(step: &Step<'_>, path: &str, source: Span) -> Option<Fix> {
    let Some(Instruction::Run(run)) = step.instruction else { return None };
    let plain = matches!(run.command, Command::Shell(_)) && run.heredocs.is_empty() && step.script.parsed;
    let name = path.trim_end_matches('/').rsplit('/').next()?;
    if !plain || path.contains(['*', '?', '[', '$', ' ']) {
        return None;
    }
    let end = Span { start: step.span().end, end: step.span().end };
    let command = format!(" && mkdir -p /out && cp -r {path} /out/");
    let edits = vec![edit(end, command), edit(source, format!("/out/{name}"))];
    Some(Fix::risky("copy it out of the mount", edits))
}

fn platforms(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let several = facts.vars.iter().any(|it| it.name == "TARGETARCH" || it.name == "TARGETPLATFORM")
        || facts.stages.iter().any(|it| it.from.platform.is_some());
    if !several {
        return;
    }
    for step in facts.runs() {
        let Some(stage) = step.stage else { continue };
        // A stage of the build platform is built once for all platforms.
        if facts.stages[stage].from.platform.as_ref().is_some_and(|it| it.text.contains("BUILDPLATFORM")) {
            continue;
        }
        for mount in step.mounts.iter().filter(|it| it.kind == "cache") {
            let id = mount.get("id").unwrap_or_default();
            let told = id.contains("TARGET") || id.contains("ARCH") || mount.target().contains("TARGET");
            let holds = ["target", "build", "ccache", "/var/cache/apt", "/var/lib/apt", "node_modules"];
            let binary = holds.iter().any(|it| mount.target().ends_with(it) || mount.target().starts_with(it));
            if binary && !told {
                let message = "all platforms share this cache, and what is in it is of one";
                out.at(mount.span, message).hint("write `id=NAME-$TARGETARCH`, with `ARG TARGETARCH` above");
            }
        }
    }
}

fn unlocked(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        for mount in step.mounts.iter().filter(|it| it.kind == "cache") {
            let apt = ["/var/cache/apt", "/var/lib/apt", "/var/lib/apt/lists"].contains(&mount.target());
            if apt && mount.get("sharing").is_none_or(|it| it == "shared") {
                let message = "apt locks this folder: a second build at the same time fails";
                let finding = out.at(mount.span, message);
                finding.hint("add `sharing=locked`");
                if mount.get("sharing").is_none() {
                    let at = Span { start: mount.span.end, end: mount.span.end };
                    finding.fix(Fix::risky("add `sharing=locked`", vec![edit(at, ",sharing=locked")]));
                } else {
                    let text = facts.file.source.slice(mount.span).replace("sharing=shared", "sharing=locked");
                    finding.fix(Fix::risky("write `sharing=locked`", vec![edit(mount.span, text)]));
                }
            }
        }
    }
}

fn bind(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let steps = facts.steps_of(stage.index);
        for copy in steps {
            let Some(transfer) = copy.from_context().filter(|it| !it.is_wide()) else { continue };
            let [source] = transfer.files.sources.as_slice() else { continue };
            let name = source.text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            let Some(run) = steps.iter().find(|it| it.index == copy.index + 1 && it.run().is_some()) else { continue };
            let manifest = run.script.commands.iter().filter_map(install).any(|it| it.tool.name == "pip" && it.tool.wants(name));
            let later = steps.iter().any(|it| it.index > run.index && it.statement.text.contains(name));
            if manifest && !later {
                let message = format!("`{name}` is needed for this one RUN, and stays in the image");
                let hint = format!("RUN --mount=type=bind,source={},target={name} ..", source.text);
                out.at(copy.span(), message).label(run.span(), "needed here").hint(hint);
            }
        }
    }
}
