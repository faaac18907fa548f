//! The registry, the Docker that runs images and the Docker that builds them for comparison.
//!
//! All are private to one run and end with it.

use crate::shell::{root, say};
use fs_err as fs;
use std::{
    ffi::OsStr,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::Duration,
};

const SCRIPTS: &str = "testdata/lab";

/// What runs beside the cases; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Lab {
    /// Everything of this run, readable for every user.
    pub(crate) work: PathBuf,
    /// `127.0.0.1:PORT`.
    pub(crate) registry: String,
    socket: PathBuf,
    reference: Option<PathBuf>,
    interrupted: Arc<AtomicBool>,
}

impl Lab {
    /// Makes the bases and starts everything.
    pub(crate) fn start(reference: bool) -> Result<Self, String> {
        TcpListener::bind(("0.0.0.0", 3000))
            .map_err(|error| format!("the applications listen on port 3000: {error}"))?;
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))
                .map_err(|error| error.to_string())?;
        }
        let work = PathBuf::from(format!("/var/tmp/strake-seeds-{}", std::process::id()));
        let mut lab = Self {
            socket: work.join("docker/docker.sock"),
            registry: String::new(),
            reference: reference.then(|| root().join("target/reference")),
            work,
            interrupted,
        };
        fs::create_dir_all(&lab.work).map_err(|error| error.to_string())?;
        fs::set_permissions(&lab.work, std::fs::Permissions::from_mode(0o755))
            .map_err(|error| error.to_string())?;
        lab.bases()?;
        say("== a registry and a Docker");
        let said = lab.script("registry.sh", &["start", &text(&lab.work.join("registry"))])?;
        lab.registry = said
            .lines()
            .find_map(|it| it.strip_prefix("REGISTRY="))
            .ok_or("registry.sh names no registry")?
            .to_owned();
        lab.script("dockerd.sh", &["start", &text(&lab.work.join("docker"))])?;
        if let Some(reference) = &lab.reference {
            say("== the Docker that builds for comparison");
            lab.script("reference.sh", &["start", &text(reference), &text(&lab.work)])?;
            let script = text(&root().join(SCRIPTS).join("reference.sh"));
            let bases = text(&lab.work.join("bases"));
            lab.script("preload.sh", &[&bases, "docker", &script, "docker", &text(reference)])?;
        }
        Ok(lab)
    }

    fn bases(&self) -> Result<(), String> {
        say("== bases");
        let made = root().join("target/bases");
        let script = text(&root().join("testdata/bases/make.sh"));
        self.program(&script, &[made.as_os_str(), "node20".as_ref()])?;
        let copy = self.work.join("bases");
        fs::create_dir_all(&copy).map_err(|error| error.to_string())?;
        self.program("cp", &["-a".as_ref(), made.join("node20").as_os_str(), copy.as_os_str()])?;
        let names: String = ["20-alpine", "18-alpine"]
            .map(|tag| format!("node:{tag}=oci-layout://{}/node20:{tag}\n", copy.display()))
            .concat();
        fs::write(copy.join("names"), names).map_err(|error| error.to_string())
    }

    /// Runs Docker's client against the private engine; what it prints.
    pub(crate) fn docker(&self, args: &[&str]) -> Result<String, String> {
        let host = format!("unix://{}", self.socket.display());
        let output = self.output(Command::new("docker").env("DOCKER_HOST", host).args(args))?;
        printed("docker", &output)
    }

    /// Builds with Docker's builder and saves the image to a file; the builder's words on failure.
    pub(crate) fn reference_build(&self, args: &[String], image: &Path) -> Result<(), String> {
        let script = root().join(SCRIPTS).join("reference.sh");
        let dir = self.reference.as_ref().ok_or("no reference builder runs")?;
        let client = || {
            let mut command = Command::new(&script);
            command.arg("docker").arg(dir).current_dir(&self.work);
            command
        };
        let mut build = client();
        build.args(["build", "--no-cache", "--network", "host", "-t", "seed:reference"]);
        printed("docker build", &self.output(build.args(args))?)?;
        let saved = self.output(client().args(["save", "seed:reference"]))?;
        if !saved.status.success() {
            return Err(String::from_utf8_lossy(&saved.stderr).into_owned());
        }
        fs::write(image, saved.stdout).map_err(|error| error.to_string())
    }

    /// How many requests have changed the registry so far.
    pub(crate) fn uploads(&self) -> Result<usize, String> {
        // The registry writes a request's line after its answer.
        sleep(Duration::from_millis(300));
        let log = fs::read_to_string(self.work.join("registry/registry.log"))
            .map_err(|error| error.to_string())?;
        let changing = ["\"PUT ", "\"POST ", "\"PATCH "];
        Ok(log.lines().filter(|line| changing.iter().any(|it| line.contains(it))).count())
    }

    /// Runs a program to its end; how it ended is the caller's matter.
    pub(crate) fn output(&self, command: &mut Command) -> Result<Output, String> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".to_owned());
        }
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))
    }

    /// Runs a program that has to end well; what it prints.
    pub(crate) fn program(
        &self,
        program: &str,
        args: &[impl AsRef<OsStr>],
    ) -> Result<String, String> {
        printed(program, &self.output(Command::new(program).args(args))?)
    }

    fn script(&self, name: &str, args: &[impl AsRef<OsStr>]) -> Result<String, String> {
        self.program(&text(&root().join(SCRIPTS).join(name)), args)
    }

    fn end(&self) {
        let stop = |script: &str, dir: &Path| {
            let script = root().join(SCRIPTS).join(script);
            let _ = Command::new(script).arg("stop").arg(dir).status();
        };
        if let Some(reference) = &self.reference {
            stop("reference.sh", reference);
            let _ = fs::remove_dir_all(reference.join("state"));
        }
        stop("dockerd.sh", &self.work.join("docker"));
        stop("registry.sh", &self.work.join("registry"));
        if let Err(error) = fs::remove_dir_all(&self.work) {
            say(&format!("xtask: {error}"));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.end();
    }
}

fn printed(program: &str, output: &Output) -> Result<String, String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    Err(format!("{program} ended with {}:\n{}", output.status, String::from_utf8_lossy(&said)))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
