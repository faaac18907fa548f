//! What was promised, and what was measured.

use super::Cell;

/// A promise about the largest size of a workload.
struct Goal {
    workload: &'static str,
    task: &'static str,
    /// Of the peer; the same as `task` where it is empty.
    peer_task: &'static str,
    peer: &'static str,
    bound: Bound,
}

enum Bound {
    /// strake is so many times as fast.
    Faster(f64),
    /// strake needs at most so many times as long.
    Within(f64),
}

use Bound::{Faster, Within};

const GOALS: &[Goal] = &[
    goal("files", "cold", "", "buildah", Faster(8.0)),
    goal("files", "cold", "", "pigz", Within(1.3)),
    goal("files", "unchanged", "", "buildah", Faster(50.0)),
    goal("files", "first file changed", "middle file changed", "buildah", Faster(20.0)),
    goal("files", "middle file changed", "", "buildah", Faster(20.0)),
    goal("files", "last file changed", "middle file changed", "buildah", Faster(20.0)),
    goal("runs", "cold", "", "docker.io", Faster(10.0)),
    goal("app", "unchanged", "", "docker.io", Faster(4.0)),
    goal("push", "cold", "", "curl", Within(1.3)),
];

const fn goal(
    workload: &'static str,
    task: &'static str,
    peer_task: &'static str,
    peer: &'static str,
    bound: Bound,
) -> Goal {
    Goal { workload, task, peer_task, peer, bound }
}

/// A line for each promise about a workload that was measured.
pub(super) fn lines(cells: &[Cell]) -> Vec<String> {
    let mut lines: Vec<String> = GOALS.iter().filter_map(|it| line(it, cells)).collect();
    lines.extend(ignored(cells));
    lines.extend(memory(cells));
    lines
}

fn largest<'a>(cells: &'a [Cell], workload: &str, task: &str, tool: &str) -> Option<&'a Cell> {
    let of = |it: &&Cell| it.workload == workload && it.task == task && it.tool.starts_with(tool);
    cells.iter().filter(of).max_by_key(|it| it.size)
}

fn line(goal: &Goal, cells: &[Cell]) -> Option<String> {
    let Goal { workload, task, peer_task, peer, bound } = goal;
    let peer_task = if peer_task.is_empty() { task } else { peer_task };
    let ours = largest(cells, workload, task, "strake")?;
    let theirs = largest(cells, workload, peer_task, peer)?;
    let (wanted, got, kept) = match bound {
        Faster(times) => {
            let got = theirs.cost.wall / ours.cost.wall;
            (format!("at least {times} times as fast"), got, got >= *times)
        }
        Within(times) => {
            let got = ours.cost.wall / theirs.cost.wall;
            (format!("at most {times} times as long"), got, got <= *times)
        }
    };
    let (size, tool, kept) = (ours.size, theirs.tool, if kept { "yes" } else { "**no**" });
    Some(format!("| {workload} {size}, {task}, beside {tool} | {wanted} | {got:.2} | {kept} |"))
}

/// The most ignored files beside the fewest.
fn ignored(cells: &[Cell]) -> Option<String> {
    let ours = |it: &&Cell| (it.workload, it.task, it.tool) == ("ignored", "unchanged", "strake");
    let most = cells.iter().filter(ours).max_by_key(|it| it.size)?;
    let least = cells.iter().filter(ours).min_by_key(|it| it.size)?;
    let got = most.cost.wall / least.cost.wall;
    let kept = if got <= 1.25 { "yes" } else { "**no**" };
    Some(format!(
        "| {} ignored files beside {} | nothing measurable | {got:.2} | {kept} |",
        most.size, least.size
    ))
}

fn memory(cells: &[Cell]) -> Option<String> {
    let ours = cells.iter().filter(|it| it.tool == "strake");
    let most = ours.max_by(|a, b| a.cost.memory.total_cmp(&b.cost.memory))?;
    let (name, size, task) = (most.workload, most.size, most.task);
    let kept = if most.cost.memory < 100.0 { "yes" } else { "**no**" };
    Some(format!(
        "| peak memory in all, largest in {name} {size}, {task} | under 100 MB | {:.0} MB | {kept} |",
        most.cost.memory
    ))
}

/// The exponent with which strake's cost grows from one size to the next, at most.
pub(super) fn growth(cells: &[&Cell], task: &str) -> Option<f64> {
    let mut ours: Vec<(f64, f64)> = cells
        .iter()
        .filter(|it| it.tool == "strake" && it.task == task)
        .map(|it| (it.size as f64, it.cost.wall))
        .collect();
    ours.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Over two steps, so that chance counts less.
    let steps = ours.windows(3).map(|it| (it[2].1 / it[0].1).ln() / (it[2].0 / it[0].0).ln());
    steps.max_by(f64::total_cmp)
}
