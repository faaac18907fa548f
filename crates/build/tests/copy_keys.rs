//! What a selection's records tell: they go into the step's key.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use strake_build::copy::{SourceTree, select};
use strake_context::Context;
use strake_layer::{ContentHash, Entry, Index, IndexEntry, Kind, Tree};
use strake_plan::{CopyOp, CopySource, Source, StageId, Unpack};

fn copy(source: &str) -> CopyOp {
    CopyOp {
        from: Source::Context,
        sources: vec![CopySource::Path(source.to_owned())],
        dest: "/x/".to_owned(),
        chown: None,
        chmod: None,
        link: false,
        parents: false,
        excludes: Vec::new(),
        unpack: Unpack::Never,
    }
}

fn records(root: &Path, source: &str) -> Vec<(String, String)> {
    let context = Context::open(root, None).unwrap();
    select(&copy(source), &SourceTree::Context(&context), &[]).unwrap().records()
}

fn checkout() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("src/sub")).unwrap();
    fs::write(root.path().join("src/a.ts"), "a").unwrap();
    fs::write(root.path().join("src/sub/b.ts"), "b").unwrap();
    symlink("a.ts", root.path().join("src/l")).unwrap();
    root
}

#[test]
fn each_file_is_named_so_that_a_miss_can_be_explained() {
    let root = checkout();
    let names: Vec<String> = records(root.path(), ".").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [".", "src", "src/a.ts", "src/l", "src/sub", "src/sub/b.ts"]);
    let before = records(root.path(), "src");
    fs::write(root.path().join("src/sub/b.ts"), "B").unwrap();
    let after = records(root.path(), "src");
    let changed: Vec<&str> = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after)
        .map(|(before, _)| before.0.as_str())
        .collect();
    assert_eq!(changed, ["src/sub/b.ts"]);
}

#[test]
fn two_checkouts_agree_whatever_their_times_and_places() {
    let (one, two) = (checkout(), checkout());
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    fs::File::open(two.path().join("src/a.ts")).unwrap().set_modified(old).unwrap();
    fs::File::open(two.path().join("src/sub")).unwrap().set_modified(old).unwrap();
    assert_eq!(records(one.path(), "."), records(two.path(), "."));
}

#[test]
fn modes_links_names_and_contents_count() {
    let unchanged = checkout();
    let expected = records(unchanged.path(), "src");
    let change = |change: &dyn Fn(&Path)| {
        let root = checkout();
        change(&root.path().join("src"));
        assert_ne!(records(root.path(), "src"), expected);
    };
    change(&|src| fs::set_permissions(src.join("a.ts"), PermissionsExt::from_mode(0o755)).unwrap());
    change(&|src| fs::set_permissions(src.join("sub"), PermissionsExt::from_mode(0o700)).unwrap());
    change(&|src| fs::write(src.join("a.ts"), "x").unwrap());
    change(&|src| fs::rename(src.join("a.ts"), src.join("c.ts")).unwrap());
    change(&|src| fs::write(src.join("new"), "").unwrap());
    change(&|src| {
        fs::remove_file(src.join("l")).unwrap();
        symlink("sub", src.join("l")).unwrap();
    });
    change(&|src| {
        fs::remove_file(src.join("l")).unwrap();
        fs::hard_link(src.join("a.ts"), src.join("l")).unwrap();
    });
}

#[test]
fn the_mode_of_a_directory_whose_contents_are_copied_does_not_count() {
    let (one, two) = (checkout(), checkout());
    fs::set_permissions(two.path().join("src"), PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(records(one.path(), "src"), records(two.path(), "src"));
}

#[test]
fn large_selections_are_summed_up_by_their_first_names() {
    let root = checkout();
    for number in 0..5000 {
        fs::write(root.path().join(format!("src/sub/{number}")), "").unwrap();
    }
    let names = |records: &[(String, String)]| {
        records.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let before = records(root.path(), "src");
    assert_eq!(names(&before), ["src", "src/a.ts", "src/l", "src/sub"]);
    fs::write(root.path().join("src/sub/77"), "x").unwrap();
    let after = records(root.path(), "src");
    assert_eq!(before[..3], after[..3]);
    assert_ne!(before[3], after[3]);
}

#[test]
fn owners_count_only_where_they_are_kept() {
    let stage = |uid: u32| {
        let entry = Entry {
            path: b"f".to_vec(),
            kind: Kind::File { size: 1 },
            mode: 0o644,
            uid,
            gid: 0,
            mtime: 7,
            xattrs: BTreeMap::new(),
        };
        let content = Some(ContentHash([1; 32]));
        let index = Index { entries: vec![IndexEntry { entry, content }], ..Index::default() };
        Tree::stack(&[Arc::new(index)])
    };
    let records = |uid: u32, chown: Option<&str>| {
        let op = CopyOp {
            from: Source::Stage(StageId(0)),
            chown: chown.map(str::to_owned),
            ..copy("f")
        };
        select(&op, &SourceTree::Stage(&stage(uid)), &[]).unwrap().records()
    };
    assert_ne!(records(1, None), records(2, None));
    assert_eq!(records(1, Some("5")), records(2, Some("5")));
}
