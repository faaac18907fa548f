//! `crates/sandbox/LADDER.md`: the matrix, and what `strake doctor` says everywhere.

use super::{Cell, ENVIRONMENTS, lab::Lab, workloads};
use crate::shell::root;
use std::{collections::BTreeMap, fmt::Write as _, fs};

const HEAD: &str = "\
# The ladder

Written by `cargo xtask ladder --page`; rows that are not built again stay as they were. Each workload is a
folder of `testdata/ladder`, built in each environment; a pod is a real `docker run` of an image that strake made. *equal* means: the build passed,
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

/// Writes the page. Rows of workloads that were not built this time stay.
pub(super) fn write(lab: &Lab, cells: &[Cell]) -> Result<(), String> {
    let path = root().join("crates/sandbox/LADDER.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    let mut page = HEAD.to_owned();
    let failed = "writing to a string cannot fail";
    writeln!(page, "\n{}\n\n## Not compared\n", merged(&old, cells)).expect(failed);
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
    if let Some((_, speed)) = old.split_once(SPEED) {
        writeln!(page, "\n{SPEED}{}", speed.trim_end()).expect(failed);
    }
    fs::write(path, page).map_err(|error| error.to_string())
}

/// The table of these cells, and of those in `old` that were not built this time.
fn merged(old: &str, cells: &[Cell]) -> String {
    let key = |row: &str| -> Option<(String, String)> {
        let mut fields = row.split('|').skip(1).map(|it| it.trim().to_owned());
        let environment = fields.next()?;
        Some((fields.next()?, environment))
    };
    let known = |row: &&str| {
        let environment = key(row).map(|it| it.1);
        ENVIRONMENTS.iter().any(|it| environment.as_deref() == Some(it.0))
    };
    let rows = old.split(SPEED).next().unwrap_or_default().lines().filter(known);
    let mut rows: BTreeMap<_, _> = rows.filter_map(|it| Some((key(it)?, it.to_owned()))).collect();
    rows.extend(cells.iter().map(row).filter_map(|it| Some((key(&it)?, it))));
    let mut rows: Vec<_> = rows.into_iter().collect();
    // By workload, then in the order of the environments.
    rows.sort_by_key(|((workload, environment), _)| {
        (workload.clone(), ENVIRONMENTS.iter().position(|it| it.0 == environment))
    });
    let rows = rows.into_iter().map(|(_, row)| row);
    std::iter::once(table(&[])).chain(rows).collect::<Vec<_>>().join("\n")
}

const SPEED: &str = "## Speed\n";

/// Writes the table of what a sandbox costs.
pub(super) fn write_speed(table: &str) -> Result<(), String> {
    let path = root().join("crates/sandbox/LADDER.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    let page = old.split(SPEED).next().unwrap_or_default().trim_end();
    let page = format!("{page}\n\n{SPEED}\n{SPEED_HEAD}\n{table}\n");
    fs::write(path, page).map_err(|error| error.to_string())
}

const SPEED_HEAD: &str = "\
Written by `cargo xtask ladder --speed`: a release build on a machine that did nothing else. The same programs
over the same tree, taking turns with the host, where they ran by chroot: `here : host`, each the best of two
turns with two runs, and how many times as long it took. `make-lua` is `make -j2` of Lua 5.4 as Debian has it, `npm-ci` is
offline and makes some 270 packages. The next two are the worst that a sandbox meets: `make-small` compiles 200
C files of four lines with `make -j2`, which is 1500 looks at paths for 20 ms of work each, and `find` looks at
all of /usr. The last column is what each RUN costs that does nothing.

The first row is what overlayfs takes without any sandbox: namespaces use it, as Docker does. For make and npm
the goals are 1.03 for namespaces, 1.15 with one id, 1.05 for chroot and 2.00 for emulated.
";
