//! Environments in which people build, times what they build: `cargo xtask ladder`.
//!
//! Each folder of `testdata/ladder` is built in each environment, a real `docker run` where it is a pod,
//! and the image is compared with the one that root makes; what the pod and the host have outside of
//! the store must not change. Needs root (for Docker) and Debian.

mod ending;
mod lab;
mod page;
mod speed;

use crate::{
    packages::install,
    shell::{is_root, root, say},
};
use lab::Lab;
use std::{
    fs,
    path::{Path, PathBuf},
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

/// What it needs besides strake.
const PROGRAMS: &[(&str, &str)] = &[
    ("dockerd", "docker.io"),
    ("mmdebstrap", "mmdebstrap"),
    ("newuidmap", "uidmap"),
    ("setpriv", "util-linux"),
    ("strip", "binutils"),
];

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
    /// Whether it is built on Node's base too, and not on Debian's alone.
    needs_node: bool,
}

/// One workload in one environment.
struct Cell {
    environment: &'static str,
    workload: String,
    backend: String,
    seconds: f64,
    equal: bool,
}

/// What to do.
#[derive(Debug, Default)]
struct Options<'a> {
    /// These folders alone.
    workloads: Vec<&'a str>,
    /// These environments alone, and root's, which is what the others are compared with.
    environments: Vec<&'a str>,
    /// The binary; a debug build is made without it.
    strake: Option<&'a Path>,
    /// Root's images, and what is measured in, are kept here and taken from here.
    references: Option<&'a Path>,
    /// Write `crates/sandbox/LADDER.md`.
    page: bool,
    /// Measure instead.
    speed: bool,
}

const USAGE: &str = "usage: cargo xtask ladder [--workload NAME].. [--environment NAME].. \
                     [--strake FILE] [--references DIR] [--page] | --subset | --speed --strake FILE [--references DIR]";

/// `cargo xtask ladder ..`.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().copied().ok_or_else(|| format!("{word} needs a value"));
        match *word {
            "--workload" => options.workloads.push(value()?),
            "--environment" => options.environments.push(value()?),
            "--strake" => options.strake = Some(Path::new(value()?)),
            "--references" => options.references = Some(Path::new(value()?)),
            "--page" => options.page = true,
            "--speed" => options.speed = true,
            "--subset" => return subset(),
            _ => return Err(USAGE.to_owned()),
        }
    }
    if options.speed {
        return speed::run(options.strake.ok_or(USAGE)?, options.references);
    }
    matrix(&options)
}

/// What CI checks of it: the smallest workload, once in each kind of sandbox, and in two pods.
pub(crate) fn subset() -> Result<(), String> {
    let environments = vec!["host user, subuid", "host user", "docker run", "docker --user 1000"];
    matrix(&Options { workloads: vec!["files"], environments, ..Options::default() })
}

fn matrix(options: &Options<'_>) -> Result<(), String> {
    if !is_root() {
        return Err("the ladder needs root, for Docker runs its pods".to_owned());
    }
    if let Some(unknown) =
        options.environments.iter().find(|it| !ENVIRONMENTS.iter().any(|known| known.0 == **it))
    {
        return Err(format!("no environment is called {unknown}"));
    }
    install(PROGRAMS)?;
    let workloads = workloads(&options.workloads)?;
    ending::expect()?;
    lab::clean()?;
    let lab = Lab::start(options.strake, workloads.iter().any(|it| it.needs_node))?;
    let mut cells = Vec::new();
    for workload in &workloads {
        one(&lab, workload, options, &mut cells)?;
    }
    say(&page::table(&cells));
    if options.page {
        page::write(&lab, &cells)?;
    }
    let failed = cells.iter().filter(|it| !it.equal).count();
    if failed > 0 { Err(format!("{failed} cells failed")) } else { Ok(()) }
}

/// One workload in all environments.
fn one(
    lab: &Lab,
    workload: &Workload,
    options: &Options<'_>,
    cells: &mut Vec<Cell>,
) -> Result<(), String> {
    let kept = options.references.unwrap_or(&lab.work);
    let reference = kept.join(format!("reference-{}.tar", workload.name));
    let wanted = &options.environments;
    let image = lab.out.join(format!("{}.tar", workload.name));
    for (name, place) in ENVIRONMENTS {
        let needed = *name == "host root" && !reference.exists();
        if !wanted.is_empty() && !wanted.contains(name) && !needed {
            continue;
        }
        let began = Instant::now();
        let result = lab.build(workload, *place, &image).and_then(|()| {
            if reference.exists() {
                return lab.compare(workload, &reference, &image);
            }
            if *name != "host root" {
                return Err("there is no image of root's to compare with".to_owned());
            }
            let kept = fs::create_dir_all(kept).and_then(|()| fs::rename(&image, &reference));
            kept.map_err(|error| error.to_string())
        });
        let seconds = began.elapsed().as_secs_f64();
        ending::check()?;
        let _gone = fs::remove_file(&image);
        if let Err(error) = &result {
            say(&format!("{name}, {}: {error}", workload.name));
        }
        let cell = Cell {
            environment: name,
            workload: workload.name.clone(),
            backend: lab.backend(*place).unwrap_or_else(|error| error),
            seconds,
            equal: result.is_ok(),
        };
        say(&page::row(&cell));
        cells.push(cell);
    }
    Ok(())
}

fn workloads(wanted: &[&str]) -> Result<Vec<Workload>, String> {
    let mut all = Vec::new();
    let folder = root().join("testdata/ladder");
    for entry in fs::read_dir(folder).map_err(|error| error.to_string())? {
        let folder = entry.map_err(|error| error.to_string())?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = folder.join("Dockerfile");
        if !wanted.is_empty() && !wanted.contains(&name.as_str()) || !file.exists() {
            continue;
        }
        let text = fs::read_to_string(file).map_err(|it| it.to_string())?;
        let ignored = text.lines().find_map(|it| it.strip_prefix("# ignore: ")).unwrap_or_default();
        let ignored = ignored.split_whitespace().map(str::to_owned).collect();
        let needs_node = text.contains("FROM node");
        all.push(Workload { name, folder, ignored, needs_node });
    }
    if let Some(unknown) = wanted.iter().find(|it| !all.iter().any(|known| known.name == **it)) {
        return Err(format!("no workload is called {unknown}"));
    }
    all.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(all)
}
