//! One build for several platforms: what each output gets, and what other programs read of it.

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::Lab;
use std::{path::Path, process::Command};

const TEXT: &str = "FROM --platform=$BUILDPLATFORM base AS build\nRUN echo once > /once\n\
    FROM scratch\nARG TARGETPLATFORM\nCOPY --from=build /once /once\n\
    COPY <<EOF /platform\n$TARGETPLATFORM\nEOF\nLABEL platform=$TARGETPLATFORM\n";

fn skopeo(arguments: &[&str]) -> serde_json::Value {
    let output = Command::new("skopeo").args(arguments).output().expect("skopeo is installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skopeo {arguments:?}: {stderr}");
    serde_json::from_slice(&output.stdout).expect("skopeo prints JSON")
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).expect("it is there")).expect("it is JSON")
}

#[test]
fn an_index_with_a_manifest_for_each_platform() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", TEXT);
    let archive = format!("type=oci,dest={},name=app:1", lab.path("app.tar").display());
    let (iid, metadata) = (lab.path("iid"), lab.path("metadata"));
    let ended = lab
        .build(&[
            "--no-cache",
            "--platform",
            "linux/amd64,linux/arm64/v8",
            "--platform=linux/arm/v7",
            "-o",
            &archive,
            "--iidfile",
            iid.to_str().expect("text"),
            "--metadata-file",
            metadata.to_str().expect("text"),
        ])
        .ok();
    // What is for the build platform is done once and shown once.
    assert_eq!(ended.stderr.matches("] RUN echo once").count(), 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("[linux/arm64 stage-1 2/3] COPY --from=build"),
        "{}",
        ended.stderr
    );
    let source = format!("oci-archive:{}:1", lab.path("app.tar").display());
    let index = skopeo(&["inspect", "--raw", &source]);
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let platforms: Vec<String> = index["manifests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["platform"].to_string())
        .collect();
    let want = [
        r#"{"architecture":"amd64","os":"linux"}"#,
        r#"{"architecture":"arm64","os":"linux"}"#,
        r#"{"architecture":"arm","os":"linux","variant":"v7"}"#,
    ];
    assert_eq!(platforms, want);
    for (architecture, platform) in [("arm64", "linux/arm64"), ("amd64", "linux/amd64")] {
        let config = skopeo(&["--override-arch", architecture, "inspect", "--config", &source]);
        assert_eq!(config["architecture"], architecture);
        assert_eq!(config["config"]["Labels"]["platform"], platform);
    }
    let metadata = json(&metadata);
    let id = std::fs::read_to_string(iid).expect("it is written");
    assert_eq!(metadata["containerimage.digest"], id);
    assert_eq!(metadata["containerimage.descriptor"]["mediaType"], index["mediaType"]);
    assert!(metadata.get("containerimage.config.digest").is_none());
}

#[test]
fn files_are_in_a_folder_for_each_platform() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", TEXT);
    let (folder, tar) = (lab.path("files"), lab.path("files.tar"));
    let outputs = [
        format!("type=local,dest={}", folder.display()),
        format!("type=tar,dest={}", tar.display()),
    ];
    let args = ["--platform=linux/amd64,linux/arm/v6", "-o", &outputs[0], "-o", &outputs[1]];
    lab.build(&args).ok();
    for (name, platform) in [("linux_amd64", "linux/amd64\n"), ("linux_arm_v6", "linux/arm/v6\n")] {
        let text = std::fs::read_to_string(folder.join(name).join("platform"));
        assert_eq!(text.expect("it is there"), platform);
    }
    let listing = Command::new("tar").arg("-tf").arg(&tar).output().expect("tar runs");
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    assert_eq!(
        listing.lines().collect::<Vec<_>>(),
        [
            "linux_amd64/",
            "linux_amd64/once",
            "linux_amd64/platform",
            "linux_arm_v6/",
            "linux_arm_v6/once",
            "linux_arm_v6/platform"
        ]
    );
    // One platform has none, unless it is asked for.
    let split = format!("{},platform-split=true", outputs[0]);
    lab.build(&["--platform=linux/arm64", "-o", &split]).ok();
    assert!(folder.join("linux_arm64/platform").exists());
    lab.build(&[
        "--platform=linux/amd64,linux/arm64",
        "-o",
        &format!("{},platform-split=false", outputs[0]),
    ])
    .failed_with(&["platform-split=false"]);
    let docker = format!("type=docker,dest={}", tar.display());
    lab.build(&["--platform=linux/amd64,linux/arm64", "-o", &docker])
        .failed_with(&["one platform"]);
}

#[test]
fn an_image_of_the_store_is_a_base_for_each_of_its_platforms() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", TEXT);
    lab.build(&["--platform=linux/amd64,linux/arm64", "-t", "multi:1"]).ok();
    for platform in ["linux/amd64", "linux/arm64"] {
        lab.strake(&["diff", "--platform", platform, "multi:1", "multi:1"]).ok();
    }
    lab.write("context/Dockerfile", "FROM multi:1\nCOPY --from=multi:1 /platform /copy\n");
    let (manifest, _) = lab.image(&["--platform=linux/arm64"]);
    let config = lab.config(&manifest);
    assert_eq!(config["architecture"], "arm64");
    assert_eq!(config["config"]["Labels"]["platform"], "linux/arm64");
}

#[test]
fn a_single_platform_is_a_plain_manifest_unless_an_index_is_asked_for() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", TEXT);
    let kind = |more: &[&str]| {
        lab.image(more);
        json(&lab.path("out/index.json"))["manifests"][0]["mediaType"].to_string()
    };
    assert!(kind(&[]).contains("image.manifest.v1"));
    assert!(kind(&["--build-arg", "BUILDKIT_MULTI_PLATFORM=1"]).contains("image.index.v1"));
    let wrong = ["--build-arg", "BUILDKIT_MULTI_PLATFORM=perhaps"];
    lab.build(&wrong).failed_with(&["BUILDKIT_MULTI_PLATFORM=perhaps"]);
}

#[test]
fn annotations_stand_where_they_were_put() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", TEXT);
    lab.image(&[
        "--platform=linux/amd64,linux/arm64",
        "--annotation=all=1",
        "--annotation=manifest[linux/arm64]:arm=2",
        "--annotation=index:top=3",
        "--annotation=manifest-descriptor[linux/amd64]:points=4",
        "--annotation=index-descriptor:outermost=5",
    ]);
    let blob = |digest: &serde_json::Value| -> serde_json::Value {
        serde_json::from_slice(&lab.blob(digest.as_str().expect("text"))).expect("JSON")
    };
    let outer = json(&lab.path("out/index.json"));
    assert_eq!(outer["manifests"][0]["annotations"]["outermost"], "5");
    let index = blob(&outer["manifests"][0]["digest"]);
    assert_eq!(index["annotations"].to_string(), r#"{"top":"3"}"#);
    assert_eq!(index["manifests"][0]["annotations"].to_string(), r#"{"points":"4"}"#);
    let notes = |at: usize| blob(&index["manifests"][at]["digest"])["annotations"].to_string();
    assert_eq!([notes(0), notes(1)], [r#"{"all":"1"}"#, r#"{"all":"1","arm":"2"}"#]);
    lab.build(&["--annotation=index:a=b", "-o", "type=oci,dest=x"]).failed_with(&["no index"]);
    let other = ["--annotation=manifest[linux/s390x]:a=b", "-o", "type=oci,dest=x"];
    lab.build(&other).failed_with(&["linux/s390x"]);
}
