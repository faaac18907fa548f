//! Docker's builder, private to one run, or one that runs already.

use crate::{
    differential::text,
    shell::{root, say},
};
use fs_err as fs;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The builder that images are compared with; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Reference {
    client: Vec<String>,
    /// Where it lives, if it is this run's own.
    own: Option<PathBuf>,
    /// `NAME=oci-layout://..` of each base.
    pub(crate) bases: Vec<String>,
}

impl Reference {
    /// Makes the bases and starts the builder, or only makes the bases for the `client` given.
    pub(crate) fn start(work: &Path, client: Option<&Path>) -> Result<Reference, String> {
        let lab = root().join("testdata/lab");
        let bases = work.join("bases");
        let said = finished(Command::new(root().join("testdata/bases/small.sh")).arg(&bases))?;
        let script = text(&lab.join("reference.sh"));
        let mut reference = Reference {
            client: Vec::new(),
            own: None,
            bases: said.lines().map(str::to_owned).collect(),
        };
        match client {
            Some(client) => reference.client = vec![text(client)],
            None => {
                say("== the Docker that builds for comparison");
                let place = root().join("target/reference");
                reference.client = vec![script.clone(), "docker".to_owned(), text(&place)];
                reference.own = Some(place.clone());
                finished(Command::new(&script).arg("start").arg(&place).arg(work))?;
            }
        }
        let mut preload = Command::new(lab.join("preload.sh"));
        finished(preload.arg(&bases).arg("docker").args(&reference.client))?;
        Ok(reference)
    }

    /// Runs the client.
    pub(crate) fn docker(&self, work: &Path, args: &[String]) -> Result<Output, String> {
        let (program, first) = self.client.split_first().ok_or("there is no client")?;
        output(Command::new(program).args(first).args(args).current_dir(work))
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        if let Some(place) = &self.own {
            let script = root().join("testdata/lab/reference.sh");
            let _ = Command::new(script).arg("stop").arg(place).status();
            let _ = fs::remove_dir_all(place.join("state"));
        }
    }
}

/// Runs a program to its end.
pub(crate) fn output(command: &mut Command) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))
}

/// Runs a program that has to end well; what it writes.
pub(crate) fn finished(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = output(command)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{name} ended with {}:\n{}", output.status, said(&output))),
    }
}

/// Everything that a program wrote.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}
