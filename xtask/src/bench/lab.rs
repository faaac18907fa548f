//! A registry and a Docker engine of the benchmark's own.

use crate::shell::{output, root, say};
use fs_err as fs;
use std::path::{Path, PathBuf};

/// Debian's docker-registry, until this is dropped.
pub(super) struct Registry {
    folder: PathBuf,
    /// Host and port.
    pub(super) host: String,
}

impl Registry {
    pub(super) fn start(folder: &Path) -> Result<Registry, String> {
        let folder = folder.join("registry");
        let told = script("registry.sh", &["start", &folder.to_string_lossy()])?;
        let host = value(&told, "REGISTRY=").ok_or("registry.sh names no registry")?;
        Ok(Registry { folder, host })
    }

    /// Takes everything out of it.
    pub(super) fn clear(&self) -> Result<(), String> {
        let data = self.folder.join("data");
        match fs::remove_dir_all(&data) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let stopped = script("registry.sh", &["stop", &self.folder.to_string_lossy()]);
        let removed = fs::remove_dir_all(&self.folder).map_err(|error| error.to_string());
        report(stopped.map(drop).and(removed));
    }
}

/// Debian's docker.io, until this is dropped.
pub(super) struct Engine {
    /// Where the folders of this one and of those before it are.
    parent: PathBuf,
    /// How many there were before it.
    before: usize,
    /// Its `DOCKER_HOST`.
    pub(super) host: String,
}

/// The client that is of one age with it.
pub(super) const CLIENT: &str = "/usr/bin/docker";

impl Engine {
    pub(super) fn start(parent: &Path) -> Result<Engine, String> {
        let mut engine = Engine { parent: parent.to_owned(), before: 0, host: String::new() };
        engine.started()?;
        Ok(engine)
    }

    fn folder(&self) -> PathBuf {
        self.parent.join(format!("docker-{}", self.before))
    }

    fn started(&mut self) -> Result<(), String> {
        let told = script("dockerd.sh", &["start", &self.folder().to_string_lossy()])?;
        self.host = value(&told, "DOCKER_HOST=").ok_or("dockerd.sh names no socket")?;
        Ok(())
    }

    /// Another one in place of this one, which is stopped and whose files stay until the end.
    pub(super) fn renew(&mut self) -> Result<(), String> {
        script("dockerd.sh", &["stop", &self.folder().to_string_lossy()])?;
        self.before += 1;
        self.started()
    }

    /// Forgets all images and steps.
    pub(super) fn clear(&self) -> Result<(), String> {
        let docker = |words: &[&str]| output(CLIENT, &[&["-H", &self.host], words].concat());
        docker(&["image", "prune", "-af"])?;
        docker(&["builder", "prune", "-af"]).map(drop)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let stopped = script("dockerd.sh", &["stop", &self.folder().to_string_lossy()]);
        report(stopped.map(drop));
        for before in 0..=self.before {
            let folder = self.parent.join(format!("docker-{before}"));
            report(fs::remove_dir_all(folder).map_err(|error| error.to_string()));
        }
    }
}

fn report(ended: Result<(), String>) {
    if let Err(error) = ended {
        say(&format!("cleaning up: {error}"));
    }
}

fn script(name: &str, words: &[&str]) -> Result<String, String> {
    let path = root().join("testdata/lab").join(name);
    output("sh", &[&[&*path.to_string_lossy()], words].concat())
}

fn value(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|it| it.strip_prefix(name)).map(|it| it.trim().to_owned())
}
