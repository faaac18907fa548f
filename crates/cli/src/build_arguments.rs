//! Build arguments that mean something to BuildKit itself: what each does here.

use crate::{failure::Failure, output, run_options};

/// Those that do what they do in BuildKit.
const HONOURED: &[&str] = &[
    "BUILDKIT_SYNTAX",
    "BUILDKIT_MULTI_PLATFORM",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    DOCKERFILE_CHECK,
];

/// What is said of the checks, in the place of `# check=`.
pub(crate) const DOCKERFILE_CHECK: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// Those without effect, and why; a star stands for anything.
const NOTHING: &[(&str, &str)] = &[
    ("BUILDKIT_INLINE_CACHE", "no cache is kept in images"),
    ("BUILDKIT_BUILD_NAME", "builds have no names"),
    ("BUILDKIT_SBOM_SCAN_*", "attestations are not made"),
    ("BUILDKIT_*", "strake does not know it"),
];

/// What to say of arguments without effect, one line each.
pub(crate) fn without_effect(given: &[(String, String)]) -> Vec<String> {
    let mut told = Vec::new();
    for (name, value) in given {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        let it = name.as_str();
        if HONOURED.contains(&it) || run_options::BUILD_ARGS.contains(&it) {
            continue;
        }
        let Some((_, why)) = NOTHING.iter().find(|it| matches(it.0)) else { continue };
        // What is switched off has no effect in BuildKit either.
        if value.is_empty() || value == "0" || value == "false" {
            continue;
        }
        let line = format!("build argument {name} has no effect: {why}");
        if !told.contains(&line) {
            told.push(line);
        }
    }
    told
}

/// BUILDKIT_SYNTAX: the language of strake under any name and version, and nothing else.
pub(crate) fn check_syntax(given: &[(String, String)]) -> Result<(), Failure> {
    let Some(image) = last(given, "BUILDKIT_SYNTAX") else { return Ok(()) };
    let name = image.rsplit('/').next().unwrap_or(image);
    let name = name.split(['@', ':']).next().unwrap_or(name);
    if matches!(name, "" | "dockerfile" | "dockerfile-upstream" | "dockerfile.v0") {
        return Ok(());
    }
    Err(Failure::usage(format!("BUILDKIT_SYNTAX={image} is a program of its own, and is not run"))
        .hint("leave it out if the file is a plain Dockerfile"))
}

/// BUILDKIT_MULTI_PLATFORM.
pub(crate) fn multi_platform(given: &[(String, String)]) -> Result<bool, Failure> {
    switch(given, "BUILDKIT_MULTI_PLATFORM")
}

/// BUILDKIT_CONTEXT_KEEP_GIT_DIR: whether a context that is a repository keeps its `.git`.
pub(crate) fn keep_git_dir(given: &[(String, String)]) -> Result<bool, Failure> {
    switch(given, "BUILDKIT_CONTEXT_KEEP_GIT_DIR")
}

fn switch(given: &[(String, String)], name: &'static str) -> Result<bool, Failure> {
    match last(given, name) {
        None => Ok(false),
        Some(value) => output::boolean(name, value)
            .map_err(|(what, _)| Failure::usage(format!("--build-arg {what}"))),
    }
}

/// The value that counts.
pub(crate) fn last<'a>(given: &'a [(String, String)], name: &str) -> Option<&'a str> {
    given.iter().rev().find(|it| it.0 == name).map(|it| it.1.as_str())
}

#[cfg(test)]
mod tests {
    use super::{HONOURED, multi_platform, without_effect};

    fn pairs(given: &[&str]) -> Vec<(String, String)> {
        let pair = |it: &&str| it.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned()));
        given.iter().filter_map(pair).collect()
    }

    #[test]
    fn each_is_honoured_or_named() {
        let told = without_effect(&pairs(&[
            "BUILDKIT_INLINE_CACHE=1",
            "BUILDKIT_INLINE_CACHE=1",
            "BUILDKIT_MULTI_PLATFORM=1",
            "BUILDKIT_SBOM_SCAN_STAGE=true",
            "BUILDKIT_NEWS=x",
            "BUILDKIT_BUILD_NAME=",
            "OTHER=1",
        ]));
        let names: Vec<_> = told.iter().map(|it| it.split(' ').nth(2).unwrap()).collect();
        assert_eq!(names, ["BUILDKIT_INLINE_CACHE", "BUILDKIT_SBOM_SCAN_STAGE", "BUILDKIT_NEWS"]);
        for name in HONOURED {
            assert!(without_effect(&pairs(&[&format!("{name}=1")])).is_empty(), "{name}");
        }
    }

    #[test]
    fn an_index_on_request() {
        assert!(!multi_platform(&[]).unwrap());
        assert!(
            multi_platform(&pairs(&["BUILDKIT_MULTI_PLATFORM=0", "BUILDKIT_MULTI_PLATFORM=1"]))
                .unwrap()
        );
        assert!(multi_platform(&pairs(&["BUILDKIT_MULTI_PLATFORM=maybe"])).is_err());
    }
}
