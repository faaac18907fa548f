//! Pairs of images and what is said of them.

use std::{collections::BTreeMap, sync::Arc};
use strake_diff::{Image, Options, compare};
use strake_layer::{ContentHash, Entry, Index, IndexEntry, Kind};
use strake_oci::{History, ImageConfig};

fn entry(path: &str, kind: Kind, mode: u32) -> IndexEntry {
    let content = matches!(kind, Kind::File { .. }).then_some(ContentHash([7; 32]));
    let path = path.as_bytes().to_vec();
    let xattrs = BTreeMap::new();
    IndexEntry { entry: Entry { path, kind, mode, uid: 0, gid: 0, mtime: 1, xattrs }, content }
}

fn image(layers: Vec<Vec<IndexEntry>>) -> Image {
    let layers = layers.into_iter().map(|entries| Arc::new(Index { entries, ..Index::default() }));
    Image { config: ImageConfig::default(), layers: layers.collect() }
}

fn said(left: &Image, right: &Image, options: &Options) -> Vec<String> {
    compare(left, right, options).iter().map(ToString::to_string).collect()
}

#[test]
fn the_way_to_a_tree_does_not_count_unless_layers_are_asked_for() {
    let file = |path| entry(path, Kind::File { size: 3 }, 0o644);
    let left = image(vec![vec![file("a"), file("b")], vec![entry("b", Kind::Whiteout, 0)]]);
    let right = image(vec![vec![file("a")], vec![]]);
    assert_eq!(said(&left, &right, &Options::default()), Vec::<String>::new());
    let options = Options { layers: true, ..Options::default() };
    assert_eq!(
        said(&left, &right, &options),
        [
            "layer[0]/b: only in the first: file 0644 0:0 size 3 content 0707070707070707",
            "layer[1]/b: only in the first: deletion",
        ]
    );
}

#[test]
fn modes_owners_times_and_links() {
    let left = image(vec![vec![
        entry("a", Kind::File { size: 3 }, 0o644),
        entry("b", Kind::Hardlink { target: b"a".to_vec() }, 0o644),
    ]]);
    let mut right = image(vec![vec![
        entry("a", Kind::File { size: 3 }, 0o4755),
        entry("b", Kind::File { size: 3 }, 0o644),
    ]]);
    assert_eq!(
        said(&left, &right, &Options::default()),
        ["/a: mode 0644 | 4755", "/a: names a b | nothing", "/b: names a b | nothing"]
    );
    let mut later = (*right.layers[0]).clone();
    later.entries[0].entry.mtime = 2;
    later.entries[0].entry.uid = 5;
    let earlier = right.clone();
    right.layers[0] = Arc::new(later);
    assert_eq!(said(&earlier, &right, &Options::default()), ["/a: owner 0:0 | 5:0"]);
    let times = Options { times: true, ..Options::default() };
    assert_eq!(said(&earlier, &right, &times), ["/a: mtime 1 | 2", "/a: owner 0:0 | 5:0"]);
    let ignored = Options { ignore: vec!["/a".to_owned()], ..times };
    assert_eq!(said(&earlier, &right, &ignored), Vec::<String>::new());
}

#[test]
fn config_and_history() {
    let history = |text: &str, empty_layer| History {
        created_by: Some(text.to_owned()),
        created: Some(text.to_owned()),
        empty_layer,
        ..History::default()
    };
    let (mut left, mut right) = (image(vec![]), image(vec![]));
    left.config.config.env = vec!["A=1".to_owned()];
    left.config.config.cmd = Some(vec![]);
    left.config.history = vec![history("RUN a\n\"b\"", false), history("CMD x", true)];
    right.config.config.env = vec!["A=2".to_owned()];
    right.config.config.user = "5".to_owned();
    right.config.history = vec![history("RUN a\n\"b\"", true)];
    assert_eq!(
        said(&left, &right, &Options::default()),
        [
            r#"config.config.Env[0]: "A=1" | "A=2""#,
            r#"config.config.User: only in the second: "5""#,
            r#"history[0]: RUN a\n"b" | RUN a\n"b" (empty layer)"#,
            r#"history[1]: only in the first: CMD x (empty layer)"#,
        ]
    );
}
