//! `cargo xtask bench`: strake beside what Debian offers, over growing workloads.
//!
//! Each cell is the median of several runs of one whole command, measured by `time`; the tools take
//! turns, so that what else the machine does meets all of them. Only the ratios mean anything elsewhere.

mod plot;
mod report;
mod tools;
mod trees;
mod workloads;

use crate::{
    packages::install,
    shell::{say, strake},
};
use fs_err as fs;
use std::path::PathBuf;

/// What the command line says.
pub(super) struct Options {
    /// The binary; built where it is not given.
    strake: Option<PathBuf>,
    /// Where trees, stores and outputs are put.
    folder: PathBuf,
    /// How often each command is run.
    runs: usize,
    /// The largest size of each workload is divided by this.
    divide: u64,
    /// Names of workloads; all where there are none.
    only: Vec<String>,
}

/// One run of one command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) wall: f64,
    /// User and system time.
    pub(super) processor: f64,
    /// Largest resident set, in MB.
    pub(super) memory: f64,
}

/// What a tool took for a task of some size.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) workload: &'static str,
    pub(super) size: u64,
    pub(super) task: &'static str,
    pub(super) tool: &'static str,
    pub(super) cost: Cost,
}

pub(super) const USAGE: &str = "cargo xtask bench [--strake FILE] [--folder DIR] [--runs N] \
    [--divide N] [WORKLOAD..]";

pub(super) fn run(words: &[&str]) -> Result<(), String> {
    let options = options(words)?;
    install(&[
        ("time", "time"),
        ("pigz", "pigz"),
        ("zstd", "zstd"),
        ("buildah", "buildah"),
        ("busybox", "busybox-static"),
    ])?;
    let binary = match &options.strake {
        Some(binary) => fs::canonicalize(binary).map_err(|error| error.to_string())?,
        None => strake()?,
    };
    let bench = tools::Bench::new(binary, &options)?;
    let mut cells = Vec::new();
    for workload in workloads::ALL {
        if options.only.is_empty() || options.only.iter().any(|it| it == workload.name) {
            say(&format!("== {}: {}", workload.name, workload.about));
            cells.extend(bench.workload(workload)?);
        }
    }
    report::write(&bench, &cells)
}

fn options(words: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        strake: None,
        folder: PathBuf::from("/var/tmp/strake-bench"),
        runs: 3,
        divide: 1,
        only: Vec::new(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value; {USAGE}"));
        match *word {
            "--strake" => options.strake = Some(PathBuf::from(value()?)),
            "--folder" => options.folder = PathBuf::from(value()?),
            "--runs" => options.runs = number(value()?)?.max(1),
            "--divide" => options.divide = number(value()?)?.max(1) as u64,
            name if workloads::ALL.iter().any(|it| it.name == name) => {
                options.only.push(name.to_owned());
            }
            other => return Err(format!("no workload `{other}`; {USAGE}")),
        }
    }
    Ok(options)
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}
