//! The table of medians and ratios, and the plots.

use super::{
    Cell, Cost, goals,
    lab::CLIENT,
    plot,
    round::Bench,
    workloads::{self, Workload},
};
use crate::shell::{output, root, say};
use fs_err as fs;
use std::fmt::Write as _;

/// Writes `README.md` and a plot for each workload into a folder of the checkout.
pub(super) fn write(
    bench: &Bench,
    cells: &[Cell],
    digests: &[String],
    folder: &str,
) -> Result<(), String> {
    let folder = root().join(folder);
    let failed = |error: std::io::Error| error.to_string();
    let mut text = head(bench, cells)?;
    if !digests.is_empty() {
        text.push_str(
            "\n## Equal bytes\n\nThe archive of the largest `files` with `SOURCE_DATE_EPOCH`, cold \
             with 1, 2, 4 and 16 threads, warm, and changed and changed back.\n\n\
             | compression | sha256 | equal |\n|---|---|---|\n",
        );
        digests.iter().for_each(|it| put(&mut text, format_args!("{it}\n")));
    }
    fs::create_dir_all(&folder).map_err(failed)?;
    for workload in workloads::ALL {
        let cells: Vec<&Cell> = cells.iter().filter(|it| it.workload == workload.name).collect();
        if !cells.is_empty() {
            text.push_str(&table(workload, &cells));
            let svg = plot::svg(workload.about, workload.unit, &cells);
            fs::write(folder.join(format!("{}.svg", workload.name)), svg).map_err(failed)?;
        }
    }
    fs::write(folder.join("README.md"), &text).map_err(failed)?;
    say(&text);
    Ok(())
}

fn head(bench: &Bench, cells: &[Cell]) -> Result<String, String> {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"])?;
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no"])?;
    let changed = if changed.trim().is_empty() { "" } else { ", with changes" };
    let mut text = format!(
        "# Results\n\nWritten by `cargo xtask bench` at commit {}{changed}; medians of {} runs \
         (the slow tools' large sizes: one). Files are in the page cache. A ratio is what the tool \
         takes for what strake takes for the same task; only ratios mean anything elsewhere.\n\n",
        commit.trim(),
        bench.runs
    );
    versions(bench).iter().for_each(|it| put(&mut text, format_args!("- {it}\n")));
    text.push_str("\n## Goals\n\n| what | wanted | measured | kept |\n|---|---|---|---|\n");
    goals::lines(cells).iter().for_each(|it| put(&mut text, format_args!("{it}\n")));
    Ok(text)
}

fn table(workload: &Workload, cells: &[&Cell]) -> String {
    let Workload { name, about, unit, .. } = workload;
    let mut text = format!("\n## {name}\n\n{about}.\n\n![{name}]({name}.svg)\n\n");
    for task in ["cold", "unchanged"] {
        if let Some(exponent) = goals::growth(cells, task) {
            put(
                &mut text,
                format_args!(
                    "strake's time, {task}, grows with at most the power {exponent:.2} of the size.\n"
                ),
            );
        }
    }
    put(
        &mut text,
        format_args!(
            "\n| {unit} | task | tool | seconds | ratio | processor seconds | ratio | MB |\n\
             |---|---|---|---|---|---|---|---|\n"
        ),
    );
    for cell in cells {
        let Cell { size, task, tool, cost, .. } = cell;
        let same = |it: &&&Cell| (it.size, it.task, it.tool) == (*size, *task, "strake");
        let ours = cells.iter().find(same).filter(|_| *tool != "strake");
        let ratio = |part: fn(&Cost) -> f64| {
            let ratio = ours.map(|it| part(cost) / part(&it.cost)).filter(|it| it.is_finite());
            ratio.map_or(String::new(), |it| format!("{it:.1}"))
        };
        put(
            &mut text,
            format_args!(
                "| {size} | {task} | {tool} | {:.3} | {} | {} | {} | {} |\n",
                cost.wall,
                ratio(|it| it.wall),
                known(cost.processor, 2),
                ratio(|it| it.processor),
                known(cost.memory, 0)
            ),
        );
    }
    text
}

fn known(number: f64, digits: usize) -> String {
    if number.is_nan() { String::from("-") } else { format!("{number:.digits$}") }
}

/// The versions of everything that was compared, and of the Go that made it.
fn versions(bench: &Bench) -> Vec<String> {
    let of = |program: &str, args: &[&str]| {
        let text = output(program, args).unwrap_or_default();
        text.lines().find(|it| !it.trim().is_empty()).unwrap_or("unknown").trim().to_owned()
    };
    let field = |program: &str, args: &[&str], name: &str| {
        let text = output(program, args).unwrap_or_default();
        let line = text.lines().find_map(|it| it.trim().strip_prefix(name));
        line.map_or("unknown", str::trim).to_owned()
    };
    let strake = bench.strake.to_string_lossy();
    let host = &bench.engine.borrow().host;
    let engine = ["-H", host, "version", "--format"];
    let engine = |what: &str| of(CLIENT, &[&engine[..], &[what]].concat());
    vec![
        of(&strake, &["--version"]),
        format!(
            "{}, made by {}",
            of("buildah", &["--version"]),
            field("buildah", &["version"], "Go Version:")
        ),
        format!(
            "docker.io {}, made by {}; its BuildKit is of that time",
            engine("{{.Server.Version}}"),
            engine("{{.Server.GoVersion}}")
        ),
        of("docker-registry", &["--version"]),
        of("pigz", &["--version"]),
        of("zstd", &["--version"]),
        of("sha256sum", &["--version"]),
        of("curl", &["--version"]),
        format!("{}, {} threads", of("uname", &["-sr"]), bench.threads),
    ]
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string");
}
