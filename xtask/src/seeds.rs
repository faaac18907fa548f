//! The seed documents' Dockerfiles from text to a healthy container: `cargo xtask seeds`.
//!
//! Each folder of `testdata/seeds` is built, pushed to a real registry, run by a real Docker and
//! compared with what Docker's own builder makes of it. Needs root (for Docker) and Debian.

mod build;
mod case;
mod checks;
mod lab;
mod table;

use crate::{
    packages::install,
    shell::{is_root, say, strake_for_tests},
};
use build::Builder;
use lab::Lab;
use table::Table;

/// What to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// One case alone.
    case: Option<&'a str>,
    /// Also build as an ordinary user, and compare with root's image.
    user: bool,
    /// Compare with Docker's builder.
    reference: bool,
}

/// `cargo xtask seeds [--user] [--case NAME]`, or `--subset` for what CI takes of it.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    if words == ["--subset"] {
        return subset();
    }
    let mut options = Options { case: None, user: false, reference: true };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--user" => options.user = true,
            "--case" => options.case = Some(words.next().ok_or("--case needs a name")?),
            _ => {
                return Err("usage: cargo xtask seeds [--user] [--case NAME] | --subset".to_owned());
            }
        }
    }
    matrix(options)
}

/// What CI checks of it: one case with a health check and a user, as root, without Docker's builder.
pub(crate) fn subset() -> Result<(), String> {
    matrix(Options { case: Some("002-1"), user: false, reference: false })
}

fn matrix(options: Options<'_>) -> Result<(), String> {
    if !is_root() {
        return Err("the seed cases need root, for Docker runs what they build".to_owned());
    }
    let mut cases = case::all()?;
    cases.retain(|it| options.case.is_none_or(|name| name == it.name));
    if cases.is_empty() {
        return Err("no seed case has that name".to_owned());
    }
    install(PROGRAMS)?;
    if options.reference {
        install(&[("mmdebstrap", "mmdebstrap")])?;
    }
    let strake = strake_for_tests()?;
    let lab = Lab::start(options.reference)?;
    let builder = Builder::new(strake, &lab)?;
    let mut table = Table::default();
    for case in &cases {
        say(&format!("== {}", case.name));
        checks::run(case, &builder, &lab, options, &mut table)?;
    }
    table.print();
    table.verdict()
}

/// `make.sh` compiles busybox and takes node, npm and curl from the machine; the rest is the lab's.
const PROGRAMS: &[crate::packages::Needed] = &[
    ("gcc", "gcc"),
    ("make", "make"),
    ("bzip2", "bzip2"),
    ("python3", "python3"),
    ("curl", "curl"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("skopeo", "skopeo"),
    ("setpriv", "util-linux"),
    ("dockerd", "docker.io"),
    ("docker", "docker.io"),
    ("docker-registry", "docker-registry"),
];
