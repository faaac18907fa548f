//! Archives for ADD.

use crate::support::*;
use std::path::Path;
use strake_layer::{Body, Change, Kind, UnpackError, is_archive, read_archive};

/// A tar archive that GNU tar makes of a small tree.
fn made_by_tar(format: &str, compress: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    let long = root.join("d".repeat(120)).join("e".repeat(120));
    std::fs::create_dir_all(&long).unwrap();
    std::fs::write(long.join("f".repeat(120)), b"deep").unwrap();
    std::fs::write(root.join("large"), vec![7; 200_000]).unwrap();
    std::os::unix::fs::symlink("large", root.join("link")).unwrap();
    std::fs::hard_link(root.join("large"), root.join("other")).unwrap();
    let command = format!(
        "cd {} && tar --format={format} --sort=name --owner=5 --group=6 --mtime=@{TIME}.75 -c . \\
         | {compress}",
        root.display()
    );
    run("sh", &["-c", &command], b"")
}

fn content(change: &Change) -> Vec<u8> {
    match &change.body {
        Body::Empty => Vec::new(),
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::Path(file) | Body::Known(file, _) => std::fs::read(file.path(&change.entry)).unwrap(),
    }
}

/// Makes a gzip file of two members.
const MEMBERS: &str =
    "{ it=$(mktemp); cat >$it; head -c 5000 $it | gzip; tail -c +5001 $it | gzip; rm $it; }";

#[test]
fn archives_of_other_programs_are_read() {
    let spill = tempfile::tempdir().unwrap();
    for format in ["gnu", "pax", "ustar"] {
        for compress in ["cat", "gzip", "zstd", "bzip2", "xz", MEMBERS] {
            if format == "ustar" && compress != "cat" {
                continue;
            }
            let archive = if format == "ustar" {
                let command = "cd \"$(mktemp -d)\" && echo hi >a && tar --format=ustar -c a";
                run("sh", &["-c", command], b"")
            } else {
                made_by_tar(format, compress)
            };
            assert!(is_archive(&archive), "{format} {compress}");
            assert!(is_archive(&archive[..archive.len().min(1 << 20)]), "{format} {compress}");
            let changes = read_archive(&archive[..], spill.path()).unwrap();
            if format != "ustar" {
                check_tree(&changes);
            }
        }
    }
}

fn check_tree(changes: &[Change]) {
    let find = |path: &str| {
        let found = changes.iter().find(|it| it.entry.path == path.as_bytes());
        found.unwrap_or_else(|| panic!("no {path}"))
    };
    assert!(matches!(find("").entry.kind, Kind::Directory { .. }));
    let deep = ["d", "e", "f"].map(|it| it.repeat(120)).join("/");
    assert_eq!(content(find(&deep)), b"deep");
    let large = find("large");
    assert!(matches!(large.body, Body::Path(_)), "large contents are spilled");
    assert_eq!(content(large), vec![7; 200_000]);
    assert_eq!((large.entry.uid, large.entry.gid, large.entry.mtime), (5, 6, TIME));
    assert_eq!(find("link").entry.kind, Kind::Symlink { target: b"large".to_vec() });
    assert_eq!(find("other").entry.kind, Kind::Hardlink { target: b"large".to_vec() });
}

#[test]
fn sparse_files_are_read_with_their_holes() {
    let spill = tempfile::tempdir().unwrap();
    let mut expected = vec![0; 3_000_000];
    for at in (0..40).map(|it| 4096 * (1 + 17 * it)) {
        expected[at..at + 4096].fill(9);
    }
    let script = "cd \"$(mktemp -d)\" && cat >full && cp --sparse=always full holes && \
        truncate -s 1000000 empty && echo after >after && tar -cS $0 holes empty after";
    for format in ["gnu", "pax --sparse-version=0.0", "pax --sparse-version=0.1", "pax"] {
        let script = script.replace("$0", &format!("--format={format}"));
        let archive = run("bash", &["-c", &script], &expected);
        assert!(archive.len() < 1_000_000, "it is sparse: {}", archive.len());
        let changes = read_archive(&archive[..], spill.path()).unwrap();
        let sizes: Vec<_> = changes.iter().map(|it| it.entry.kind.clone()).collect();
        let file = |size| Kind::File { size };
        assert_eq!(sizes, [file(3_000_000), file(1_000_000), file(6)], "{format}");
        let paths: Vec<_> = changes.iter().map(|it| it.entry.path.as_slice()).collect();
        assert_eq!(paths, [&b"holes"[..], b"empty", b"after"], "{format}");
        assert!(content(&changes[0]) == expected, "{format}");
        assert!(content(&changes[1]) == vec![0; 1_000_000], "{format}");
        assert_eq!(content(&changes[2]), b"after\n", "{format}");
        for length in [700, archive.len() / 2] {
            assert!(read_archive(&archive[..length], spill.path()).is_err(), "{format}");
        }
    }
}

#[test]
fn a_short_start_of_a_compressed_archive_is_enough() {
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let noise: Vec<u8> = (0..2_000_000).map(|_| noise()).collect();
    let tar = tar_of(&[file("noise", &noise)]);
    for program in ["gzip", "bzip2", "xz", "zstd"] {
        let archive = run(program, &["-c"], &tar);
        for length in [64 << 10, 1 << 20] {
            assert!(is_archive(&archive[..length]), "{program} {length}");
        }
        let other = run(program, &["-c"], &noise);
        assert!(!is_archive(&other[..1 << 20]), "{program}");
    }
}

#[test]
fn deletions_mean_nothing_in_archives() {
    let spill = tempfile::tempdir().unwrap();
    let tar = tar_of(&[whiteout("a"), opaque("b")]);
    let changes = read_archive(&tar[..], spill.path()).unwrap();
    let paths: Vec<_> = changes.iter().map(|it| it.entry.path.as_slice()).collect();
    assert_eq!(paths, [&b".wh.a"[..], b"b", b"b/.wh..wh..opq"]);
}

#[test]
fn what_is_no_archive_is_none() {
    let text = b"just text, and long enough to be a header: ".repeat(100);
    for (bytes, why) in [
        (&b""[..], "empty"),
        (b"short", "short"),
        (&text, "text"),
        (&run("gzip", &["-c"], &text), "compressed text"),
        (&run("xz", &["-c"], &text), "text compressed with xz"),
        (&run("bzip2", &["-c"], &text), "text compressed with bzip2"),
        (&[0; 1024], "an archive of nothing"),
        (b"\x1f\x8b\x08broken", "broken gzip"),
        (b"BZh9broken", "broken bzip2"),
        (b"\xfd7zXZ\0broken", "broken xz"),
    ] {
        assert!(!is_archive(bytes), "{why}");
    }
}

#[test]
fn names_lead_up_to_the_root_at_most() {
    let spill = tempfile::tempdir().unwrap();
    for (written, meant) in [("../up", "up"), ("a/../../b/./c", "b/c"), ("/../x", "x")] {
        let changes = read_archive(&crate::hostile::with_name(written)[..], spill.path()).unwrap();
        assert_eq!(changes[0].entry.path, meant.as_bytes());
    }
}

#[test]
fn hostile_archives_are_refused() {
    let spill = tempfile::tempdir().unwrap();
    let read = |tar: &[u8], folder: &Path| read_archive(tar, folder).unwrap_err();
    let cut = &tar_of(&[file("a", &[1; 100_000])])[..50_000];
    assert!(matches!(read(cut, spill.path()), UnpackError::Tar { .. }));
    assert_eq!(std::fs::read_dir(spill.path()).unwrap().count(), 0, "nothing is left behind");
}
