//! Contexts that nobody means well with: names, kinds, depths and numbers of everything.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use rustix::fs::{CWD, FileType, Mode};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
};
use strake_context::{Context, ContextError, Kind, hash_file};

fn context(root: &Path, ignore: &str) -> Context {
    Context::open(root, Some(ignore)).unwrap()
}

fn paths(context: &Context, below: &[u8]) -> Vec<Vec<u8>> {
    context.walk(below).unwrap().into_iter().map(|it| it.path).collect()
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.roll(from.len())]
    }
}

const NAMES: [&[u8]; 9] = [b"a", b"b", b"ab", b"a.b", b".x", b"caf\xe9", b"a b", b"\n", b"*"];

/// Makes up to 60 files and folders, in whatever lies in each other.
fn grow(root: &Path, dice: &mut Dice) {
    let mut folders = vec![root.to_owned()];
    for _ in 0..60 {
        let at = folders[dice.roll(folders.len())].join(OsStr::from_bytes(dice.pick(&NAMES)));
        match dice.roll(5) {
            0 | 1 if fs::create_dir(&at).is_ok() => folders.push(at),
            2 => drop(symlink("a", at)),
            _ => drop(fs::File::create_new(at)),
        }
    }
}

fn rules(dice: &mut Dice) -> String {
    let parts = ["a", "b", "ab", "*", "**", "?", ".x", "a*", "*b", "**b", "caf*", "a?b", "[a-b]"];
    let mut text = String::new();
    for _ in 0..dice.roll(6) + 1 {
        text.push_str(dice.pick(&["", "", "!", "/", "!/"]));
        let length = dice.roll(3) + 1;
        let pattern: Vec<&str> = (0..length).map(|_| dice.pick(&parts)).collect();
        text.push_str(&pattern.join("/"));
        text.push_str(dice.pick(&["\n", "\r\n", "/\n", " \n"]));
    }
    text
}

/// Whether it is one of the patterns that Docker does not look for in excluded folders, though they would
/// match: it takes `!a/*/**` for an exception of `a` and its direct children.
fn is_overlooked(ignore: &str) -> bool {
    let ends = |line: &str| line.trim().trim_end_matches('/').ends_with("/*/**");
    ignore.lines().any(|line| line.starts_with('!') && ends(line))
}

/// What is there by the rules, found the slow way: every path on its own, and the folders above.
fn slowly(root: &Path, ignore: &str) -> Vec<Vec<u8>> {
    let (all, rules) = (context(root, ""), context(root, ignore));
    let mut there = BTreeSet::from([Vec::new()]);
    for path in paths(&all, b"").into_iter().filter(|it| !it.is_empty() && !rules.is_ignored(it)) {
        let slashes = path.iter().enumerate().filter(|it| *it.1 == b'/').map(|it| it.0);
        there.extend(slashes.map(|at| path[..at].to_vec()));
        there.insert(path);
    }
    let components = |path: &Vec<u8>| path.split(|it| *it == b'/').map(<[u8]>::to_vec).collect();
    let mut there: Vec<Vec<u8>> = there.into_iter().collect();
    there.sort_by_key(|path| -> Vec<Vec<u8>> { components(path) });
    there
}

#[test]
fn a_walk_finds_what_asking_for_each_path_finds() {
    let mut dice = Dice(0x5eed);
    for round in 0..40 {
        let root = tempfile::tempdir().unwrap();
        grow(root.path(), &mut dice);
        for _ in 0..15 {
            let ignore = rules(&mut dice);
            if is_overlooked(&ignore) {
                continue;
            }
            let context = context(root.path(), &ignore);
            let walked = paths(&context, b"");
            let wanted = slowly(root.path(), &ignore);
            assert_eq!(walked, wanted, "round {round}: {ignore:?}");
            for path in &walked {
                assert!(context.entry(path).unwrap().is_some(), "{path:?} {ignore:?}");
                let below = paths(&context, path);
                let start = [path, &b"/"[..]].concat();
                let is_below = |it: &&Vec<u8>| path.is_empty() || it.starts_with(&start);
                let wanted: Vec<&Vec<u8>> =
                    walked.iter().filter(|it| *it == path || is_below(it)).collect();
                assert_eq!(below.iter().collect::<Vec<_>>(), wanted, "{path:?} {ignore:?}");
                let names = context.children(path).unwrap().len();
                let depth = |it: &[u8]| it.iter().filter(|byte| **byte == b'/').count();
                let level = if path.is_empty() { 0 } else { depth(path) + 1 };
                let wanted = below[1..].iter().filter(|it| depth(it) == level).count();
                assert_eq!(names, wanted, "{path:?} {ignore:?}");
            }
        }
    }
}

#[test]
fn no_link_leads_out() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir_all(root.join("in")).unwrap();
    fs::create_dir(outer.path().join("secrets")).unwrap();
    fs::write(outer.path().join("secrets/key"), "x").unwrap();
    symlink("../secrets", root.join("up")).unwrap();
    symlink(outer.path().join("secrets"), root.join("absolute")).unwrap();
    symlink("up", root.join("twice")).unwrap();
    symlink("../../../../../../secrets/key", root.join("in/far")).unwrap();
    symlink("/proc/self/root", root.join("host")).unwrap();
    let context = context(&root, "");
    for path in
        ["up/key", "absolute/key", "twice/key", "in/far", "in/../../secrets/key", "host/etc"]
    {
        let real = context.resolve(path.as_bytes()).unwrap();
        assert!(!real.split(|it| *it == b'/').any(|it| it == b".."), "{path}");
        assert!(!context.file(&real).exists(), "{path} is {}", real.escape_ascii());
        assert!(context.entry(path.as_bytes()).unwrap().is_none_or(|it| it.names == 1));
        assert!(paths(&context, path.as_bytes()).len() <= 1, "{path}");
        assert!(context.children(path.as_bytes()).unwrap().is_empty(), "{path}");
    }
    assert!(hash_file(&root.join("in/far")).is_err(), "a link is no file");
}

#[test]
fn all_kinds_of_files_are_walked_and_none_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let pipe = root.path().join("pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let _listener = UnixListener::bind(root.path().join("socket")).unwrap();
    fs::write(root.path().join("file"), "x").unwrap();
    fs::set_permissions(root.path().join("file"), fs::Permissions::from_mode(0o6711)).unwrap();
    let context = context(root.path(), "");
    let kind = |name: &[u8]| context.entry(name).unwrap().unwrap().kind;
    assert_eq!(kind(b"pipe"), Kind::Fifo);
    assert_eq!(kind(b"socket"), Kind::Socket);
    assert_eq!(context.entry(b"file").unwrap().unwrap().mode, 0o6711);
    let entry = context.entry(b"file").unwrap().unwrap();
    // What was a file when it was walked is a pipe now, which nobody writes to.
    fs::rename(&pipe, root.path().join("file")).unwrap();
    let error = context.hashes(&[&entry]).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("file") && source.contains("no regular file"), "{source}");
}

#[test]
fn names_are_bytes() {
    let root = tempfile::tempdir().unwrap();
    let long = [b'n'; 255];
    let names: [&[u8]; 7] = [b"\x01\x7f", b"\xff\xfe", b"-rf", b" ", b"\\", b"new\nline", &long];
    for name in names {
        fs::write(root.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let all = context(root.path(), "");
    let mut wanted = names.map(<[u8]>::to_vec).to_vec();
    wanted.sort();
    assert_eq!(paths(&all, b"")[1..], wanted);
    for name in names {
        assert_eq!(all.resolve(name).unwrap(), name);
        let entry = all.entry(name).unwrap().unwrap();
        assert_eq!(all.hashes(&[&entry]).unwrap()[0].0, *blake3::hash(name).as_bytes());
    }
    // Each byte that is no text is one character, and no other pattern finds it.
    assert_eq!(paths(&context(root.path(), "??\n"), b"").len(), 1 + names.len() - 2);
    assert_eq!(
        paths(&context(root.path(), "\\\\\nnew?line\n-*\n"), b"").len(),
        1 + names.len() - 3
    );
}

#[test]
fn a_tree_may_be_as_deep_as_a_path_is_long() {
    let root = tempfile::tempdir().unwrap();
    let start = root.path().as_os_str().len();
    let depth = (4094 - start) / 2;
    let deepest = root.path().join("d/".repeat(depth));
    fs::create_dir_all(&deepest).unwrap();
    assert_eq!(paths(&context(root.path(), ""), b"").len(), depth + 1);
    assert_eq!(paths(&context(root.path(), "d/d\n!**/e\n"), b"").len(), 2);
    // One folder more, which no path reaches.
    let parent = fs::File::open(&deepest).unwrap();
    let name = "e".repeat(200);
    rustix::fs::mkdirat(&parent, &name, Mode::from_raw_mode(0o755)).unwrap();
    let inner =
        rustix::fs::openat(&parent, &name, rustix::fs::OFlags::RDONLY, Mode::empty()).unwrap();
    rustix::fs::mkdirat(&inner, "f", Mode::from_raw_mode(0o755)).unwrap();
    let error = context(root.path(), "").walk(b"").unwrap_err();
    assert!(matches!(error, ContextError::Unreadable { .. }), "{error}");
    assert!(error.to_string().ends_with(&name), "{error}");
    rustix::fs::unlinkat(&inner, "f", rustix::fs::AtFlags::REMOVEDIR).unwrap();
    rustix::fs::unlinkat(&parent, &name, rustix::fs::AtFlags::REMOVEDIR).unwrap();
}

#[test]
fn many_patterns_and_many_files() {
    let root = tempfile::tempdir().unwrap();
    for folder in 0..20 {
        let at = root.path().join(format!("folder{folder}"));
        fs::create_dir(&at).unwrap();
        for file in 0..50 {
            fs::write(at.join(format!("file{file}.txt")), "").unwrap();
        }
    }
    let mut ignore = String::new();
    for number in 0..2500 {
        ignore.push_str(&format!(
            "folder{number}/file7.txt\n**/gone{number}\n**/*.{number}.log\nnone{number}/*/x?z\n"
        ));
    }
    ignore.push_str("!folder3/file7.txt\n");
    assert_eq!(paths(&context(root.path(), &ignore), b"").len(), 1 + 20 + 20 * 50 - 19);
}

#[test]
fn a_wide_folder_is_walked_in_order() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..5000 {
        fs::create_dir(root.path().join(number.to_string())).unwrap();
    }
    let walked = paths(&context(root.path(), ""), b"");
    assert!(walked.is_sorted() && walked.len() == 5001);
}

/// A pattern that makes a naive matcher try for years.
#[test]
fn patterns_do_not_explode() {
    let root = tempfile::tempdir().unwrap();
    let name = "a".repeat(200);
    fs::write(root.path().join(&name), "").unwrap();
    for pattern in
        ["*a".repeat(60) + "b", "**/".repeat(200) + "b", "a**".repeat(60) + "b", "?".repeat(201)]
    {
        assert_eq!(paths(&context(root.path(), &pattern), b"").len(), 2, "{pattern}");
    }
    assert_eq!(paths(&context(root.path(), &"?".repeat(200)), b"").len(), 1);
}
