//! One project: written, linted, built, edited, built, mended, built, edited, built.

use super::{bases::Bases, page::Page, table::Row};
use crate::shell::say;
use fs_err as fs;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// How many times a line is changed; the median counts.
const EDITS: usize = 3;

struct Project<'a> {
    page: &'a Page,
    strake: &'a Path,
    flags: Vec<String>,
    folder: PathBuf,
    store: PathBuf,
    edits: usize,
}

/// Does everything; an error is what keeps it from being measured at all.
pub(super) fn measure(
    page: &Page,
    strake: &Path,
    bases: &Bases,
    scratch: &Path,
) -> Result<Row, String> {
    let folder = scratch.join("projects").join(&page.name);
    let store = scratch.join("stores").join(&page.name);
    let _ = fs::remove_dir_all(&folder);
    let _ = fs::remove_dir_all(&store);
    let flags = bases.flags(page);
    let mut project = Project { page, strake, flags, folder, store, edits: 0 };
    project.write()?;
    let found = project.lint()?;
    let planted: BTreeSet<&String> = page.planted.iter().collect();
    let missed =
        planted.iter().filter(|it| !found.contains(**it)).map(|it| (*it).clone()).collect();
    let before = project.rebuild();
    let fix = ["lint", "--target-builder", page.builder(), "--fix", "--unsafe-fixes"];
    project.strake(&[&fix[..], &["--shellcheck", "never", "--fail-on", "never", "."]].concat())?;
    let rules = |all: &mut dyn Iterator<Item = &String>| -> Vec<String> {
        all.filter_map(|it| it.split_once(' ').map(|it| it.1.to_owned())).collect()
    };
    let mut left = rules(&mut project.lint()?.iter());
    let mut fixed = 0;
    for rule in rules(&mut page.planted.iter()) {
        match left.iter().position(|it| *it == rule) {
            Some(at) => drop(left.remove(at)),
            None => fixed += 1,
        }
    }
    let after = project.rebuild();
    let _ = fs::remove_dir_all(&project.folder);
    let _ = fs::remove_dir_all(&project.store);
    Ok(Row {
        name: page.name.clone(),
        planted: page.planted.len(),
        missed,
        fixed,
        more: found.iter().filter(|it| !planted.contains(it)).cloned().collect(),
        before,
        after,
        instead: page.instead.clone(),
    })
}

impl Project<'_> {
    fn write(&self) -> Result<(), String> {
        let io = |it: std::io::Error| it.to_string();
        fs::create_dir_all(&self.folder).map_err(io)?;
        let git = self.page.context.iter().any(|it| it.0 == ".git/");
        if git {
            self.program("git", &["-c", "init.defaultBranch=main", "init", "-q"])?;
        }
        for (path, size) in &self.page.context {
            let full = self.folder.join(path);
            if path.ends_with('/') {
                fs::create_dir_all(&full).map_err(io)?;
            } else if path != ".git/HEAD" {
                fs::create_dir_all(full.parent().expect("below the folder")).map_err(io)?;
                fill(&full, *size).map_err(io)?;
            }
        }
        for (path, text) in &self.page.files {
            fs::create_dir_all(self.folder.join(path).parent().expect("below the folder"))
                .map_err(io)?;
            fs::write(self.folder.join(path), text).map_err(io)?;
        }
        if let Some(text) = &self.page.dockerignore {
            fs::write(self.folder.join(".dockerignore"), text).map_err(io)?;
        }
        fs::write(self.folder.join("Dockerfile"), &self.page.dockerfile).map_err(io)?;
        if let Some(script) = &self.page.setup {
            for (path, _) in self.page.context.iter().filter(|it| is_lock(&it.0)) {
                let _ = fs::remove_file(self.folder.join(path));
            }
            self.program("sh", &["-ec", script])?;
        }
        if git { self.history() } else { Ok(()) }
    }

    /// Commits everything, and then each change that the page tells of, the oldest first.
    fn history(&self) -> Result<(), String> {
        self.commit("all")?;
        for line in self.page.history.iter().rev() {
            for path in line.split_whitespace().map(|it| self.folder.join(it)) {
                if path.is_file() {
                    append(&path, "")?;
                }
            }
            self.commit(line)?;
        }
        Ok(())
    }

    fn commit(&self, message: &str) -> Result<(), String> {
        self.program("git", &["add", "-A"])?;
        let who = ["-c", "user.name=Jo", "-c", "user.email=jo@example.com"];
        let args = ["commit", "-q", "--allow-empty", "-m", message];
        self.program("git", &[&who[..], &args[..]].concat())
    }

    /// `LINE RULE` of each finding.
    fn lint(&self) -> Result<BTreeSet<String>, String> {
        let builder = self.page.builder();
        let args = ["lint", "--target-builder", builder, "--format", "json", "--fail-on", "never"];
        let text = self.strake(&[&args[..], &["--shellcheck", "never", "."]].concat())?;
        let value: Value = serde_json::from_str(&text).map_err(|it| format!("{it}: {text}"))?;
        let place = |it: &Value| match it["file"].as_str() {
            Some(file) if !file.ends_with("Dockerfile") => {
                format!("{}:{}", file.trim_start_matches("./"), it["line"])
            }
            Some(_) | None => it["line"].to_string(),
        };
        let entry =
            |it: &Value| format!("{} {}", place(it), it["rule"].as_str().unwrap_or_default());
        let findings = value["findings"].as_array().ok_or("no findings in the JSON")?;
        Ok(findings.iter().map(entry).collect())
    }

    /// Builds, and then again after each change of one line: the median of the seconds.
    fn rebuild(&mut self) -> Result<f64, String> {
        self.build()?;
        let mut seconds = Vec::new();
        for _ in 0..EDITS {
            self.edit()?;
            let began = Instant::now();
            self.build()?;
            seconds.push(began.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[EDITS / 2])
    }

    fn edit(&mut self) -> Result<(), String> {
        self.edits += 1;
        let path = self.folder.join(&self.page.edited);
        let mark = match path.extension().and_then(|it| it.to_str()) {
            Some("js" | "tsx" | "go" | "rs" | "cs" | "java" | "php") => "//",
            _ => "#",
        };
        append(&path, &format!("{mark} edit {}", self.edits))?;
        if self.folder.join(".git").is_dir() { self.commit("edit") } else { Ok(()) }
    }

    /// What CI would call, with the commit where the Dockerfile asks for it.
    fn build(&self) -> Result<(), String> {
        let store = format!("--store={}", self.store.display());
        let commit = format!("--build-arg=GIT_SHA={}", self.edits);
        let mut args = vec!["build", &store, "--tag=app", "--progress=plain"];
        args.extend(self.flags.iter().map(String::as_str));
        if self.page.dockerfile.contains("GIT_SHA") {
            args.push(&commit);
        }
        args.push(".");
        self.strake(&args).map(drop).map_err(|said| {
            let last = said.lines().rev().find(|it| it.starts_with("error")).unwrap_or(&said);
            say(&said);
            last.to_owned()
        })
    }

    fn strake(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(self.strake);
        command.args(args).current_dir(&self.folder).stdin(Stdio::null());
        let output = command.output().map_err(|it| format!("strake: {it}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn program(&self, program: &str, args: &[&str]) -> Result<(), String> {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.status().map_err(|it| format!("{program}: {it}"))?;
        let name = &self.page.name;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{name}: {program} ended with {status}"))
        }
    }
}

fn is_lock(path: &str) -> bool {
    path.ends_with(".lock") || path.ends_with("-lock.json") || path.ends_with("-lock.yaml")
}

fn append(path: &Path, line: &str) -> Result<(), String> {
    let file = fs::OpenOptions::new().append(true).open(path);
    file.and_then(|mut it| writeln!(it, "{line}")).map_err(|it| it.to_string())
}

/// Numbers, in lines: what packs to about half, as data does.
fn fill(path: &Path, size: usize) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(fs::File::create(path)?);
    let mut left = size;
    let mut number = 0x9e37_79b9_7f4a_7c15_u64;
    while left > 0 {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        let line = format!("{number:020}\n");
        let part = &line.as_bytes()[..line.len().min(left)];
        file.write_all(part)?;
        left -= part.len();
    }
    file.flush()
}
