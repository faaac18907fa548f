//! House rules that run with the other tests.

use crate::shell::root;
use fs_err as fs;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// The arrows of ARCHITECTURE.md.
fn drawn() -> Arrows {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let block = text.split("```deps\n").nth(1).and_then(|it| it.split("```").next()).unwrap();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    block
        .lines()
        .map(|line| match line.split_once("->") {
            Some((from, to)) => (from.trim().to_owned(), words(to)),
            None => (line.trim().to_owned(), BTreeSet::new()),
        })
        .collect()
}

/// The arrows of the manifests.
fn built() -> Arrows {
    let mut arrows = Arrows::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
        let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let section = section.split("\n[").next().unwrap_or_default();
        let names = section.lines().filter_map(|it| it.strip_prefix("strake-"));
        let names = names.filter_map(|it| it.split(['.', ' ', '=']).next()).map(str::to_owned);
        arrows.insert(path.file_name().unwrap().to_string_lossy().into_owned(), names.collect());
    }
    arrows
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn arrows_are_as_drawn() {
    assert_eq!(drawn(), built());
}

#[test]
fn every_source_says_what_it_is() {
    let mut found = Vec::new();
    sources(&root().join("crates"), &mut found);
    sources(&root().join("xtask"), &mut found);
    let silent = |it: &&PathBuf| !fs::read_to_string(it).unwrap().starts_with("//!");
    let silent: Vec<_> = found.iter().filter(silent).collect();
    assert!(silent.is_empty(), "no //! on the first line: {silent:?}");
}

#[test]
fn unsafe_code_has_an_address() {
    let mut found = Vec::new();
    sources(&root().join("crates"), &mut found);
    found.retain(|it| !it.to_string_lossy().contains("crates/sandbox/src/sys/"));
    let word = ["unsafe", " {"].concat();
    let elsewhere = |it: &&PathBuf| fs::read_to_string(it).unwrap().contains(&word);
    let elsewhere: Vec<_> = found.iter().filter(elsewhere).collect();
    assert!(elsewhere.is_empty(), "unsafe outside sandbox/src/sys: {elsewhere:?}");
}

#[test]
fn no_test_is_put_aside() {
    let mut found = Vec::new();
    sources(&root().join("crates"), &mut found);
    let words = [["#[ign", "ore"].concat(), ["#[should_", "panic"].concat()];
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        assert!(!words.iter().any(|it| text.contains(it)), "{}", path.display());
    }
}
