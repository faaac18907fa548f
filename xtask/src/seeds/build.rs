//! strake, and what its plain progress says about each step.

use crate::seeds::{case::Case, lab::Lab};
use fs_err as fs;
use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

/// The ordinary user's number; it needs no entry in any file.
const USER: u32 = 23456;

/// Builds cases, each in a store of its own.
#[derive(Debug)]
pub(crate) struct Builder {
    strake: PathBuf,
}

/// What a build is given beside its case.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) dockerfile: &'a Path,
    pub(crate) context: &'a Path,
    pub(crate) store: &'a Path,
    /// `--push -t NAME`, or an `-o`.
    pub(crate) output: &'a [String],
    /// Build without root's rights.
    pub(crate) as_user: bool,
}

/// A finished build.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) good: bool,
    pub(crate) said: String,
    pub(crate) steps: Vec<Step>,
}

/// A step of a finished build.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) stage: String,
    /// Its place in the stage, from 1.
    pub(crate) number: usize,
    pub(crate) text: String,
    pub(crate) cached: bool,
}

impl Builder {
    /// Puts the program where every user can run it.
    pub(crate) fn new(strake: PathBuf, lab: &Lab) -> Result<Self, String> {
        let copy = lab.work.join("strake");
        fs::copy(strake, &copy).map_err(|error| error.to_string())?;
        Ok(Self { strake: copy })
    }

    /// Builds; that the build fails is not an error here.
    pub(crate) fn build(
        &self,
        case: &Case,
        lab: &Lab,
        request: &Request<'_>,
    ) -> Result<Built, String> {
        let mut command = if request.as_user { self.unprivileged(request)? } else { self.plain() };
        command.args(["build", "--progress", "plain", "--store"]).arg(request.store);
        command.arg("-f").arg(request.dockerfile).args(request.output);
        let names =
            fs::read_to_string(lab.work.join("bases/names")).map_err(|error| error.to_string())?;
        for name in names.lines() {
            command.args(["--build-context", name]);
        }
        for arg in &case.build_args {
            command.args(["--build-arg", arg]);
        }
        let output = lab.output(command.arg(request.context))?;
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok(Built { good: output.status.success(), steps: steps(&said), said })
    }

    fn plain(&self) -> Command {
        Command::new(&self.strake)
    }

    fn unprivileged(&self, request: &Request<'_>) -> Result<Command, String> {
        fs::create_dir_all(request.store).map_err(|error| error.to_string())?;
        chown(request.store, Some(USER), Some(USER)).map_err(|error| error.to_string())?;
        let mut command = Command::new("setpriv");
        command
            .args([&format!("--reuid={USER}"), &format!("--regid={USER}")])
            .args(["--clear-groups", "--inh-caps=-all"])
            .arg(&self.strake)
            .env("HOME", request.store);
        Ok(command)
    }
}

/// Reads `#N [STAGE A/B] TEXT` and the `#N CACHED` or `#N DONE ..` that follows.
fn steps(said: &str) -> Vec<Step> {
    let mut open: Vec<(&str, Step)> = Vec::new();
    for line in said.lines() {
        let Some((id, rest)) = line.split_once(' ').filter(|it| it.0.starts_with('#')) else {
            continue;
        };
        if let Some(step) = heading(rest) {
            if !open.iter().any(|it| it.0 == id) {
                open.push((id, step));
            }
        } else if rest == "CACHED"
            && let Some((_, step)) = open.iter_mut().find(|it| it.0 == id)
        {
            step.cached = true;
        }
    }
    open.into_iter().map(|it| it.1).collect()
}

fn heading(text: &str) -> Option<Step> {
    let (place, text) = text.strip_prefix('[')?.split_once("] ")?;
    let (stage, place) = place.rsplit_once(' ')?;
    let number = place.split_once('/')?.0.parse().ok()?;
    Some(Step { stage: stage.to_owned(), number, text: text.to_owned(), cached: false })
}

#[cfg(test)]
mod tests {
    use super::steps;

    #[test]
    fn steps_are_read_from_plain_progress() {
        let said = "#1 [a 1/2] FROM b\n#1 DONE 0.0s\n#2 [a 2/2] RUN x\n#2 ...\n#3 [c d 2/2] COPY . .\n\
                    #3 CACHED\n#2 [a 2/2] RUN x\n#2 0.1 CACHED\n#2 DONE 1s\n#4 pushing\n#4 DONE 0s\n";
        let seen: Vec<_> = steps(said)
            .into_iter()
            .map(|it| format!("{} {} {} {}", it.stage, it.number, it.text, it.cached))
            .collect();
        assert_eq!(seen, ["a 1 FROM b false", "a 2 RUN x false", "c d 2 COPY . . true"]);
    }
}
