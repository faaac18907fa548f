//! Bases as they come from elsewhere: indexes of all kinds, configs with more and with less than usual,
//! layers packed in every way. What the image says was measured against Docker, case by case.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::{Ended, Lab};
use serde_json::{Value, json};
use std::{fs, io::Write};
use strake_oci::Digest;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A layout in the making: `odd` among the named contexts.
struct Odd<'a>(&'a Lab);

impl Odd<'_> {
    fn put(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        let folder = self.0.path("odd/blobs/sha256");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    fn document(&self, media_type: &str, document: &Value) -> Value {
        self.put(media_type, document.to_string().as_bytes())
    }

    fn manifest(&self, config: &Value, layers: &[Value]) -> Value {
        let config = self.document(CONFIG, config);
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": layers});
        self.document(MANIFEST, &manifest)
    }

    /// An image of two layers with this config, `rootfs` added.
    fn image(&self, config: &Value) -> Value {
        let layers = [tar("one"), tar("two")];
        let packed = layers.iter().map(|it| self.put(LAYER, it)).collect::<Vec<_>>();
        self.manifest(&with_layers(config, &layers), &packed)
    }

    fn index(&self, media_type: &str, entries: &[Value]) -> Value {
        self.document(media_type, &json!({"schemaVersion": 2, "manifests": entries}))
    }

    /// Builds on the image of that descriptor.
    fn build(&self, entry: &Value, more: &[&str]) -> Ended {
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        self.0.write("odd/index.json", &index.to_string());
        self.0.write("odd/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        self.0.write("context/Dockerfile", "FROM odd\nLABEL k=v\nCOPY Dockerfile /f\n");
        let named = format!("odd=oci-layout://{}", self.0.path("odd").display());
        let _ = fs::remove_dir_all(self.0.path("out"));
        let out = format!("type=oci,tar=false,dest={}", self.0.path("out").display());
        let args = ["--build-context", &named, "-o", &out];
        self.0.build(&[&args, more].concat())
    }

    /// The config of what was built.
    fn built(&self) -> Value {
        let index: Value =
            serde_json::from_slice(&fs::read(self.0.path("out/index.json")).unwrap()).unwrap();
        self.0.config(index["manifests"][0]["digest"].as_str().unwrap())
    }
}

/// A layer with one file.
fn tar(name: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, &b"x"[..]).unwrap();
    tar.into_inner().unwrap()
}

fn with_layers(config: &Value, layers: &[Vec<u8>]) -> Value {
    let mut config = config.clone();
    let ids: Vec<_> = layers.iter().map(|it| Digest::of(it).to_string()).collect();
    config["rootfs"] = json!({"type": "layers", "diff_ids": ids});
    config
}

fn usual() -> Value {
    json!({"architecture": "amd64", "os": "linux", "created": "2020-01-02T00:00:00Z",
        "config": {"Env": ["PATH=/bin", "V=usual"], "Cmd": ["sh"]},
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "one"},
                    {"created": "2020-01-02T00:00:00Z", "created_by": "two"}]})
}

fn with(key: &str, value: Value) -> Value {
    let mut config = usual();
    config[key] = value;
    config
}

fn without(keys: &[&str]) -> Value {
    let mut config = usual();
    keys.iter().for_each(|it| drop(config.as_object_mut().unwrap().remove(*it)));
    config
}

/// Each entry of the history in a word: what made it, with a dash where it made no layer.
fn history(config: &Value) -> Vec<String> {
    let word = |it: &Value| {
        let text = it["created_by"].as_str().unwrap_or("?");
        let text = text.split(['@', ' ']).next().unwrap().to_owned();
        if it["empty_layer"] == true { format!("-{text}") } else { text }
    };
    config["history"].as_array().unwrap().iter().map(word).collect()
}

#[test]
fn histories_that_do_not_fit_the_layers() {
    let lab = Lab::new();
    let odd = Odd(&lab);
    let entry = |it: &str| json!({"created_by": it});
    let empty = |it: &str| json!({"created_by": it, "empty_layer": true});
    for (given, want) in [
        (json!([entry("one"), entry("two")]), "one two -LABEL COPY"),
        (
            json!([entry("one"), empty("ENV"), entry("two"), empty("CMD")]),
            "one -ENV two -CMD -LABEL COPY",
        ),
        (json!([entry("one")]), "one -LABEL COPY [stage-0"),
        (json!(null), "-LABEL COPY pulled [stage-0"),
        (json!([entry("one"), entry("two"), entry("three")]), "one two three -LABEL -COPY"),
    ] {
        odd.build(&odd.image(&with("history", given)), &[]).ok();
        let built = odd.built();
        assert_eq!(history(&built).join(" "), want);
        let made = built["history"].as_array().unwrap().iter();
        assert_eq!(made.filter(|it| it["empty_layer"] != true).count(), 3);
        assert!(built["history"].as_array().unwrap().iter().all(|it| it["created"].is_string()));
    }
}

#[test]
fn configs_with_more_and_with_less() {
    let lab = Lab::new();
    let odd = Odd(&lab);
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let bare = json!({"Env": [path], "Labels": {"k": "v"}});
    let nothing = json!({"Env": null, "Cmd": null, "Entrypoint": null, "Labels": null,
        "Volumes": null, "ExposedPorts": null, "OnBuild": null, "Shell": null, "Healthcheck": null});
    let empty = json!({"Env": [], "Cmd": [], "Entrypoint": [], "Labels": {}, "Volumes": {},
        "ExposedPorts": {}, "OnBuild": [], "Shell": [], "User": "", "WorkingDir": ""});
    let more = json!({"Hostname": "h", "Domainname": "d", "AttachStdin": false, "Tty": true,
        "Env": ["PATH=/bin", "A=1", "A=2", "BARE", "=x"], "Image": "sha256:1", "StopTimeout": 5,
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1_000_000_000, "Unknown": 1}});
    let kept = json!({"Env": ["PATH=/bin", "A=1", "A=2", "BARE", "=x"], "Labels": {"k": "v"},
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1_000_000_000}});
    for (given, want) in [(json!(null), &bare), (nothing, &bare), (empty, &bare), (more, &kept)] {
        odd.build(&odd.image(&with("config", given)), &[]).ok();
        assert_eq!(&odd.built()["config"], want);
    }
    odd.build(&odd.image(&without(&["config", "created", "history"])), &[]).ok();
    assert_eq!(odd.built()["config"], bare);

    // Of what stands beside them, Docker keeps what its own type knows.
    let mut config = usual();
    for (key, value) in [
        ("docker_version", json!("18.09")),
        ("container_config", json!({"Hostname": "x"})),
        ("id", json!("x")),
        ("moby.buildkit.cache.v0", json!("x")),
        ("author", json!("me")),
        ("os.features", json!(["a"])),
    ] {
        config[key] = value;
    }
    config["history"][0]["unknown"] = json!(1);
    odd.build(&odd.image(&config), &[]).ok();
    let built = odd.built();
    let keys: Vec<_> = built.as_object().unwrap().keys().map(String::as_str).collect();
    let known = ["architecture", "author", "config", "created", "history", "os", "os.features"];
    assert_eq!(keys, [&known[..], &["rootfs"]].concat());
    assert_eq!(built["history"][0].get("unknown"), None);
}

/// What `os`, `architecture`, `variant` and `os.version` say, with dashes between them.
fn platform(config: &Value) -> String {
    let keys = ["os", "architecture", "variant", "os.version"];
    keys.iter().filter_map(|it| config[*it].as_str()).collect::<Vec<_>>().join("-")
}

#[test]
fn the_platform_is_the_bases_unless_another_is_asked_for() {
    let lab = Lab::new();
    let odd = Odd(&lab);
    let expected = "where linux/amd64 was expected";
    for (given, asked, want, warning) in [
        (with("architecture", json!("arm64")), None, "linux-arm64", expected),
        (with("architecture", json!("arm64")), Some("linux/amd64"), "linux-amd64", expected),
        (with("os.version", json!("1.2")), None, "linux-amd64-1.2", ""),
        (with("variant", json!("v2")), None, "linux-amd64-v2", ""),
        (with("variant", json!("v2")), Some("linux/amd64"), "linux-amd64-v2", ""),
        (with("variant", json!("v2")), Some("linux/amd64/v3"), "linux-amd64-v3", ""),
        (without(&["os", "architecture"]), None, "linux-amd64", ""),
    ] {
        let more: Vec<_> = asked.into_iter().flat_map(|it| ["--platform", it]).collect();
        let ended = odd.build(&odd.image(&given), &more);
        assert!(ended.stderr.contains(warning), "{}", ended.stderr);
        assert_eq!(ended.stderr.contains("was expected"), warning == expected);
        ended.ok();
        assert_eq!(platform(&odd.built()), want);
    }
}

#[test]
fn indexes_of_all_kinds() {
    let lab = Lab::new();
    let odd = Odd(&lab);
    let (config, usual) = (json!({"Env": ["PATH=/bin", "V=arm64"]}), odd.image(&usual()));
    let arm64 = odd.image(&json!({"architecture": "arm64", "os": "linux", "config": config}));
    let arm = |variant: &str| {
        let config = json!({"Env": ["PATH=/bin", format!("V={variant}")]});
        let image = json!({"architecture": "arm", "variant": variant, "os": "linux",
            "config": config});
        on(&odd.image(&image), "arm", Some(variant))
    };
    let unknown = json!({"architecture": "unknown", "os": "unknown", "config": {}});
    let unknown = odd.manifest(&with_layers(&unknown, &[]), &[]);
    let mut attestation = on(&unknown, "unknown", None);
    attestation["platform"]["os"] = json!("unknown");
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let (amd, arm64) = (on(&usual, "amd64", None), on(&arm64, "arm64", Some("v8")));
    let arms = [arm("v5"), arm("v6"), arm("v7"), arm64.clone()];
    for (kind, entries, asked, want) in [
        (INDEX, vec![attestation.clone(), amd.clone(), arm64.clone()], None, "usual"),
        (INDEX, vec![amd.clone(), arm64, attestation.clone()], Some("linux/arm64"), "arm64"),
        (INDEX, vec![usual.clone()], None, "usual"),
        (INDEX, vec![usual, attestation], None, "usual"),
        (LIST, vec![amd.clone()], None, "usual"),
        (INDEX, vec![on(&odd.index(INDEX, &[amd]), "amd64", None)], None, "usual"),
        (INDEX, arms.to_vec(), Some("linux/arm"), "v7"),
        (INDEX, arms.to_vec(), Some("linux/arm/v6"), "v6"),
        (INDEX, arms.to_vec(), Some("linux/arm64"), "arm64"),
        (INDEX, vec![arms[0].clone(), arms[2].clone()], Some("linux/arm/v6"), "v5"),
        (INDEX, vec![arms[0].clone(), arms[2].clone()], Some("linux/arm64"), "v7"),
    ] {
        let more: Vec<_> = asked.into_iter().flat_map(|it| ["--platform", it]).collect();
        odd.build(&odd.index(kind, &entries), &more).ok();
        assert_eq!(odd.built()["config"]["Env"][1], format!("V={want}"), "{asked:?}");
    }
    let none = odd.index(INDEX, &arms);
    odd.build(&none, &["--platform", "linux/s390x"]).failed_with(&["linux/s390x", "linux/arm/v7"]);
}

/// The descriptor with a platform.
fn on(entry: &Value, architecture: &str, variant: Option<&str>) -> Value {
    let mut entry = entry.clone();
    entry["platform"] = json!({"os": "linux", "architecture": architecture});
    if let Some(variant) = variant {
        entry["platform"]["variant"] = json!(variant);
    }
    entry
}

#[test]
fn layers_packed_in_every_way() {
    let lab = Lab::new();
    let odd = Odd(&lab);
    let layers = [tar("one"), tar("two")];
    let gzip = |bytes: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    for (media_type, packed) in [
        (LAYER.to_owned(), layers.clone()),
        (format!("{LAYER}+gzip"), layers.each_ref().map(|it| gzip(it))),
        (format!("{LAYER}+zstd"), layers.each_ref().map(|it| zstd(it))),
        // What it is counts, not what it is called.
        (format!("{LAYER}+gzip"), layers.each_ref().map(|it| zstd(it))),
        (foreign.to_owned(), layers.each_ref().map(|it| gzip(it))),
    ] {
        let entries = packed.each_ref().map(|it| odd.put(&media_type, it));
        let tree = lab.path("tree");
        let _ = fs::remove_dir_all(&tree);
        let local = format!("type=local,dest={}", tree.display());
        let config = with_layers(&usual(), &layers);
        odd.build(&odd.manifest(&config, &entries), &["-o", &local]).ok();
        for name in ["one", "two", "f"] {
            assert!(tree.join(name).is_file(), "{media_type}: {name}");
        }
    }
    // The same layer twice, and none at all.
    let twice = [tar("one"), tar("one")];
    let entries = twice.each_ref().map(|it| odd.put(LAYER, it));
    odd.build(&odd.manifest(&with_layers(&usual(), &twice), &entries), &[]).ok();
    assert_eq!(odd.built()["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
    odd.build(&odd.manifest(&with_layers(&usual(), &[]), &[]), &[]).ok();
    assert_eq!(odd.built()["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_no_image_is_refused() {
    let lab = Lab::new();
    let odd = Odd(&lab);
    let short = with_layers(&usual(), &[tar("one")]);
    let layers = [tar("one"), tar("two")].map(|it| odd.put(LAYER, &it));
    odd.build(&odd.manifest(&short, &layers), &[]).failed_with(&[
        "the manifest of odd has 2 layers, and its config has 1",
        "Dockerfile:1:1",
        "hint:",
    ]);
    let kind = "application/vnd.example.thing.v1+json";
    let config = odd.document(kind, &json!({"x": 1}));
    let artifact = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
        "layers": layers});
    odd.build(&odd.document(MANIFEST, &artifact), &[]).failed_with(&[
        "odd: it is no container image",
        kind,
        "Dockerfile:1:6",
        "hint:",
    ]);
    let old = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let schema1 = json!({"schemaVersion": 1, "name": "odd", "tag": "1", "architecture": "amd64",
        "fsLayers": [], "history": [], "signatures": []});
    odd.build(&odd.document(old, &schema1), &[]).failed_with(&[
        "odd",
        "schema 1",
        "Dockerfile:1:6",
        "hint:",
    ]);
}
