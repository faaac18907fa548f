//! `cargo xtask lint-projects`: the planted projects of `testdata/lint/projects`, really built before
//! and after `strake lint --fix --unsafe-fixes`, each time again after a change of one line.
//!
//! Writes crates/lint/PROJECTS.md. Package managers and registries that cannot be had stand in as
//! `testdata/lint/bases` says. Needs root and Debian for the bases, Git, npm and cargo for lock files.

mod bases;
mod page;
mod project;
mod table;

use crate::{
    packages::install,
    shell::{is_root, root, say, strake_for_tests},
};
use bases::Bases;
use fs_err as fs;
use page::Page;
use std::path::PathBuf;

const USAGE: &str = "usage: cargo xtask lint-projects [--project NAME].. [--strake FILE] [--bases DIR] \
                     [--scratch DIR] | --table [--scratch DIR]";

/// What to do.
struct Options {
    /// These projects alone; the table is then printed, not written.
    projects: Vec<String>,
    /// A binary that is there already.
    strake: Option<PathBuf>,
    /// Where `testdata/bases/make.sh` has put, or shall put, what the bases are made of.
    bases: PathBuf,
    /// Where everything is done.
    scratch: PathBuf,
    /// Measure nothing, and write the page of what was measured one by one.
    table: bool,
}

pub(super) fn run(words: &[&str]) -> Result<(), String> {
    let options = options(words)?;
    if options.table {
        let names = page::all()?.into_iter().map(|it| it.name);
        let rows =
            names.map(|it| table::load(&options.scratch, &it)).collect::<Result<Vec<_>, _>>()?;
        return write(&rows);
    }
    if !is_root() {
        return Err("the bases of the projects need root, for mmdebstrap".to_owned());
    }
    install(PROGRAMS)?;
    let strake = match options.strake {
        Some(path) => path,
        None => strake_for_tests()?,
    };
    let mut pages = page::all()?;
    if let Some(name) =
        options.projects.iter().find(|it| !pages.iter().any(|page| page.name == **it))
    {
        return Err(format!("no project is called {name}"));
    }
    pages.retain(|it: &Page| options.projects.is_empty() || options.projects.contains(&it.name));
    fs::create_dir_all(&options.scratch).map_err(|it| it.to_string())?;
    let bases = Bases::make(&strake, &options.bases, &options.scratch, &pages)?;
    let mut rows = Vec::new();
    for page in &pages {
        say(&format!("== {}", page.name));
        let row = project::measure(page, &strake, &bases, &options.scratch)?;
        say(&table::line(&row));
        table::save(&row, &options.scratch)?;
        rows.push(row);
    }
    if options.projects.is_empty() { write(&rows) } else { verdict(&rows) }
}

fn write(rows: &[table::Row]) -> Result<(), String> {
    let path = root().join("crates/lint/PROJECTS.md");
    fs::write(path, table::text(rows)).map_err(|it| it.to_string())?;
    verdict(rows)
}

fn verdict(rows: &[table::Row]) -> Result<(), String> {
    match rows.iter().find(|it| !it.missed.is_empty()) {
        Some(row) => Err(format!("{}: planted and not found: {:?}", row.name, row.missed)),
        None => Ok(()),
    }
}

fn options(words: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        projects: Vec::new(),
        strake: None,
        bases: root().join("target/bases"),
        scratch: PathBuf::from("/var/tmp/strake-lint-projects"),
        table: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--table" {
            options.table = true;
            continue;
        }
        let value = words.next().ok_or(USAGE.to_owned())?;
        match *word {
            "--project" => options.projects.push((*value).to_owned()),
            "--strake" => options.strake = Some(PathBuf::from(value)),
            "--bases" => options.bases = PathBuf::from(value),
            "--scratch" => options.scratch = PathBuf::from(value),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

/// `make.sh` compiles busybox and takes node and npm from the machine; lock files are made by the rest.
const PROGRAMS: &[crate::packages::Needed] = &[
    ("gcc", "gcc"),
    ("make", "make"),
    ("bzip2", "bzip2"),
    ("python3", "python3"),
    ("curl", "curl"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("git", "git"),
    ("mmdebstrap", "mmdebstrap"),
];
