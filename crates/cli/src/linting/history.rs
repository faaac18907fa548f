//! The last commits that touched a context, as `git log` tells them.

use std::path::Path;
use std::process::{Command, Stdio};
use strake_lint::{Commit, History};

/// As many commits are looked at.
const COMMITS: &str = "50";

/// The last commits with the paths that they changed, relative to `folder`; nothing where there is no
/// repository or no `git`.
pub(crate) fn read(folder: &Path) -> Option<History> {
    let full = std::path::absolute(folder).ok()?;
    full.ancestors().find(|it| it.join(".git").exists())?;
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "core.quotepath=off", "log", "-n", COMMITS, "--no-merges", "--name-only"])
        .args(["--relative", "--format=%x01%ct", "--", "."])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let commit = |part: &str| {
        let (time, paths) = part.split_once('\n').unwrap_or((part, ""));
        let paths = paths.lines().filter(|it| !it.is_empty()).map(str::to_owned).collect();
        Commit { time: time.trim().parse().unwrap_or(0), paths }
    };
    let commits: Vec<Commit> = text.split('\u{1}').skip(1).map(commit).collect();
    (!commits.is_empty()).then_some(History { commits })
}
