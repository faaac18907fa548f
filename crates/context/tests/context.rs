//! Looking up, listing, walking and hashing a directory on disk.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};
use strake_context::{Context, ContextError, Kind, StatIndex, hash_file};

/// Makes files (with their path as content), directories (`d/`) and links (`l -> target`).
fn tree(spec: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for line in spec {
        if let Some((link, target)) = line.split_once(" -> ") {
            symlink(target, root.path().join(link)).unwrap();
        } else if let Some(directory) = line.strip_suffix('/') {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        } else {
            let path = root.path().join(line);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, line).unwrap();
        }
    }
    root
}

fn walk(root: &Path, ignore: &str, path: &str) -> Vec<String> {
    let context = Context::open(root, Some(ignore)).unwrap();
    let entries = context.walk(path.as_bytes()).unwrap();
    entries.into_iter().map(|entry| String::from_utf8(entry.path).unwrap()).collect()
}

#[test]
fn walks_in_the_order_of_components() {
    let root = tree(&["a/x", "a.b", "a/", "a/y/z", "b -> a"]);
    assert_eq!(walk(root.path(), "", ""), ["", "a", "a/x", "a/y", "a/y/z", "a.b", "b"]);
    assert_eq!(walk(root.path(), "", "a/y"), ["a/y", "a/y/z"]);
    assert_eq!(walk(root.path(), "", "a.b"), ["a.b"]);
    assert!(walk(root.path(), "", "nothing").is_empty());
    assert!(walk(root.path(), "", "b/x").is_empty(), "links are not walked through");
}

#[test]
fn the_ignore_rules_decide_what_is_there() {
    let root = tree(&["docs/README.md", "docs/a/b", "docs/c", "src/x.rs", "src/x.log", "empty/"]);
    let walk = |ignore: &str, path: &str| walk(root.path(), ignore, path);
    assert_eq!(
        walk("docs\n!docs/README.md\n**/*.log\n", ""),
        ["", "docs", "docs/README.md", "empty", "src", "src/x.rs"]
    );
    assert_eq!(
        walk("docs\n!**/b\n", ""),
        ["", "docs", "docs/a", "docs/a/b", "empty", "src", "src/x.log", "src/x.rs"]
    );
    assert_eq!(walk("docs\n!docs/missing\n", ""), ["", "empty", "src", "src/x.log", "src/x.rs"]);
    assert_eq!(walk("*", ""), [""]);
    assert_eq!(walk("*\n!src\n", "src"), ["src", "src/x.log", "src/x.rs"]);
    assert!(walk("docs", "docs/a").is_empty());
    assert_eq!(walk("docs\n!docs/a/b", "docs/a"), ["docs/a", "docs/a/b"]);
}

#[test]
fn looks_up_single_entries_under_the_same_rules() {
    let root = tree(&["docs/README.md", "docs/c", "file", "link -> file"]);
    let context = Context::open(root.path(), Some("docs\n!docs/README.md")).unwrap();
    let there = |path: &str| context.entry(path.as_bytes()).unwrap().is_some();
    assert!(there("docs") && there("docs/README.md") && there("file") && there(""));
    assert!(!there("docs/c") && !there("missing") && !there("file/below"));
    assert!(context.is_ignored(b"docs/c") && !context.is_ignored(b"missing"));
    let kind = context.entry(b"link").unwrap().unwrap().kind;
    assert_eq!(kind, Kind::Symlink { target: b"file".to_vec() });
    let names: Vec<_> = context.children(b"").unwrap().into_iter().map(|e| e.path).collect();
    assert_eq!(names, [&b"docs"[..], b"file", b"link"]);
}

#[test]
fn links_are_followed_within_the_context() {
    let root = tree(&["d/f", "up -> ../../d", "abs -> /d/f", "loop -> loop", "d/back -> ../up"]);
    let context = Context::open(root.path(), None).unwrap();
    for (path, expected) in [
        ("up/f", "d/f"),
        ("abs", "d/f"),
        ("d/back/f", "d/f"),
        ("../../etc", "etc"),
        ("up/missing/x", "d/missing/x"),
        (".", ""),
    ] {
        assert_eq!(context.resolve(path.as_bytes()).unwrap(), expected.as_bytes(), "{path}");
    }
    assert!(matches!(context.resolve(b"loop"), Err(ContextError::LinkLoop { .. })));
}

#[test]
fn a_context_that_is_no_directory_is_named() {
    let root = tree(&["file"]);
    for name in ["file", "missing"] {
        let error = Context::open(&root.path().join(name), None).unwrap_err();
        assert!(error.to_string().contains(name) && error.to_string().contains("not a directory"));
    }
}

#[test]
fn unreadable_below_an_excluded_directory_does_not_matter() {
    let root = tree(&["secret/x", "a"]);
    assert_eq!(walk(root.path(), "secret", ""), ["", "a"]);
}

/// Waits until the file system's clock has moved past the tick of what was written before.
fn next_tick(directory: &Path) {
    std::thread::sleep(Duration::from_millis(60));
    fs::write(directory.join("tick"), "").unwrap();
}

#[test]
fn the_stat_index_knows_unchanged_files_and_notices_changed_ones() {
    let (root, store) = (tree(&["a", "b"]), tempfile::tempdir().unwrap());
    let index_path = store.path().join("index");
    let hash = |name: &str| {
        let context = Context::open(root.path(), None).unwrap();
        let index = StatIndex::load(&index_path);
        let entry = context.entry(name.as_bytes()).unwrap().unwrap();
        let hash = index.hash_all(&context, &[&entry]).unwrap()[0];
        index.save(&index_path).unwrap();
        hash
    };
    next_tick(root.path());
    assert_eq!(hash("a"), hash_file(&root.path().join("a")).unwrap());
    assert_eq!(hash("b"), hash_file(&root.path().join("b")).unwrap());
    let size = fs::metadata(&index_path).unwrap().len();
    assert_eq!(hash("a"), hash_file(&root.path().join("a")).unwrap());
    assert_eq!(fs::metadata(&index_path).unwrap().len(), size, "nothing new to record");

    // Same length, same mtime: only the change time tells.
    let before = fs::metadata(root.path().join("a")).unwrap().modified().unwrap();
    fs::write(root.path().join("a"), "A").unwrap();
    fs::File::options()
        .write(true)
        .open(root.path().join("a"))
        .unwrap()
        .set_modified(before)
        .unwrap();
    assert_eq!(hash("a"), hash_file(&root.path().join("a")).unwrap());
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 1, "no stray file");
}

#[test]
fn a_file_as_young_as_the_index_is_not_recorded() {
    let (root, store) = (tree(&[]), tempfile::tempdir().unwrap());
    let index_path = store.path().join("index");
    let context = Context::open(root.path(), None).unwrap();
    let index = StatIndex::load(&index_path);
    fs::write(root.path().join("young"), "1").unwrap();
    let entry = context.entry(b"young").unwrap().unwrap();
    index.hash(&context, &entry).unwrap();
    index.save(&index_path).unwrap();
    assert!(!index_path.exists());
}

#[test]
fn a_damaged_index_is_an_empty_one() {
    let (root, store) = (tree(&["a"]), tempfile::tempdir().unwrap());
    let index_path = store.path().join("index");
    fs::write(&index_path, b"strake-stat-v001 and then nonsense that is longer than a digest")
        .unwrap();
    let context = Context::open(root.path(), None).unwrap();
    let entry = context.entry(b"a").unwrap().unwrap();
    let hash = StatIndex::load(&index_path).hash(&context, &entry).unwrap();
    assert_eq!(hash, hash_file(&root.path().join("a")).unwrap());
}
