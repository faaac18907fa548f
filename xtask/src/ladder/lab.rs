//! What the ladder builds with: an engine for pods, an image with strake in it, users, folders.

use super::{GRANTED, Place, USER, Workload};
use crate::shell::{output, root, say, strake_for_tests};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The pods' engine and image, and folders that everybody may use. All goes when it is dropped.
pub(super) struct Lab {
    pub(super) work: PathBuf,
    pub(super) out: PathBuf,
    bases: PathBuf,
    pub(super) strake: PathBuf,
    socket: String,
}

/// The pod of one build.
const POD: &str = "strake-ladder";

/// Where everything is; the number of the process follows.
const WORK: &str = "/var/tmp/strake-ladder-";

/// Takes away what ladders have left that were killed.
pub(super) fn clean() -> Result<(), String> {
    for entry in fs::read_dir("/var/tmp").map_err(|error| error.to_string())?.flatten() {
        let path = text(&entry.path());
        let Some(pid) = path.strip_prefix(WORK) else { continue };
        if Path::new("/proc").join(pid).exists() {
            continue;
        }
        say(&format!("a ladder was killed: {path} is taken away"));
        take_away(Path::new(&path))?;
    }
    Ok(())
}

/// Ends the engine of a ladder and removes its files.
fn take_away(work: &Path) -> Result<(), String> {
    let engine = work.join("docker");
    if engine.exists() {
        output(&text(&root().join("testdata/lab/dockerd.sh")), &["stop", &text(&engine)])?;
    }
    fs::remove_dir_all(work).map_err(|error| format!("{}: {error}", work.display()))
}

/// Folders of the host that no build of an ordinary host writes to.
const WATCHED: &[&str] = &["/boot", "/etc", "/home", "/opt", "/srv", "/usr"];

impl Lab {
    /// Starts everything; `strake` is the binary, else a debug build is made.
    pub(super) fn start(strake: Option<&Path>, node: bool) -> Result<Self, String> {
        let strake = strake.map_or_else(strake_for_tests, |it| Ok(it.to_owned()))?;
        let work = PathBuf::from(format!("{WORK}{}", std::process::id()));
        let out = work.join("out");
        for folder in [&work, &out] {
            fs::create_dir_all(folder).map_err(|error| error.to_string())?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o777))
                .map_err(|error| error.to_string())?;
        }
        let copy = work.join("strake");
        output("strip", &["-o", &text(&copy), &text(&strake)])?;
        let made = std::env::var_os("STRAKE_BASES").map(PathBuf::from);
        let bases = made.unwrap_or_else(|| root().join("target/bases"));
        let given = std::env::var_os("DOCKER_HOST").and_then(|it| it.into_string().ok());
        let own_engine = given.is_none();
        let socket = given
            .unwrap_or_else(|| format!("unix://{}", work.join("docker/docker.sock").display()));
        // From here on its end cleans up.
        let lab = Self { work, out, bases, strake: copy, socket };
        let needed = ["debian", "node20"].into_iter().take(if node { 2 } else { 1 });
        let missing: Vec<&str> = needed.filter(|it| !lab.bases.join(it).exists()).collect();
        if !missing.is_empty() {
            let script = text(&root().join("testdata/bases/make.sh"));
            output(&script, &[&[text(&lab.bases).as_str()], &missing[..]].concat())?;
        }
        if own_engine {
            let script = text(&root().join("testdata/lab/dockerd.sh"));
            output(&script, &["start", &text(&lab.work.join("docker"))])?;
        }
        let _there_already = Command::new("useradd").args(["-M", GRANTED]).output();
        let granted = fs::read_to_string("/etc/subuid").map_err(|error| error.to_string())?;
        if !granted.lines().any(|it| it.split(':').next() == Some(GRANTED)) {
            return Err(format!("{GRANTED} has no ids in /etc/subuid: remove that user"));
        }
        lab.pod_image()?;
        Ok(lab)
    }

    /// The pods' image, which strake makes itself.
    fn pod_image(&self) -> Result<(), String> {
        let context = self.work.join("pod");
        fs::create_dir_all(&context).map_err(|error| error.to_string())?;
        fs::copy(&self.strake, context.join("strake")).map_err(|error| error.to_string())?;
        let file = "FROM debian:bookworm-slim\nCOPY strake /usr/bin/strake\nENV HOME=/tmp\n";
        fs::write(context.join("Dockerfile"), file).map_err(|error| error.to_string())?;
        let image = self.work.join("pod.tar");
        let mut build = Command::new(&self.strake);
        build.arg("build").args(self.names()).args(["-t", "strake-pod", "-o"]);
        build.arg(format!("type=docker,dest={}", image.display())).arg(&context);
        build.arg("--store").arg(self.work.join("store-pod"));
        quiet(&mut build)?;
        quiet(self.docker("load").arg("-i").arg(&image))
    }

    fn docker(&self, verb: &str) -> Command {
        let mut docker = Command::new("docker");
        docker.env("DOCKER_HOST", &self.socket).arg(verb);
        docker
    }

    /// The bases by the names that Dockerfiles give them.
    pub(super) fn names(&self) -> Vec<String> {
        [("debian:bookworm-slim", "debian:bookworm-slim"), ("node:20-alpine", "node20:20-alpine")]
            .iter()
            .flat_map(|(name, layout)| {
                let layout = format!("{name}=oci-layout://{}/{layout}", self.bases.display());
                ["--build-context".to_owned(), layout]
            })
            .collect()
    }

    /// A command that runs strake in a place.
    pub(super) fn strake(&self, place: Place) -> Command {
        let mut command = match place {
            Place::Root => Command::new(&self.strake),
            Place::User(user) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
                command.arg(&self.strake);
                command
            }
            Place::Without => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
                command.args(["unshare", "--user", "--map-current-user", "--keep-caps"]);
                command.args([
                    "sh",
                    "-c",
                    "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv \
                     --inh-caps=-all --ambient-caps=-all --bounding-set=-all \"$@\"",
                ]);
                command.arg("sh").arg(&self.strake);
                command
            }
            Place::Pod(options) => {
                let mut command = self.docker("run");
                command.args(["--name", POD, "--network", "host"]).args(options);
                for (folder, mode) in [(&self.out, ""), (&self.bases, ":ro"), (&root(), ":ro")] {
                    command.arg("-v").arg(format!("{0}:{0}{mode}", folder.display()));
                }
                command.args(["strake-pod", "strake"]);
                command
            }
        };
        command.env("HOME", "/nonexistent");
        command
    }

    /// The store of a place.
    pub(super) fn store(&self, place: Place) -> String {
        match place {
            Place::Pod(_) => "/tmp/store".to_owned(),
            Place::Root => text(&self.work.join("store-root")),
            Place::User(user) => text(&self.out.join(format!("store-{user}"))),
            Place::Without => text(&self.out.join("store-without")),
        }
    }

    /// Builds; the image, or why there is none.
    pub(super) fn build(
        &self,
        workload: &Workload,
        place: Place,
        image: &Path,
    ) -> Result<(), String> {
        let since = self.file_system_time()?;
        let mut command = self.strake(place);
        command.args(["build", "--no-cache", "--progress", "plain"]).args(self.names());
        command.arg("--store").arg(self.store(place)).arg("-o");
        command.arg(format!("type=oci,dest={}", image.display())).arg(&workload.folder);
        let built = quiet(&mut command);
        let clean = match place {
            Place::Pod(_) => self.pod_is_clean(),
            Place::Root => host_is_clean(since),
            Place::User(_) | Place::Without => Ok(()),
        };
        // Stores of large workloads would fill the disk, and none is built twice.
        if !matches!(place, Place::Pod(_)) {
            let _gone = fs::remove_dir_all(self.store(place));
        }
        built.and(clean)
    }

    /// The time as the file system has it, whose clock ticks rarely.
    fn file_system_time(&self) -> Result<(i64, i64), String> {
        let stamp = self.work.join("stamp");
        let made = fs::write(&stamp, "").and_then(|()| fs::metadata(&stamp));
        made.map(|it| (it.ctime(), it.ctime_nsec())).map_err(|error| error.to_string())
    }

    /// What `docker diff` says of the pod: changes below /tmp, where the store is, and no others.
    fn pod_is_clean(&self) -> Result<(), String> {
        let changed = self.docker("diff").arg(POD).output().map_err(|error| error.to_string())?;
        self.end_pod();
        let changed = String::from_utf8_lossy(&changed.stdout).into_owned();
        let elsewhere: Vec<&str> = changed
            .lines()
            .filter(|it| !it.ends_with(" /tmp") && !it.contains(" /tmp/"))
            // Engines make the places of volumes.
            .filter(|it| !self.is_above_volume(it.get(2..).unwrap_or_default()))
            .collect();
        match elsewhere.is_empty() {
            true => Ok(()),
            false => Err(format!("written outside of the root:\n{}", elsewhere.join("\n"))),
        }
    }

    fn is_above_volume(&self, path: &str) -> bool {
        [&self.out, &self.bases, &root()].iter().any(|it| it.starts_with(path))
    }

    fn end_pod(&self) {
        let _none = self.docker("rm").args(["--force", POD]).output();
    }

    /// Whether two images are equal in tree, owners and config.
    pub(super) fn compare(
        &self,
        workload: &Workload,
        one: &Path,
        other: &Path,
    ) -> Result<(), String> {
        let mut command = Command::new(&self.strake);
        command.arg("diff").args(workload.ignored.iter().flat_map(|it| ["--ignore", it]));
        let store = self.work.join("store-diff");
        command.arg("--store").arg(&store).arg(one).arg(other);
        let equal = quiet(&mut command);
        let _gone = fs::remove_dir_all(store);
        equal
    }

    /// What `strake doctor` says in a place.
    pub(super) fn doctor(&self, place: Place, json: bool) -> Result<String, String> {
        let mut command = self.strake(place);
        command.arg("doctor").args(json.then_some("--json"));
        command.arg("--store").arg(self.store(place));
        let told = command.stdin(Stdio::null()).output().map_err(|error| error.to_string());
        self.end_pod();
        let told = told?;
        if told.status.success() {
            return Ok(String::from_utf8_lossy(&told.stdout).into_owned());
        }
        Err(String::from_utf8_lossy(&told.stderr).into_owned())
    }

    /// The backend that is chosen in a place.
    pub(super) fn backend(&self, place: Place) -> Result<String, String> {
        let told = self.doctor(place, true)?;
        let after = told.split("\"sandbox\":\"").nth(1).and_then(|it| it.split('"').next());
        after.map(str::to_owned).ok_or(format!("no backend: {told}"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.end_pod();
        let _gone = Command::new("userdel").arg(GRANTED).output();
        if let Err(error) = take_away(&self.work) {
            say(&format!("xtask: {error}"));
        }
    }
}

/// Runs a command that has to end well; the end of what it says, if it does not.
pub(super) fn quiet(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    Err(lines[lines.len().saturating_sub(12)..].join("\n"))
}

/// Whether nothing of the host's system was changed since then.
fn host_is_clean(since: (i64, i64)) -> Result<(), String> {
    let mut changed = Vec::new();
    for folder in WATCHED {
        changed_below(Path::new(folder), since, &mut changed);
    }
    match changed.is_empty() {
        true => Ok(()),
        false => Err(format!("written outside of the root:\n{}", changed.join("\n"))),
    }
}

fn changed_below(path: &Path, since: (i64, i64), changed: &mut Vec<String>) {
    let Ok(found) = fs::symlink_metadata(path) else { return };
    if (found.ctime(), found.ctime_nsec()) > since {
        changed.push(text(path));
    }
    if found.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            changed_below(&entry.path(), since, changed);
        }
    }
}

/// A path as an argument.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
