//! Bases, archives, contexts, registries and machines that are not as they should be.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::{Lab, registry::Registry, with_mounts};
use std::{fs, os::unix::fs::symlink};
use strake_oci::Digest;

/// A tar with one file of that name.
fn tar(name: &str, body: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    let size = format!("{:011o}", body.len());
    for (at, text) in [
        (100, "0000644"),
        (108, "0000000"),
        (116, "0000000"),
        (124, size.as_str()),
        (136, "00000000000"),
        (148, "        "),
        (156, "0"),
        (257, "ustar"),
        (263, "00"),
    ] {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    let sum: u32 = header.iter().map(|it| u32::from(*it)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
    bytes
}

/// An OCI layout `name` with an image of that one layer.
fn layout(lab: &Lab, name: &str, layer: &[u8]) -> String {
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        let path = lab.path(name).join("blobs/sha256").join(digest.hex());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        format!(r#""digest":"{digest}","size":{}"#, bytes.len())
    };
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["PATH=/bin"]}},
            "rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::of(layer)
    );
    let (kind, config) = ("application/vnd.oci.image", put(config.as_bytes()));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}.manifest.v1+json",
            "config":{{"mediaType":"{kind}.config.v1+json",{config}}},
            "layers":[{{"mediaType":"{kind}.layer.v1.tar",{}}}]}}"#,
        put(layer)
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{kind}.manifest.v1+json",{}}}]}}"#,
        put(manifest.as_bytes())
    );
    lab.write(&format!("{name}/index.json"), &index);
    lab.write(&format!("{name}/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    format!("{name}=oci-layout://{}", lab.path(name).display())
}

/// A build to an archive that must fail, leave no archive and nothing in the store's folder of
/// temporary files.
#[track_caller]
fn refused(lab: &Lab, dockerfile: &str, more: &[&str], words: &[&str]) {
    lab.write("context/Dockerfile", dockerfile);
    let out = format!("type=oci,dest={}", lab.path("image.tar").display());
    let mut args = vec!["-o", &out];
    args.extend(more);
    lab.build(&args).failed_with(words);
    assert!(!lab.path("image.tar").exists());
    lab.assert_tidy();
}

#[test]
fn archives_that_lead_out() {
    let lab = Lab::new();
    let evil = layout(&lab, "evil", &tar("../../../../../../../var/tmp/strake-evil", b"x"));
    let named = ["--build-context", evil.as_str()];
    refused(&lab, "FROM evil\nRUN [\"/x\"]\n", &named, &["Dockerfile:2:1", "strake-evil"]);
    refused(&lab, "FROM evil\nCOPY Dockerfile /x\n", &named, &["Dockerfile:2:1", "strake-evil"]);
    fs::write(lab.path("context/evil.tar"), tar("../../strake-evil", b"x")).unwrap();
    // As Docker adds it: below the destination.
    lab.write("context/Dockerfile", "FROM base\nADD evil.tar /x/\n");
    let local = format!("type=local,dest={}", lab.path("tree").display());
    lab.build(&["-o", &local]).ok();
    assert!(lab.path("tree/x/strake-evil").exists());
    assert!(!fs::exists("/var/tmp/strake-evil").unwrap() && !fs::exists("/strake-evil").unwrap());
}

#[test]
fn absolute_names_stay_inside() {
    let lab = Lab::new();
    let rooted = layout(&lab, "rooted", &tar("/strake-rooted", b"x"));
    fs::write(lab.path("context/rooted.tar"), tar("/strake-added", b"x")).unwrap();
    // Docker takes them as names below the root, or below the destination.
    lab.write("context/Dockerfile", "FROM rooted\nADD rooted.tar /d/\n");
    let local = format!("type=local,dest={}", lab.path("tree").display());
    lab.build(&["--build-context", &rooted, "-o", &local]).ok();
    assert!(lab.path("tree/strake-rooted").exists());
    assert!(lab.path("tree/d/strake-added").exists());
    assert!(!fs::exists("/strake-rooted").unwrap() && !fs::exists("/strake-added").unwrap());
}

#[test]
fn a_damaged_base() {
    let lab = Lab::new();
    let layer = tar("file", b"content");
    let named = layout(&lab, "damaged", &layer);
    let digest = Digest::of(&layer);
    let blob = lab.path("damaged/blobs/sha256").join(digest.hex());
    let mut wrong = layer.clone();
    wrong[512] ^= 1;
    fs::write(&blob, &wrong).unwrap();
    let named = ["--build-context", named.as_str()];
    for text in
        ["FROM damaged\n", "FROM damaged\nCOPY Dockerfile /x\n", "FROM damaged\nRUN [\"/x\"]\n"]
    {
        refused(&lab, text, &named, &[&digest.to_string()]);
    }
    // Mended, the same store builds from it.
    fs::write(&blob, &layer).unwrap();
    lab.write("context/Dockerfile", "FROM damaged\nCOPY Dockerfile /x\n");
    let local = format!("type=local,dest={}", lab.path("tree").display());
    lab.build(&[named[0], named[1], "-o", &local]).ok();
    assert_eq!(fs::read(lab.path("tree/file")).unwrap(), b"content");
}

#[test]
fn a_context_that_leads_out() {
    let lab = Lab::new();
    symlink("/etc", lab.path("context/out")).unwrap();
    symlink("../..", lab.path("context/up")).unwrap();
    refused(&lab, "FROM base\nCOPY out/passwd /x\n", &[], &["Dockerfile:2:1", "out/passwd"]);
    refused(&lab, "FROM base\nCOPY up/etc/passwd /x\n", &[], &["Dockerfile:2:1", "up/etc/passwd"]);
    // `..` stops at the context, as in Docker.
    refused(&lab, "FROM base\nCOPY ../base /x\n", &[], &["Dockerfile:2:1", "base"]);
    refused(&lab, "FROM base\nADD out/passwd /x\n", &[], &["Dockerfile:2:1", "out/passwd"]);
    let bind = "FROM base\nRUN --mount=type=bind,source=out/passwd,target=/x cat /x\n";
    refused(&lab, bind, &[], &["Dockerfile:2:1", "out/passwd"]);
}

#[test]
fn a_base_without_a_shell() {
    let lab = Lab::new();
    let bare = layout(&lab, "bare", &tar("file", b"content"));
    let named = ["--build-context", bare.as_str()];
    refused(&lab, "FROM bare\nRUN true\n", &named, &["Dockerfile:2:1", "/bin/sh"]);
    lab.write("context/Dockerfile", "FROM bare\nWORKDIR /srv\nCOPY Dockerfile ./\nUSER 5\n");
    let (manifest, _) = lab.image(&named);
    assert_eq!(lab.config(&manifest)["config"]["User"], "5");
}

#[test]
fn a_registry_that_refuses() {
    let lab = Lab::new();
    let registry = Registry::with_login(&lab);
    let name = registry.name("app:1");
    lab.write("context/Dockerfile", "FROM base\nCOPY Dockerfile /x\n");
    lab.build(&["--push", "-t", &name])
        .failed_with(&[&format!("127.0.0.1:{} asks for credentials", registry.port), "hint:"]);
    let push = |login: &str| {
        let auth = format!(r#"{{"auths":{{"127.0.0.1:{}":{{{login}}}}}}}"#, registry.port);
        lab.write("docker/config.json", &auth);
        let args = lab.build_args(&["--push", "-t", &name]);
        let mut command = lab.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        common::Ended::of(command.env("DOCKER_CONFIG", lab.path("docker")).output().unwrap())
    };
    let ended = push(r#""username":"ann","password":"wr0ng-word""#);
    assert!(!ended.stderr.contains("wr0ng-word"), "{}", ended.stderr);
    ended.failed_with(&["refused the credentials", "hint:"]);
    lab.assert_tidy();
    push(r#""username":"ann","password":"secret""#).ok();
    drop(registry);
    lab.build(&["--push", "-t", &name]).failed_with(&["cannot reach 127.0.0.1:", "hint:"]);
}

#[test]
fn a_machine_without_home_path_tmp_and_certificates() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", "FROM base\nCOPY Dockerfile /x\nWORKDIR /srv\nUSER app\n");
    lab.program();
    let script = format!(
        "mount --bind {} /mnt && mount -t tmpfs tmpfs /var/tmp && mount -t tmpfs -o ro tmpfs /tmp \
         && mount -t tmpfs tmpfs /etc/ssl && cd /mnt && env -i ./strake build \
         --build-context base=oci-layout:///mnt/base -o type=oci,dest=image.tar context",
        lab.path("").display()
    );
    let output = with_mounts(&script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(lab.path("image.tar").exists());
}
