//! The merged view of stacked layers.

use crate::support::*;
use strake_layer::{Change, Kind, Node, ResolveError, Tree};

fn stack(layers: &[&[Change]]) -> Tree {
    Tree::stack(&layers.iter().map(|it| index_of(it)).collect::<Vec<_>>())
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.walk(b"").map(path).collect()
}

fn path(node: &Node) -> String {
    String::from_utf8(node.entry.path.clone()).unwrap()
}

fn layer(tree: &Tree, path: &str) -> Option<usize> {
    tree.get(path.as_bytes()).map(|it| it.layer)
}

#[test]
fn an_empty_stack_has_a_root() {
    let tree = Tree::stack(&[]);
    let root = &tree.get(b"").unwrap().entry;
    assert_eq!((root.mode, root.uid, root.gid), (0o755, 0, 0));
    assert_eq!(paths(&tree), [""]);
}

#[test]
fn later_layers_replace_delete_and_hide() {
    let base = [
        directory("a"),
        directory("a/b"),
        file("a/b/c", b"1"),
        file("a-b", b"1"),
        directory("o"),
        file("o/old", b""),
        directory("gone"),
        file("gone/too", b""),
        directory("now-a-file"),
        file("now-a-file/x", b""),
        file("now-a-directory", b""),
    ];
    let upper = [
        with(directory("a"), |it| it.mode = 0o700),
        file("a-b", b"two"),
        whiteout("gone"),
        whiteout("never-there"),
        file("now-a-directory/x", b""),
        file("now-a-file", b""),
        opaque("o"),
        file("o/new", b""),
    ];
    let tree = stack(&[&base, &upper]);
    let expected = [
        "",
        "a",
        "a/b",
        "a/b/c",
        "a-b",
        "now-a-directory",
        "now-a-directory/x",
        "now-a-file",
        "o",
        "o/new",
    ];
    assert_eq!(paths(&tree), expected);
    assert_eq!(tree.get(b"a").unwrap().entry.mode, 0o700);
    assert_eq!(
        (layer(&tree, "a"), layer(&tree, "a/b/c"), layer(&tree, "a-b")),
        (Some(1), Some(0), Some(1))
    );
    assert_eq!(tree.get(b"o").unwrap().entry.kind, Kind::Directory { opaque: false });
    assert_eq!(stack(&[&base, &[opaque("")]]).len(), 1);
}

#[test]
fn nested_hiding_does_not_end_early() {
    let base =
        [directory("a"), directory("a/b"), file("a/b/1", b""), file("a/c", b""), file("b", b"")];
    let tree = stack(&[&base, &[opaque("a"), whiteout("a/b")]]);
    assert_eq!(paths(&tree), ["", "a", "b"]);
}

#[test]
fn a_deletion_after_its_successor_is_the_same() {
    let base = [directory("a"), file("a/old", b"")];
    for upper in [[whiteout("a"), file("a/new", b"")], [file("a/new", b""), whiteout("a")]] {
        assert_eq!(paths(&stack(&[&base, &upper])), ["", "a", "a/new"]);
    }
}

#[test]
fn entries_below_links_go_where_the_links_lead() {
    let base =
        [directory("usr"), directory("usr/lib"), symlink("lib", "usr/lib"), symlink("l", "/lib/x")];
    let upper = [file("lib/a", b""), file("l/b", b""), file("usr/lib/c", b"")];
    let tree = stack(&[&base, &upper]);
    let expected =
        ["", "l", "lib", "usr", "usr/lib", "usr/lib/a", "usr/lib/c", "usr/lib/x", "usr/lib/x/b"];
    assert_eq!(paths(&tree), expected);
    let same_layer = [symlink("lib", "usr/lib"), file("lib/a", b"")];
    assert_eq!(paths(&stack(&[&same_layer])), ["", "lib", "usr", "usr/lib", "usr/lib/a"]);
}

#[test]
fn hard_links_keep_what_they_linked_to() {
    let base = [file("a", b"old"), hard_link("b", "a"), hard_link("c", "b"), file("d", b"old")];
    let tree = stack(&[&base, &[file("a", b"newer")]]);
    let node = |path: &[u8]| tree.get(path).unwrap();
    assert_eq!(node(b"b").entry.kind, Kind::File { size: 3 });
    assert_eq!(node(b"b").content, node(b"d").content);
    assert_eq!((node(b"b").layer, node(b"a").layer), (0, 1));
    assert!(node(b"b").group.is_some());
    assert_eq!(node(b"b").group, node(b"c").group);
    assert_eq!((node(b"a").group, node(b"d").group), (None, None));
    let before = stack(&[&base]);
    assert_eq!(before.get(b"a").unwrap().group, before.get(b"c").unwrap().group);
}

#[test]
fn links_are_resolved_within_the_root() {
    let tree = stack(&[&[
        directory("usr"),
        directory("usr/bin"),
        file("usr/bin/node", b""),
        symlink("bin", "usr/bin"),
        symlink("usr/absolute", "/usr/bin"),
        symlink("usr/out", "../../../usr"),
        symlink("node", "bin/node"),
        symlink("dangling", "nowhere/x"),
        symlink("circle", "circle"),
    ]]);
    for (path, whole, parent) in [
        ("", "", ""),
        ("/", "", ""),
        ("..", "", ""),
        ("bin/node", "usr/bin/node", "usr/bin/node"),
        ("/bin", "usr/bin", "bin"),
        ("usr/absolute/node", "usr/bin/node", "usr/bin/node"),
        ("usr/out/bin/./../bin//node", "usr/bin/node", "usr/bin/node"),
        ("node", "usr/bin/node", "node"),
        ("bin/../x", "usr/x", "usr/x"),
        ("dangling/y", "nowhere/x/y", "nowhere/x/y"),
        ("dangling", "nowhere/x", "dangling"),
        ("not/there", "not/there", "not/there"),
    ] {
        let text = |path: Vec<u8>| String::from_utf8(path).unwrap();
        assert_eq!(text(tree.resolve(path.as_bytes()).unwrap()), whole, "{path}");
        assert_eq!(text(tree.resolve_parent(path.as_bytes()).unwrap()), parent, "{path}");
    }
    assert!(matches!(tree.resolve(b"circle/x"), Err(ResolveError::Loop { .. })));
    assert_eq!(tree.resolve_parent(b"circle").unwrap(), b"circle");
    assert_eq!(path(tree.content_node(b"/node").unwrap()), "usr/bin/node");
    assert!(tree.content_node(b"dangling").is_none());
}

#[test]
fn children_and_walks_are_in_order() {
    let mut layer = vec![
        directory("a"),
        directory("a/b"),
        file("a/b/c", b""),
        file("a/b-c", b""),
        file("a-b", b""),
    ];
    layer.extend((0..1000).map(|it| file(&format!("a/b/{it:04}"), b"")));
    let tree = stack(&[&layer]);
    let names = |path: &[u8]| -> Vec<String> {
        tree.children(path).map(|(name, _)| String::from_utf8(name.to_vec()).unwrap()).collect()
    };
    assert_eq!(names(b""), ["a", "a-b"]);
    assert_eq!(names(b"a"), ["b", "b-c"]);
    assert_eq!(names(b"a/b").len(), 1001);
    assert_eq!(names(b"nowhere"), [""; 0]);
    assert_eq!(names(b"a-b"), [""; 0]);
    assert_eq!(tree.walk(b"a/b").count(), 1002);
    assert_eq!(tree.walk(b"a").last().map(path).unwrap(), "a/b-c");
    assert_eq!(tree.walk(b"nowhere").count(), 0);
}

#[test]
fn accounts_are_those_of_the_topmost_layer_that_has_them() {
    let etc = directory("etc");
    let base = [etc.clone(), file("etc/passwd", b"one"), file("etc/group", b"one")];
    let tree = stack(&[&base, &[file("etc/passwd", b"two")], &[file("x", b"")]]);
    assert_eq!(tree.file(b"etc/passwd").unwrap(), b"two");
    assert_eq!(tree.file(b"etc/group").unwrap(), b"one");
    let tree = stack(&[&base, &[whiteout("etc/passwd"), symlink("etc/group", "passwd")]]);
    assert_eq!((tree.file(b"etc/passwd"), tree.file(b"etc/group")), (None, None));
    assert_eq!(stack(&[&base, &[opaque("etc")]]).file(b"etc/passwd"), None);
}

#[test]
fn a_large_tree_in_any_order_is_merged_right() {
    let names = |count: usize| {
        (0..count).map(move |it| format!("d{:02}/f{:05}", it % 50, it * 7919 % count))
    };
    let mut shuffled: Vec<Change> = names(20_000).map(|it| file(&it, b"")).collect();
    shuffled.extend((0..50).map(|it| with(directory(&format!("d{it:02}")), |it| it.mode = 0o711)));
    let tree = stack(&[&shuffled, &[whiteout("d07"), file("d08/new", b"")]]);
    let mut expected: Vec<String> = names(20_000).filter(|it| !it.starts_with("d07")).collect();
    expected.extend((0..50).filter(|it| *it != 7).map(|it| format!("d{it:02}")));
    expected.extend([String::new(), "d08/new".to_owned()]);
    expected.sort();
    assert_eq!(paths(&tree), expected);
    assert_eq!(tree.get(b"d08").unwrap().entry.mode, 0o711);
}
