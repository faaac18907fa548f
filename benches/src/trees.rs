//! Trees on disk: walked, matched against ignore rules, searched for what a RUN changed.

use crate::data;
use std::{hint::black_box, path::PathBuf, sync::Arc};
use strake_context::{Context, Patterns};
use strake_layer::{Compression, Form, PackOptions, Tree, pack, unpack as unpack_layer};
use strake_rootfs::{Prepare, Root};
use strake_sandbox::Privilege;

const FILES: usize = 2000;

const IGNORED: &str =
    "**/*.log\n**/test/**\n!**/test/keep\n/docs\n*.tmp\nlib-0?/*.map\n**/.cache\n";

fn walking(ignore: Option<&str>) -> Box<dyn FnMut()> {
    let dir = tempfile::tempdir().expect("a folder");
    data::files(dir.path(), FILES);
    let context = Context::open(dir.path(), ignore).expect("a context");
    Box::new(move || {
        assert!(dir.path().exists());
        black_box(context.walk(b"").expect("a tree"));
    })
}

pub(crate) fn walk() -> Box<dyn FnMut()> {
    walking(None)
}

pub(crate) fn walk_with_patterns() -> Box<dyn FnMut()> {
    walking(Some(IGNORED))
}

pub(crate) fn ignore() -> Box<dyn FnMut()> {
    let patterns = Patterns::new(&strake_context::read_patterns(IGNORED)).expect("patterns");
    let paths: Vec<String> = (0..FILES).map(data::path).collect();
    Box::new(move || {
        black_box(paths.iter().filter(|it| patterns.matches(it.as_bytes())).count());
    })
}

/// What changed in a root without overlayfs, which is compared file by file.
pub(crate) fn diff() -> Box<dyn FnMut()> {
    let dir = tempfile::tempdir().expect("a folder");
    let options = PackOptions { compression: Compression::None, threads: 1 };
    let packed = pack(data::changes(FILES, 10), &options, dir.path()).expect("it packs");
    let lower: PathBuf = dir.path().join("lower");
    fs_err::create_dir(&lower).expect("a folder");
    let blob = fs_err::File::open(&packed.file).expect("it is there");
    let index = unpack_layer(blob, None, None, &lower, Form::SingleId).expect("a layer");
    let tree = Arc::new(Tree::stack(&[index.into()]));
    let privilege = Privilege::SingleId;
    let lowers = [lower];
    let spec = Prepare {
        lowers: &lowers,
        tree: &tree,
        dir: dir.path(),
        privilege: &privilege,
        overlay: false,
    };
    let root = Root::prepare(spec).expect("a root");
    data::files(&dir.path().join("root/new"), 20);
    Box::new(move || {
        assert!(dir.path().exists());
        black_box(root.changes(&[]).expect("changes"));
    })
}
