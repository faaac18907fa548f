//! What is sent to the build, and what the ignore file does about it.

use crate::facts::{bytes, install};
use crate::rule::{Finding, Fix, FixKind, Rule, Safety, Sink};
use crate::{ContextFacts, Facts, Step};
use std::collections::{BTreeMap, BTreeSet};
use strake_diag::Span;

pub(super) static RULES: &[&Rule] = &[
    &NO_IGNORE, &GIT, &JUNK, &INSTALLED, &BUDGET, &DEAD, &USELESS_EXCEPTION, &SHADOWED,
    &SHADOWED_FILE, &CASE,
];

rule!(NO_IGNORE = "no-dockerignore", [], Context, Warning, on, FixKind::Always(Safety::Unsafe), no_ignore);
rule!(GIT = "git-in-context", [], Context, Warning, on, FixKind::Sometimes(Safety::Unsafe), git);
rule!(JUNK = "junk-in-context", [], Context, Warning, on, FixKind::Sometimes(Safety::Unsafe), junk);
rule!(INSTALLED = "installed-files-in-context", [], Context, Warning, on,
    FixKind::Sometimes(Safety::Unsafe), installed);
rule!(BUDGET = "context-over-budget", [], Context, Warning, on, FixKind::None, budget);
rule!(DEAD = "dead-ignore-pattern", [], Context, Info, on, FixKind::None, dead);
rule!(USELESS_EXCEPTION = "useless-ignore-exception", [], Context, Warning, on, FixKind::None,
    useless_exception);
rule!(SHADOWED = "shadowed-ignore-pattern", [], Context, Info, on, FixKind::None, shadowed);
rule!(SHADOWED_FILE = "shadowed-ignore-file", [], Context, Info, on, FixKind::None, shadowed_file);
rule!(CASE = "names-differ-by-case", [], Context, Warning, on, FixKind::None, case);

/// The first step that copies everything.
fn wide<'a>(facts: &'a Facts<'_>) -> Option<&'a Step<'a>> {
    facts.steps.iter().find(|it| it.from_context().is_some_and(|it| it.is_wide()))
}

/// What nobody wants in an image, by the name of a path's part: name, and what it is.
const JUNK_NAMES: &[(&str, &str)] = &[
    (".DS_Store", "litter of macOS"), (".idea", "of an editor"), (".vscode", "of an editor"),
    (".venv", "a Python environment of this machine"), ("venv", "a Python environment of this machine"),
    ("__pycache__", "compiled on this machine"), (".pytest_cache", "of a test run"),
    (".mypy_cache", "of a type check"), (".ruff_cache", "of a linter"), (".tox", "of a test run"),
    ("coverage", "of a test run"), (".nyc_output", "of a test run"), (".coverage", "of a test run"),
    (".gradle", "of a build on this machine"), (".terraform", "of a tool on this machine"),
    ("npm-debug.log", "a log"), ("yarn-error.log", "a log"), (".next", "built on this machine"),
    (".nuxt", "built on this machine"), (".turbo", "of a build on this machine"),
    (".parcel-cache", "of a build on this machine"), (".cache", "of a build on this machine"),
];

/// Build output, by the manifest that tells of it.
const OUTPUT: &[(&str, &str)] = &[
    ("target", "Cargo.toml"), ("target", "pom.xml"), ("build", "build.gradle"),
    ("build", "build.gradle.kts"), ("bin", "*.csproj"), ("obj", "*.csproj"), ("_build", "mix.exs"),
    ("dist", "package.json"),
];

const INSTALLED_NAMES: &[(&str, &[&str])] = &[
    ("node_modules", &["npm", "yarn", "pnpm", "bun"]), ("vendor", &["Composer", "Bundler"]),
    ("deps", &["Mix"]),
];

/// Kept folders and files at the top, or anywhere for names that mean the same everywhere.
fn found<'a>(context: &'a ContextFacts, name: &str) -> Vec<&'a str> {
    let last = |path: &str| {
        path.strip_suffix(name).is_some_and(|it| it.is_empty() || it.ends_with('/'))
    };
    let all = context.kept().filter(|it| last(&it.path)).map(|it| it.path.as_str());
    // What lies in another find is part of it.
    let mut paths: Vec<&str> = Vec::new();
    for path in all {
        if !paths.iter().any(|it| path.strip_prefix(it).is_some_and(|it| it.starts_with('/'))) {
            paths.push(path);
        }
    }
    paths
}

fn junk_of(context: &ContextFacts) -> &[(String, &'static str)] {
    context.known.junk.get_or_init(|| look_for_junk(context))
}

fn look_for_junk(context: &ContextFacts) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    for (name, what) in JUNK_NAMES {
        let inside = |it: &str| it.split('/').any(|it| it == "node_modules" || it == ".git");
        all.extend(found(context, name).into_iter().filter(|it| !inside(it)).map(|it| (it.to_owned(), *what)));
    }
    for (folder, manifest) in OUTPUT {
        let has = context.files.iter().any(|it| {
            !it.path.contains('/') && crate::is_like(manifest, &it.path)
        });
        if has && context.has(folder) && context.kept().any(|it| it.path == *folder && it.folder) {
            all.push(((*folder).to_owned(), "built on this machine"));
        }
    }
    all.extend(context.kept().filter(|it| {
        !it.folder
                    && it.line.is_none()
                    && !it.path.contains('/')
                    && it.path.ends_with(".log")
    }).map(|it| (it.path.clone(), "a log")));
    all.sort();
    all.dedup();
    all
}

/// Patterns that a project's ignore file should have.
pub(crate) fn suggested(context: &ContextFacts, facts: Option<&Facts<'_>>) -> Vec<String> {
    let mut lines: BTreeSet<String> = BTreeSet::new();
    if context.find(".git").is_some() {
        lines.insert(".git".to_owned());
    }
    for (path, _) in junk_of(context) {
        let name = path.rsplit('/').next().unwrap_or(path);
        lines.insert(if path.contains('/') { format!("**/{name}") } else { path.clone() });
    }
    for (name, _) in INSTALLED_NAMES {
        let paths = found(context, name);
        let used = facts.is_none_or(|it| uses(it, name));
        if !paths.is_empty() && used {
            lines.insert(if paths.iter().all(|it| !it.contains('/')) { (*name).to_owned() } else { format!("**/{name}") });
        }
    }
    for file in context.kept().filter(|it| it.secret) {
        lines.insert(file.path.clone());
    }
    // What a COPY names stays.
    if let Some(facts) = facts {
        let named = |line: &String| {
            facts.steps.iter().filter_map(Step::from_context).flat_map(|it| &it.files.sources).any(|it| {
                let source = it.text.trim_start_matches("./").trim_end_matches('/');
                source == line || source.starts_with(&format!("{line}/")) || crate::is_like(source, line) && source != "*"
            })
        };
        lines.retain(|it| !named(it));
    }
    lines.into_iter().collect()
}

fn uses(facts: &Facts<'_>, name: &str) -> bool {
    let tools = INSTALLED_NAMES.iter().find(|(it, _)| *it == name).map_or(&[][..], |it| it.1);
    facts.commands().filter_map(|(_, it)| install(it)).any(|it| tools.contains(&it.tool.name))
}

/// Writes patterns behind those that are there.
fn ignoring(context: &ContextFacts, lines: &[String]) -> Fix {
    let (name, mut text) = match &context.ignore {
        Some(it) => (it.name.clone(), it.text.clone()),
        None => (".dockerignore".to_owned(), String::new()),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for line in lines {
        if !text.lines().any(|old| old == line) {
            text.push_str(line);
            text.push('\n');
        }
    }
    let mut fix = Fix::risky(format!("name {} in {name}", lines.join(", ")), Vec::new());
    fix.files.push((name, text));
    fix
}

fn no_ignore(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = facts.outside.context.as_ref().filter(|it| it.ignore.is_none()) else { return };
    let Some(step) = wide(facts) else { return };
    let lines = suggested(context, Some(facts));
    if lines.is_empty() {
        return;
    }
    let (size, count) = context.size_of("");
    let finding = out.at(step.span(), "everything in the folder is sent and copied: there is no .dockerignore");
    finding.evidence(format!("{} in {count} files", bytes(size)));
    finding.hint("`strake context` shows what is in it");
    finding.fix(ignoring(context, &lines));
}

fn git(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = facts.outside.context.as_ref().filter(|it| it.ignore.is_some()) else { return };
    let Some(step) = wide(facts).filter(|_| context.has(".git")) else { return };
    let reads = facts.commands().any(|(_, it)| it.is(&["git"])) || facts.steps.iter().any(|it| {
        it.statement.text.contains(".git/") || it.mounts.iter().any(|it| it.get("source") == Some(".git"))
    });
    let (size, _) = context.size_of(".git");
    let finding = out.at(step.span(), "each commit changes .git, so this is copied again even if no file changed");
    finding.evidence(format!(".git has {}", bytes(size)));
    if !reads {
        finding.fix(ignoring(context, &[".git".to_owned()]));
    }
}

fn junk(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = facts.outside.context.as_ref().filter(|it| it.ignore.is_some()) else { return };
    let Some(step) = wide(facts) else { return };
    let Some(transfer) = step.from_context() else { return };
    let wanted = suggested(context, Some(facts));
    let all: Vec<&(String, &str)> = junk_of(context)
        .iter()
        .filter(|(path, _)| transfer.selects(path))
        .filter(|(path, _)| {
            let name = path.rsplit('/').next().unwrap_or(path);
            wanted.iter().any(|it| it == path || *it == format!("**/{name}"))
        })
        .collect();
    let Some((first, what)) = all.first() else { return };
    let more = if all.len() > 1 { format!(", and {} more like it", all.len() - 1) } else { String::new() };
    let sum: u64 = all.iter().map(|(path, _)| context.size_of(path).0).sum();
    let finding = out.at(step.span(), format!("`{first}` is copied, {what}{more}"));
    finding.evidence(format!("{} in all", bytes(sum)));
    let lines: Vec<String> = wanted.into_iter().filter(|it| {
        let bare = it.trim_start_matches("**/");
        all.iter().any(|(path, _)| path == it || path.ends_with(&format!("/{bare}")) || path == bare)
    }).collect();
    finding.fix(ignoring(context, &lines));
}

fn installed(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = facts.outside.context.as_ref().filter(|it| it.ignore.is_some()) else { return };
    let Some(step) = wide(facts) else { return };
    for (name, _) in INSTALLED_NAMES.iter().filter(|(name, _)| uses(facts, name)) {
        let paths = found(context, name);
        let Some(first) = paths.first() else { continue };
        let (size, count) = context.size_of(first);
        let finding = out.at(step.span(), format!("`{first}` of this machine is copied over what the build installs"));
        finding.evidence(format!("{} in {count} files", bytes(size)));
        let line = if paths.iter().all(|it| !it.contains('/')) { (*name).to_owned() } else { format!("**/{name}") };
        finding.fix(ignoring(context, &[line]));
    }
}

/// As much as a context has without anybody asking: 100 MB.
const BUDGET_BYTES: u64 = 100_000_000;

fn budget(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = &facts.outside.context else { return };
    let limit = facts.settings.context_budget.unwrap_or(BUDGET_BYTES);
    let Some(step) = facts.steps.iter().find(|it| it.from_context().is_some()) else { return };
    if context.size_of("").0 <= limit {
        return;
    }
    let selected = |path: &str| facts.steps.iter().filter_map(Step::from_context).any(|it| it.selects(path));
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut sum = 0;
    for file in context.kept().filter(|it| !it.folder && selected(&it.path)) {
        let top = file.path.split('/').next().unwrap_or(&file.path);
        *sizes.entry(top).or_default() += file.size;
        sum += file.size;
    }
    if sum <= limit {
        return;
    }
    let mut largest: Vec<(&str, u64)> = sizes.into_iter().collect();
    largest.sort_by_key(|it| std::cmp::Reverse(it.1));
    let finding = out.at(step.span(), format!("the context has {}, more than {}", bytes(sum), bytes(limit)));
    for (path, size) in largest.iter().take(3) {
        finding.evidence(format!("{path}: {}", bytes(*size)));
    }
}

/// A place in the ignore file.
fn in_ignore<'a>(out: &'a mut Sink<'_>, file: &str, line: usize, message: String) -> &'a mut Finding {
    let finding = out.at(Span::new(line, line), message);
    finding.file = Some(file.to_owned());
    finding
}

/// Patterns that many projects share, and that may well match nothing just now.
fn is_usual(pattern: &str) -> bool {
    let bare = pattern.trim_start_matches("**/").trim_end_matches("/**").trim_end_matches('/');
    let usual = [
        ".git", ".github", ".gitignore", "node_modules", "dist", "build", "target", "coverage", "venv",
        ".venv", "vendor", "tmp", "out", "bin", "obj", "logs", "docs", "README.md", "LICENSE",
        "docker-compose.yml", "compose.yaml", "Dockerfile", ".dockerignore", "__pycache__", "Makefile",
    ];
    usual.contains(&bare) || bare.starts_with('.') || bare.contains('*') || bare.ends_with(".log")
}

fn dead(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = facts.outside.context.as_ref().filter(|it| !it.cut) else { return };
    let Some(ignore) = &context.ignore else { return };
    for (line, pattern) in &ignore.patterns {
        let below = ignored_above(context, pattern);
        if !pattern.starts_with('!') && !ignore.alive.contains(line) && !is_usual(pattern) && !below {
            in_ignore(out, &ignore.path, *line, format!("`{pattern}` matches nothing"))
                .hint("correct it or take it out");
        }
    }
}

/// A folder above a pattern is ignored, and was not entered.
fn ignored_above(context: &ContextFacts, pattern: &str) -> bool {
    let bare = pattern.trim_start_matches('!');
    let parts: Vec<&str> = bare.split('/').collect();
    (1..parts.len()).any(|at| {
        let above = parts[..at].join("/");
        context.find(&above).is_some_and(|it| it.ignored)
    })
}

fn useless_exception(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = facts.outside.context.as_ref().filter(|it| !it.cut) else { return };
    let Some(ignore) = &context.ignore else { return };
    for (line, pattern) in &ignore.patterns {
        let Some(bare) = pattern.strip_prefix('!') else { continue };
        if ignore.deciding.contains(line) {
            continue;
        }
        let there = ignore.alive.contains(line);
        let message = match there {
            true => format!("`!{bare}` changes nothing: what it keeps is not left out, or is again below"),
            false => format!("`!{bare}` matches nothing"),
        };
        in_ignore(out, &ignore.path, *line, message).hint("an exception counts for what stands above it");
    }
}

fn shadowed(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = facts.outside.context.as_ref().filter(|it| !it.cut) else { return };
    let Some(ignore) = &context.ignore else { return };
    let all: Vec<&str> = ignore.patterns.iter().map(|it| it.1.as_str()).collect();
    for (at, (line, pattern)) in ignore.patterns.iter().enumerate() {
        let again = all[..at].iter().position(|it| it == pattern);
        let between = again.is_some_and(|first| all[first..at].iter().any(|it| it.starts_with('!')));
        if again.is_some() && !between && !pattern.starts_with('!') {
            in_ignore(out, &ignore.path, *line, format!("`{pattern}` stands above already"))
                .hint("take it out");
        }
    }
}

fn shadowed_file(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = &facts.outside.context else { return };
    if let (Some(other), Some(ignore)) = (&context.shadowed, &context.ignore) {
        let message = format!("{other} does not count: {} stands in its place", ignore.path);
        in_ignore(out, &ignore.path, 0, message);
    }
}

fn case(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let Some(context) = &facts.outside.context else { return };
    let Some(step) = wide(facts) else { return };
    for (path, other) in context.known.twins.get_or_init(|| twins(context)) {
        let message = format!("`{path}` and `{other}` are one file on macOS and Windows");
        out.at(step.span(), message).hint("rename one, or the copy depends on who checks out");
    }
}

fn twins(context: &ContextFacts) -> Vec<(String, String)> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut all = Vec::new();
    for file in context.kept().filter(|it| !it.path.starts_with(".git/")) {
        if let Some(other) = seen.insert(file.path.to_lowercase(), &file.path) {
            all.push((file.path.clone(), other.to_owned()));
        }
    }
    all
}
