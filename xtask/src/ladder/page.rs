//! `crates/sandbox/LADDER.md`: the matrix, and what `strake doctor` says everywhere.

use super::{Cell, ENVIRONMENTS, lab::Lab, workloads};
use crate::shell::root;
use std::{fmt::Write as _, fs};

const HEAD: &str = "\
# The ladder

Written by `cargo xtask ladder --page`. Each workload is a folder of `testdata/ladder`, built in each
environment; a pod is a real `docker run` of an image that strake made. *equal* means: the build passed,
the image has root's tree, owners and config (`strake diff`, but for what is named below), and nothing
was written outside of the store: `docker diff` of the pod shows changes below /tmp alone, and on the host
nothing below /boot, /etc, /home, /opt, /srv and /usr has a new ctime after root's build.
";

/// The matrix as a table.
pub(super) fn table(cells: &[Cell]) -> String {
    let head = format!(
        "| {:25} | {:10} | {:10} | {:>7} | result |\n|---|---|---|---|---|",
        "environment", "workload", "backend", "seconds"
    );
    std::iter::once(head).chain(cells.iter().map(row)).collect::<Vec<_>>().join("\n")
}

/// A row of it.
pub(super) fn row(cell: &Cell) -> String {
    let Cell { environment, workload, backend, seconds, equal } = cell;
    let result = if *equal { "equal" } else { "FAILED" };
    format!("| {environment:25} | {workload:10} | {backend:10} | {seconds:7.1} | {result} |")
}

/// Writes the page.
pub(super) fn write(lab: &Lab, cells: &[Cell]) -> Result<(), String> {
    let mut page = HEAD.to_owned();
    let failed = "building on a string cannot fail";
    writeln!(page, "\n{}\n\n## Not compared\n", table(cells)).expect(failed);
    page.push_str("Logs and caches with times in them, keys made from random numbers:\n\n");
    for workload in workloads(&[])? {
        let ignored = workload.ignored.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>();
        if !ignored.is_empty() {
            writeln!(page, "- {}: {}", workload.name, ignored.join(", ")).expect(failed);
        }
    }
    page.push_str("\n## `strake doctor`\n");
    for (name, place) in ENVIRONMENTS {
        let told = lab.doctor(*place, false)?.replace(&lab.work.display().to_string(), "/work");
        writeln!(page, "\n### {name}\n\n```text\n{}\n```", told.trim_end()).expect(failed);
    }
    fs::write(root().join("crates/sandbox/LADDER.md"), page).map_err(|error| error.to_string())
}
