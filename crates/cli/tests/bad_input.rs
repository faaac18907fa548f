//! One clear message with the place and the next thing to do; nothing half-made.

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::Lab;

#[track_caller]
fn refused(dockerfile: &str, words: &[&str]) {
    let lab = Lab::new();
    lab.write("context/Dockerfile", dockerfile);
    lab.write("context/present", "x");
    let out = format!("type=oci,dest={}", lab.path("image.tar").display());
    lab.build(&["-o", &out]).failed_with(words);
    assert!(!lab.path("image.tar").exists());
    let left: Vec<_> = std::fs::read_dir(lab.path("store/tmp"))
        .map(|it| it.flatten().map(|it| it.file_name()).collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn language() {
    refused("FROM base\nRUNN echo\n", &["Dockerfile:2:1", "RUNN", "RUN"]);
    refused("FROM base\nCOPY --chwon=1 a b\n", &["Dockerfile:2:6", "chwon", "chown"]);
    refused("FROM base\nCOPY --from=nowhere.invalid/x a b\n", &["Dockerfile:2", "nowhere"]);
    refused("FROM a AS b\nFROM b AS a\nCOPY --from=a x y\n", &["Dockerfile:"]);
    refused("FROM base\nSHELL /bin/sh\n", &["Dockerfile:2:7", "JSON"]);
    refused("", &["Dockerfile"]);
}

#[test]
fn files() {
    refused("FROM base\nCOPY absent /\n", &["Dockerfile:2:1", "absent"]);
    refused("FROM base\nUSER nosuch\nRUN true\n", &["Dockerfile:3:1", "nosuch"]);
    refused(
        "FROM base\nRUN --mount=type=secret,id=s,required=true true\n",
        &["Dockerfile:2:1", "--secret"],
    );
}

#[test]
fn registries() {
    refused("FROM localhost:1/x\n", &["Dockerfile:1:6", "localhost:1"]);
    refused("FROM UPPER/x\n", &["Dockerfile:1"]);
}

#[test]
fn flags() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", "FROM base\n");
    lab.build(&["--ssh", "default"]).failed_with(&["--ssh", "hint:"]);
    lab.build(&["--provenance=true"]).failed_with(&["attestations", "hint:"]);
    lab.build(&["-o", "type=ocii,dest=x"]).failed_with(&["ocii"]);
    lab.build(&["--provenance=false", "--sbom=false", "--load", "--pull=false"]).ok();
    lab.build(&["--provenance=false", "--sbom=false", "--load", "-t", "a:1"]).ok();
}
