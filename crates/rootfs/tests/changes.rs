//! A root in each form is changed as a RUN would, and what changed is read back.
//!
//! Each trial runs this same program again inside namespaces of its own, as root or as an ordinary user,
//! and there only the test `trial`.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use rustix::fs::{AtFlags, CWD, FileType, Mode, XattrFlags};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use strake_layer::{
    Body, Change, Compression, Entry, Form, Index, Kind, PackOptions, Tree, pack, unpack_onto,
};
use strake_rootfs::{Prepare, Root, copy_tree, set_owner};
use strake_sandbox::{Owner, Privilege};

/// Names the trial to the inner run.
const TRIAL: &str = "STRAKE_ROOTFS_TRIAL";

#[test]
fn overlay_as_root() {
    again("overlay root", &[]);
}

#[test]
fn copy_as_root() {
    again("copy root", &[]);
}

#[test]
fn overlay_as_a_user_with_one_id() {
    again("overlay single", &ORDINARY);
}

#[test]
fn copy_as_a_user_with_one_id() {
    again("copy single", &ORDINARY);
}

/// Outside of any namespace there is no mount, so this run tries the copied form as whoever runs it.
#[test]
fn trial() {
    let named = std::env::var_os(TRIAL).map(|it| it.into_string().unwrap());
    let root = rustix::process::getuid().is_root();
    let named = named.unwrap_or_else(|| format!("copy {}", if root { "root" } else { "single" }));
    let (form, ids) = named.split_once(' ').unwrap();
    let privilege = if ids == "root" { Privilege::Root } else { Privilege::SingleId };
    let trial = Trial::new(form == "overlay", privilege);
    trial.every_kind_of_change();
    trial.nothing_changed();
    trial.on_scratch();
}

const ORDINARY: [&str; 5] = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "--"];

fn again(trial: &str, by: &[&str]) {
    let root = rustix::process::getuid().is_root();
    let by = if root { by } else { &[] };
    // Root needs a mount namespace alone.
    let map =
        if root && by.is_empty() { &["--mount"][..] } else { &["--map-root-user", "--mount"] };
    let program = std::env::current_exe().unwrap();
    let words = by.iter().copied().chain(["unshare"]).chain(map.iter().copied());
    let words: Vec<&OsStr> = words.map(OsStr::new).collect();
    let trial = if root || trial.ends_with("single") { trial } else { "overlay single" };
    let output = Command::new(words[0])
        .args(&words[1..])
        .arg(program)
        .args(["--exact", "trial", "--nocapture"])
        .env(TRIAL, trial)
        .env("TMPDIR", "/tmp")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{trial}:\n{text}\n{errors}");
    assert!(text.contains("1 passed"), "{trial}:\n{text}\n{errors}");
}

struct Trial {
    overlay: bool,
    privilege: Privilege,
    dir: tempfile::TempDir,
}

impl Trial {
    fn new(overlay: bool, privilege: Privilege) -> Trial {
        Trial { overlay, privilege, dir: tempfile::tempdir().unwrap() }
    }

    fn every_kind_of_change(&self) {
        let stack = self.stack();
        let root = self.prepare(&stack, "all");
        let seen = self.inside(&root, |at| self.change_all(at));
        let changes = root.changes(&self.owners()).unwrap();
        let text: Vec<String> = changes.iter().map(line).collect();
        assert_eq!(text, expected(), "\n{}", text.join("\n"));
        self.comes_out_the_same(&stack, &changes, &seen);
        if let Some(snapshot) = root.into_snapshot().unwrap() {
            assert!(!snapshot.join("new/socket").exists());
            assert!(snapshot.join("new/plain").exists());
            assert_eq!(fs::symlink_metadata(&snapshot).unwrap().mode() & 0o7777, 0o755);
        }
    }

    /// Touching without changing makes no layer at all.
    fn nothing_changed(&self) {
        let stack = self.stack();
        let root = self.prepare(&stack, "none");
        self.inside(&root, |at| {
            fs::File::options().append(true).open(at.join("keep/opened")).unwrap();
            fs::write(at.join("keep/deep/gone-again"), "x").unwrap();
            fs::remove_file(at.join("keep/deep/gone-again")).unwrap();
            fs::rename(at.join("keep/mode"), at.join("moved")).unwrap();
            fs::rename(at.join("moved"), at.join("keep/mode")).unwrap();
            fs::set_permissions(at.join("keep"), Permissions::from_mode(0o700)).unwrap();
            fs::set_permissions(at.join("keep"), Permissions::from_mode(0o755)).unwrap();
        });
        let changes = root.changes(&[]).unwrap();
        assert_eq!(changes.iter().map(line).collect::<Vec<_>>(), Vec::<String>::new());
    }

    fn on_scratch(&self) {
        let stack = Stack { lowers: Vec::new(), tree: Arc::default() };
        let root = self.prepare(&stack, "scratch");
        let seen = self.inside(&root, |at| {
            fs::create_dir(at.join("a")).unwrap();
            fs::write(at.join("a/b"), "b").unwrap();
        });
        let changes = root.changes(&[]).unwrap();
        let text: Vec<String> = changes.iter().map(line).collect();
        // What Docker makes for its own file systems stays.
        let own = ["755 0:0 dir dev", "755 0:0 dir proc", "755 0:0 dir sys"];
        assert_eq!(text, [&["755 0:0 dir a", "644 0:0 file(1) a/b"], &own[..]].concat());
        self.comes_out_the_same(&stack, &changes, &seen);
    }

    /// Unpacked once more, the layers show what the process saw at its end.
    fn comes_out_the_same(&self, stack: &Stack, changes: &[Change], seen: &Listing) {
        let (index, _) = self.layer(changes, &stack.tree);
        let mut tree = Tree::clone(&stack.tree);
        tree.push(&index, 9);
        let mut listing: Listing = BTreeMap::new();
        for node in tree.walk(b"").filter(|it| !it.entry.path.is_empty()) {
            listing.insert(node.entry.path.clone(), describe(&node.entry));
        }
        assert_eq!(&listing, seen);
    }

    fn is_single(&self) -> bool {
        matches!(self.privilege, Privilege::SingleId)
    }

    /// A symbolic link cannot carry its owner: the sandbox says it.
    fn owners(&self) -> Vec<Owner> {
        let path = PathBuf::from("/new/owned-link");
        if self.is_single() { vec![Owner { path, uid: 5, gid: 6 }] } else { Vec::new() }
    }

    fn prepare(&self, stack: &Stack, name: &str) -> Root {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        let Stack { lowers, tree } = stack;
        let privilege = &self.privilege;
        Root::prepare(Prepare { lowers, tree, dir: &dir, privilege, overlay: self.overlay })
            .unwrap()
    }

    /// Runs `act` in the root, and lists what is there afterwards.
    fn inside(&self, root: &Root, act: impl FnOnce(&Path)) -> Listing {
        use strake_sandbox::RootSpec::{Overlay, Plain};
        let (at, mounted) = match root.spec() {
            Plain(path) => (path, false),
            Overlay { mut lower, upper, work } => {
                let at = upper.with_file_name("at");
                fs::create_dir(&at).unwrap();
                if lower.is_empty() {
                    lower.push(upper.with_file_name("empty"));
                    fs::create_dir(&lower[0]).unwrap();
                }
                let lower: Vec<_> = lower.iter().map(|it| it.to_str().unwrap()).collect();
                let kind =
                    if self.is_single() { "userxattr" } else { "metacopy=off,redirect_dir=off" };
                let options = format!(
                    "lowerdir={},upperdir={},workdir={},index=off,{kind}",
                    lower.join(":"),
                    upper.display(),
                    work.display()
                );
                let mut mount = Command::new("mount");
                mount.args(["-t", "overlay", "overlay", "-o", &options]).arg(&at);
                assert!(mount.status().unwrap().success(), "{options}");
                (at, true)
            }
        };
        act(&at);
        let mut listing = Listing::new();
        self.list(&at, &at, &mut listing);
        if mounted {
            assert!(Command::new("umount").arg(&at).status().unwrap().success());
        }
        listing
    }

    fn list(&self, root: &Path, dir: &Path, listing: &mut Listing) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.file_type().is_socket() {
                continue;
            }
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            listing.insert(name.clone(), self.describe_file(&path, &name, &metadata));
            if metadata.is_dir() {
                self.list(root, &path, listing);
            }
        }
    }

    fn describe_file(&self, path: &Path, name: &[u8], metadata: &fs::Metadata) -> String {
        let xattr = |name: &str| {
            let mut value = [0; 100];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
            Some(String::from_utf8(value[..length].to_vec()).unwrap())
        };
        let kind = metadata.file_type();
        let mut what = if kind.is_dir() {
            "dir".to_owned()
        } else if kind.is_symlink() {
            format!("link({})", fs::read_link(path).unwrap().display())
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else if kind.is_char_device() {
            "char(1:3)".to_owned()
        } else {
            format!("file({})", metadata.len())
        };
        let mut owner = format!("{}:{}", metadata.uid(), metadata.gid());
        if self.is_single() {
            owner = xattr("user.strake.owner").unwrap_or_else(|| "0:0".to_owned());
            if name == b"new/owned-link" {
                owner = "5:6".to_owned();
            }
            // A link of the base, which is only in its index.
            if name == b"keep/link" {
                owner = "3:4".to_owned();
            }
            if xattr("user.strake.node").is_some() {
                what = "char(1:3)".to_owned();
            }
        }
        let mode = metadata.mode() & 0o7777;
        format!("{mode:o} {owner} {what}")
    }

    /// Packs and unpacks: a layer as it is after a pull.
    fn layer(&self, changes: &[Change], below: &Tree) -> (Index, PathBuf) {
        let options = PackOptions { compression: Compression::None, threads: 1 };
        let packed = pack(changes.to_vec(), &options, self.dir.path()).unwrap();
        let dir = tempfile::Builder::new().tempdir_in(self.dir.path()).unwrap().keep();
        let form = if self.is_single() { Form::SingleId } else { Form::Root };
        let blob = fs::File::open(&packed.file).unwrap();
        let index = unpack_onto(blob, None, Some(packed.diff_id), &dir, form, below).unwrap();
        (index, dir)
    }

    /// Two layers, the upper with deletions of its own.
    fn stack(&self) -> Stack {
        let base = [
            directory("app", 0o755, (0, 0)),
            file("app/edited", "before", 0o644, (0, 0)),
            file("app/same-size", "aaaa", 0o644, (0, 0)),
            directory("d", 0o755, (0, 0)),
            directory("d/stays", 0o750, (7, 8)),
            file("d/stays/one", "1", 0o644, (0, 0)),
            file("d/stays/two", "2", 0o644, (0, 0)),
            directory("dev", 0o755, (0, 0)),
            directory("gone-dir", 0o755, (0, 0)),
            file("gone-dir/inner", "x", 0o644, (0, 0)),
            file("gone-file", "x", 0o644, (0, 0)),
            directory("keep", 0o755, (0, 0)),
            directory("keep/deep", 0o711, (7, 8)),
            link("keep/link", "mode", (3, 4)),
            file("keep/mode", "mode", 0o4755, (7, 8)),
            file("keep/opened", "opened", 0o644, (0, 0)),
            file("linked", "linked", 0o644, (0, 0)),
            directory("pair", 0o755, (0, 0)),
            file("pair/one", "pair", 0o644, (0, 0)),
            entry(
                "pair/other",
                Kind::Hardlink { target: b"pair/one".to_vec() },
                0o644,
                (0, 0),
                Body::Empty,
            ),
            directory("proc", 0o755, (0, 0)),
            directory("redone", 0o755, (0, 0)),
            file("redone/changed", "old", 0o644, (0, 0)),
            file("redone/dropped", "old", 0o644, (0, 0)),
            file("redone/same", "same", 0o644, (0, 0)),
            directory("sys", 0o755, (0, 0)),
            directory("to-file", 0o755, (0, 0)),
            file("to-file/inner", "x", 0o644, (0, 0)),
            file("to-dir", "x", 0o644, (0, 0)),
        ];
        let upper = [
            directory("app", 0o755, (0, 0)),
            file("app/in-upper", "upper", 0o600, (0, 0)),
            directory("d", 0o755, (0, 0)),
            directory("d/stays", 0o750, (7, 8)),
            whiteout("d/stays/two"),
        ];
        let (first, low) = self.layer(&base, &Tree::default());
        let below = Tree::stack(&[Arc::new(first.clone())]);
        let (second, high) = self.layer(&upper, &below);
        let tree = Arc::new(Tree::stack(&[Arc::new(first), Arc::new(second)]));
        Stack { lowers: vec![high, low], tree }
    }

    fn change_all(&self, at: &Path) {
        let own =
            |path: &str, uid, gid| set_owner(&at.join(path), uid, gid, &self.privilege).unwrap();
        fs::write(at.join("app/edited"), "after").unwrap();
        fs::write(at.join("app/in-upper"), "other").unwrap();
        fs::write(at.join("app/same-size"), "bbbb").unwrap();
        set_time(&at.join("app/same-size"), TIME);
        fs::remove_dir_all(at.join("gone-dir")).unwrap();
        fs::remove_file(at.join("gone-file")).unwrap();
        fs::hard_link(at.join("linked"), at.join("linked-too")).unwrap();
        own("d/stays", 70, 80);
        set_time(&at.join("keep/link"), TIME + 1);
        fs::remove_file(at.join("pair/other")).unwrap();
        fs::remove_dir_all(at.join("redone")).unwrap();
        fs::create_dir(at.join("redone")).unwrap();
        fs::write(at.join("redone/changed"), "new").unwrap();
        fs::write(at.join("redone/same"), "same").unwrap();
        set_time(&at.join("redone/same"), TIME);
        fs::remove_dir_all(at.join("to-file")).unwrap();
        fs::write(at.join("to-file"), "now a file").unwrap();
        fs::remove_file(at.join("to-dir")).unwrap();
        fs::create_dir(at.join("to-dir")).unwrap();
        fs::write(at.join("to-dir/inner"), "x").unwrap();
        fs::set_permissions(at, Permissions::from_mode(0o700)).unwrap();
        let new = at.join("new");
        fs::create_dir(&new).unwrap();
        fs::write(new.join("plain"), "plain").unwrap();
        own("new/plain", 1000, 1001);
        fs::hard_link(new.join("plain"), new.join("z-again")).unwrap();
        fs::write(new.join("setuid"), "s").unwrap();
        own("new/setuid", 1000, 0);
        fs::set_permissions(new.join("setuid"), Permissions::from_mode(0o4711)).unwrap();
        fs::write(new.join("closed"), "").unwrap();
        fs::set_permissions(new.join("closed"), Permissions::from_mode(0o000)).unwrap();
        symlink("plain", new.join("owned-link")).unwrap();
        fs::write(new.join(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
        rustix::fs::mknodat(CWD, new.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
        drop(UnixListener::bind(new.join("socket")).unwrap());
        // What is lost in Docker's layers too.
        rustix::fs::lsetxattr(new.join("plain"), "user.note", b"kept", XattrFlags::empty())
            .unwrap();
        if self.is_single() {
            fs::write(new.join("null"), "").unwrap();
            rustix::fs::setxattr(
                new.join("null"),
                "user.strake.node",
                b"c:1:3",
                XattrFlags::empty(),
            )
            .unwrap();
        } else {
            let device = rustix::fs::makedev(1, 3);
            let mode = Mode::from_raw_mode(0o644);
            let kind = FileType::CharacterDevice;
            rustix::fs::mknodat(CWD, new.join("null"), kind, mode, device).unwrap();
            let (uid, gid) = (rustix::fs::Uid::from_raw(5), rustix::fs::Gid::from_raw(6));
            let link = new.join("owned-link");
            rustix::fs::chownat(CWD, link, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .unwrap();
        }
    }
}

/// What [`Trial::change_all`] makes of the stack. Directories that only contain changes stand before
/// them; one that is untouched is not there. With one id a device is an empty file on disk, and a
/// device in the layer all the same.
fn expected() -> Vec<String> {
    let text = "\
        755 0:0 dir app\n\
        644 0:0 file(5) app/edited\n\
        600 0:0 file(5) app/in-upper\n\
        644 0:0 file(4) app/same-size\n\
        755 0:0 dir d\n\
        750 70:80 dir d/stays\n\
        0 0:0 deleted gone-dir\n\
        0 0:0 deleted gone-file\n\
        755 0:0 dir keep\n\
        777 3:4 link(mode) keep/link\n\
        644 0:0 file(6) linked\n\
        644 0:0 hardlink(linked) linked-too\n\
        755 0:0 dir new\n\
        644 0:0 file(1) new/caf\u{fffd}\n\
        0 0:0 file(0) new/closed\n\
        600 0:0 fifo new/fifo\n\
        644 0:0 char(1:3) new/null\n\
        777 5:6 link(plain) new/owned-link\n\
        644 1000:1001 file(5) new/plain\n\
        4711 1000:0 file(1) new/setuid\n\
        644 1000:1001 hardlink(new/plain) new/z-again\n\
        755 0:0 dir pair\n\
        0 0:0 deleted pair/other\n\
        755 0:0 dir redone\n\
        644 0:0 file(3) redone/changed\n\
        0 0:0 deleted redone/dropped\n\
        755 0:0 dir to-dir\n\
        644 0:0 file(1) to-dir/inner\n\
        644 0:0 file(10) to-file";
    text.lines().map(str::to_owned).collect()
}

type Listing = BTreeMap<Vec<u8>, String>;

struct Stack {
    lowers: Vec<PathBuf>,
    tree: Arc<Tree>,
}

fn line(change: &Change) -> String {
    let xattrs: Vec<_> =
        change.entry.xattrs.keys().map(|it| format!(" {}", String::from_utf8_lossy(it))).collect();
    let path = String::from_utf8_lossy(&change.entry.path);
    format!("{}{} {path}", describe(&change.entry), xattrs.concat())
}

fn describe(entry: &Entry) -> String {
    let text = |it: &[u8]| String::from_utf8_lossy(it).into_owned();
    let kind = match &entry.kind {
        Kind::File { size } => format!("file({size})"),
        Kind::Directory { opaque: false } => "dir".to_owned(),
        Kind::Directory { opaque: true } => "opaque dir".to_owned(),
        Kind::Symlink { target } => format!("link({})", text(target)),
        Kind::Hardlink { target } => format!("hardlink({})", text(target)),
        Kind::Character { major, minor } => format!("char({major}:{minor})"),
        Kind::Block { major, minor } => format!("block({major}:{minor})"),
        Kind::Fifo => "fifo".to_owned(),
        Kind::Whiteout => "deleted".to_owned(),
    };
    format!("{:o} {}:{} {kind}", entry.mode, entry.uid, entry.gid)
}

/// The time of all files of the base.
const TIME: i64 = 1_700_000_000;

fn entry(path: &str, kind: Kind, mode: u32, (uid, gid): (u32, u32), body: Body) -> Change {
    let path = path.as_bytes().to_vec();
    let xattrs = BTreeMap::new();
    Change { entry: Entry { path, kind, mode, uid, gid, mtime: TIME, xattrs }, body }
}

fn directory(path: &str, mode: u32, owner: (u32, u32)) -> Change {
    entry(path, Kind::Directory { opaque: false }, mode, owner, Body::Empty)
}

fn file(path: &str, text: &str, mode: u32, owner: (u32, u32)) -> Change {
    let kind = Kind::File { size: text.len() as u64 };
    entry(path, kind, mode, owner, Body::Bytes(text.as_bytes().into()))
}

fn link(path: &str, target: &str, owner: (u32, u32)) -> Change {
    entry(path, Kind::Symlink { target: target.into() }, 0o777, owner, Body::Empty)
}

fn whiteout(path: &str) -> Change {
    entry(path, Kind::Whiteout, 0, (0, 0), Body::Empty)
}

fn set_time(path: &Path, seconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A cache mount that starts from a layer's directory is its equal.
#[test]
fn a_copied_tree_is_the_same_tree() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("sub/deep")).unwrap();
    fs::create_dir(&to).unwrap();
    fs::write(from.join("sub/file"), "content").unwrap();
    fs::hard_link(from.join("sub/file"), from.join("sub/deep/again")).unwrap();
    symlink("nowhere", from.join("dangling")).unwrap();
    fs::write(from.join("run"), "").unwrap();
    fs::set_permissions(from.join("run"), Permissions::from_mode(0o755)).unwrap();
    set_time(&from.join("sub"), TIME);
    fs::set_permissions(&from, Permissions::from_mode(0o1777)).unwrap();
    copy_tree(&from, &to).unwrap();
    let at = |path: &str| fs::symlink_metadata(to.join(path)).unwrap();
    assert_eq!(fs::read(to.join("sub/deep/again")).unwrap(), b"content");
    assert_eq!(at("sub/deep/again").ino(), at("sub/file").ino());
    assert_eq!(fs::read_link(to.join("dangling")).unwrap(), PathBuf::from("nowhere"));
    assert_eq!(at("run").mode() & 0o7777, 0o755);
    assert_eq!(at("sub").mtime(), TIME);
    assert_eq!(fs::symlink_metadata(&to).unwrap().mode() & 0o7777, 0o1777);
    let names: Vec<_> =
        fs::read_dir(&to).unwrap().map(|it| it.unwrap().file_name().into_vec()).collect();
    assert_eq!(names.len(), 3);
}
