//! What was measured, as a page.

use fs_err as fs;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One project.
#[derive(Deserialize, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) planted: usize,
    /// Planted and not found.
    pub(super) missed: Vec<String>,
    /// Planted and gone after all fixes.
    pub(super) fixed: usize,
    /// Found besides what was planted.
    pub(super) more: Vec<String>,
    /// Seconds of a rebuild, or why there is none.
    pub(super) before: Result<f64, String>,
    pub(super) after: Result<f64, String>,
    pub(super) instead: Option<String>,
}

fn place(scratch: &Path, name: &str) -> PathBuf {
    scratch.join("rows").join(format!("{name}.json"))
}

/// Keeps a row for `--table`.
pub(super) fn save(row: &Row, scratch: &Path) -> Result<(), String> {
    let path = place(scratch, &row.name);
    fs::create_dir_all(scratch.join("rows")).map_err(|it| it.to_string())?;
    let text = serde_json::to_vec(row).map_err(|it| it.to_string())?;
    fs::write(path, text).map_err(|it| it.to_string())
}

/// A row that was kept.
pub(super) fn load(scratch: &Path, name: &str) -> Result<Row, String> {
    let bytes = fs::read(place(scratch, name)).map_err(|it| it.to_string())?;
    serde_json::from_slice(&bytes).map_err(|it| format!("{name}: {it}"))
}

const HEAD: &str = "\
# Planted mistakes, found, mended and measured

Each project of `testdata/lint/projects` is written to disk, linted with its context and its Git history, and
built; then one line of a source file is changed, committed where there is a `.git`, and it is built again: the
median of three. Then `strake lint --fix --unsafe-fixes`, and the same once more. Installs are real, from the
package registries, but for what the last column says; the bases are Debian with what their names promise
(`testdata/lint/bases`). What is not mended needs a person: which version, which secret, which test.

`cargo xtask lint-projects` writes this file. Seconds depend on the machine and the network; what counts is their
ratio.

| project | planted | found | mended | rebuild before | rebuild after | |
|---|---|---|---|---|---|---|
";

/// A row of the table.
pub(super) fn line(row: &Row) -> String {
    let seconds = |it: &Result<f64, String>| match it {
        Ok(seconds) => format!("{seconds:.1} s"),
        Err(_) => "does not build".to_owned(),
    };
    format!(
        "| {} | {} | {} | {} | {} | {} | {} |",
        row.name,
        row.planted,
        row.planted - row.missed.len(),
        row.fixed,
        seconds(&row.before),
        seconds(&row.after),
        row.instead.as_deref().unwrap_or_default()
    )
}

/// The whole page.
pub(super) fn text(rows: &[Row]) -> String {
    let mut text = HEAD.to_owned();
    for row in rows {
        text.push_str(&line(row));
        text.push('\n');
    }
    let sum = |of: fn(&Row) -> usize| rows.iter().map(of).sum::<usize>();
    let (planted, fixed) = (sum(|it| it.planted), sum(|it| it.fixed));
    let found = planted - sum(|it| it.missed.len());
    text.push_str(&format!("\n{planted} planted, {found} found, {fixed} mended.\n"));
    let ratio = |row: &Row| Some(row.before.as_ref().ok()? / row.after.as_ref().ok()?);
    let mut ratios: Vec<f64> = rows.iter().filter_map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    if let Some(median) = ratios.get(ratios.len() / 2) {
        let mend = rows.iter().filter(|it| it.before.is_err() && it.after.is_ok()).count();
        text.push_str(&format!(
            "The median project is rebuilt {median:.0} times as fast; {mend} that did not build do.\n"
        ));
    }
    let failures = rows.iter().flat_map(|row| {
        [("before", &row.before), ("after", &row.after)].into_iter().filter_map(|(when, it)| {
            it.as_ref().err().map(|why| format!("- {}, {when}: `{}`\n", row.name, why.trim()))
        })
    });
    let failures: String = failures.collect();
    if !failures.is_empty() {
        text.push_str(&format!("\nWhat does not build:\n\n{failures}"));
    }
    let more = rows.iter().filter(|it| !it.more.is_empty());
    let more: String = more.map(|it| format!("- {}: {}\n", it.name, it.more.join(", "))).collect();
    if !more.is_empty() {
        text.push_str(&format!("\nFound besides what was planted:\n\n{more}"));
    }
    text
}
