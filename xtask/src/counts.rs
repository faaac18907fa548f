//! `cargo xtask counts`: instructions of the inner pieces, beside those that were written down.
//!
//! callgrind counts a program exactly, whatever else the machine does. What a piece takes is the
//! difference between doing it once and three times.

use crate::{
    packages::install,
    shell::{output, root, run_with, say},
};
use fs_err as fs;
use std::path::{Path, PathBuf};

/// What was written down.
const KEPT: &str = "benches/counts.txt";

/// More than this is a regression. Threads wait for each other a little differently every time.
const TOLERANCE: f64 = 0.03;

/// What callgrind cannot run, and why.
const UNCOUNTED: [(&str, &str); 1] = [("diff", "valgrind does not know openat2(2)")];

pub(super) fn run(words: &[&str]) -> Result<(), String> {
    let writes = match words {
        [] => false,
        ["--write"] => true,
        _ => return Err("usage: cargo xtask counts [--write]".to_owned()),
    };
    install(&[("valgrind", "valgrind")])?;
    run_with("cargo", &["build", "--release", "--package", "strake-benches"], &[])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    let program = target.join("release/strake-benches");
    let kept = read(&fs::read_to_string(root().join(KEPT)).unwrap_or_default());
    let (mut text, mut worse) = (String::new(), Vec::new());
    for name in output(&program.to_string_lossy(), &[""; 0])?.lines() {
        if let Some((_, why)) = UNCOUNTED.iter().find(|it| it.0 == name) {
            say(&format!("{name:20} not counted: {why}"));
            continue;
        }
        let count = (counted(&program, name, 3)? - counted(&program, name, 1)?) / 2;
        let before = kept.iter().find(|it| it.0 == name).map(|it| it.1);
        let change = before.map_or(0.0, |it| count as f64 / it as f64 - 1.0);
        say(&format!("{name:20} {count:>12} instructions {:+.1} %", change * 100.0));
        if change > TOLERANCE {
            worse.push(name.to_owned());
        }
        text.push_str(&format!("{name} {count}\n"));
    }
    if writes {
        return fs::write(root().join(KEPT), text).map_err(|error| error.to_string());
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} take more than before; if they must: cargo xtask counts --write",
        worse.join(", ")
    ))
}

fn read(text: &str) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn counted(program: &Path, name: &str, times: u64) -> Result<u64, String> {
    let out = std::env::temp_dir().join(format!("strake-counts-{}", std::process::id()));
    let file = format!("--callgrind-out-file={}", out.display());
    let (program, times) = (program.to_string_lossy(), times.to_string());
    let words = ["-q", "--tool=callgrind", &file, &program, name, &times];
    output("valgrind", &words)?;
    let text = fs::read_to_string(&out).map_err(|error| error.to_string())?;
    let _ = fs::remove_file(&out);
    let total =
        text.lines().find_map(|it| it.strip_prefix("totals: ").or(it.strip_prefix("summary: ")));
    total
        .and_then(|it| it.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| "callgrind wrote no total".to_owned())
}
