//! Archives that are contexts.

use std::{
    fs,
    io::Write,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
};
use strake_remote::{RemoteError, Unpacked, unpack};

/// One entry of an archive: name, type flag, link target, content.
struct Item<'a>(&'a str, u8, &'a str, &'a [u8]);

fn tar(items: &[Item<'_>]) -> Vec<u8> {
    // A folder that its owner may enter: root alone could look into another.
    let mode = |item: &Item<'_>| if item.1 == b'5' { "0000750" } else { "0000640" };
    let items = items.iter().map(|item| (item, mode(item), "0000005"));
    tar_with_facts(&items.collect::<Vec<_>>())
}

/// With the mode and the owner of each.
fn tar_with_facts(items: &[(&Item<'_>, &str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (Item(name, flag, target, body), mode, uid) in items {
        let mut header = [0_u8; 512];
        let size = format!("{:011o}", body.len());
        for (at, text) in [
            (0, *name),
            (100, *mode),
            (108, *uid),
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
        Item("device", b'3', "", b""),
        Item("new/parent/f", b'0', "", b""),
    ];
    let done = unpacked(outer.path(), &items).unwrap();
    let root = outer.path().join("root");
    let facts = root.join("d/f").metadata().unwrap();
    assert_eq!((facts.permissions().mode() & 0o7777, facts.mtime(), facts.nlink()), (0o640, 64, 2));
    assert_eq!(fs::read(root.join("l")).unwrap(), b"content");
    assert_eq!(root.join("d").metadata().unwrap().mtime(), 64);
    assert!(root.join("pipe").metadata().unwrap().file_type().is_fifo());
    assert!(!root.join("device").exists());
    assert_eq!(root.join("new").metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(done.newest, 64);
    assert_eq!(done.owners.get(&b"d/f"[..]), Some(&(5, 6)));
    assert_eq!(done.owners.get(&b"new"[..]), None);
}

/// A link's own header counts for all names of its file, as in Docker.
#[test]
fn the_last_name_of_a_file_says_what_it_is_like() {
    let outer = tempfile::tempdir().unwrap();
    let archive = tar_with_facts(&[
        (&Item("a", b'0', "", b"x"), "0000600", "0000001"),
        (&Item("b", b'1', "a", b""), "0000644", "0000002"),
        (&Item("c", b'1', "b", b""), "0000755", "0000003"),
        (&Item("l", b'2', "nowhere", b""), "0000644", "0000004"),
        (&Item("m", b'1', "l", b""), "0000644", "0000005"),
        (&Item("d", b'5', "", b""), "0000755", "0000000"),
        (&Item("d", b'5', "", b""), "0000700", "0000000"),
    ]);
    let done = unpack(&archive[..], "it", outer.path()).unwrap();
    for name in ["a", "b", "c"] {
        let facts = outer.path().join(name).metadata().unwrap();
        assert_eq!((facts.mode() & 0o7777, facts.nlink()), (0o755, 3));
        assert_eq!(done.owners[name.as_bytes()], (3, 6));
    }
    assert_eq!(fs::read_link(outer.path().join("m")).unwrap(), Path::new("nowhere"));
    assert_eq!(done.owners[&b"l"[..]], (5, 6));
    assert_eq!(outer.path().join("d").metadata().unwrap().mode() & 0o7777, 0o700);
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
fn names_that_lead_out_stay_inside() {
    for name in ["../f", "a/../../f", "/../f"] {
        let outer = tempfile::tempdir().unwrap();
        unpacked(outer.path(), &[Item(name, b'0', "", b"x")]).unwrap();
        assert_eq!(fs::read(outer.path().join("root/f")).unwrap(), b"x", "{name}");
        assert!(!outer.path().join("f").exists(), "{name}");
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
