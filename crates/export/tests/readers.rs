//! Independent readers (skopeo, umoci, Python's tarfile, GNU tar) read what the exporters write.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fs_err as fs;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};
use strake_export::{
    Image, ImageLayer, MediaTypes, Owners, docker_archive, local, oci_dir, oci_tar, tar, write_file,
};
use strake_oci::{
    Descriptor, DiffId, Digest, History, ImageConfig, Manifest, Platform, Raw, media_type,
};

type Builder = ::tar::Builder<Vec<u8>>;

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Lab {
        Lab { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn layer(&self, number: usize, fill: impl FnOnce(&mut Builder)) -> ImageLayer {
        let mut builder = Builder::new(Vec::new());
        fill(&mut builder);
        let plain = builder.into_inner().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let blob = gzip.finish().unwrap();
        let path = self.path(&format!("layer{number}"));
        fs::write(&path, &blob).unwrap();
        let size = u64::try_from(blob.len()).unwrap();
        ImageLayer {
            descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, Digest::of(&blob), size),
            diff_id: DiffId(Digest::of(&plain)),
            blob: path,
        }
    }

    fn image(&self, names: &[&str], layers: Vec<ImageLayer>) -> Image {
        let mut config = ImageConfig::scratch(&Platform::host());
        config.created = Some("2026-01-02T03:04:05Z".to_owned());
        config.config.cmd = Some(vec!["/bin/hello".to_owned()]);
        config.rootfs.diff_ids = layers.iter().map(|it| it.diff_id).collect();
        config.history = layers.iter().map(|_| History::default()).collect();
        let config = Raw::write(config);
        let size = u64::try_from(config.bytes.len()).unwrap();
        let manifest = Raw::write(Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            config: Descriptor::new(media_type::OCI_CONFIG, config.digest(), size),
            layers: layers.iter().map(|it| it.descriptor.clone()).collect(),
            annotations: Default::default(),
        });
        let names = names.iter().map(|it| it.parse().unwrap()).collect();
        Image { manifest, config, layers, names, annotations: Default::default() }
    }

    /// Two layers with a whiteout, an opaque directory, links, modes, owners and hostile names.
    fn sample(&self, names: &[&str]) -> Image {
        let base = self.layer(0, |it| {
            directory(it, "bin", 0o755);
            file(it, "bin/hello", 0o4755, 0, b"#!/bin/sh\necho hello\n");
            link(it, "bin/hi", "bin/hello", ::tar::EntryType::Link);
            directory(it, "gone", 0o700);
            file(it, "gone/x", 0o600, 0, b"x");
            directory(it, "opaque", 0o1777);
            file(it, "opaque/below", 0o600, 0, b"x");
            directory(it, "usr", 0o755);
            directory(it, "usr/lib", 0o755);
            link(it, "lib", "usr/lib", ::tar::EntryType::Symlink);
            let long = format!("usr/lib/{}", "n".repeat(150));
            file(it, &long, 0o644, 1000, b"long");
            link(it, "escape", "/etc", ::tar::EntryType::Symlink);
        });
        let top = self.layer(1, |it| {
            file(it, ".wh.gone", 0o600, 0, b"");
            file(it, "opaque/.wh..wh..opq", 0o600, 0, b"");
            file(it, "opaque/above", 0o640, 1234, &[b'y'; 100_000]);
            file(it, "lib/through", 0o644, 0, b"through the link");
            file(it, "bin/hello", 0o755, 0, b"new");
        });
        self.image(names, vec![base, top])
    }
}

fn header(kind: ::tar::EntryType, mode: u32, uid: u64, size: usize) -> ::tar::Header {
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(uid);
    header.set_gid(uid);
    header.set_mtime(1_700_000_000);
    header.set_size(u64::try_from(size).unwrap());
    header
}

fn directory(builder: &mut Builder, path: &str, mode: u32) {
    let mut header = header(::tar::EntryType::Directory, mode, 0, 0);
    builder.append_data(&mut header, format!("{path}/"), [].as_slice()).unwrap();
}

fn file(builder: &mut Builder, path: &str, mode: u32, uid: u64, bytes: &[u8]) {
    let mut header = header(::tar::EntryType::Regular, mode, uid, bytes.len());
    builder.append_data(&mut header, path, bytes).unwrap();
}

fn link(builder: &mut Builder, path: &str, target: &str, kind: ::tar::EntryType) {
    builder.append_link(&mut header(kind, 0o777, 0, 0), path, target).unwrap();
}

/// Runs a program that must succeed and gives what it printed.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|it| panic!("{program} is needed by this test: {it}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const SAMPLE: &str = "\
bin d 755 0
bin/hello f 755 0 new
bin/hi f 4755 0 #!/bin/sh\\necho hello\\n
escape l 777 0 /etc
lib l 777 0 usr/lib
opaque d 1777 0
opaque/above f 640 1234 yyyyyyyyyyyyyyyyyyyyyyyy
usr d 755 0
usr/lib d 755 0
usr/lib/LONG f 644 1000 long
usr/lib/through f 644 0 through the link
";

/// Lists a tar as Python reads it.
fn python_listing(path: &Path) -> String {
    let program = r"
import sys, tarfile
lines = []
for it in tarfile.open(sys.argv[1]):
    kind = 'd' if it.isdir() else 'l' if it.issym() else 'h' if it.islnk() else 'f'
    body = it.linkname if kind in 'lh' else ''
    if kind == 'f':
        body = tarfile.open(sys.argv[1]).extractfile(it).read()[:24]
        body = body.decode().replace('\n', '\\n')
    name = it.name.replace('n' * 150, 'LONG')
    lines.append(' '.join([name, kind, '%o' % it.mode, str(it.uid), body]).rstrip())
print('\n'.join(sorted(lines)))
";
    run("python3", &["-c", program, text(path)])
}

#[test]
fn python_reads_the_flattened_tar() {
    let lab = Lab::new();
    let out = lab.path("root.tar");
    write_file(&out, |it| tar(&lab.sample(&[]), None, it)).unwrap();
    assert_eq!(python_listing(&out), SAMPLE);
    let unpacked = lab.path("unpacked");
    fs::create_dir(&unpacked).unwrap();
    run("tar", &["-xf", text(&out), "-C", text(&unpacked)]);
    assert_eq!(fs::read(unpacked.join("lib/through")).unwrap(), b"through the link");
}

#[test]
fn a_link_whose_first_name_is_gone_becomes_the_file() {
    let lab = Lab::new();
    let base = lab.layer(0, |it| {
        file(it, "z", 0o644, 0, b"content");
        link(it, "a", "z", ::tar::EntryType::Link);
        link(it, "b", "z", ::tar::EntryType::Link);
    });
    let top = lab.layer(1, |it| file(it, ".wh.z", 0o600, 0, b""));
    let out = lab.path("root.tar");
    let image = lab.image(&[], vec![base, top]);
    write_file(&out, |it| tar(&image, None, it)).unwrap();
    assert_eq!(python_listing(&out), "a f 644 0 content\nb h 644 0 a\n");
}

#[test]
fn a_folder_has_the_same_files_and_nothing_leaves_it() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let lab = Lab::new();
    let image = lab.sample(&[]);
    let (out, outside) = (lab.path("out"), lab.path("outside"));
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(&out).unwrap();
    // What is in the way is replaced, not followed; other files stay.
    symlink(&outside, out.join("bin")).unwrap();
    symlink(outside.join("file"), out.join("lib")).unwrap();
    fs::create_dir_all(out.join("escape/deep")).unwrap();
    fs::write(out.join("mine"), b"mine").unwrap();
    for _ in 0..2 {
        local(&image, &out, Owners::Caller, None).unwrap();
        assert_eq!(fs::read(out.join("bin/hello")).unwrap(), b"new");
        assert_eq!(fs::read(out.join("bin/hi")).unwrap(), b"#!/bin/sh\necho hello\n");
        assert_eq!(fs::read(out.join("usr/lib/through")).unwrap(), b"through the link");
        assert_eq!(fs::read_link(out.join("escape")).unwrap(), Path::new("/etc"));
        assert_eq!(fs::read(out.join("mine")).unwrap(), b"mine");
        assert!(!out.join("gone").exists() && !out.join("opaque/below").exists());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        let mode = |it: &str| fs::metadata(out.join(it)).unwrap().permissions().mode() & 0o7777;
        assert_eq!([mode("bin/hi"), mode("opaque"), mode("bin")], [0o4755, 0o1777, 0o755]);
        let above = fs::metadata(out.join("opaque/above")).unwrap();
        assert_eq!(above.mtime(), 1_700_000_000);
        assert_eq!(above.uid(), fs::metadata(out.join("mine")).unwrap().uid());
    }
}

#[test]
fn skopeo_reads_the_oci_archive() {
    let lab = Lab::new();
    let out = lab.path("image.tar");
    let image = lab.sample(&["localhost:5000/a/b:v1", "app"]);
    write_file(&out, |it| oci_tar(&image, it)).unwrap();
    let raw = run("skopeo", &["inspect", "--raw", &format!("oci-archive:{}:v1", text(&out))]);
    assert_eq!(raw.as_bytes(), image.manifest.bytes);
    let config =
        run("skopeo", &["inspect", "--config", &format!("oci-archive:{}:latest", text(&out))]);
    assert!(config.contains("/bin/hello"), "{config}");
    let names = run("tar", &["-tf", text(&out)]);
    let names: Vec<_> = names.lines().collect();
    assert_eq!(names[..2], ["blobs/", "blobs/sha256/"]);
    assert_eq!(names[names.len() - 2..], ["index.json", "oci-layout"]);
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let lab = Lab::new();
    let image = lab.sample(&["app"]);
    let bytes = || {
        let (mut oci, mut docker, mut root) = (Vec::new(), Vec::new(), Vec::new());
        oci_tar(&image, &mut oci).unwrap();
        docker_archive(&image, &mut docker).unwrap();
        tar(&image, None, &mut root).unwrap();
        (oci, docker, root)
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn a_layout_takes_further_images_and_umoci_unpacks_it() {
    let lab = Lab::new();
    let layout = lab.path("layout");
    let one = lab.sample(&["app:one"]);
    let other = lab.image(&["app:two"], vec![one.layers[0].clone()]);
    oci_dir(&one, &layout).unwrap();
    oci_dir(&other, &layout).unwrap();
    oci_dir(&one, &layout).unwrap();
    assert_eq!(run("umoci", &["list", "--layout", text(&layout)]), "two\none\n");
    let bundle = lab.path("bundle");
    let image = format!("{}:one", text(&layout));
    run("umoci", &["unpack", "--rootless", "--image", &image, text(&bundle)]);
    let rootfs = bundle.join("rootfs");
    assert_eq!(fs::read(rootfs.join("usr/lib/through")).unwrap(), b"through the link");
    assert!(!rootfs.join("gone").exists());
    let mut names: Vec<_> =
        fs::read_dir(&layout).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn a_folder_of_other_things_is_not_taken_for_a_layout() {
    let lab = Lab::new();
    let dir = lab.path("home");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("thesis.txt"), b"x").unwrap();
    let refused = oci_dir(&lab.sample(&[]), &dir).unwrap_err().to_string();
    assert!(refused.contains("thesis.txt"), "{refused}");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn skopeo_reads_the_docker_archive() {
    let lab = Lab::new();
    let out = lab.path("image.tar");
    let image = lab.sample(&["app:v1", "localhost:5000/x/y"]).with_media_types(MediaTypes::Docker);
    assert_eq!(image.manifest.value.config.media_type, media_type::DOCKER_CONFIG);
    write_file(&out, |it| docker_archive(&image, it)).unwrap();
    for name in ["docker.io/library/app:v1", "localhost:5000/x/y:latest"] {
        let copy = lab.path("copy");
        let source = format!("docker-archive:{}:{name}", text(&out));
        run("skopeo", &["--insecure-policy", "copy", &source, &format!("dir:{}", text(&copy))]);
        let config = fs::read(copy.join(image.config.digest().hex())).unwrap();
        assert_eq!(config, image.config.bytes);
        fs::remove_dir_all(copy).unwrap();
    }
    let manifest = run("tar", &["-xOf", text(&out), "manifest.json"]);
    assert!(manifest.contains(r#""RepoTags":["app:v1","localhost:5000/x/y:latest"]"#));
}

#[test]
fn hostile_layers_are_refused_by_name() {
    let lab = Lab::new();
    let mut hostile = header(::tar::EntryType::Regular, 0o644, 0, 0);
    hostile.as_old_mut().name[..7].copy_from_slice(b"../evil");
    hostile.set_cksum();
    let layer = lab.layer(0, |it| it.append(&hostile, [].as_slice()).unwrap());
    let image = lab.image(&[], vec![layer]);
    let out = lab.path("out");
    let refused = local(&image, &out, Owners::Caller, None).unwrap_err().to_string();
    assert!(refused.contains("../evil"), "{refused}");
    assert!(!lab.path("evil").exists());
    assert!(tar(&image, None, &mut Vec::new()).is_err());
}

#[test]
fn a_failed_export_leaves_a_folder_as_it_was() {
    let lab = Lab::new();
    let layer = lab.layer(0, |it| {
        file(it, "first", 0o644, 0, b"new");
        directory(it, "dir", 0o755);
        file(it, &format!("dir/{}", "n".repeat(300)), 0o644, 0, b"x");
    });
    let image = lab.image(&[], vec![layer]);
    let (fresh, used) = (lab.path("some/fresh"), lab.path("used"));
    fs::create_dir(&used).unwrap();
    fs::write(used.join("first"), b"old").unwrap();
    // What a killed export left is used up.
    fs::create_dir(used.join(".strake.tmp")).unwrap();
    for out in [&fresh, &used] {
        let error = local(&image, out, Owners::Caller, None).unwrap_err().to_string();
        assert!(error.contains("nnn"), "{error}");
    }
    assert!(!lab.path("some").exists());
    assert_eq!(fs::read(used.join("first")).unwrap(), b"old");
    assert_eq!(fs::read_dir(&used).unwrap().count(), 1);
}

#[test]
fn a_failed_export_leaves_a_layout_as_it_was() {
    let lab = Lab::new();
    let good = lab.sample(&["good"]);
    let mut bad = lab.image(&["bad"], good.layers.clone());
    // It can be opened, has the size that it should have, and cannot be read.
    let blob = lab.path("folder");
    fs::create_dir(&blob).unwrap();
    bad.layers[1].descriptor.size = fs::metadata(&blob).unwrap().len();
    bad.layers[1].blob = blob;
    let out = lab.path("some/layout");
    assert!(oci_dir(&bad, &out).is_err());
    assert!(!lab.path("some").exists());
    oci_dir(&lab.image(&["first"], vec![]), &out).unwrap();
    let index = fs::read(out.join("index.json")).unwrap();
    let blobs = || fs::read_dir(out.join("blobs/sha256")).unwrap().count();
    let before = blobs();
    assert!(oci_dir(&bad, &out).is_err());
    assert_eq!(fs::read(out.join("index.json")).unwrap(), index);
    assert_eq!(blobs(), before);
}

#[test]
fn a_blob_of_another_size_is_an_error_and_nothing_appears() {
    let lab = Lab::new();
    let image = lab.sample(&["app"]);
    fs::write(&image.layers[1].blob, b"cut").unwrap();
    let out = lab.path("image.tar");
    let error = write_file(&out, |it| oci_tar(&image, it)).unwrap_err().to_string();
    assert!(error.contains("has 3 bytes"), "{error}");
    assert!(!out.exists());
}
