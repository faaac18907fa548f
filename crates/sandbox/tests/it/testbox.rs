//! A small tree to run in, and what is left of it afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// An ordinary user that no file knows.
const USER: u32 = 12345;

/// Who runs the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Root,
    /// Root, whose sandbox was made while another run was going on.
    Ahead,
    User,
    /// A user without namespaces.
    Emulated,
    /// Root who may chroot, and nothing more.
    Chroot,
}

/// All.
pub(crate) const EVERYBODY: [Who; 4] = [Who::Root, Who::Ahead, Who::User, Who::Emulated];

/// All, and root in a chroot where there is root.
pub(crate) fn whoever_can_be() -> Vec<Who> {
    EVERYBODY.into_iter().chain(is_root().then_some(Who::Chroot)).collect()
}

/// Those who have namespaces.
pub(crate) const IN_NAMESPACES: [Who; 3] = [Who::Root, Who::Ahead, Who::User];

pub(crate) struct TestBox {
    folder: TempDir,
    who: Who,
    options: Vec<String>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestBox {
    /// Makes a tree with busybox, /etc/passwd and /tmp, and empty directories for the changes.
    pub(crate) fn new(who: Who) -> Self {
        let folder = tempfile::Builder::new().prefix("sandbox").tempdir_in("/tmp").unwrap();
        for name in ["base/bin", "base/etc", "base/tmp", "upper", "work", "scratch"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let it = Self { folder, who, options: Vec::new() };
        fs::set_permissions(it.path("base/tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::copy("/bin/busybox", it.path("base/bin/busybox")).expect("busybox-static is installed");
        let list = Command::new("/bin/busybox").arg("--list").output().unwrap();
        for applet in String::from_utf8(list.stdout).unwrap().lines() {
            if applet != "busybox" {
                symlink("busybox", it.path("base/bin").join(applet)).unwrap();
            }
        }
        it.write("base/etc/passwd", "root::0:0:root:/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n");
        it.write("base/etc/group", "root:x:0:\napp:x:1000:\n");
        // A link: a file that was just written may still be open in another test's fork.
        let program = it.path("sandbox-run");
        fs::hard_link(example(), &program)
            .or_else(|_| fs::copy(example(), &program).map(drop))
            .unwrap();
        it
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Adds options of `sandbox-run`.
    pub(crate) fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// The command that runs a shell script in the box.
    pub(crate) fn command(&self, argv: &[&str]) -> Command {
        self.give_away();
        let mut command = Command::new(self.path("sandbox-run"));
        command.stdin(Stdio::null());
        for (option, name) in [("--upper", "upper"), ("--work", "work"), ("--tmp", "scratch")] {
            command.arg(option).arg(self.path(name));
        }
        command.arg("--lower").arg(self.path("base"));
        if self.is_copied() {
            let backend = if self.who == Who::Chroot { "--chroot" } else { "--emulated" };
            command.arg(backend).arg("--plain").arg(self.tree());
        }
        command.args((self.who == Who::Ahead).then_some("--ahead"));
        command.args(["--env", "PATH=/bin"]).args(&self.options).arg("--").args(argv);
        if is_root() && !self.is_roots() {
            command.uid(USER).gid(USER);
        } else if !is_root() {
            // Whoever runs the tests may have subordinate ids: their helpers are not to be found.
            command.env_remove("PATH");
        }
        command
    }

    /// Whether the tree is a copy that is changed in place.
    fn is_copied(&self) -> bool {
        matches!(self.who, Who::Emulated | Who::Chroot)
    }

    fn is_roots(&self) -> bool {
        matches!(self.who, Who::Root | Who::Ahead | Who::Chroot)
    }

    /// Makes everything the property of the user whose box it is.
    pub(crate) fn give_away(&self) {
        if is_root() && !self.is_roots() {
            give_away(self.folder.path());
        }
    }

    pub(crate) fn sh(&self, script: &str) -> Outcome {
        self.exec(&["sh", "-c", script])
    }

    pub(crate) fn exec(&self, argv: &[&str]) -> Outcome {
        // A program that was just copied may still be open in another test's fork.
        let mut outputs = std::iter::repeat_with(|| self.command(argv).output());
        let busy = |it: &std::io::Result<Output>| matches!(it, Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy);
        let output = outputs.find(|it| !busy(it)).expect("it goes on for ever").unwrap();
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a script that must succeed; returns what it printed.
    #[track_caller]
    pub(crate) fn print(&self, script: &str) -> String {
        let outcome = self.sh(script);
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (Some(0), ""),
            "{:?} {script}",
            self.who
        );
        outcome.stdout
    }

    /// The copy of the tree that an emulated run changes, made for the first one.
    fn tree(&self) -> PathBuf {
        let tree = self.path("tree");
        if !tree.exists() {
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(self.path("base")).arg(&tree);
            if is_root() && !self.is_roots() {
                copy.uid(USER).gid(USER);
            }
            assert!(copy.status().unwrap().success());
        }
        tree
    }

    /// What changed: every name in the upper directory, sorted. Of a copied tree, what is only in one
    /// of the two or differs, and the directories that it is in.
    pub(crate) fn changes(&self) -> Vec<String> {
        if !self.is_copied() {
            return names(&self.path("upper"));
        }
        let (base, tree) = (self.path("base"), self.tree());
        let same = |name: &String| {
            let of = |top: &Path| {
                let path = top.join(name);
                let it = fs::symlink_metadata(&path).ok()?;
                let content = if it.is_file() { fs::read(&path).ok() } else { None };
                let size = if it.is_dir() { 0 } else { it.size() };
                Some((it.mode(), size, content, owner_of(&path)))
            };
            of(&base) == of(&tree)
        };
        let all: BTreeSet<String> = names(&base).into_iter().chain(names(&tree)).collect();
        let mut changed = BTreeSet::new();
        for name in all.into_iter().filter(|it| !same(it)) {
            let above = Path::new(&name).ancestors().filter(|it| !it.as_os_str().is_empty());
            changed.extend(above.map(|it| it.to_str().unwrap().to_owned()));
        }
        changed.into_iter().collect()
    }

    /// The mark that a change carries.
    pub(crate) fn mark(&self, name: &str, attribute: &str) -> Option<String> {
        let mut buffer = [0; 64];
        let top = if self.is_copied() { "tree" } else { "upper" };
        let path = self.path(top).join(name);
        let length = rustix::fs::lgetxattr(path, attribute, &mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// Asserts that nothing is left of the run itself.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert_eq!(names(&self.path("scratch")), Vec::<String>::new());
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(self.folder.path().to_str().unwrap()), "{mounts}");
    }
}

fn owner_of(path: &Path) -> Option<Vec<u8>> {
    let mut buffer = [0; 64];
    let length = rustix::fs::lgetxattr(path, "user.strake.owner", &mut buffer).ok()?;
    Some(buffer[..length].to_vec())
}

/// Returns every name below a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, top: &Path, names: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned());
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                walk(&path, top, names);
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

pub(crate) fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// Cargo puts examples beside the folder of the tests.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples/sandbox-run")
}

fn give_away(path: &Path) {
    if path.ends_with("sandbox-run") {
        // A link to what cargo built.
        return;
    }
    let metadata = fs::symlink_metadata(path).unwrap();
    if metadata.uid() != USER {
        std::os::unix::fs::lchown(path, Some(USER), Some(USER)).unwrap();
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}
