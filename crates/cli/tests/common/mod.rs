//! A place to build in: a store, a base image and a context of the test's own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub mod registry;
pub mod traces;

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// The user id of the ordinary user that tests run as: no name, no subordinate ids.
pub const NOBODY: u32 = 23_456;

/// A temp folder with a busybox base as an OCI layout and an empty context.
pub struct Lab {
    dir: TempDir,
    user: Option<u32>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !is_root() {
            // With subordinate ids the store has files that the user can only remove by way of it.
            let _ = self.command(&["prune", "--all"]).output();
        }
    }
}

/// Whether the tests are run by root, who can make mounts and become another user.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A shell script in a mount namespace of its own, in which it may mount as root may.
pub fn with_mounts(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.arg(if is_root() { "-m" } else { "-rm" }).args(["sh", "-c", script]);
    command
}

/// How a build ended.
pub struct Ended {
    /// Exit code.
    pub code: Option<i32>,
    /// Everything for people.
    pub stderr: String,
    /// Data.
    pub stdout: String,
}

impl Lab {
    /// A lab of the caller's own user.
    pub fn new() -> Lab {
        Lab::made(None)
    }

    /// A lab of an ordinary user: of the caller where that is one.
    pub fn ordinary() -> Lab {
        Lab::made(is_root().then_some(NOBODY))
    }

    fn made(user: Option<u32>) -> Lab {
        // Not below a folder that an ordinary user may not enter.
        let dir = tempfile::Builder::new().prefix("strake-test").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let lab = Lab { dir, user };
        rootfs(&lab.path("base-context/rootfs"));
        let text = "FROM scratch\nCOPY rootfs /\nENV PATH=/bin\nCMD [\"/bin/sh\"]\n";
        lab.write("base-context/Dockerfile", text);
        fs::create_dir(lab.path("context")).unwrap();
        if let Some(uid) = user {
            let owner = format!("{uid}:{uid}");
            let done = Command::new("chown").args(["-hR", &owner]).arg(lab.dir.path()).status();
            assert!(done.unwrap().success());
        }
        let out = format!("type=oci,tar=false,dest={},name=base:1", lab.path("base").display());
        lab.strake(&["build", "-o", &out, lab.path("base-context").to_str().unwrap()]).ok();
        lab
    }

    /// A path in the lab.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, with its folders.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        if let Some(uid) = self.user {
            let _ = std::os::unix::fs::chown(&path, Some(uid), Some(uid));
        }
    }

    /// A command that runs a program as this lab's user.
    pub fn as_user(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(uid) = self.user else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={uid}"));
        command.args([&uid, &gid, "--clear-groups"]).arg(program);
        command
    }

    /// A command that runs strake in this lab's store, as this lab's user, with a bare environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.as_user(self.program());
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin");
        command.env("STRAKE_STORE", self.path("store")).stdin(Stdio::null());
        command.current_dir(self.dir.path());
        command
    }

    /// A strake of this lab's own: its processes can be told from those of other tests, and any user
    /// may execute it.
    pub fn program(&self) -> PathBuf {
        let copy = self.path("strake");
        if !copy.exists() {
            let program = env!("CARGO_BIN_EXE_strake");
            // A link: a file that was just written may still be open in another test's fork.
            fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(drop)).unwrap();
        }
        copy
    }

    /// Runs strake to its end.
    pub fn strake(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// The arguments of a build of `context` with the busybox base as `base`.
    pub fn build_args(&self, more: &[&str]) -> Vec<String> {
        let base = format!("base=oci-layout://{}", self.path("base").display());
        let fixed = ["build", "--progress", "plain", "--build-context", &base];
        let mut args: Vec<String> = fixed.iter().chain(more).map(|it| (*it).to_owned()).collect();
        args.push(self.path("context").display().to_string());
        args
    }

    /// Builds `context` with the busybox base as `base`.
    pub fn build(&self, more: &[&str]) -> Ended {
        let args = self.build_args(more);
        self.strake(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Builds to an OCI layout folder `out` and returns the digest of its manifest.
    pub fn image(&self, more: &[&str]) -> (String, Ended) {
        let out = self.path("out");
        let _ = fs::remove_dir_all(&out);
        let output = format!("type=oci,tar=false,dest={}", out.display());
        let mut args = vec!["-o", &output];
        args.extend(more);
        let ended = self.build(&args).ok();
        let index = fs::read(out.join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        (index["manifests"][0]["digest"].as_str().unwrap().to_owned(), ended)
    }

    /// A blob of the layout that [`Lab::image`] made.
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        fs::read(self.path("out/blobs/sha256").join(&digest[7..])).unwrap()
    }

    /// The config of the image of that manifest.
    pub fn config(&self, manifest: &str) -> serde_json::Value {
        let manifest: serde_json::Value = serde_json::from_slice(&self.blob(manifest)).unwrap();
        serde_json::from_slice(&self.blob(manifest["config"]["digest"].as_str().unwrap())).unwrap()
    }

    /// `tar -tv` of the topmost layer.
    pub fn top_layer(&self, manifest: &str) -> String {
        let manifest: serde_json::Value = serde_json::from_slice(&self.blob(manifest)).unwrap();
        let layer = manifest["layers"].as_array().unwrap().last().unwrap();
        let digest = layer["digest"].as_str().unwrap();
        let file = self.path("out/blobs/sha256").join(&digest[7..]);
        let listing = Command::new("tar")
            .args(["--numeric-owner", "-tvf"])
            .arg(file)
            .env("TZ", "UTC")
            .output()
            .unwrap();
        String::from_utf8_lossy(&listing.stdout).into_owned()
    }
}

impl Ended {
    /// What a program that ended has said.
    pub fn of(output: Output) -> Ended {
        Ended {
            code: output.status.code(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        }
    }

    /// Panics with everything that was said unless it ended well.
    #[track_caller]
    pub fn ok(self) -> Ended {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Panics unless it failed and said each of `words`.
    #[track_caller]
    pub fn failed_with(self, words: &[&str]) -> Ended {
        assert!(self.code.is_some_and(|it| it != 0), "did not fail:\n{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in:\n{}", self.stderr);
        }
        self
    }

    /// The steps that were cached, and those that were not, by their text.
    pub fn steps(&self) -> (Vec<String>, Vec<String>) {
        let mut names: std::collections::BTreeMap<&str, &str> = std::collections::BTreeMap::new();
        let (mut cached, mut done) = (Vec::new(), Vec::new());
        for line in self.stderr.lines() {
            let Some((id, rest)) = line.split_once(' ') else { continue };
            if !id.starts_with('#') {
                continue;
            }
            if rest.starts_with('[') && !rest.contains("] FROM") {
                names.insert(id, rest.split_once("] ").map_or(rest, |it| it.1));
            } else if rest == "CACHED" {
                cached.extend(names.remove(id).map(str::to_owned));
            } else if rest.starts_with("DONE") {
                done.extend(names.remove(id).map(str::to_owned));
            }
        }
        (cached, done)
    }
}

/// A root file system: busybox with all its applets, two users.
fn rootfs(root: &Path) {
    for dir in ["bin", "dev", "etc", "home/app", "proc", "root", "sys", "tmp", "var"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|it| Path::new(it).exists());
    fs::copy(busybox.expect("busybox-static is installed"), root.join("bin/busybox")).unwrap();
    let list = Command::new("busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8_lossy(&list.stdout).lines().filter(|it| *it != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1001:1002::/home/app:/bin/sh\n";
    fs::write(root.join("etc/passwd"), passwd).unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\napp:x:1002:\nextra:x:1003:app\n").unwrap();
}
