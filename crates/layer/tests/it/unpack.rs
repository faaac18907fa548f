//! Unpacking: what overlayfs needs, as root and with one id.

use crate::support::*;
use rustix::fs::{FileType, Stat, lstat, makedev};
use std::{os::unix::ffi::OsStrExt, path::Path, sync::Arc};
use strake_layer::{
    Compression, DigestReader, Form, Index, IndexEntry, Kind, Tree, UnpackError, read_index,
    unpack, unpack_onto,
};
use strake_oci::{DiffId, Digest};

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 200];
    let length = rustix::fs::lgetxattr(path, name, &mut buffer[..]).ok()?;
    buffer.truncate(length);
    Some(buffer)
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

#[test]
fn what_was_packed_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let changes = one_of_each();
    for compression in [Compression::None, Compression::Gzip(6), Compression::Zstd(3)] {
        let packed = packed(&changes, compression, folder.path());
        let target = tempfile::tempdir().unwrap();
        let blob = std::fs::File::open(&packed.file).unwrap();
        let mut blob = DigestReader::new(blob);
        let index =
            unpack(&mut blob, Some(compression), Some(packed.diff_id), target.path(), form());
        assert_eq!(index.unwrap(), packed.index);
        let digest = blob.finish().unwrap();
        assert_eq!(digest, (packed.descriptor.digest, packed.descriptor.size));
        let blob = std::fs::File::open(&packed.file).unwrap();
        assert_eq!(read_index(blob, Some(packed.diff_id)).unwrap(), packed.index);
        check_files(target.path(), &packed.index);
    }
}

/// The name of the mark of an opaque directory.
fn opaque_mark() -> &'static str {
    if is_root() { "trusted.overlay.opaque" } else { "user.overlay.opaque" }
}

fn check_files(root: &Path, index: &Index) {
    for it in &index.entries {
        let entry = &it.entry;
        let path = root.join(std::ffi::OsStr::from_bytes(&entry.path));
        let shown = path.display();
        let stat = lstat(&path).unwrap_or_else(|error| panic!("{shown}: {error}"));
        if entry.kind == Kind::Whiteout {
            assert_eq!((kind(&stat), stat.st_rdev), (FileType::CharacterDevice, 0));
            continue;
        }
        if let Kind::Hardlink { target } = &entry.kind {
            let target = root.join(std::ffi::OsStr::from_bytes(target));
            assert_eq!(lstat(&target).unwrap().st_ino, stat.st_ino);
            continue;
        }
        check_kind(&path, &stat, it);
        assert_eq!((stat.st_mtime, stat.st_mtime_nsec), (entry.mtime, 0), "{shown}");
        assert_eq!(stat.st_mode & 0o7777, entry.mode, "{shown}");
        if is_root() {
            assert_eq!((stat.st_uid, stat.st_gid), (entry.uid, entry.gid), "{shown}");
        }
        for (name, value) in &entry.xattrs {
            let mut name = String::from_utf8(name.clone()).unwrap();
            if !is_root() && name.starts_with("security.") {
                name.insert_str(0, "user.strake.");
            }
            assert_eq!(xattr(&path, &name).as_ref(), Some(value), "{name} of {shown}");
        }
    }
}

fn check_kind(path: &Path, stat: &Stat, it: &IndexEntry) {
    let (expected, device) = match &it.entry.kind {
        Kind::File { size } => {
            assert_eq!(u64::try_from(stat.st_size).unwrap(), *size);
            if stat.st_mode & 0o400 != 0 || is_root() {
                let content = std::fs::read(path).unwrap();
                assert_eq!(it.content.unwrap().0, *blake3::hash(&content).as_bytes());
            }
            (FileType::RegularFile, 0)
        }
        Kind::Directory { opaque } => {
            assert_eq!(xattr(path, opaque_mark()), opaque.then(|| b"y".to_vec()));
            (FileType::Directory, 0)
        }
        Kind::Symlink { target } => {
            assert_eq!(std::fs::read_link(path).unwrap().as_os_str().as_bytes(), target);
            (FileType::Symlink, 0)
        }
        Kind::Character { .. } | Kind::Block { .. } if !is_root() => (FileType::RegularFile, 0),
        Kind::Character { major, minor } => (FileType::CharacterDevice, makedev(*major, *minor)),
        Kind::Block { major, minor } => (FileType::BlockDevice, makedev(*major, *minor)),
        Kind::Fifo => (FileType::Fifo, 0),
        Kind::Whiteout | Kind::Hardlink { .. } => unreachable!("checked before"),
    };
    assert_eq!((kind(stat), stat.st_rdev), (expected, device), "{}", path.display());
}

#[test]
fn gnu_tar_extracts_the_same_files() {
    let changes: Vec<_> = one_of_each()
        .into_iter()
        .filter(|it| it.entry.kind != Kind::Whiteout)
        // Others cannot make devices, give files away or set capabilities.
        .filter(|it| {
            is_root() || !(it.entry.path.starts_with(b"dev/") || it.entry.path == b"owned")
        })
        .filter(|it| is_root() || !it.entry.path.starts_with(b"bin/ping"))
        .map(|mut it| {
            if it.entry.kind == (Kind::Directory { opaque: true }) {
                it.entry.kind = Kind::Directory { opaque: false };
            }
            it
        })
        .collect();
    let target = tempfile::tempdir().unwrap();
    let arguments = ["-xpf", "-", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-C"];
    let arguments = [&arguments[..], &[target.path().to_str().unwrap()]].concat();
    run("tar", &arguments, &tar_of(&changes));
    check_files(target.path(), &index_of(&changes));
}

#[test]
fn with_one_id_owners_and_devices_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path();
    let mut changes = one_of_each();
    changes.push(with(directory("home"), |it| (it.uid, it.gid) = (1000, 1000)));
    unpack(&tar_of(&changes)[..], None, None, target, Form::SingleId).unwrap();
    let text = |path: &str, name: &str| {
        xattr(&target.join(path), name).map(|it| String::from_utf8(it).unwrap())
    };
    assert_eq!(text("owned", "user.strake.owner").unwrap(), "1000:4000000");
    assert_eq!(text("home", "user.strake.owner").unwrap(), "1000:1000");
    assert_eq!(text("bin/su", "user.strake.owner"), None);
    assert_eq!(text("dev/null", "user.strake.node").unwrap(), "c:1:3");
    assert_eq!(text("dev/disk", "user.strake.node").unwrap(), "b:8:17");
    assert_eq!(text("fresh", "user.overlay.opaque").unwrap(), "y");
    assert_eq!(text("fresh", "trusted.overlay.opaque"), None);
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(lstat(target.join("owned")).unwrap().st_uid, own);
    assert_eq!(lstat(target.join("bin/su")).unwrap().st_mode & 0o7777, 0o4755);
}

#[test]
fn another_content_than_announced_is_an_error() {
    let expected = DiffId(Digest::of(b"another"));
    let target = tempfile::tempdir().unwrap();
    let tar = tar_of(&[file("a", b"a")]);
    let error = unpack(&tar[..], None, Some(expected), target.path(), form()).unwrap_err();
    assert!(matches!(error, UnpackError::WrongDiffId { .. }));
    // What follows the end of the archive counts too.
    let longer = [&tar[..], &[0; 512]].concat();
    let error = read_index(&longer[..], Some(DiffId(Digest::of(&tar)))).unwrap_err();
    assert!(matches!(error, UnpackError::WrongDiffId { .. }));
}

#[test]
fn a_missing_parent_is_as_it_is_below() {
    let base = index_of(&[
        with(directory("var"), |it| (it.mode, it.uid) = (0o711, 7)),
        directory("usr"),
        directory("usr/lib"),
        symlink("lib", "usr/lib"),
    ]);
    let layer = tar_of(&[file("var/a", b"a"), file("lib/b", b"b"), file("opt/c", b"c")]);
    let target = tempfile::tempdir().unwrap();
    let mut below = Tree::stack(&[base]);
    let index = unpack_onto(&layer[..], None, None, target.path(), form(), &below).unwrap();
    let var = lstat(target.path().join("var")).unwrap();
    assert_eq!((var.st_mode & 0o7777, var.st_mtime), (0o711, TIME));
    assert!(!is_root() || var.st_uid == 7);
    assert!(target.path().join("usr/lib/b").is_file());
    assert!(!target.path().join("lib").exists(), "the link below stays visible");
    assert_eq!(lstat(target.path().join("opt")).unwrap().st_mode & 0o7777, 0o755);
    below.push(&index, 1);
    assert_eq!(below.get(b"usr/lib/b").unwrap().layer, 1);
    assert_eq!(below.get(b"var").unwrap().layer, 0);
}

#[test]
fn a_deletion_hides_what_is_below_and_nothing_else() {
    let both_orders = [
        [whiteout("a"), directory("a"), file("a/new", b"")],
        [directory("a"), file("a/new", b""), whiteout("a")],
    ];
    for changes in both_orders {
        let target = tempfile::tempdir().unwrap();
        let index = unpacked(&tar_of(&changes), target.path()).unwrap();
        assert_eq!(xattr(&target.path().join("a"), opaque_mark()).unwrap(), b"y");
        assert!(target.path().join("a/new").exists());
        let base = index_of(&[directory("a"), file("a/old", b"")]);
        let tree = Tree::stack(&[base, Arc::new(index)]);
        assert!(tree.get(b"a/old").is_none() && tree.get(b"a/new").is_some());
    }
}

#[test]
fn an_entry_replaces_an_earlier_one() {
    let target = tempfile::tempdir().unwrap();
    let changes = [
        directory("a"),
        file("a/deep", b""),
        file("a", b"now a file"),
        file("b", b"file"),
        directory("b"),
        file("b/deep", b""),
        symlink("c", "nowhere"),
        file("c", b"now a file"),
        hard_link("a", "a"),
    ];
    unpacked(&tar_of(&changes), target.path()).unwrap();
    assert_eq!(std::fs::read(target.path().join("a")).unwrap(), b"now a file");
    assert!(target.path().join("b/deep").is_file());
    assert_eq!(std::fs::read(target.path().join("c")).unwrap(), b"now a file");
    assert!(!target.path().join("nowhere").exists());
}

#[test]
fn mounted_overlay_shows_the_merged_tree() {
    let folder = tempfile::tempdir().unwrap();
    let base = [
        directory("a"),
        file("a/1", b"1"),
        file("a/2", b"2"),
        file("x", b"x"),
        directory("o"),
        file("o/old", b""),
        directory("kind"),
        file("kind/below", b""),
    ];
    let upper =
        [whiteout("a/1"), whiteout("x"), opaque("o"), file("o/new", b""), file("kind", b"")];
    for (at, changes) in [&base[..], &upper].into_iter().enumerate() {
        let target = folder.path().join(at.to_string());
        std::fs::create_dir(&target).unwrap();
        unpack(&tar_of(changes)[..], None, None, &target, Form::SingleId).unwrap();
    }
    let path = folder.path().display();
    let script = format!(
        "cd {path} && mkdir m && mount -t overlay -o userxattr,lowerdir=1:0 o m && cd m && \
         find . -printf '%P\\n' | LC_ALL=C sort; cd ..; umount m"
    );
    let seen = run("unshare", &["-rm", "sh", "-c", &script], b"");
    let tree = Tree::stack(&[index_of(&base), index_of(&upper)]);
    let mut names: Vec<String> =
        tree.walk(b"").map(|it| String::from_utf8(it.entry.path.clone()).unwrap()).collect();
    names.sort();
    assert_eq!(String::from_utf8(seen).unwrap().lines().collect::<Vec<_>>(), names);
}
