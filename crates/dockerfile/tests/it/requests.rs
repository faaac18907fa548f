//! What is asked for before there is a plan, and what is said about a request.

use strake_diag::{Diagnostic, Source};
use strake_dockerfile::{
    Dockerfile, NamedContext, Request, missing, parse, plan, unused_build_args,
};
use strake_oci::Platform;

fn file(text: &str) -> Dockerfile {
    let (file, problems) = parse(&Source::new("Dockerfile", text));
    assert!(!problems.iter().any(Diagnostic::is_error), "{problems:?}");
    file
}

fn request() -> Request {
    let platform: Platform = "linux/amd64".parse().expect("a platform");
    Request::new(platform.clone(), platform)
}

#[test]
fn each_image_is_asked_for_once_and_only_if_needed() {
    let file = file(
        "FROM a AS one\nFROM unused\nFROM --platform=linux/arm64 a AS two\n\
         FROM a\nCOPY --from=one /x /\nCOPY --from=two /x /\nCOPY --from=b /x /\nRUN --mount=from=b,target=/m x",
    );
    let wanted = missing(&file, &request()).expect("it is sound");
    let names: Vec<String> =
        wanted.iter().map(|it| format!("{} {}", it.name, it.platform)).collect();
    assert_eq!(names, ["a linux/amd64", "a linux/arm64", "b linux/amd64"]);
    assert!(plan(&file, &request()).is_err(), "nothing is resolved");
}

#[test]
fn a_misspelt_stage_is_told_with_its_place() {
    let file = file("FROM scratch AS builder\nFROM scratch\nCOPY --from=biulder /x /");
    let wanted = missing(&file, &request()).expect("it may be an image");
    assert_eq!(wanted[0].near_stage.as_deref(), Some("builder"));
    assert_eq!(file.source.slice(wanted[0].span), "biulder");
}

#[test]
fn a_named_context_says_what_to_resolve() {
    let mut request = request();
    let layout = NamedContext::Image("oci-layout:///bases/node".to_owned());
    request.named.insert("node:20-alpine".to_owned(), layout);
    let wanted = missing(&file("FROM docker.io/library/node:20-alpine"), &request).expect("sound");
    assert_eq!(wanted[0].name, "docker.io/library/node:20-alpine");
    assert_eq!(wanted[0].context.as_deref(), Some("node:20-alpine"));
    assert_eq!(wanted[0].reference, "oci-layout:///bases/node");
}

#[test]
fn build_arguments_that_nothing_reads_are_named() {
    let mut request = request();
    for name in
        ["USED", "LOST", "http_proxy", "TARGETARCH", "BUILDKIT_INLINE_CACHE", "SOURCE_DATE_EPOCH"]
    {
        request.build_args.push((name.to_owned(), Some("1".to_owned())));
    }
    assert_eq!(unused_build_args(&file("FROM scratch\nARG USED"), &request), ["LOST"]);
}

#[test]
fn the_parsed_file_keeps_what_a_linter_needs() {
    let file =
        file("# syntax=docker/dockerfile:1\n# about\nfrom scratch\nrun a \\\n\n  # inside\n  b\n");
    assert_eq!(file.directives[0].name, "syntax");
    let comments: Vec<&str> = file.comments.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(comments, ["about", "inside"]);
    let [from, run] = file.statements.as_slice() else { panic!("two statements") };
    assert_eq!((from.keyword.text.as_str(), from.above[0].text.as_str()), ("from", "about"));
    assert_eq!(run.empty_continuations.len(), 1);
    assert_eq!(file.source.slice(run.span), "run a \\\n\n  # inside\n  b");
}

#[test]
fn a_long_chain_of_stages_is_no_deep_recursion() {
    let mut text = "FROM scratch AS s0\n".to_owned();
    for index in 1..20_000 {
        text.push_str(&format!("FROM s{} AS s{index}\n", index - 1));
    }
    let plan = plan(&file(&text), &request()).expect("it is sound");
    assert_eq!(plan.stages.len(), 20_000);
}

/// The Dockerfiles of everyday projects: no diagnostic, and a plan.
#[test]
fn everyday_dockerfiles_have_a_plan() {
    let folder = crate::support::testdata("seeds");
    let mut found = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the entry can be read").path().join("Dockerfile");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        found += 1;
        let (_, problems) = parse(&Source::new("Dockerfile", text.clone()));
        assert!(problems.is_empty(), "{}: {problems:?}", path.display());
        let (_, plan) = crate::support::Setup::new("").plan(&text);
        let plan = plan.unwrap_or_else(|it| panic!("{}: {it:?}", path.display()));
        let steps: usize = plan.stages.iter().map(|it| it.steps.len()).sum();
        assert!(steps > 3, "{}", path.display());
    }
    assert!(found > 3);
}
