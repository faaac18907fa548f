//! Indexes as bytes, and what makes two layers the same.

use crate::support::*;
use strake_layer::{Change, Index, content_id, load_index, write_index};

fn written(index: &Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_index(index, &mut bytes).unwrap();
    bytes
}

#[test]
fn an_index_survives_being_written() {
    let mut changes = one_of_each();
    changes.push(file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"));
    let index = index_of(&changes);
    assert_eq!(load_index(&written(&index)).unwrap(), *index);
    assert_eq!(index.files[&b"etc/passwd"[..]], b"root:x:0:0::/root:/bin/sh\n");
    assert_eq!(load_index(&written(&Index::default())).unwrap(), Index::default());
}

#[test]
fn damaged_bytes_are_no_index() {
    let bytes = written(&index_of(&one_of_each()));
    for length in 0..bytes.len() {
        assert!(load_index(&bytes[..length]).is_err(), "{length}");
    }
    assert!(load_index(&[&bytes[..], b"x"].concat()).is_err());
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 0xff;
        // It may be another index, but reading it ends, and without a panic.
        let _ = load_index(&other);
    }
}

#[test]
fn each_part_of_an_entry_is_part_of_the_identity() {
    let original = || with(file("a", b"content"), |_| ());
    let id = |changes: &[Change]| content_id(&index_of(changes), None);
    let same = id(&[original()]);
    assert_eq!(same, id(&[original()]));
    let different = [
        file("b", b"content"),
        file("a", b"Content"),
        directory("a"),
        symlink("a", "content"),
        hard_link("a", "content"),
        whiteout("a"),
        opaque("a"),
        with(original(), |it| it.mode = 0o4644),
        with(original(), |it| it.uid = 1),
        with(original(), |it| it.gid = 1),
        with(original(), |it| it.mtime += 1),
        with(original(), |it| drop(it.xattrs.insert(b"user.a".to_vec(), b"".to_vec()))),
    ];
    let mut ids: Vec<_> = different.into_iter().map(|it| id(&[it])).collect();
    ids.push(same);
    ids.sort();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn the_order_of_entries_is_no_part_of_the_identity() {
    let one = index_of(&[file("a", b""), file("b", b"")]);
    let other = index_of(&[file("b", b""), file("a", b"")]);
    assert_eq!(content_id(&one, None), content_id(&other, None));
}

#[test]
fn times_within_the_window_are_now() {
    let at = |mtime| index_of(&[with(file("a", b""), |it| it.mtime = mtime)]);
    let id = |mtime, window| content_id(&at(mtime), Some(window));
    assert_eq!(id(10, (10, 20)), id(20, (10, 20)));
    assert_eq!(id(10, (10, 20)), id(110, (100, 120)), "two runs at two times");
    assert_ne!(id(9, (10, 20)), id(10, (10, 20)));
    assert_ne!(id(21, (10, 20)), id(20, (10, 20)));
    assert_eq!(id(9, (10, 20)), content_id(&at(9), None));
    assert_ne!(id(0, (-1, 1)), content_id(&at(0), None), "now is not 1970");
}
