//! How CI builds the image: mistakes in workflows that throw the cache away.

use crate::Facts;
use crate::rule::{Finding, FixKind, Rule, Sink};
use std::collections::BTreeMap;
use strake_diag::Span;

pub(super) static RULES: &[&Rule] =
    &[&NO_CACHE, &FROM_ALONE, &MIN, &PER_COMMIT, &PULL_PINNED, &SHARED_REF];

rule!(NO_CACHE = "ci-no-cache", [], Cache, Warning, on, FixKind::None, no_cache);
rule!(FROM_ALONE = "ci-cache-from-alone", [], Cache, Warning, on, FixKind::None, from_alone);
rule!(MIN = "ci-cache-mode-min", [], Cache, Info, on, FixKind::None, min);
rule!(PER_COMMIT = "ci-cache-per-commit", [], Cache, Warning, on, FixKind::None, per_commit);
rule!(PULL_PINNED = "ci-pulls-pinned", [], Cache, Info, on, FixKind::None, pull_pinned);
rule!(SHARED_REF = "ci-shared-cache-name", [], Cache, Warning, on, FixKind::None, shared_ref);

/// The lines of a workflow that build an image, with their numbers from 0.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, it)| !it.trim_start().starts_with('#'))
}

fn builds(text: &str) -> bool {
    ["docker build", "buildx build", "build-push-action", "docker/bake", "buildx bake", "buildctl", "strake build"]
        .iter()
        .any(|it| text.contains(it))
}

/// Every workflow that builds images.
fn pipelines<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let all = facts.outside.pipelines.iter().filter(|(_, text)| builds(text));
    all.map(|(path, text)| (path.as_str(), text.as_str()))
}

fn at<'a>(out: &'a mut Sink<'_>, path: &str, line: usize, message: &str) -> &'a mut Finding {
    let finding = out.at(Span::new(line, line), message);
    finding.file = Some(path.to_owned());
    finding
}

/// Whether a line has this option: `--no-cache`, or `no-cache: true` of an action.
fn says(line: &str, option: &str) -> bool {
    let flag = line.split_whitespace().any(|it| it == format!("--{option}") || it == format!("--{option}=true"));
    let key = line.trim_start().strip_prefix(option).and_then(|it| it.trim_start().strip_prefix(':'));
    flag || key.is_some_and(|it| it.trim() == "true")
}

fn no_cache(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (path, text) in pipelines(facts) {
        for (line, _) in lines(text).filter(|(_, it)| says(it, "no-cache")) {
            at(out, path, line, "CI uses no finished step at all").hint("take no-cache out, and pin what must be new");
        }
    }
}

fn has(text: &str, option: &str) -> Option<usize> {
    lines(text).find(|(_, it)| {
        it.contains(&format!("--{option}")) || it.trim_start().starts_with(&format!("{option}:"))
    }).map(|it| it.0)
}

fn from_alone(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (path, text) in pipelines(facts) {
        let inline = text.contains("BUILDKIT_INLINE_CACHE");
        if let (Some(line), None) = (has(text, "cache-from"), has(text, "cache-to"))
            && !inline
        {
            at(out, path, line, "a cache is read that nothing here writes").hint("add cache-to, too");
        }
    }
}

fn min(facts: &Facts<'_>, out: &mut Sink<'_>) {
    if facts.stages.len() < 2 {
        return;
    }
    for (path, text) in pipelines(facts) {
        let short = |it: &str| it.contains("cache-to") && (it.contains("type=gha") || it.contains("type=registry") || it.contains("type=s3"));
        for (line, it) in lines(text).filter(|(_, it)| short(it)) {
            if !it.contains("mode=max") {
                at(out, path, line, "only the last stage is kept: the stages that it copies from are built each time").hint("add mode=max");
            }
        }
    }
}

fn per_commit(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (path, text) in pipelines(facts) {
        for (line, it) in lines(text).filter(|(_, it)| it.contains("cache-to") || it.contains("cache-from")) {
            let own = ["github.sha", "GITHUB_SHA", "CI_COMMIT_SHA", "CI_COMMIT_SHORT_SHA", "github.run_id", "CI_PIPELINE_ID"];
            if own.iter().any(|name| it.contains(name)) {
                at(out, path, line, "each commit has a cache of its own, which no other finds").hint("name it after the branch");
            }
        }
    }
}

fn pull_pinned(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let pinned = !facts.stages.is_empty() && facts.stages.iter().all(|it| match &it.base {
        crate::Base::Image(name) => name.contains('@'),
        crate::Base::Stage(_) | crate::Base::Scratch => true,
    });
    for (path, text) in pipelines(facts).filter(|_| pinned) {
        for (line, _) in lines(text).filter(|(_, it)| says(it, "pull")) {
            at(out, path, line, "bases are pinned by digest, so there is nothing to pull again").hint("take pull out");
        }
    }
}

fn shared_ref(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (path, text) in pipelines(facts) {
        let matrix = text.contains("matrix:");
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (line, it) in lines(text).filter(|(_, it)| it.contains("cache-to")) {
            let name = ["ref=", "scope="].iter().find_map(|key| {
                it.split_once(key).map(|(_, rest)| rest.split([',', ' ', '"']).next().unwrap_or_default())
            });
            let gha = it.contains("type=gha") && name.is_none();
            let constant = name.is_some() && !it.contains("matrix.");
            if matrix && (constant || gha) {
                at(out, path, line, "all jobs of the matrix write one cache, and the last one wins").hint("put the matrix into its name: scope= or ref=");
            } else if let Some(first) = name.filter(|_| !matrix).and_then(|it| seen.insert(it, line)) {
                let message = format!("line {} writes this cache, too, and the last one wins", first + 1);
                at(out, path, line, &message).hint("give each image a name of its own: scope= or ref=");
            }
        }
    }
}
