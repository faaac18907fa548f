//! `BUILDX_GIT_LABELS`: labels with the commit of the context.

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::{Ended, Lab};
use std::{collections::BTreeMap, process::Command};

fn git(lab: &Lab, line: &str) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(lab.path("context")).args(["-c", "user.name=t", "-c", "user.email=t@e"]);
    let output = command.args(line.split(' ')).output().expect("git runs");
    assert!(output.status.success(), "git {line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The labels of a build with these variables.
fn labels(lab: &Lab, variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let layout = lab.path("out");
    if layout.exists() {
        std::fs::remove_dir_all(&layout).expect("own folder");
    }
    let layout = layout.display().to_string();
    let output = format!("type=oci,tar=false,dest={layout}");
    let context = lab.path("context").display().to_string();
    let file = lab.path("context/sub/Dockerfile").display().to_string();
    let revision = "org.opencontainers.image.revision=mine";
    let args = ["build", "-f", &file, "--label", revision, "-o", &output, &context];
    let mut command = lab.command(&args);
    command.envs(variables.iter().copied());
    Ended::of(command.output().expect("strake runs")).ok();
    let format = "{{json .Config.Labels}}";
    let told = lab.command(&["inspect", "--format", format, &layout]).output();
    let told = Ended::of(told.expect("strake runs"));
    serde_json::from_str(&told.ok().stdout).expect("labels")
}

#[test]
fn a_commit_is_told() {
    let lab = Lab::new();
    lab.write("context/sub/Dockerfile", "FROM scratch\nLABEL a=b\nCOPY sub /\n");
    git(&lab, "init -q .");
    git(&lab, "add .");
    git(&lab, "commit -q -m one");
    git(&lab, "remote add origin https://user:secret@example.com/r.git");
    let commit = git(&lab, "rev-parse HEAD");
    let pairs = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
        list.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect()
    };

    let mine = pairs(&[("a", "b"), ("org.opencontainers.image.revision", "mine")]);
    assert_eq!(labels(&lab, &[]), mine);
    assert_eq!(labels(&lab, &[("BUILDX_GIT_LABELS", "no")]), mine);

    let all = |commit: &str| {
        pairs(&[
            ("a", "b"),
            ("com.docker.image.source.entrypoint", "sub/Dockerfile"),
            ("org.opencontainers.image.revision", commit),
            ("org.opencontainers.image.source", "https://example.com/r.git"),
        ])
    };
    assert_eq!(labels(&lab, &[("BUILDX_GIT_LABELS", "1")]), all(&commit));
    let checked = [("BUILDX_GIT_LABELS", "full"), ("BUILDX_GIT_CHECK_DIRTY", "true")];
    assert_eq!(labels(&lab, &checked), all(&commit));
    lab.write("context/new", "");
    assert_eq!(labels(&lab, &checked), all(&format!("{commit}-dirty")));
}
