//! Environments in which people build, times what they build: `cargo xtask ladder`.
//!
//! Each folder of `testdata/ladder` is built in each environment, a real `docker run` where it is a pod,
//! and the image is compared with the one that root makes. Needs root (for Docker) and Debian.

use crate::{
    packages::install,
    shell::{is_root, output, root, say, strake_for_tests},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// Where a build runs.
#[derive(Clone, Copy, Debug)]
enum Place {
    Root,
    /// A user of the host, by name or number.
    User(&'static str),
    /// A user for whom no namespace can be made.
    Without,
    /// `docker run` with these options.
    Pod(&'static [&'static str]),
}

const USER: &str = "12345";
const GRANTED: &str = "strake-ladder";

const ENVIRONMENTS: &[(&str, Place)] = &[
    ("host root", Place::Root),
    ("host user, subuid", Place::User(GRANTED)),
    ("host user", Place::User(USER)),
    ("host user, no namespaces", Place::Without),
    ("docker run", Place::Pod(&[])),
    ("docker --user 1000", Place::Pod(&["--user", "1000"])),
    ("docker --cap-drop ALL", Place::Pod(&["--cap-drop", "ALL"])),
    (
        "docker no-new-privileges",
        Place::Pod(&["--user", "1000", "--security-opt", "no-new-privileges"]),
    ),
    (
        "docker seccomp=unconfined",
        Place::Pod(&["--user", "1000", "--security-opt", "seccomp=unconfined"]),
    ),
];

/// One folder of `testdata/ladder`.
struct Workload {
    name: String,
    folder: PathBuf,
    ignored: Vec<String>,
}

/// `cargo xtask ladder [--workload NAME]... [--environment NAME]...`; `--subset` is the smallest workload in
/// every environment.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let (mut wanted, mut places) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--workload" => wanted.push(*words.next().ok_or("--workload needs a name")?),
            "--environment" => places.push(*words.next().ok_or("--environment needs a name")?),
            "--subset" => wanted.push("files"),
            _ => {
                return Err("usage: cargo xtask ladder [--workload NAME]... [--environment \
                            NAME]... | --subset"
                    .to_owned());
            }
        }
    }
    matrix(&wanted, &places)
}

fn matrix(wanted: &[&str], places: &[&str]) -> Result<(), String> {
    if !is_root() {
        return Err("the ladder needs root, for Docker runs its pods".to_owned());
    }
    install(&[("dockerd", "docker.io"), ("setpriv", "util-linux"), ("newuidmap", "uidmap")])?;
    let lab = Lab::start()?;
    let workloads = workloads(wanted)?;
    let mut failed = 0;
    let mut table = vec![format!(
        "| {:26} | {:12} | {:10} | {:>7} | result |",
        "environment", "workload", "backend", "seconds"
    )];
    table.push("|---|---|---|---|---|".to_owned());
    for workload in &workloads {
        let reference = lab.work.join(format!("reference-{}.tar", workload.name));
        for (name, place) in ENVIRONMENTS {
            if !places.is_empty() && !places.contains(name) && *name != "host root" {
                continue;
            }
            let image = lab.out.join(format!("{}.tar", workload.name));
            let _before = fs::remove_file(&image);
            let began = Instant::now();
            let result = lab.build(workload, *place, &image).and_then(|()| {
                if reference.exists() {
                    return lab.compare(workload, &reference, &image);
                }
                fs::copy(&image, &reference).map(drop).map_err(|error| error.to_string())
            });
            let seconds = began.elapsed().as_secs_f64();
            let backend = lab.backend(*place).unwrap_or_else(|error| error);
            let said = match &result {
                Ok(()) => "equal".to_owned(),
                Err(error) => {
                    failed += 1;
                    say(&format!("{name}, {}: {error}", workload.name));
                    "FAILED".to_owned()
                }
            };
            let row = format!(
                "| {name:26} | {:12} | {backend:10} | {seconds:7.1} | {said} |",
                workload.name
            );
            say(&row);
            table.push(row);
        }
    }
    say(&table.join("\n"));
    lab.end();
    if failed > 0 { Err(format!("{failed} cells failed")) } else { Ok(()) }
}

fn workloads(wanted: &[&str]) -> Result<Vec<Workload>, String> {
    let mut all = Vec::new();
    let folder = root().join("testdata/ladder");
    for entry in fs::read_dir(folder).map_err(|error| error.to_string())? {
        let folder = entry.map_err(|error| error.to_string())?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !wanted.is_empty() && !wanted.contains(&name.as_str()) {
            continue;
        }
        let text = fs::read_to_string(folder.join("Dockerfile")).map_err(|it| it.to_string())?;
        let ignored = text.lines().find_map(|it| it.strip_prefix("# ignore: ")).unwrap_or_default();
        let ignored = ignored.split_whitespace().map(str::to_owned).collect();
        all.push(Workload { name, folder, ignored });
    }
    all.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(all)
}

/// The pods' engine and image, and folders that everybody may use.
struct Lab {
    work: PathBuf,
    out: PathBuf,
    bases: PathBuf,
    strake: PathBuf,
    socket: String,
    own_engine: bool,
}

impl Lab {
    fn start() -> Result<Self, String> {
        let strake = strake_for_tests()?;
        let work = PathBuf::from(format!("/var/tmp/strake-ladder-{}", std::process::id()));
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
        if !bases.join("debian").exists() {
            let script = text(&root().join("testdata/bases/make.sh"));
            output(&script, &[&text(&bases), "debian", "node20"])?;
        }
        let given = std::env::var_os("DOCKER_HOST").and_then(|it| it.into_string().ok());
        let own_engine = given.is_none();
        let socket = given
            .unwrap_or_else(|| format!("unix://{}", work.join("docker/docker.sock").display()));
        let mut lab = Self { work, out, bases, strake: copy, socket, own_engine };
        if lab.own_engine {
            let script = text(&root().join("testdata/lab/dockerd.sh"));
            output(&script, &["start", &text(&lab.work.join("docker"))])?;
        }
        let _there_already = output("useradd", &["-M", GRANTED]);
        lab.pod_image()?;
        Ok(lab)
    }

    /// The pods' image, which strake makes itself.
    fn pod_image(&mut self) -> Result<(), String> {
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
        self.quiet(&mut build)?;
        let mut load = Command::new("docker");
        load.env("DOCKER_HOST", &self.socket).arg("load").arg("-i").arg(&image);
        self.quiet(&mut load)
    }

    fn names(&self) -> Vec<String> {
        [("debian:bookworm-slim", "debian:bookworm-slim"), ("node:20-alpine", "node20:20-alpine")]
            .iter()
            .flat_map(|(name, layout)| {
                let layout = format!("{name}=oci-layout://{}/{layout}", self.bases.display());
                ["--build-context".to_owned(), layout]
            })
            .collect()
    }

    /// A command that runs strake in a place.
    fn strake(&self, place: Place) -> Command {
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
                command.args([
                    "unshare",
                    "--user",
                    "--map-current-user",
                    "--keep-caps",
                    "sh",
                    "-c",
                ]);
                command.arg(
                    "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv \
                     --inh-caps=-all --ambient-caps=-all --bounding-set=-all \"$@\"",
                );
                command.arg("sh").arg(&self.strake);
                command
            }
            Place::Pod(options) => {
                let mut command = Command::new("docker");
                command.env("DOCKER_HOST", &self.socket);
                command.args(["run", "--rm", "--network", "host"]).args(options);
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

    fn store(&self, place: Place) -> String {
        match place {
            Place::Pod(_) => "/tmp/store".to_owned(),
            Place::Root => text(&self.work.join("store-root")),
            Place::User(user) => text(&self.out.join(format!("store-{user}"))),
            Place::Without => text(&self.out.join("store-without")),
        }
    }

    fn build(&self, workload: &Workload, place: Place, image: &Path) -> Result<(), String> {
        let mut command = self.strake(place);
        command.args(["build", "--no-cache", "--progress", "plain"]).args(self.names());
        command.arg("--store").arg(self.store(place)).arg("-o");
        command.arg(format!("type=oci,dest={}", image.display())).arg(&workload.folder);
        self.quiet(&mut command)
    }

    fn compare(&self, workload: &Workload, one: &Path, other: &Path) -> Result<(), String> {
        let mut command = Command::new(&self.strake);
        command.arg("diff").args(workload.ignored.iter().flat_map(|it| ["--ignore", it]));
        command.arg("--store").arg(self.work.join("store-diff")).arg(one).arg(other);
        self.quiet(&mut command)
    }

    fn backend(&self, place: Place) -> Result<String, String> {
        let mut command = self.strake(place);
        command.args(["doctor", "--json", "--store"]).arg(self.store(place));
        let told = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let after = told.split("\"sandbox\":\"").nth(1).and_then(|it| it.split('"').next());
        after.map(str::to_owned).ok_or(format!("no backend: {told}"))
    }

    /// Runs a command that has to end well; the end of what it says, if it does not.
    fn quiet(&self, command: &mut Command) -> Result<(), String> {
        let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        Err(lines[lines.len().saturating_sub(8)..].join("\n"))
    }

    fn end(&self) {
        if self.own_engine {
            let script = text(&root().join("testdata/lab/dockerd.sh"));
            let _stopped = output(&script, &["stop", &text(&self.work.join("docker"))]);
        }
        let _gone = output("userdel", &[GRANTED]);
        let _gone = fs::remove_dir_all(&self.work);
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
