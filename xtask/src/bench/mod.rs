//! `cargo xtask bench`: strake beside what Debian offers, over growing workloads.
//!
//! Each cell is the median of several runs of one whole command; the tools take turns, so that what
//! else the machine does meets all of them. Only the ratios mean anything elsewhere.

mod digests;
mod dockerfiles;
mod goals;
mod lab;
mod lint;
mod measure;
mod plot;
mod report;
mod round;
mod trees;
mod workloads;

use crate::{
    packages::install,
    shell::{say, strake},
};
use fs_err as fs;
use measure::{Cost, Meter};
use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::atomic::AtomicUsize,
};

/// What the command line says.
struct Options {
    /// The binary; built where it is not given.
    strake: Option<PathBuf>,
    /// Where trees, stores and outputs are put, and where nothing is left.
    scratch: PathBuf,
    /// How often each command is run.
    runs: usize,
    /// The largest size of each workload is divided by this.
    divide: u64,
    /// hadolint, for `lint`; from PATH where it is not given.
    hadolint: Option<PathBuf>,
    /// Names of workloads, `digests` or `lint`; all where there are none.
    only: Vec<String>,
    /// Where the results are written, in the checkout.
    results: String,
}

/// What a tool took for a task of some size.
#[derive(Debug)]
struct Cell {
    workload: &'static str,
    size: u64,
    task: &'static str,
    tool: &'static str,
    cost: Cost,
}

const USAGE: &str = "cargo xtask bench [--strake FILE] [--scratch DIR] [--runs N] [--divide N] \
    [--results DIR] [--hadolint FILE] [WORKLOAD..|digests|lint]";

pub(super) fn run(words: &[&str]) -> Result<(), String> {
    let options = options(words)?;
    if options.only == ["lint"] {
        return lint_alone(&options);
    }
    install(&[
        ("time", "time"),
        ("pigz", "pigz"),
        ("zstd", "zstd"),
        ("curl", "curl"),
        ("buildah", "buildah"),
        ("busybox", "busybox-static"),
        ("dockerd", "docker.io"),
        ("docker-registry", "docker-registry"),
    ])?;
    let binary = match &options.strake {
        Some(binary) => fs::canonicalize(binary).map_err(|error| error.to_string())?,
        None => strake()?,
    };
    fs::create_dir_all(&options.scratch).map_err(|error| error.to_string())?;
    let scratch = fs::canonicalize(&options.scratch).map_err(|error| error.to_string())?;
    let measured = measure(&options, binary, &scratch);
    // However it ended: the next time must not begin beside what is left of this one.
    fs::remove_dir_all(scratch).map_err(|error| error.to_string()).and(measured)
}

fn measure(options: &Options, binary: PathBuf, scratch: &Path) -> Result<(), String> {
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|it| it == name);
    let bench = bench(binary, scratch.to_owned(), options.runs)?;
    let mut cells = Vec::new();
    for workload in workloads::ALL.iter().filter(|it| wanted(it.name)) {
        say(&format!("== {}: {}", workload.name, workload.about));
        cells.extend(bench.workload(workload, options.divide)?);
    }
    let digests =
        if wanted("digests") { digests::lines(&bench, options.divide)? } else { Vec::new() };
    report::write(&bench, &cells, &digests, &options.results)?;
    let Options { hadolint, results, runs, only, .. } = options;
    match lint::hadolint(hadolint.as_deref()) {
        Err(why) if only.is_empty() => say(&format!("lint is not measured: {why}")),
        _ if wanted("lint") => {
            lint::run(&bench.strake, hadolint.as_deref(), scratch, *runs, results)?;
        }
        _ => {}
    }
    Ok(())
}

/// Needs nothing but the two linters.
fn lint_alone(options: &Options) -> Result<(), String> {
    let Options { strake: given, scratch, hadolint, runs, results, .. } = options;
    let binary = match given {
        Some(binary) => fs::canonicalize(binary).map_err(|error| error.to_string())?,
        None => strake()?,
    };
    fs::create_dir_all(scratch).map_err(|error| error.to_string())?;
    lint::run(&binary, hadolint.as_deref(), scratch, *runs, results)?;
    fs::remove_dir_all(scratch).map_err(|error| error.to_string())
}

fn bench(strake: PathBuf, folder: PathBuf, runs: usize) -> Result<round::Bench, String> {
    Ok(round::Bench {
        strake,
        runs,
        threads: std::thread::available_parallelism().map_or(1, usize::from).to_string(),
        registry: lab::Registry::start(&folder)?,
        engine: RefCell::new(lab::Engine::start(&folder)?),
        meter: Meter { report: folder.join("time"), log: folder.join("log") },
        discarded: AtomicUsize::new(0),
        folder,
    })
}

fn options(words: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        strake: None,
        scratch: PathBuf::from("/var/tmp/strake-bench"),
        runs: 3,
        divide: 1,
        hadolint: None,
        only: Vec::new(),
        results: String::from("benches/results"),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value; {USAGE}"));
        match *word {
            "--strake" => options.strake = Some(PathBuf::from(value()?)),
            "--scratch" => options.scratch = PathBuf::from(value()?),
            "--hadolint" => options.hadolint = Some(PathBuf::from(value()?)),
            "--results" => options.results = (*value()?).to_owned(),
            "--runs" => options.runs = number(value()?)?.max(1),
            "--divide" => options.divide = number(value()?)?.max(1) as u64,
            name @ ("digests" | "lint") => options.only.push((*name).to_owned()),
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
