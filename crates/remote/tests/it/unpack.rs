//! Archives that are contexts.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};
use strake_remote::{RemoteError, Unpacked, unpack};

/// One entry of an archive: name, type flag, link target, content.
struct Item<'a>(&'a str, u8, &'a str, &'a [u8]);

fn tar(items: &[Item<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Item(name, flag, target, body) in items {
        let mut header = [0_u8; 512];
        let size = format!("{:011o}", body.len());
        // A folder that its owner may enter: root alone could look into another.
        let mode = if *flag == b'5' { "0000750" } else { "0000640" };
        for (at, text) in [
            (0, *name),
            (100, mode),
            (108, "0000005"),
            (116, "0000006"),
            (124, size.as_str()),
            (136, "00000000100"),
            (148, "        "),
            (157, *target),
            (257, "ustar"),
            (263, "00"),
        ] {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        header[156] = *flag;
        let sum: u32 = header.iter().map(|it| u32::from(*it)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Unpacks below `outer/root`; whatever else appears in `outer` is an escape.
fn unpacked(outer: &Path, items: &[Item<'_>]) -> Result<Unpacked, RemoteError> {
    let root = outer.join("root");
    fs::create_dir(&root).unwrap();
    let done = unpack(&tar(items)[..], "the archive", &root);
    assert_eq!(fs::read_dir(outer).unwrap().count(), 1, "nothing beside the folder");
    done
}

#[test]
fn files_keep_modes_times_owners_and_names() {
    let outer = tempfile::tempdir().unwrap();
    let items = [
        Item("d/", b'5', "", b""),
        Item("d/f", b'0', "", b"content"),
        Item("d/h", b'1', "d/f", b""),
        Item("l", b'2', "d/f", b""),
        Item("pipe", b'6', "", b""),
        Item("new/parent/f", b'0', "", b""),
    ];
    let done = unpacked(outer.path(), &items).unwrap();
    let root = outer.path().join("root");
    let facts = root.join("d/f").metadata().unwrap();
    assert_eq!((facts.permissions().mode() & 0o7777, facts.mtime(), facts.nlink()), (0o640, 64, 2));
    assert_eq!(fs::read(root.join("l")).unwrap(), b"content");
    assert_eq!(root.join("d").metadata().unwrap().mtime(), 64);
    assert!(!root.join("pipe").exists());
    assert_eq!(root.join("new").metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(done.newest, 64);
    assert_eq!(done.owners.get(&b"d/f"[..]), Some(&(5, 6)));
    assert_eq!(done.owners.get(&b"new"[..]), None);
}

#[test]
fn compressed_ones_too() {
    let outer = tempfile::tempdir().unwrap();
    let mut gzip = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    gzip.stdin.take().unwrap().write_all(&tar(&[Item("f", b'0', "", b"x")])).unwrap();
    let packed = gzip.wait_with_output().unwrap().stdout;
    unpack(&packed[..], "it", outer.path()).unwrap();
    assert_eq!(fs::read(outer.path().join("f")).unwrap(), b"x");
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../f", "a/../../f", "/../f"] {
        let outer = tempfile::tempdir().unwrap();
        let error = unpacked(outer.path(), &[Item(name, b'0', "", b"x")]).unwrap_err();
        let told = format!(
            "cannot unpack the archive: the archive has an entry named `{name}`, which leads out of \
             the root"
        );
        assert_eq!(error.to_string(), told);
    }
}

#[test]
fn absolute_names_and_links_stay_inside() {
    for (target, place) in [("/", "f"), ("..", "f"), ("../../..", "f"), ("/etc", "etc/f")] {
        let outer = tempfile::tempdir().unwrap();
        let items = [Item("l", b'2', target, b""), Item("/l/f", b'0', "", b"x")];
        unpacked(outer.path(), &items).unwrap();
        assert_eq!(fs::read(outer.path().join("root").join(place)).unwrap(), b"x", "{target}");
    }
}

#[test]
fn a_later_entry_takes_the_place_of_an_earlier_one() {
    let outer = tempfile::tempdir().unwrap();
    let items = [
        Item("a/b/c", b'0', "", b"x"),
        Item("a", b'2', "..", b""),
        Item("b", b'0', "", b"1"),
        Item("b", b'5', "", b""),
        Item("b/f", b'0', "", b"2"),
        Item("a/g", b'0', "", b"3"),
    ];
    unpacked(outer.path(), &items).unwrap();
    let root = outer.path().join("root");
    assert!(root.join("a").is_symlink());
    assert_eq!(fs::read(root.join("b/f")).unwrap(), b"2");
    assert_eq!(fs::read(root.join("g")).unwrap(), b"3");
}

#[test]
fn what_cannot_be_is_named() {
    let error = |items: &[Item<'_>]| {
        let outer = tempfile::tempdir().unwrap();
        unpacked(outer.path(), items).unwrap_err().to_string()
    };
    let told = error(&[Item("h", b'1', "none", b"")]);
    assert!(
        told.contains("`h`: it is a hard link to a file that the archive does not have"),
        "{told}"
    );
    let told = error(&[Item("f", b'0', "", b""), Item("f/g", b'0', "", b"")]);
    assert!(told.contains("`f/g`: a file is among its parents"), "{told}");
    let circle = [Item("a", b'2', "b", b""), Item("b", b'2', "a", b""), Item("a/f", b'0', "", b"")];
    assert!(error(&circle).contains("too many symbolic links"));
}
