//! Archives that were made to do harm.

use crate::support::*;
use strake_layer::{UnpackError, read_index};

/// Runs Python's tarfile: `lines` add entries to `tar` with `add(name, **fields)`.
fn archive(lines: &str) -> Vec<u8> {
    let program = format!(
        "import sys, io, tarfile\n\
         tar = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.PAX_FORMAT)\n\
         def add(name, data=b'', **fields):\n\
         \tit = tarfile.TarInfo(name)\n\
         \tit.size = len(data)\n\
         \tfor key, value in fields.items(): setattr(it, key, value)\n\
         \ttar.addfile(it, io.BytesIO(data))\n\
         FILE, DIR, SYM, LNK = b'0', b'5', b'2', b'1'\n\
         {lines}\ntar.close()"
    );
    run("python3", &["-c", &program], b"")
}

pub(crate) fn with_name(name: &str) -> Vec<u8> {
    archive(&format!("add({name:?}, b'evil')"))
}

#[test]
fn names_that_lead_out_are_refused() {
    let outer = tempfile::tempdir().unwrap();
    let target = outer.path().join("target");
    std::fs::create_dir(&target).unwrap();
    for name in ["../up", "a/../../up", "..", "/../up", "./../up"] {
        let error = unpacked(&with_name(name), &target).unwrap_err();
        assert!(matches!(&error, UnpackError::Escapes { .. }), "{name}: {error}");
        assert!(error.to_string().contains(name), "the message names the entry: {error}");
        assert!(read_index(&with_name(name)[..], None).is_err());
    }
    for deletion in ["a/.wh...", "a/.wh..", ".wh."] {
        let error = unpacked(&with_name(deletion), &target).unwrap_err();
        assert!(matches!(&error, UnpackError::Escapes { .. }), "{deletion}: {error}");
    }
    let link = archive("add('it', type=LNK, linkname='../../etc/passwd')");
    assert!(matches!(unpacked(&link, &target).unwrap_err(), UnpackError::LinkEscapes { .. }));
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
}

/// As deep as a path may be, and deeper: no stack is as high as some archive is deep.
#[test]
fn paths_are_as_long_as_linux_allows() {
    let spill = tempfile::tempdir().unwrap();
    let read = |depth: usize| {
        let tar = archive(&format!("add('d/' * {depth} + 'f', b'x')"));
        strake_layer::read_archive(&tar[..], spill.path())
    };
    assert_eq!(read(2047).unwrap()[0].entry.path.len(), 4095);
    for depth in [2048, 100_000] {
        let error = read(depth).unwrap_err();
        let told =
            format!("an entry of {} bytes in its path, which begins with `d/d/", 2 * depth + 1);
        assert!(error.to_string().contains(&told), "{error}");
    }
}

#[test]
fn absolute_names_are_below_the_root() {
    let target = tempfile::tempdir().unwrap();
    let tar = archive("add('/etc/strake-test', b'x')\nadd('./b', b'y')");
    unpacked(&tar, target.path()).unwrap();
    assert!(target.path().join("etc/strake-test").is_file() && target.path().join("b").is_file());
}

#[test]
fn links_are_followed_within_the_root_only() {
    let outer = tempfile::tempdir().unwrap();
    let outside = outer.path().join("outside");
    let target = outer.path().join("target");
    std::fs::create_dir(&outside).unwrap();
    std::fs::create_dir(&target).unwrap();
    let path = outside.display();
    let tar = archive(&format!(
        "add('absolute', type=SYM, linkname='{path}')\n\
         add('absolute/a', b'a')\n\
         add('relative', type=SYM, linkname='../../../../../../..{path}')\n\
         add('relative/b', b'b')\n\
         add('up', type=SYM, linkname='../outside')\n\
         add('up/c', b'c')\n\
         add('up/d', type=LNK, linkname='absolute/a')\n\
         add('file', type=SYM, linkname='{path}/victim')\n\
         add('file', b'replaces the link')"
    ));
    std::fs::write(outside.join("victim"), b"untouched").unwrap();
    unpacked(&tar, &target).unwrap();
    assert_eq!(std::fs::read(outside.join("victim")).unwrap(), b"untouched");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    let inner = target.join(path.to_string().trim_start_matches('/'));
    assert!(inner.join("a").is_file() && inner.join("b").is_file());
    assert!(target.join("outside/c").is_file() && target.join("outside/d").is_file());
    assert_eq!(std::fs::read(target.join("file")).unwrap(), b"replaces the link");
}

#[test]
fn circles_and_files_in_the_way_are_errors() {
    let circle =
        archive("add('a', type=SYM, linkname='b')\nadd('b', type=SYM, linkname='a')\nadd('a/c')");
    let in_the_way = archive("add('a', b'file')\nadd('a/b', b'')");
    let nowhere = archive("add('a', type=LNK, linkname='nowhere')");
    for tar in [circle, in_the_way, nowhere] {
        let target = tempfile::tempdir().unwrap();
        let error = unpacked(&tar, target.path()).unwrap_err();
        assert!(error.to_string().contains("`a"), "{error}");
    }
}

#[test]
fn damage_is_an_error() {
    let tar = tar_of(&[file("a", &[1; 5000]), file("b", b"b")]);
    let target = tempfile::tempdir().unwrap();
    for length in [100, 512, 3000, 5600, 6000] {
        let error = unpacked(&tar[..length], target.path()).unwrap_err();
        assert!(matches!(error, UnpackError::Tar { .. }), "{length}: {error:?}");
    }
    let mut flipped = tar.clone();
    flipped[3] ^= 1;
    assert!(unpacked(&flipped, target.path()).is_err());
    let gzip = run("gzip", &["-c"], &tar);
    for length in [20, gzip.len() / 2, gzip.len() - 4] {
        assert!(unpacked(&gzip[..length], target.path()).is_err(), "{length}");
    }
    assert!(read_index(&b"no archive at all, only some text. ".repeat(100)[..], None).is_err());
}

#[test]
fn names_of_overlayfs_are_not_believed() {
    let mut layer = file("a", b"");
    layer.entry.xattrs.insert(b"user.overlay.redirect".to_vec(), b"/etc".to_vec());
    layer.entry.xattrs.insert(b"user.strake.owner".to_vec(), b"0:0".to_vec());
    let target = tempfile::tempdir().unwrap();
    unpacked(&tar_of(&[layer]), target.path()).unwrap();
    let mut names = [0; 1000];
    let length = rustix::fs::llistxattr(target.path().join("a"), &mut names[..]).unwrap();
    assert!(!String::from_utf8_lossy(&names[..length]).contains("user."));
}

/// Writes the right checksum into every block that was a header.
fn seal(tar: &mut [u8], original: &[u8]) {
    for (block, original) in tar.chunks_exact_mut(512).zip(original.chunks_exact(512)) {
        if &original[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|it| u32::from(*it)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

/// Whatever stands in a header, reading ends with an index or an error.
#[test]
fn no_header_does_harm() {
    let script = "cd \"$(mktemp -d)\" && truncate -s 100000 a && printf x >>a && \
        tar -cS --format=$0 --xattrs a";
    for format in ["gnu", "pax"] {
        let original = run("bash", &["-c", script, format], b"");
        for at in 0..3 * 512 {
            for value in [0, b'9', b'=', 0xff] {
                let mut tar = original.clone();
                tar[at] = value;
                seal(&mut tar, &original);
                let read = read_index(&tar[..], None);
                let size = |it: &strake_layer::IndexEntry| match it.entry.kind {
                    strake_layer::Kind::File { size } => size,
                    _ => 0,
                };
                assert!(read.is_err() || read.unwrap().entries.iter().all(|it| size(it) < 1 << 40));
            }
        }
    }
}
