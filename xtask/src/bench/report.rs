//! The table of medians and ratios, and the plots.

use super::{Cell, plot, tools::Bench, workloads};
use crate::shell::{output, root, say};
use fs_err as fs;
use std::fmt::Write as _;

/// Writes `benches/results.md` and a plot for each workload.
pub(super) fn write(bench: &Bench, cells: &[Cell]) -> Result<(), String> {
    let folder = root().join("benches");
    let text = table(bench, cells)?;
    fs::create_dir_all(folder.join("plots")).map_err(|error| error.to_string())?;
    fs::write(folder.join("results.md"), &text).map_err(|error| error.to_string())?;
    for workload in workloads::ALL {
        let cells: Vec<&Cell> = cells.iter().filter(|it| it.workload == workload.name).collect();
        if !cells.is_empty() {
            let svg = plot::svg(workload.about, workload.unit, &cells);
            let path = folder.join(format!("plots/{}.svg", workload.name));
            fs::write(path, svg).map_err(|error| error.to_string())?;
        }
    }
    say(&text);
    Ok(())
}

fn table(bench: &Bench, cells: &[Cell]) -> Result<String, String> {
    let commit = output("git", &["rev-parse", "--short", "HEAD"])?;
    let mut text = format!(
        "# Results\n\nWritten by `cargo xtask bench` at {}, medians of {} runs (buildah's large sizes: \
         one). A ratio is what the tool takes for what strake takes for the same task.\n\n",
        commit.trim(),
        bench.runs
    );
    for version in bench.versions() {
        put(&mut text, format_args!("- {version}\n"));
    }
    for workload in workloads::ALL {
        let cells: Vec<&Cell> = cells.iter().filter(|it| it.workload == workload.name).collect();
        if cells.is_empty() {
            continue;
        }
        put(
            &mut text,
            format_args!(
                "\n## {}\n\n{}.\n\n![{}](plots/{}.svg)\n\n\
             | {} | task | tool | seconds | processor seconds | MB | ratio |\n\
             |---|---|---|---|---|---|---|\n",
                workload.name, workload.about, workload.name, workload.name, workload.unit
            ),
        );
        for cell in &cells {
            let Cell { size, task, tool, cost, .. } = cell;
            let same = |it: &&&Cell| (it.size, it.task, it.tool) == (*size, *task, "strake");
            let ours = cells.iter().find(same).map(|it| it.cost.wall.max(0.01));
            let ratio = ours.map_or(String::new(), |it| format!("{:.1}", cost.wall / it));
            put(
                &mut text,
                format_args!(
                    "| {size} | {task} | {tool} | {:.2} | {:.2} | {:.0} | {ratio} |\n",
                    cost.wall, cost.processor, cost.memory
                ),
            );
        }
    }
    Ok(text)
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string");
}
