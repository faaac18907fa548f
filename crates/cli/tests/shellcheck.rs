//! ShellCheck's remarks at their places in a Dockerfile, by the real program.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn lint(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strake"));
    command.arg("lint").args(args).current_dir(folder).env("HOME", folder);
    command.env_remove("XDG_CACHE_HOME").env("STRAKE_STORE", folder.join("store"));
    command.output().unwrap()
}

/// `FILE:LINE:COLUMN RULE` of each finding of ShellCheck.
fn remarks(folder: &Path, args: &[&str]) -> Vec<String> {
    let output = lint(folder, &[&["--format", "json", "--fail-on", "never"], args].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = value["findings"].as_array().unwrap().iter();
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    found
        .filter(|it| text(it, "rule").starts_with("SC"))
        .map(|it| {
            format!("{}:{}:{} {}", text(it, "file"), it["line"], it["column"], text(it, "rule"))
        })
        .collect()
}

const TEXT: &str = "\
FROM debian:12
ENV prefix=/usr
RUN true \\
    # why
    && ls $prefix $unset
RUN <<EOF
set -e
ls é `date`
EOF
# hadolint ignore=SC2086
RUN ls $other
# shellcheck disable=SC2154,SC2086
RUN ls $more
SHELL [\"/bin/bash\", \"-c\"]
RUN [[ -e /x ]] || break
";

#[test]
fn remarks_stand_where_the_script_stands() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("Dockerfile"), TEXT).unwrap();
    std::fs::write(folder.join("Other.Dockerfile"), "FROM a:1\nRUN ls $x$(\n").unwrap();
    let all = [
        "Dockerfile:5:19 SC2086",
        "Dockerfile:5:19 SC2154",
        "Dockerfile:8:6 SC2006",
        "Dockerfile:8:6 SC2046",
        "Dockerfile:11:8 SC2154",
        "Dockerfile:15:20 SC2105",
    ];
    let found = remarks(folder, &["Dockerfile"]);
    assert_eq!(found, all);
    assert_eq!(remarks(folder, &["Dockerfile"]), all, "as it was kept");
    assert!(folder.join("store/lint/shellcheck.json").is_file());
    assert!(!remarks(folder, &["."]).is_empty());

    assert!(remarks(folder, &["Dockerfile", "--shellcheck", "never"]).is_empty());
    assert!(remarks(folder, &["Dockerfile", "--select", "DL3007"]).is_empty());
    assert_eq!(remarks(folder, &["Dockerfile", "--select", "SC2105"]), [all[5]]);
    assert_eq!(remarks(folder, &["Dockerfile", "--ignore", "SC2"]), [""; 0]);
    std::fs::write(folder.join("strake.toml"), "[lint]\nignore = [\"SC2006\"]\n").unwrap();
    assert!(!remarks(folder, &["Dockerfile"]).contains(&all[2].to_owned()));
    std::fs::write(folder.join("strake.toml"), "[lint]\nshellcheck = \"never\"\n").unwrap();
    assert!(remarks(folder, &["Dockerfile"]).is_empty());
    std::fs::remove_file(folder.join("strake.toml")).unwrap();
    std::fs::write(folder.join(".shellcheckrc"), "disable=SC2154 # of the base\n").unwrap();
    let left = remarks(folder, &["Dockerfile"]);
    assert_eq!(left, [all[0], all[2], all[3], all[5]]);
}

#[test]
fn levels_exit_codes_and_a_program_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("Dockerfile"), "FROM debian:12\nRUN ls $x\n").unwrap();
    let info = ["--select", "SC2086"];
    assert_eq!(lint(folder, &info).status.code(), Some(0), "info does not fail");
    let error = ["--select", "SC2086", "--severity", "SC2086=error"];
    assert_eq!(lint(folder, &error).status.code(), Some(1));

    let mut command = Command::new(env!("CARGO_BIN_EXE_strake"));
    command.args(["lint", "--shellcheck", "always"]).current_dir(folder).env("PATH", folder);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("shellcheck is not on PATH"));
}
