//! The same image again: other paths, users, umasks and times, one digest.

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::{Ended, Lab};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const EPOCH: u64 = 1_700_000_000;

const TEXT: &str = "FROM base\nARG SOURCE_DATE_EPOCH\nWORKDIR /srv/app\nCOPY . .\n\
    COPY --chown=app:extra <<EOF /etc/app.conf\nkey=value\nEOF\n\
    RUN mkdir -p gen/deep && echo \"$SOURCE_DATE_EPOCH\" > gen/deep/made && ln -s made gen/deep/link \
    && touch -d '2001-02-03 04:05:06' gen/old\n\
    USER app\nRUN echo mine > /tmp/mine\nADD tools.tar /opt/\nLABEL a=b\nCMD [\"/bin/sh\"]\n";

/// What a checkout has, with times of its own.
fn checkout(lab: &Lab, time: SystemTime) {
    lab.write("context/Dockerfile", TEXT);
    lab.write("context/.dockerignore", "tools\n");
    lab.write("context/src/main.c", "int main;\n");
    lab.write("context/run.sh", "#!/bin/sh\n");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(lab.path("context/run.sh"), mode).expect("own file");
    lab.write("context/tools/tool", "tool\n");
    let tar = ["--owner=5", "--group=6", "--mtime=@1600000000", "--sort=name", "-cf"];
    let done = Command::new("tar")
        .args(tar)
        .arg(lab.path("context/tools.tar"))
        .args(["-C", lab.path("context").to_str().expect("text"), "tools"])
        .status();
    assert!(done.expect("tar runs").success());
    for name in ["src/main.c", "run.sh", "tools.tar", "src"] {
        let file = fs::File::open(lab.path("context").join(name)).expect("own file");
        file.set_modified(time).expect("own file");
    }
}

/// Builds with a umask of its own, to the layout folder `out`.
fn build(lab: &Lab, base: &Path, umask: &str, more: &[&str]) -> String {
    let out = lab.path("out");
    let output = format!("type=oci,tar=false,dest={},rewrite-timestamp=true", out.display());
    let base = format!("base=oci-layout://{}", base.display());
    let context = lab.path("context").display().to_string();
    let mut args = vec!["build", "--build-context", &base, "-o", &output];
    args.extend(more);
    args.push(&context);
    let plain = lab.command(&args);
    let line = format!("umask {umask}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &line]).arg(plain.get_program()).args(plain.get_args());
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("SOURCE_DATE_EPOCH", EPOCH.to_string()).current_dir(lab.path(""));
    Ended::of(command.output().expect("sh runs")).ok();
    let index = fs::read(out.join("index.json")).expect("it was written");
    let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
    let created = &index["manifests"][0]["annotations"]["org.opencontainers.image.created"];
    assert_eq!(created, "2023-11-14T22:13:20Z");
    index["manifests"][0]["digest"].as_str().expect("text").to_owned()
}

#[test]
fn two_checkouts_two_users_two_umasks_and_two_dates_give_one_digest() {
    let (one, other) = (Lab::new(), Lab::ordinary());
    checkout(&one, UNIX_EPOCH + Duration::from_secs(EPOCH + 1000));
    checkout(&other, UNIX_EPOCH + Duration::from_secs(EPOCH + 2_000_000));
    let base = one.path("base");
    let digest = build(&one, &base, "022", &[]);
    // The clock's second is another one by now, whatever the speed of the machine.
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(build(&other, &base, "077", &[]), digest);
    // And once more, with nothing in the cache.
    assert_eq!(build(&one, &base, "002", &["--no-cache"]), digest);

    let config = one.config(&digest);
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    let manifest: serde_json::Value = serde_json::from_slice(&one.blob(&digest)).expect("JSON");
    let layers = manifest["layers"].as_array().expect("a list");
    let own = fs::read(base.join("index.json")).expect("a layout");
    let own: serde_json::Value = serde_json::from_slice(&own).expect("JSON");
    let own = own["manifests"][0]["digest"].as_str().expect("text");
    let own = fs::read(base.join("blobs/sha256").join(&own[7..])).expect("a layout");
    let own: serde_json::Value = serde_json::from_slice(&own).expect("JSON");
    assert_eq!(layers[0]["digest"], own["layers"][0]["digest"], "the base's layers stay");
    for layer in &layers[1..] {
        let blob = one.path("out/blobs/sha256").join(&layer["digest"].as_str().expect("text")[7..]);
        let mut list = Command::new("tar");
        list.args(["--full-time", "-tvf"]).arg(blob).env("TZ", "UTC");
        let listing = String::from_utf8(list.output().expect("tar runs").stdout).expect("text");
        for line in listing.lines() {
            let time = line.split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" ");
            assert!(time.as_str() <= "2023-11-14 22:13:20", "{line}");
            if line.ends_with("gen/old") {
                assert_eq!(time, "2001-02-03 04:05:06", "earlier times stay");
            }
        }
    }
}

#[test]
fn exported_files_have_the_epochs_time() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", "FROM scratch\nCOPY file /dir/\nLABEL a=b\n");
    lab.write("context/file", "x");
    let folder = format!("type=local,dest={}", lab.path("folder").display());
    let tar = format!("type=tar,dest={}", lab.path("files.tar").display());
    let args = ["--build-arg", "SOURCE_DATE_EPOCH=1000", "-o", &folder, "-o", &tar];
    lab.build(&args).ok();
    for name in ["dir", "dir/file"] {
        let time = fs::metadata(lab.path("folder").join(name)).expect("it is there").modified();
        assert_eq!(time.expect("it has a time"), UNIX_EPOCH + Duration::from_secs(1000), "{name}");
    }
    let list = Command::new("tar").arg("-tvf").arg(lab.path("files.tar")).env("TZ", "UTC").output();
    let listing = String::from_utf8(list.expect("tar runs").stdout).expect("text");
    assert_eq!(listing.matches("1970-01-01 00:16").count(), 2, "{listing}");
}

#[test]
fn the_epoch_may_stand_in_the_dockerfile_and_the_base_keeps_its_times() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", "ARG SOURCE_DATE_EPOCH=86400\nFROM base\nLABEL a=b\n");
    let (manifest, _) = lab.image(&[]);
    let config = lab.config(&manifest);
    assert_eq!(config["created"], "1970-01-02T00:00:00Z");
    let history = config["history"].as_array().expect("a list");
    assert_eq!(history.last().expect("there is one")["created"], config["created"]);
    assert_ne!(history[0]["created"], config["created"]);
    // An argument is before the Dockerfile's value.
    let (manifest, _) = lab.image(&["--build-arg", "SOURCE_DATE_EPOCH=1"]);
    assert_eq!(lab.config(&manifest)["created"], "1970-01-01T00:00:01Z");
    // An image without a step of its own has its base's time.
    lab.write("context/Dockerfile", "FROM base\n");
    let (manifest, _) = lab.image(&["--build-arg", "SOURCE_DATE_EPOCH=1"]);
    assert_eq!(lab.config(&manifest)["created"], history[0]["created"]);
    lab.build(&["--build-arg", "SOURCE_DATE_EPOCH=soon"]).failed_with(&["SOURCE_DATE_EPOCH=soon"]);
    // A folder has no time of its own.
    lab.build(&["--build-arg", "SOURCE_DATE_EPOCH=context"]).ok();
}

#[test]
fn one_build_and_outputs_of_several_compressions() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", "FROM base\nCOPY Dockerfile /\n");
    let kinds = |output: &str| {
        let out = lab.path(&format!("out-{}", output.len()));
        let output = format!("type=oci,tar=false,dest={}{output}", out.display());
        lab.build(&["-o", &output]).ok();
        let read = |path: &Path| -> serde_json::Value {
            serde_json::from_slice(&fs::read(path).expect("it is there")).expect("JSON")
        };
        let digest = read(&out.join("index.json"))["manifests"][0]["digest"].clone();
        let manifest = out.join("blobs/sha256").join(&digest.as_str().expect("text")[7..]);
        let layers = read(&manifest)["layers"].clone();
        let kind = |it: &serde_json::Value| {
            let kind = it["mediaType"].as_str().expect("text");
            kind.rsplit('.').next().expect("there is one").to_owned()
        };
        layers.as_array().expect("a list").iter().map(kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(""), ["tar+gzip", "tar+gzip"]);
    assert_eq!(kinds(",compression=zstd"), ["tar+gzip", "tar+zstd"]);
    assert_eq!(kinds(",compression=zstd,force-compression=true"), ["tar+zstd", "tar+zstd"]);
    assert_eq!(kinds(",compression=uncompressed,force-compression=1"), ["tar", "tar"]);
    // The step was done once, and several outputs of one build need not agree.
    let file = |it: &str| lab.path(it).display().to_string();
    let outputs = [
        format!("type=oci,dest={},compression=zstd", file("a")),
        format!("type=docker,dest={},compression=gzip,compression-level=9", file("b")),
    ];
    let ended = lab.build(&["-o", &outputs[0], "-o", &outputs[1]]).ok();
    assert_eq!(ended.steps().0, ["COPY Dockerfile /"]);
}
