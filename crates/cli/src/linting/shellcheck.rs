//! [ShellCheck](https://www.shellcheck.net), run over the scripts of RUN where it is installed.
//!
//! All scripts of a call that are not known yet go to one process a processor, as files in memory. What
//! it said of a script is kept in the store, by the program and the script.

use super::discover::Target;
use crate::{environment, failure::Failure};
use fs_err as fs;
use rayon::prelude::*;
use rustix::fs::{MemfdFlags, memfd_create};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use strake_diag::Source;
use strake_lint::{Remark, Settings, Shellcheck, scripts};

/// Remarks on the statements of a file, by their number.
pub(crate) type Remarks = BTreeMap<usize, Vec<Remark>>;
/// What is known of scripts, by digest.
type Known = BTreeMap<String, Vec<Remark>>;

/// So many scripts of earlier calls are kept.
const KEPT: usize = 4000;
/// So many files are open at once.
const BATCH: usize = 64;

/// The program.
pub(crate) struct Checker {
    program: PathBuf,
    /// Tells this program from another version of it.
    identity: String,
    cache: Option<PathBuf>,
}

impl Checker {
    /// The program on PATH, if the settings want it. What it says is kept below `store`.
    pub(crate) fn find(
        settings: &Settings,
        store: Option<&Path>,
    ) -> Result<Option<Checker>, Failure> {
        let when = settings.shellcheck.unwrap_or_default();
        let active = settings.active().map_err(super::wrong)?;
        if when == Shellcheck::Never || !active.iter().any(|it| it.0.name == "shellcheck") {
            return Ok(None);
        }
        let path = environment::get(environment::PATH).unwrap_or_default();
        let folders = std::env::split_paths(&path).filter(|it| it.is_absolute());
        let found = folders.map(|it| it.join("shellcheck")).find_map(|it| {
            let about = it.metadata().ok().filter(|it| it.is_file() && it.mode() & 0o111 != 0)?;
            Some((it, about))
        });
        let Some((program, about)) = found else {
            return match when {
                Shellcheck::Always => Err(Failure::usage("shellcheck is not on PATH")
                    .hint("install it, or leave out `--shellcheck always`")),
                Shellcheck::Auto | Shellcheck::Never => Ok(None),
            };
        };
        let identity = format!("{} {} {}", program.display(), about.size(), about.mtime());
        let cache = store.map(|it| it.join("lint/shellcheck.json"));
        Ok(Some(Checker { program, identity, cache }))
    }

    /// Remarks on each file.
    pub(crate) fn remarks(&self, files: &[(&Target, Source)]) -> Result<Vec<Remarks>, Failure> {
        let mut rcs: BTreeMap<PathBuf, String> = BTreeMap::new();
        for (target, _) in files {
            if let Entry::Vacant(entry) = rcs.entry(folder(&target.path)) {
                let text = settings_text(entry.key())?;
                entry.insert(text);
            }
        }
        let one =
            |(target, source): &(&Target, Source)| scripts(source, &rcs[&folder(&target.path)]);
        let all: Vec<_> = files.par_iter().map(one).collect();
        let texts: BTreeSet<&str> = all.iter().flatten().map(|it| it.text.as_str()).collect();
        let known = self.known(&texts)?;
        let of_file = |scripts: &Vec<strake_lint::ShellScript>| -> Remarks {
            let one = |it: &strake_lint::ShellScript| {
                let remarks = known.get(&self.digest(&it.text)).cloned().unwrap_or_default();
                let remarks = remarks.into_iter().filter_map(|remark| remark.below(it.above));
                (it.statement, remarks.collect())
            };
            scripts.iter().map(one).collect()
        };
        Ok(all.iter().map(of_file).collect())
    }

    fn digest(&self, text: &str) -> String {
        strake_oci::Digest::of(format!("{}\0{text}", self.identity).as_bytes()).hex().to_owned()
    }

    /// What is said of all `texts`, from before or now.
    fn known(&self, texts: &BTreeSet<&str>) -> Result<Known, Failure> {
        let mut known: Known = self
            .cache
            .as_ref()
            .and_then(|it| std::fs::read(it).ok())
            .and_then(|it| serde_json::from_slice(&it).ok())
            .unwrap_or_default();
        let new: Vec<(String, &str)> = texts
            .iter()
            .map(|it| (self.digest(it), *it))
            .filter(|it| !known.contains_key(&it.0))
            .collect();
        if new.is_empty() {
            return Ok(known);
        }
        let share = new.len().div_ceil(rayon::current_num_threads()).clamp(1, BATCH);
        let found: Vec<Known> =
            new.par_chunks(share).map(|it| self.ask(it)).collect::<Result<_, _>>()?;
        if known.len() > KEPT {
            let used: BTreeSet<String> = texts.iter().map(|it| self.digest(it)).collect();
            known.retain(|it, _| used.contains(it));
        }
        known.extend(found.into_iter().flatten());
        self.keep(&known);
        Ok(known)
    }

    /// Runs the program over some scripts.
    fn ask(&self, scripts: &[(String, &str)]) -> Result<Known, Failure> {
        let failed = |why: String| {
            Failure::new(format!("{}: {why}", self.program.display()))
                .hint("`--shellcheck never` goes on without it")
        };
        let mut files = Vec::new();
        let mut names = BTreeMap::new();
        for (digest, text) in scripts {
            let fd = memfd_create("script", MemfdFlags::CLOEXEC).map_err(std::io::Error::from)?;
            let mut file = std::fs::File::from(fd);
            file.write_all(text.as_bytes())?;
            let name = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
            names.insert(name, digest);
            files.push(file);
        }
        let output = Command::new(&self.program)
            .args(["--norc", "--format=json1", "--"])
            .args(names.keys())
            .stdin(Stdio::null())
            .output()
            .map_err(|why| failed(why.to_string()))?;
        if !matches!(output.status.code(), Some(0 | 1)) {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(failed(format!("ended with {}: {said}", output.status)));
        }
        let all: Comments =
            serde_json::from_slice(&output.stdout).map_err(|why| failed(why.to_string()))?;
        let mut found: Known = scripts.iter().map(|it| (it.0.clone(), Vec::new())).collect();
        for Comment { file, remark } in all.comments {
            let digest = names.get(&file).ok_or_else(|| failed(format!("speaks of {file}")))?;
            found.entry((*digest).clone()).or_default().push(remark);
        }
        Ok(found)
    }

    /// Writes what is known, where that is possible; without, it is only asked again.
    fn keep(&self, known: &Known) {
        let Some(path) = &self.cache else { return };
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            let aside = path.with_extension(std::process::id().to_string());
            fs::write(&aside, serde_json::to_vec(known)?)?;
            fs::rename(&aside, path)
        };
        let _ = write();
    }
}

#[derive(serde::Deserialize)]
struct Comments {
    comments: Vec<Comment>,
}

#[derive(serde::Deserialize)]
struct Comment {
    file: String,
    #[serde(flatten)]
    remark: Remark,
}

fn folder(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.parent().map(Path::to_owned).unwrap_or(path)
}

/// The text of the nearest `.shellcheckrc`, here, above or at home.
fn settings_text(folder: &Path) -> Result<String, Failure> {
    let near =
        folder.ancestors().flat_map(|it| [it.join(".shellcheckrc"), it.join("shellcheckrc")]);
    let home = environment::path(environment::HOME).map(|it| it.join(".shellcheckrc"));
    match near.chain(home).find(|it| it.is_file()) {
        Some(path) => fs::read_to_string(path).map_err(Failure::usage),
        None => Ok(String::new()),
    }
}
