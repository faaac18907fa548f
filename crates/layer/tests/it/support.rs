//! Changes, layers and tar archives for the tests.

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};
use strake_layer::{
    Body, Change, Compression, Entry, Form, Index, Kind, PackOptions, Packed, UnpackError, pack,
    unpack,
};

pub(crate) const TIME: i64 = 1_600_000_000;

pub(crate) fn entry(path: &[u8], kind: Kind, mode: u32) -> Entry {
    let xattrs = BTreeMap::new();
    Entry { path: path.to_vec(), kind, mode, uid: 0, gid: 0, mtime: TIME, xattrs }
}

pub(crate) fn change(path: &str, kind: Kind, mode: u32) -> Change {
    Change { entry: entry(path.as_bytes(), kind, mode), body: Body::Empty }
}

pub(crate) fn file(path: &str, content: &[u8]) -> Change {
    let kind = Kind::File { size: content.len() as u64 };
    Change { entry: entry(path.as_bytes(), kind, 0o644), body: Body::Bytes(content.into()) }
}

pub(crate) fn directory(path: &str) -> Change {
    change(path, Kind::Directory { opaque: false }, 0o755)
}

pub(crate) fn opaque(path: &str) -> Change {
    change(path, Kind::Directory { opaque: true }, 0o755)
}

pub(crate) fn symlink(path: &str, target: &str) -> Change {
    change(path, Kind::Symlink { target: target.into() }, 0o777)
}

pub(crate) fn hard_link(path: &str, target: &str) -> Change {
    change(path, Kind::Hardlink { target: target.into() }, 0o644)
}

pub(crate) fn whiteout(path: &str) -> Change {
    change(path, Kind::Whiteout, 0)
}

/// A change with other metadata.
pub(crate) fn with(mut change: Change, edit: impl FnOnce(&mut Entry)) -> Change {
    edit(&mut change.entry);
    change
}

/// Packs with two threads.
pub(crate) fn packed(changes: &[Change], compression: Compression, folder: &Path) -> Packed {
    pack(changes.to_vec(), &PackOptions { compression, threads: 2 }, folder).unwrap()
}

/// The tar of changes.
pub(crate) fn tar_of(changes: &[Change]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let packed = packed(changes, Compression::None, folder.path());
    std::fs::read(packed.file).unwrap()
}

pub(crate) fn index_of(changes: &[Change]) -> Arc<Index> {
    let folder = tempfile::tempdir().unwrap();
    Arc::new(packed(changes, Compression::None, folder.path()).index)
}

/// The form that this user can make.
pub(crate) fn form() -> Form {
    if is_root() { Form::Root } else { Form::SingleId }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn unpacked(tar: &[u8], target: &Path) -> Result<Index, UnpackError> {
    unpack(tar, None, None, target, form())
}

/// Runs a program with bytes on its standard input; its output.
pub(crate) fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

/// Everything that a layer can hold, in an order in which it can be unpacked.
pub(crate) fn one_of_each() -> Vec<Change> {
    let long = "long-directory-name-".repeat(4);
    let deep = [long.as_str(); 5].join("/");
    let mut changes = vec![
        directory("bin"),
        with(file("bin/su", b"#!/bin/sh\n"), |it| it.mode = 0o4755),
        with(file("bin/ping", b"ping"), |it| {
            let capability = b"\x01\0\0\x02\0\x20\0\0\0\n\0\0\0\0\0\0\0\0\0\0".to_vec();
            it.xattrs.insert(b"security.capability".to_vec(), capability);
            it.xattrs.insert(b"user.note".to_vec(), b"line\nline=\0\xff".to_vec());
        }),
        hard_link("bin/ping6", "bin/ping"),
        change("dev", Kind::Directory { opaque: false }, 0o755),
        change("dev/null", Kind::Character { major: 1, minor: 3 }, 0o666),
        change("dev/disk", Kind::Block { major: 8, minor: 17 }, 0o660),
        change("dev/pipe", Kind::Fifo, 0o600),
        symlink("lib", "usr/lib"),
        symlink("long-link", &"../".repeat(60)),
        with(file("secret", b"x"), |it| it.mode = 0),
        with(directory("tmp"), |it| it.mode = 0o1777),
        with(file("owned", b"mine"), |it| (it.uid, it.gid) = (1000, 4_000_000)),
        with(file("old", b""), |it| it.mtime = -5),
        with(file("new", b"late"), |it| it.mtime = 1 << 33),
        whiteout("gone"),
        opaque("fresh"),
        file("fresh/file", b"fresh"),
        with(file("not-text", b"bytes"), |it| it.path = b"not-text-\xff\xfe".to_vec()),
        file("t\u{e9}xt", "caf\u{e9}".as_bytes()),
        file("large", &b"0123456789abcdef".repeat(50_000)),
    ];
    for length in 1..=5 {
        changes.push(directory(&[long.as_str(); 5][..length].join("/")));
    }
    changes.push(file(&format!("{deep}/{}", "n".repeat(250)), b"deep"));
    changes.push(hard_link("to-deep", &format!("{deep}/{}", "n".repeat(250))));
    changes
}
