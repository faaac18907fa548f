//! Packing: bytes that others read, the same for any number of threads.

use crate::support::*;
use std::path::PathBuf;
use strake_layer::{Body, Compression, Kind, OnDisk, PackError, PackOptions, decompress, pack};
use strake_oci::{Digest, media_type};

const ALL: [(Compression, &str); 4] = [
    (Compression::None, media_type::OCI_LAYER),
    (Compression::Gzip(6), media_type::OCI_LAYER_GZIP),
    (Compression::Gzip(1), media_type::OCI_LAYER_GZIP),
    (Compression::Zstd(3), media_type::OCI_LAYER_ZSTD),
];

/// Several blocks of data that compresses neither too well nor too badly.
fn bulk() -> Vec<u8> {
    let mut state = 1u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"etaoin shrdlu"[(state >> 24) as usize % 13]
    };
    (0..3_000_000).map(|_| next()).collect()
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    let mut changes = one_of_each();
    changes.push(file("bulk", &bulk()));
    changes.extend((0..2000).map(|it| file(&format!("many-{it}"), &vec![it as u8; it * 7 % 900])));
    for (compression, media_type) in ALL {
        let blobs: Vec<_> = [1, 2, 4, 8]
            .map(|threads| {
                pack(changes.to_vec(), &PackOptions { compression, threads }, folder.path())
            })
            .into_iter()
            .map(Result::unwrap)
            .map(|it| (it.diff_id, std::fs::read(&it.file).unwrap(), it))
            .collect();
        for (diff_id, bytes, packed) in &blobs {
            assert_eq!(*diff_id, blobs[0].0, "{compression:?}");
            assert!(*bytes == blobs[0].1, "{compression:?}");
            assert_eq!(packed.descriptor.digest, Digest::of(bytes));
            assert_eq!(packed.descriptor.size, bytes.len() as u64);
            assert_eq!(packed.descriptor.media_type, media_type);
            assert_eq!(packed.index, blobs[0].2.index);
        }
        let mut tar = Vec::new();
        std::io::copy(&mut decompress(&blobs[0].1[..]).unwrap(), &mut tar).unwrap();
        assert_eq!(Digest::of(&tar), blobs[0].0.0);
    }
}

#[test]
fn gzip_is_one_member_that_others_read() {
    let folder = tempfile::tempdir().unwrap();
    let changes = [file("bulk", &bulk())];
    let packed = packed(&changes, Compression::Gzip(6), folder.path());
    let blob = std::fs::read(packed.file).unwrap();
    let tar = run("gzip", &["-dc"], &blob);
    assert_eq!(Digest::of(&tar), packed.diff_id.0);
    let program = "import sys, zlib\nit = zlib.decompressobj(31)\n\
        data = it.decompress(sys.stdin.buffer.read())\nassert it.eof and not it.unused_data\n\
        sys.stdout.buffer.write(data)";
    assert_eq!(run("python3", &["-c", program], &blob), tar);
    let whole = run("gzip", &["-6", "-c"], &tar);
    assert!(blob.len() < whole.len() * 103 / 100, "{} against {}", blob.len(), whole.len());
}

#[test]
fn zstd_is_read_by_zstd() {
    let folder = tempfile::tempdir().unwrap();
    let packed = packed(&[file("bulk", &bulk())], Compression::Zstd(3), folder.path());
    let tar = run("zstd", &["-dc"], &std::fs::read(packed.file).unwrap());
    assert_eq!(Digest::of(&tar), packed.diff_id.0);
}

#[test]
fn gnu_tar_lists_what_was_packed() {
    let tar = tar_of(&one_of_each());
    let arguments = ["-tvf", "-", "--numeric-owner", "--quoting-style=literal"];
    let listing = String::from_utf8_lossy(&run("tar", &arguments, &tar)).into_owned();
    let lines: Vec<Vec<&str>> =
        listing.lines().map(|it| it.split_ascii_whitespace().collect()).collect();
    let line = |name: &str| {
        let found = lines.iter().find(|it| it[5..].join(" ") == name);
        found.unwrap_or_else(|| panic!("no {name} in {listing}")).join(" ")
    };
    assert_eq!(line("bin/"), "drwxr-xr-x 0/0 0 2020-09-13 12:26 bin/");
    assert_eq!(line("bin/su"), "-rwsr-xr-x 0/0 10 2020-09-13 12:26 bin/su");
    assert_eq!(
        line("bin/ping6 link to bin/ping"),
        "hrw-r--r-- 0/0 0 2020-09-13 12:26 bin/ping6 link to bin/ping"
    );
    assert_eq!(line("dev/null"), "crw-rw-rw- 0/0 1,3 2020-09-13 12:26 dev/null");
    assert_eq!(line("dev/disk"), "brw-rw---- 0/0 8,17 2020-09-13 12:26 dev/disk");
    assert_eq!(line("dev/pipe"), "prw------- 0/0 0 2020-09-13 12:26 dev/pipe");
    assert_eq!(line("owned"), "-rw-r--r-- 1000/4000000 4 2020-09-13 12:26 owned");
    assert_eq!(line("old"), "-rw-r--r-- 0/0 0 1969-12-31 23:59 old");
    assert_eq!(line(".wh.gone"), "---------- 0/0 0 2020-09-13 12:26 .wh.gone");
    assert_eq!(line("fresh/.wh..wh..opq"), "---------- 0/0 0 2020-09-13 12:26 fresh/.wh..wh..opq");
    assert!(listing.contains(&format!("/{}", "n".repeat(250))));
}

#[test]
fn python_reads_names_and_attributes() {
    let tar = tar_of(&one_of_each());
    let program = "import sys, tarfile\n\
        for it in tarfile.open(fileobj=sys.stdin.buffer, mode='r|', errors='surrogateescape'):\n\
        \tprint(it.name.encode('utf8', 'surrogateescape').hex(), it.type.decode(), int(it.mtime), \
        it.pax_headers.get('SCHILY.xattr.user.note', '').encode('utf8', 'surrogateescape').hex())";
    let listing = String::from_utf8(run("python3", &["-c", program], &tar)).unwrap();
    let has = |line: String| assert!(listing.lines().any(|it| it == line), "{line}\n{listing}");
    has(format!("{} 0 {TIME} ", hex(b"not-text-\xff\xfe")));
    has(format!("{} 0 {TIME} {}", hex(b"bin/ping"), hex(b"line\nline=\0\xff")));
    has(format!("{} 0 {} ", hex(b"new"), 1i64 << 33));
    has(format!("{} 0 -5 ", hex(b"old")));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

#[test]
fn a_file_of_another_size_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    for size in [10u64, 400_000] {
        let source = folder.path().join("source");
        std::fs::write(&source, vec![0; usize::try_from(size).unwrap()]).unwrap();
        for announced in [size - 1, size + 1] {
            let mut change = change("it", Kind::File { size: announced }, 0o644);
            change.body = Body::Path(OnDisk::file(source.clone()));
            let options = PackOptions { compression: Compression::Gzip(6), threads: 2 };
            let error = pack(vec![change], &options, folder.path()).unwrap_err();
            assert!(error.to_string().starts_with(&source.display().to_string()), "{error}");
            assert!(
                matches!(error, PackError::SizeChanged { expected, .. } if expected == announced)
            );
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn what_cannot_be_packed_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let options = PackOptions { compression: Compression::None, threads: 2 };
    let error = |change| pack(vec![change], &options, folder.path()).unwrap_err();
    assert!(matches!(error(file("a/.wh.b", b"")), PackError::ReservedName { .. }));
    for path in ["/a", "a/", "a//b", "../a", "a/../b", "./a", "a\0b", ""] {
        assert!(matches!(error(file(path, b"")), PackError::InvalidPath { .. }), "{path}");
    }
    let attribute =
        |it: &mut strake_layer::Entry| drop(it.xattrs.insert(b"user.a=b".into(), vec![]));
    assert!(matches!(error(with(file("a", b""), attribute)), PackError::XattrName { .. }));
    let mut missing = file("a", b"x");
    missing.body = Body::Path(OnDisk::file(PathBuf::from("/does/not/exist")));
    assert!(matches!(error(missing), PackError::Read { .. }));
    let mut short = file("a", b"x");
    short.body = Body::Empty;
    assert!(matches!(error(short), PackError::WrongBody { .. }));
    let nowhere = pack(vec![], &options, &folder.path().join("nowhere")).unwrap_err();
    assert!(matches!(nowhere, PackError::Write { .. }));
}

#[test]
fn a_full_disk_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let options = PackOptions { compression: Compression::None, threads: 2 };
    let mut endless = change("it", Kind::File { size: 1 << 40 }, 0o644);
    endless.body = Body::Path(OnDisk::file(PathBuf::from("/dev/zero")));
    // A limit on the size of files stands in for a full disk; the test runner gives each test
    // a process of its own, but others may share it, so the limit is set in a child.
    let limited = std::env::var_os("STRAKE_LAYER_TEST_LIMITED").is_some();
    if limited {
        let error = pack(vec![endless], &options, folder.path()).unwrap_err();
        assert!(matches!(error, PackError::Write { .. }), "{error}");
        return;
    }
    let this = std::env::current_exe().unwrap();
    let script = "trap '' XFSZ; ulimit -f 2000; exec \"$0\" --exact pack::a_full_disk_is_an_error";
    let status = std::process::Command::new("bash")
        .args(["-c", script])
        .arg(this)
        .env("STRAKE_LAYER_TEST_LIMITED", "1")
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn the_root_itself_has_no_entry() {
    let index = index_of(&[directory(""), file("a", b"")]);
    assert_eq!(index.entries.len(), 1);
    assert_eq!(tar_of(&[directory("")]), vec![0; 1024]);
    assert_eq!(index_of(&[opaque("")]).entries.len(), 1);
}
