//! Every folder of `testdata/build`, built by strake and by Docker's builder, and compared:
//! `cargo xtask differential [--case NAME].. [--subset] [--projects] [--user] [--jobs N]`.
//!
//! A folder holds a `Dockerfile`, the files of its context (in `context/`, or beside it) and, where
//! there is more to say, a `case.json`: see [`case`]. Needs root and Debian for the reference builder.

mod case;
mod history;
mod judge;
mod load;
mod reference;
mod web;

use crate::{
    packages::install,
    shell::{is_root, say, strake_for_tests},
};
use case::Case;
use fs_err as fs;
use judge::{Found, Judge};
use reference::Reference;
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::available_parallelism,
    time::Instant,
};
use web::Web;

/// What to do.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// These cases alone.
    cases: Vec<String>,
    /// The cases that CI takes: those whose `case.json` says so.
    subset: bool,
    /// The `project_*` cases alone.
    projects: bool,
    /// Also build as an ordinary user with a single id, and compare with root's image.
    user: bool,
    /// A reference builder that runs already: a docker client that sees /var/tmp and has the bases.
    client: Option<PathBuf>,
    /// How many cases are built at once; the processors' number at first.
    jobs: Option<usize>,
    /// Keep the work folder.
    keep: bool,
}

const USAGE: &str = "usage: cargo xtask differential [--case NAME].. [--subset] [--projects] [--user] \
                     [--jobs N] [--client PROGRAM] [--keep]";

/// `cargo xtask differential ..`.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match *word {
            "--case" => options.cases.push((*value()?).to_owned()),
            "--client" => options.client = Some(PathBuf::from(value()?)),
            "--jobs" => options.jobs = Some(value()?.parse().map_err(|_| USAGE.to_owned())?),
            "--subset" => options.subset = true,
            "--projects" => options.projects = true,
            "--user" => options.user = true,
            "--keep" => options.keep = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    matrix(&options)
}

/// What CI checks of it.
pub(crate) fn subset() -> Result<(), String> {
    matrix(&Options { subset: true, ..Options::default() })
}

fn matrix(options: &Options) -> Result<(), String> {
    if !is_root() {
        return Err("the differential test needs root, for the builder to compare with".to_owned());
    }
    let cases = chosen(options)?;
    install(PROGRAMS)?;
    if options.client.is_none() {
        install(&[("mmdebstrap", "mmdebstrap"), ("skopeo", "skopeo")])?;
    }
    let work = Work::new(options.keep)?;
    let strake = work.path.join("strake");
    fs::copy(strake_for_tests()?, &strake).map_err(|error| error.to_string())?;
    let reference = Reference::start(&work.path, options.client.as_deref())?;
    let cases_of_work = work.path.join("cases");
    fs::create_dir_all(&cases_of_work).map_err(|error| error.to_string())?;
    let web = Web::start(&cases_of_work)?;
    let judge = Judge {
        work: &work.path,
        strake: &strake,
        reference: &reference,
        web: &web,
        user: options.user,
    };
    let started = Instant::now();
    let jobs = options.jobs.unwrap_or_else(|| available_parallelism().map_or(2, usize::from));
    let found = judge_all(&cases, &judge, jobs);
    let count = |kind| found.iter().filter(|it| it.1 == Some(kind)).count();
    let failed: Vec<&str> = found.iter().filter(|it| it.1.is_none()).map(|it| it.0).collect();
    say(&format!(
        "{} cases: {} compared with the reference, {} by hand-written expectation, {} failed ({:.0} s)",
        cases.len(),
        count(Found::Compared),
        count(Found::ByHand),
        failed.len(),
        started.elapsed().as_secs_f32()
    ));
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("not as Docker's: {}", failed.join(" "))),
    }
}

/// The cases that the options name. A name that no case has is an error.
fn chosen(options: &Options) -> Result<Vec<Case>, String> {
    let mut cases = case::all()?;
    for name in &options.cases {
        if !cases.iter().any(|it| it.name == *name) {
            return Err(format!("no case is called {name}"));
        }
    }
    cases.retain(|it| {
        let named = options.cases.is_empty() || options.cases.contains(&it.name);
        let project = it.name.starts_with("project_");
        named && (!options.subset || it.subset) && (!options.projects || project)
    });
    if cases.is_empty() {
        return Err("there is no such case".to_owned());
    }
    Ok(cases)
}

/// Judges several cases at a time; what each was held against, nothing for those that failed.
fn judge_all<'a>(
    cases: &'a [Case],
    judge: &Judge<'_>,
    jobs: usize,
) -> Vec<(&'a str, Option<Found>)> {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Vec::new());
    let worker = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            let result = judge.judge(case);
            let seconds = started.elapsed().as_secs_f32();
            match &result {
                Ok(_) => say(&format!("ok     {} ({seconds:.1}s)", case.name)),
                Err(why) => {
                    say(&format!("FAILED {} ({seconds:.1}s)\n{}", case.name, indented(why)))
                }
            }
            all.lock().expect("no judge panics").push((case.name.as_str(), result.ok()));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(worker);
        }
    });
    let mut all = all.into_inner().expect("no judge panics");
    all.sort_by_key(|it| it.0);
    all
}

fn indented(text: &str) -> String {
    text.trim_end()
        .lines()
        .map(|it| format!("       {it}\n"))
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// `setup.sh` of cases and the bases use these.
const PROGRAMS: &[crate::packages::Needed] = &[
    ("busybox", "busybox-static"),
    ("python3", "python3"),
    ("setpriv", "util-linux"),
    ("setfattr", "attr"),
    ("setcap", "libcap2-bin"),
    ("bzip2", "bzip2"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("git", "git"),
    ("ssh-keygen", "openssh-client"),
];

/// The folder of one run, which every user may read.
struct Work {
    path: PathBuf,
    keep: bool,
}

impl Work {
    fn new(keep: bool) -> Result<Work, String> {
        let path = PathBuf::from(format!("/var/tmp/strake-differential-{}", std::process::id()));
        let made = fs::create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)));
        made.map_err(|error| error.to_string())?;
        Ok(Work { path, keep })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            say(&format!("xtask: {error}"));
        }
    }
}

/// A path as an argument.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
