//! Package managers: versions, questions, leftovers.

use crate::facts::{Arg, Cmd, Step};
use crate::rule::{Fix, FixKind, Rule, Safety, Sink, edit};
use crate::{Base, Facts};
use strake_diag::Span;

pub(super) static RULES: &[&Rule] = &[
    &APT_UNPINNED, &APT_LISTS, &PIP_UNPINNED, &APT_NO_YES, &APT_RECOMMENDS, &NPM_UNPINNED,
    &APK_UNPINNED, &APK_CACHE, &GEM_UNPINNED, &YUM_NO_YES, &YUM_CACHE, &YUM_UNPINNED,
    &ZYPPER_ASKS, &ZYPPER_UPGRADE, &ZYPPER_CACHE, &ZYPPER_UNPINNED, &DNF_NO_YES, &DNF_CACHE,
    &DNF_UNPINNED, &PIP_CACHE, &YARN_CACHE, &GO_UNPINNED, &APT_NOT_APT_GET,
];

const SAFE_YES: FixKind = FixKind::Sometimes(Safety::Unsafe);

rule!(APT_UNPINNED = "apt-unpinned", ["DL3008"], Shell, Warning, off, FixKind::None, apt_unpinned);
rule!(APT_LISTS = "apt-lists-kept", ["DL3009"], Shell, Info, on,
    FixKind::Sometimes(Safety::Unsafe), apt_lists);
rule!(PIP_UNPINNED = "pip-unpinned", ["DL3013"], Shell, Warning, off, FixKind::None, pip_unpinned);
rule!(APT_NO_YES = "apt-asks", ["DL3014"], Shell, Warning, on, SAFE_YES, apt_no_yes);
rule!(APT_RECOMMENDS = "apt-recommends", ["DL3015"], Shell, Info, off,
    FixKind::Sometimes(Safety::Unsafe), apt_recommends);
rule!(NPM_UNPINNED = "npm-unpinned", ["DL3016"], Shell, Warning, off, FixKind::None, npm_unpinned);
rule!(APK_UNPINNED = "apk-unpinned", ["DL3018"], Shell, Warning, off, FixKind::None, apk_unpinned);
rule!(APK_CACHE = "apk-cache-kept", ["DL3019"], Shell, Info, on,
    FixKind::Sometimes(Safety::Unsafe), apk_cache);
rule!(GEM_UNPINNED = "gem-unpinned", ["DL3028"], Shell, Warning, off, FixKind::None, gem_unpinned);
rule!(YUM_NO_YES = "yum-asks", ["DL3030"], Shell, Warning, on, SAFE_YES, yum_no_yes);
rule!(YUM_CACHE = "yum-cache-kept", ["DL3032"], Shell, Warning, on, FixKind::None, yum_cache);
rule!(YUM_UNPINNED = "yum-unpinned", ["DL3033"], Shell, Warning, off, FixKind::None, yum_unpinned);
rule!(ZYPPER_ASKS = "zypper-asks", ["DL3034"], Shell, Warning, on, SAFE_YES, zypper_asks);
rule!(ZYPPER_UPGRADE = "zypper-dist-upgrade", ["DL3035"], Shell, Warning, on, FixKind::None,
    zypper_upgrade);
rule!(ZYPPER_CACHE = "zypper-cache-kept", ["DL3036"], Shell, Warning, on, FixKind::None,
    zypper_cache);
rule!(ZYPPER_UNPINNED = "zypper-unpinned", ["DL3037"], Shell, Warning, off, FixKind::None,
    zypper_unpinned);
rule!(DNF_NO_YES = "dnf-asks", ["DL3038"], Shell, Warning, on, SAFE_YES, dnf_no_yes);
rule!(DNF_CACHE = "dnf-cache-kept", ["DL3040"], Shell, Warning, on, FixKind::None, dnf_cache);
rule!(DNF_UNPINNED = "dnf-unpinned", ["DL3041"], Shell, Warning, off, FixKind::None, dnf_unpinned);
rule!(PIP_CACHE = "pip-cache-kept", ["DL3042"], Shell, Warning, on,
    FixKind::Sometimes(Safety::Unsafe), pip_cache);
rule!(YARN_CACHE = "yarn-cache-kept", ["DL3060"], Shell, Info, on, FixKind::None, yarn_cache);
rule!(GO_UNPINNED = "go-unpinned", ["DL3062"], Shell, Warning, off, FixKind::None, go_unpinned);
rule!(APT_NOT_APT_GET = "apt-for-people", ["DL3027"], Shell, Warning, on,
    FixKind::Sometimes(Safety::Unsafe), apt_for_people);

/// The packages behind a verb such as `install`.
fn packages<'a>(cmd: &'a Cmd, verbs: &[&str], with_value: &[&str]) -> Option<Vec<&'a Arg>> {
    let operands = cmd.operands(with_value);
    let at = operands.iter().position(|it| verbs.contains(&it.text.as_str()))?;
    Some(operands[at + 1..].to_vec())
}

/// One finding a RUN for each of its packages that `loose` says is not pinned, at the first.
fn unpinned(
    facts: &Facts<'_>,
    out: &mut Sink<'_>,
    what: &str,
    find: impl Fn(&Cmd) -> Vec<&Arg>,
) {
    for step in facts.runs() {
        let loose: Vec<&Arg> = step.script.commands.iter().flat_map(&find).collect();
        let Some(first) = loose.first() else { continue };
        let names: Vec<String> = loose.iter().map(|it| format!("`{}`", it.text)).collect();
        let verb = if names.len() == 1 { "has" } else { "have" };
        let message = format!("{} {verb} no version: {what}", names.join(", "));
        let finding = out.at(first.span, message);
        for other in loose.iter().skip(1).filter(|it| it.span != first.span) {
            finding.label(other.span, "and this");
        }
    }
}

const APT_VALUES: &[&str] =
    &["-t", "--target-release", "-o", "--option", "-c", "--config-file", "--default-release"];

fn apt_unpinned(facts: &Facts<'_>, out: &mut Sink<'_>) {
    unpinned(facts, out, "the next build may get another", |cmd| {
        if !cmd.is(&["apt-get"]) {
            return Vec::new();
        }
        let pinned = |it: &str| {
            it.contains('=') || it.contains('/') || it.ends_with(".deb") || it.starts_with('-')
        };
        let all = packages(cmd, &["install"], APT_VALUES).unwrap_or_default();
        all.into_iter().filter(|it| !pinned(&it.text)).collect()
    });
}

const LISTS: &str = "/var/lib/apt/lists";

fn removes(cmd: &Cmd, folder: &str) -> bool {
    let below = |it: &Arg| {
        let path = it.text.trim_end_matches(['*', '/']);
        folder == path || path.starts_with(folder) || it.text.ends_with("/*") && {
            folder.starts_with(path) && !path.is_empty()
        }
    };
    cmd.is(&["rm", "find"]) && cmd.args.iter().any(below)
}

/// The first command that leaves something behind and behind which nothing cleans. What cleans in a
/// function counts from anywhere.
fn uncleaned(
    commands: &[Cmd],
    leaves: impl Fn(&Cmd) -> bool,
    cleans: impl Fn(&Cmd) -> bool,
) -> Option<&Cmd> {
    let last = commands.iter().rposition(&cleans);
    let anywhere = commands.iter().any(|it| it.depth > 0 && cleans(it));
    let mut behind = commands.iter().skip(last.map_or(0, |it| it + 1));
    behind.find(|it| leaves(it)).filter(|_| !anywhere)
}

fn apt_lists(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let count = facts.stages.len();
    for step in facts.runs() {
        // A piece of a Dockerfile, without FROM, counts as its end.
        let shipped = step.stage.is_none_or(|stage| {
            stage + 1 == count
                || facts.stages.iter().any(|it| it.base == Base::Stage(stage))
                || facts.stages[stage].from.name.is_none()
        });
        let commands = &step.script.commands;
        let updates = |it: &Cmd| it.is(&["apt-get", "apt"]) && it.has("update");
        let kept = uncleaned(commands, updates, |it| removes(it, LISTS));
        let Some(update) = kept.filter(|_| shipped) else { continue };
        if !step.mounts_over(LISTS) {
            let message = "the package lists stay in this layer";
            let finding = out.at(update.span, message);
            finding.hint(format!("end the RUN with `&& rm -rf {LISTS}/*`, or mount a cache there"));
            // Without an install here, one below still reads the lists.
            let installs = commands.iter().any(|it| it.is(&["apt-get", "apt"]) && it.has("install"));
            if installs && let Some(fix) = append(step, &format!(" && rm -rf {LISTS}/*")) {
                finding.fix(fix);
            }
        }
    }
}

/// Adds to the end of a shell script of `&&`s.
fn append(step: &Step<'_>, text: &str) -> Option<Fix> {
    let run = step.run()?;
    let simple = run.heredocs.is_empty()
        && step.script.commands.iter().all(|it| it.depth == 0)
        && step.script.commands.iter().skip(1).all(|it| it.join == crate::Join::And)
        && matches!(run.command, strake_dockerfile::instruction::Command::Shell(_));
    let end = step.span().end;
    let at = Span { start: end, end };
    simple.then(|| Fix::risky(format!("append `{}`", text.trim()), vec![edit(at, text)]))
}

fn apt_no_yes(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (_, cmd) in facts.commands().filter(|(_, it)| it.is(&["apt-get"]) && it.has("install")) {
        let flags = cmd.flags();
        let quiet = flags.iter().filter(|it| matches!(**it, "q" | "quiet")).count() > 1;
        let level = |it: &Arg| matches!(it.text.as_str(), "-q=2" | "--quiet=2" | "-q=3");
        let yes = cmd.has_flag(&["y", "yes", "assume-yes"]) || cmd.args.iter().any(level);
        if !yes && !quiet {
            ask(cmd, "apt-get install", "install", "-y", out);
        }
    }
}

/// Reports a command that asks and cannot be answered.
fn ask(cmd: &Cmd, what: &str, verb: &str, flag: &str, out: &mut Sink<'_>) {
    let at = cmd.args.iter().find(|it| it.text == verb);
    let message = format!("`{what}` asks before it goes on, and nobody answers");
    let finding = out.at(at.map_or(cmd.span, |it| cmd.name_span.to(it.span)), message);
    finding.hint(format!("add `{flag}`"));
    if let Some(at) = at.filter(|it| it.span != cmd.span) {
        let behind = Span { start: at.span.end, end: at.span.end };
        finding.fix(Fix::risky(format!("add `{flag}`"), vec![edit(behind, format!(" {flag}"))]));
    }
}

fn apt_recommends(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (_, cmd) in facts.commands().filter(|(_, it)| it.is(&["apt-get"]) && it.has("install")) {
        let option = |it: &Arg| it.text.to_ascii_lowercase().contains("install-recommends=");
        if cmd.has_flag(&["no-install-recommends"]) || cmd.args.iter().any(option) {
            continue;
        }
        let at = cmd.args.iter().find(|it| it.text == "install").map_or(cmd.span, |it| it.span);
        let finding = out.at(at, "recommended packages are installed, too");
        finding.hint("add `--no-install-recommends`");
        if at != cmd.span {
            let behind = Span { start: at.end, end: at.end };
            let edits = vec![edit(behind, " --no-install-recommends")];
            finding.fix(Fix::risky("add `--no-install-recommends`", edits));
        }
    }
}

fn apt_for_people(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        let Some(cmd) = step.script.commands.iter().find(|it| it.is(&["apt"])) else { continue };
        let finding = out.at(cmd.name_span, "`apt` is for people: its options and output may change");
        finding.hint("use `apt-get` or `apt-cache`");
        let verbs = ["install", "update", "upgrade", "remove", "purge", "autoremove", "clean"];
        if cmd.verb(&verbs) && cmd.name_span != step.span() {
            let edits = vec![edit(cmd.name_span, "apt-get")];
            finding.fix(Fix::risky("write `apt-get`", edits));
        }
    }
}

/// The arguments of a pip install: `pip`, `pip3`, `python -m pip`.
pub(crate) fn pip_install(cmd: &Cmd) -> Option<Vec<&Arg>> {
    let args: Vec<&Arg> = if is_pip(cmd) {
        cmd.args.iter().collect()
    } else if cmd.program().starts_with("python") && cmd.has("-m") {
        let at = cmd.args.iter().position(|it| it.text == "pip")?;
        cmd.args[at + 1..].iter().collect()
    } else {
        return None;
    };
    args.iter().any(|it| it.text == "install").then_some(args)
}

fn is_pip(cmd: &Cmd) -> bool {
    let rest = cmd.name.strip_prefix("pip");
    rest.is_some_and(|it| it.bytes().all(|it| it.is_ascii_digit() || it == b'.'))
}

const PIP_VALUES: &[&str] = &[
    "--abi", "-b", "--build", "-e", "--editable", "--extra-index-url", "-f", "--find-links", "-i",
    "--index-url", "--implementation", "--no-binary", "--only-binary", "--platform", "--prefix",
    "--progress-bar", "--proxy", "--python-version", "--root", "--src", "-t", "--target",
    "--trusted-host", "--upgrade-strategy", "-r", "--requirement", "-c", "--constraint",
    "--timeout", "--retries", "--cert", "--cache-dir", "--log", "--exists-action",
    "--global-option", "--install-option", "--report", "-C", "--config-settings",
];

fn pip_unpinned(facts: &Facts<'_>, out: &mut Sink<'_>) {
    unpinned(facts, out, "the next build may get another", |cmd| {
        let Some(args) = pip_install(cmd) else { return Vec::new() };
        let given = |it: &&&Arg| {
            let text = it.text.as_str();
            ["-r", "--requirement", "-c", "--constraint", "-e", "--editable"].contains(&text)
                || text.starts_with("--requirement=")
                || text.starts_with("--constraint=")
                || text.starts_with("-r") && text.len() > 2
        };
        if args.iter().any(|it| given(&it)) {
            return Vec::new();
        }
        let mut skip = true;
        let mut value = false;
        let mut loose = Vec::new();
        for arg in args {
            let text = arg.text.as_str();
            if std::mem::take(&mut value) {
                continue;
            }
            if text.starts_with('-') {
                value = PIP_VALUES.contains(&text);
            } else if skip {
                skip = text != "install";
            } else if !pip_pinned(text) {
                loose.push(arg);
            }
        }
        loose
    });
}

fn pip_pinned(text: &str) -> bool {
    let exact = ["==", "===", "~=", "<=", "!=", "<", "@"].iter().any(|it| text.contains(it));
    exact && !text.starts_with("git+")
        || text.contains('@') && text.starts_with("git+")
        || text.starts_with('.')
        || text.starts_with('/')
        || text.contains("://") && !text.starts_with("git+")
        || [".whl", ".tar.gz", ".zip"].iter().any(|it| text.ends_with(it))
}

fn pip_cache(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        let off = |name: &str| {
            let value = facts.var(name, step.index).map(|it| it.value.clone().unwrap_or_default());
            value.is_some_and(|it| !it.is_empty())
        };
        if off("PIP_NO_CACHE_DIR") || step.mounts_over("/root/.cache/pip") || cached(step, "pip") {
            continue;
        }
        let commands = &step.script.commands;
        let exported = commands.iter().any(|it| {
            it.is(&["export"]) && it.args.iter().any(|it| it.text.starts_with("PIP_NO_CACHE_DIR="))
        });
        let cleaned = |it: &Cmd| {
            removes(it, "/root/.cache") || is_pip(it) && it.has("cache") && it.has("purge")
        };
        let caches = |it: &Cmd| {
            pip_install(it).is_some()
                && !it.has("--no-cache-dir")
                && !it.assignments.iter().any(|(name, _)| name == "PIP_NO_CACHE_DIR")
        };
        let bad = uncleaned(commands, caches, cleaned).filter(|_| !exported);
        let Some(cmd) = bad else { continue };
        let finding = out.at(cmd.span, "pip's cache stays in this layer");
        finding.hint("add `--no-cache-dir`, or `--mount=type=cache,target=/root/.cache/pip`");
        let verb = cmd.args.iter().find(|it| it.text == "install");
        if let Some(verb) = verb.filter(|it| it.span != cmd.span) {
            let at = Span { start: verb.span.end, end: verb.span.end };
            finding.fix(Fix::risky("add `--no-cache-dir`", vec![edit(at, " --no-cache-dir")]));
        }
    }
}

/// A cache mount whose target ends with `.cache/NAME`.
fn cached(step: &Step<'_>, name: &str) -> bool {
    let ends = format!(".cache/{name}");
    let target = |it: &crate::Mount| it.target().ends_with(&ends) || it.target().ends_with(".cache");
    step.mounts.iter().any(|it| matches!(it.kind.as_str(), "cache" | "tmpfs") && target(it))
}

fn npm_unpinned(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let values = ["--loglevel", "--registry", "--prefix", "--userconfig", "--cache", "-w"];
    unpinned(facts, out, "the next build may get another", |cmd| {
        if !cmd.is(&["npm"]) || !cmd.has("install") {
            return Vec::new();
        }
        let all = packages(cmd, &["install"], &values).unwrap_or_default();
        all.into_iter().filter(|it| !npm_pinned(&it.text)).collect()
    });
}

fn npm_pinned(text: &str) -> bool {
    if text.contains("git+") || text.contains("git:") || text.starts_with("github:") {
        return text.contains('#');
    }
    let name = text.strip_prefix('@').unwrap_or(text);
    name.contains('@')
        || !text.starts_with('@') && name.contains('#')
        || [".tgz", ".tar", ".tar.gz", ".tar.bz2", ".tbz"].iter().any(|it| text.ends_with(it))
        || ["./", "/", "../", "file:", "~/"].iter().any(|it| text.starts_with(it))
        || text == "."
        || text == ".."
}

fn apk_unpinned(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let values = ["-t", "--virtual", "-X", "--repository", "-p", "--root", "--arch"];
    unpinned(facts, out, "the next build may get another", |cmd| {
        if !cmd.is(&["apk"]) {
            return Vec::new();
        }
        let pinned = |it: &str| {
            it.contains(['=', '<', '>', '~']) || it.ends_with(".apk")
        };
        let all = packages(cmd, &["add"], &values).unwrap_or_default();
        all.into_iter().filter(|it| !pinned(&it.text)).collect()
    });
}

fn apk_cache(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for step in facts.runs() {
        let mounted = step.mounts_over("/var/cache/apk") || step.mounts_over("/etc/apk/cache");
        let commands = &step.script.commands;
        let adds = |it: &Cmd| it.is(&["apk"]) && it.has("add") && !it.has_any(&["--no-cache"]);
        let bad = uncleaned(commands, adds, |it| removes(it, "/var/cache/apk"));
        let Some(cmd) = bad.filter(|_| !mounted) else { continue };
        let finding = out.at(cmd.span, "apk's index stays in this layer");
        finding.hint("add `--no-cache`, or `--mount=type=cache,target=/var/cache/apk`");
        let verb = cmd.args.iter().find(|it| it.text == "add");
        if let Some(verb) = verb.filter(|it| it.span != cmd.span) {
            let at = Span { start: verb.span.end, end: verb.span.end };
            finding.fix(Fix::risky("add `--no-cache`", vec![edit(at, " --no-cache")]));
        }
    }
}

fn gem_unpinned(facts: &Facts<'_>, out: &mut Sink<'_>) {
    unpinned(facts, out, "the next build may get another", |cmd| {
        if !cmd.is(&["gem"]) || cmd.value_of(&["-v", "--version"]).is_some() {
            return Vec::new();
        }
        let only = cmd.args.iter().take_while(|it| it.text != "--").count();
        let all = packages(cmd, &["install", "i"], &[]).unwrap_or_default();
        let kept = &cmd.args[..only];
        all.into_iter()
            .filter(|it| kept.iter().any(|kept| std::ptr::eq(kept, *it)))
            .filter(|it| !it.text.contains(':'))
            .collect()
    });
}

fn is_yum_verb(cmd: &Cmd) -> bool {
    cmd.has_any(&["install", "groupinstall", "localinstall"])
}

fn asks(facts: &Facts<'_>, out: &mut Sink<'_>, programs: &[&str]) {
    for (_, cmd) in facts.commands().filter(|(_, it)| it.is(programs) && is_yum_verb(it)) {
        if !cmd.has_flag(&["y", "yes", "assumeyes"]) {
            let verb = cmd.args.iter().find(|it| it.text.ends_with("install"));
            let verb = verb.map_or("install", |it| it.text.as_str());
            ask(cmd, &format!("{} {verb}", cmd.name), verb, "-y", out);
        }
    }
}

fn yum_no_yes(facts: &Facts<'_>, out: &mut Sink<'_>) {
    asks(facts, out, &["yum"]);
}

fn dnf_no_yes(facts: &Facts<'_>, out: &mut Sink<'_>) {
    asks(facts, out, &["dnf", "microdnf"]);
}

/// Reports a RUN that leaves the cache of a package manager behind.
fn kept(
    facts: &Facts<'_>,
    out: &mut Sink<'_>,
    folders: &[&str],
    installs: impl Fn(&Cmd) -> bool,
    cleans: impl Fn(&Cmd) -> bool,
    how: &str,
) {
    for step in facts.runs() {
        let gone = |it: &Cmd| cleans(it) || folders.iter().any(|at| removes(it, at));
        let cmd = uncleaned(&step.script.commands, &installs, gone);
        let Some(cmd) = cmd else { continue };
        if !folders.iter().any(|it| step.mounts_over(it)) {
            let message = format!("{}'s cache stays in this layer", cmd.name);
            let hint = format!("end with `{how}`, or mount a cache on {}", folders[0]);
            out.at(cmd.span, message).hint(hint);
        }
    }
}

fn yum_cache(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let installs = |it: &Cmd| it.is(&["yum"]) && it.has("install");
    let cleans = |it: &Cmd| it.is(&["yum"]) && it.has("clean");
    kept(facts, out, &["/var/cache/yum", "/var/cache/dnf"], installs, cleans, "yum clean all");
}

fn dnf_cache(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let programs = ["dnf", "microdnf"];
    let installs = |it: &Cmd| it.is(&programs) && it.has_any(&["install", "upgrade"]);
    let cleans = |it: &Cmd| it.is(&programs) && it.has("clean");
    let folders = ["/var/cache/dnf", "/var/cache/libdnf5"];
    kept(facts, out, &folders, installs, cleans, "dnf clean all");
}

fn zypper_cache(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let installs = |it: &Cmd| it.is(&["zypper"]) && it.has_any(&["install", "in"]);
    let cleans = |it: &Cmd| it.is(&["zypper"]) && it.has_any(&["clean", "cc"]);
    kept(facts, out, &["/var/cache/zypp"], installs, cleans, "zypper clean");
}

/// `name-1.2`: a dash and a digit.
fn rpm_pinned(text: &str) -> bool {
    let dash = text.match_indices('-');
    let mut versions = dash.filter_map(|(at, _)| text[at + 1..].chars().next());
    versions.any(|it| it.is_ascii_digit() || it == '$') || text.ends_with(".rpm") && !text.contains("://")
}

fn rpm_unpinned(facts: &Facts<'_>, out: &mut Sink<'_>, programs: &[&str]) {
    unpinned(facts, out, "the next build may get another", |cmd| {
        if !cmd.is(programs) {
            return Vec::new();
        }
        let module = cmd.verb(&["module"]);
        let all = packages(cmd, &["install"], &["-c", "--config", "--repo", "--setopt"]);
        let pinned = |it: &&Arg| if module { it.text.contains(':') } else { rpm_pinned(&it.text) };
        all.unwrap_or_default().into_iter().filter(|it| !pinned(it)).collect()
    });
}

fn yum_unpinned(facts: &Facts<'_>, out: &mut Sink<'_>) {
    rpm_unpinned(facts, out, &["yum"]);
}

fn dnf_unpinned(facts: &Facts<'_>, out: &mut Sink<'_>) {
    rpm_unpinned(facts, out, &["dnf", "microdnf"]);
}

fn zypper_asks(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let verbs = ["install", "in", "remove", "rm", "source-install", "si", "patch"];
    for (_, cmd) in facts.commands().filter(|(_, it)| it.is(&["zypper"]) && it.has_any(&verbs)) {
        let yes = ["n", "non-interactive", "y", "no-confirm"];
        if !cmd.has_flag(&yes) {
            let verb = cmd.args.iter().find(|it| verbs.contains(&it.text.as_str()));
            let verb = verb.map_or("install", |it| it.text.as_str());
            ask(cmd, &format!("zypper {verb}"), verb, "-y", out);
        }
    }
}

fn zypper_upgrade(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (_, cmd) in facts.commands().filter(|(_, it)| it.is(&["zypper"])) {
        if cmd.has_any(&["dist-upgrade", "dup"]) {
            let message = "a distribution upgrade makes another image of the base";
            out.at(cmd.span, message).hint("use a newer base image");
        }
    }
}

fn zypper_unpinned(facts: &Facts<'_>, out: &mut Sink<'_>) {
    unpinned(facts, out, "the next build may get another", |cmd| {
        if !cmd.is(&["zypper"]) {
            return Vec::new();
        }
        let pinned =
            |it: &str| it.contains('=') || it.contains(['<', '>']) || it.ends_with(".rpm");
        let all = packages(cmd, &["install", "in"], &["-r", "--repo", "--from"]);
        all.unwrap_or_default().into_iter().filter(|it| !pinned(&it.text)).collect()
    });
}

fn yarn_cache(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let count = facts.stages.len();
    for step in facts.runs() {
        let shipped = step.stage.is_none_or(|stage| {
            stage + 1 == count || facts.stages.iter().any(|it| it.base == Base::Stage(stage))
        });
        let commands = &step.script.commands;
        let installs = |it: &Cmd| it.is(&["yarn"]) && it.has("install");
        let clean = |it: &Cmd| it.is(&["yarn"]) && it.has("cache") && it.has("clean");
        let Some(cmd) = uncleaned(commands, installs, clean) else { continue };
        let mounted = step.mounts.iter().any(|it| {
            matches!(it.kind.as_str(), "cache" | "tmpfs") && it.target().contains("yarn")
        }) || cached(step, "yarn");
        if !mounted && shipped {
            let hint =
                "end with `yarn cache clean`, or mount a cache on /usr/local/share/.cache/yarn";
            out.at(cmd.span, "yarn's cache stays in this layer").hint(hint);
        }
    }
}

fn go_unpinned(facts: &Facts<'_>, out: &mut Sink<'_>) {
    unpinned(facts, out, "the next build may get another", |cmd| {
        if !cmd.is(&["go"]) || !cmd.verb(&["install", "get", "run"]) {
            return Vec::new();
        }
        let values = ["-ldflags", "-tags", "-o", "-mod", "-modfile", "-p", "-C", "-gcflags"];
        let all = packages(cmd, &["install", "get", "run"], &values).unwrap_or_default();
        let local = |it: &str| it.starts_with('.') || it.starts_with('/') || it.ends_with(".go");
        let pinned = |it: &str| match it.split_once('@') {
            Some((_, version)) => !matches!(version, "latest" | "none" | "upgrade" | "patch"),
            None => local(it),
        };
        all.into_iter().take(1).filter(|it| !pinned(&it.text)).collect()
    });
}
