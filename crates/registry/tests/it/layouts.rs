//! OCI image layouts as sources.

use crate::support::{amd64, image, noise};
use std::path::Path;
use strake_oci::{Descriptor, Digest, Index, Platform, Raw, media_type};
use strake_registry::{Error, Layout, PushImage, PushSource};

/// Writes blobs of `image` under `folder`, and returns the descriptor of its manifest.
fn store(folder: &Path, image: &PushImage) -> Descriptor {
    put(folder, &image.config);
    for layer in &image.layers {
        let PushSource::File(path) = &layer.source else { panic!("a file") };
        put(folder, &fs_err::read(path).unwrap());
    }
    put(folder, &image.manifest.bytes);
    let size = image.manifest.bytes.len() as u64;
    Descriptor::new(media_type::OCI_MANIFEST, image.manifest.digest(), size)
}

fn put(folder: &Path, bytes: &[u8]) -> Digest {
    let blobs = folder.join("blobs/sha256");
    fs_err::create_dir_all(&blobs).unwrap();
    fs_err::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
    Digest::of(bytes)
}

fn index(manifests: Vec<Descriptor>) -> Raw<Index> {
    Raw::write(Index {
        schema_version: 2,
        media_type: None,
        manifests,
        annotations: Default::default(),
    })
}

fn write_index(folder: &Path, manifests: Vec<Descriptor>) {
    fs_err::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs_err::write(folder.join("index.json"), index(manifests).bytes).unwrap();
}

fn named(descriptor: &Descriptor, key: &str, name: &str) -> Descriptor {
    let mut named = descriptor.clone();
    named.annotations.insert(key.to_owned(), name.to_owned());
    named
}

fn platform(descriptor: &Descriptor, platform: &str) -> Descriptor {
    Descriptor { platform: Some(platform.parse().unwrap()), ..descriptor.clone() }
}

const REF_NAME: &str = "org.opencontainers.image.ref.name";

#[test]
fn by_tag_by_digest_and_by_default() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (image(files.path(), &[b"one"]), image(files.path(), &[b"two"]));
    let (first, second) = (store(folder.path(), &one), store(folder.path(), &two));
    write_index(
        folder.path(),
        vec![
            named(&first, REF_NAME, "latest"),
            named(&second, "io.containerd.image.name", "docker.io/library/node:20-alpine"),
        ],
    );
    let layout = Layout::open(folder.path()).unwrap();
    for (wanted, want) in [
        (None, &one),
        (Some("latest"), &one),
        (Some("20-alpine"), &two),
        (Some("node:20-alpine"), &two),
        (Some(second.digest.to_string().as_str()), &two),
    ] {
        let resolved = layout.resolve(wanted, &amd64()).unwrap();
        assert_eq!(resolved.manifest, want.manifest, "{wanted:?}");
        let config = layout.config(&resolved.manifest.value.config).unwrap();
        assert_eq!(config.bytes, want.config);
    }
    let error = layout.resolve(Some("18"), &amd64()).unwrap_err();
    assert!(error.to_string().contains("docker.io/library/node:20-alpine"), "{error}");
    let absent = Digest::of(b"absent").to_string();
    assert!(matches!(layout.resolve(Some(&absent), &amd64()), Err(Error::NotInLayout { .. })));
}

#[test]
fn the_platform_is_chosen_in_a_nested_index_and_at_the_top() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (image(files.path(), &[b"one"]), image(files.path(), &[b"two"]));
    let entries = vec![
        platform(&store(folder.path(), &one), "linux/arm64"),
        platform(&store(folder.path(), &two), "linux/amd64"),
    ];
    write_index(folder.path(), entries.clone());
    let top = Layout::open(folder.path()).unwrap().resolve(None, &amd64()).unwrap();
    assert_eq!(top.manifest, two.manifest);

    let nested = index(entries);
    let digest = put(folder.path(), &nested.bytes);
    let outer = Descriptor::new(media_type::OCI_INDEX, digest, nested.bytes.len() as u64);
    write_index(folder.path(), vec![outer]);
    let layout = Layout::open(folder.path()).unwrap();
    let resolved = layout.resolve(None, &amd64()).unwrap();
    assert_eq!((resolved.digest, &resolved.manifest), (digest, &two.manifest));
    assert_eq!(resolved.index.unwrap().bytes, nested.bytes);
    let riscv: Platform = "linux/riscv64".parse().unwrap();
    let error = layout.resolve(None, &riscv).unwrap_err().to_string();
    assert!(error.contains("linux/amd64, linux/arm64"), "{error}");
}

#[test]
fn an_archive_is_as_good_as_a_folder() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = noise(5, 700_000);
    let image = image(files.path(), &[&bytes]);
    let manifest = store(folder.path(), &image);
    write_index(folder.path(), vec![manifest]);
    let path = files.path().join("image.tar");
    let mut archive = tar::Builder::new(fs_err::File::create(&path).unwrap());
    archive.append_dir_all(".", folder.path()).unwrap();
    archive.into_inner().unwrap();

    for layout in [Layout::open(&path).unwrap(), Layout::open(folder.path()).unwrap()] {
        let resolved = layout.resolve(None, &amd64()).unwrap();
        assert_eq!(resolved.manifest, image.manifest);
        let mut layer = Vec::new();
        layout.copy_blob(&image.layers[0].descriptor, &mut layer, &|_| {}).unwrap();
        assert!(layer == bytes);
    }
}

#[test]
fn damage_is_found() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let image = image(files.path(), &[b"layer"]);
    let manifest = store(folder.path(), &image);
    write_index(folder.path(), vec![manifest.clone()]);
    let layout = Layout::open(folder.path()).unwrap();
    let layer = &image.layers[0].descriptor;
    fs_err::write(layout.blob_path(&layer.digest).unwrap(), b"LAYER").unwrap();
    let error = layout.copy_blob(layer, &mut Vec::new(), &|_| {}).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    fs_err::write(layout.blob_path(&layer.digest).unwrap(), b"more than it was").unwrap();
    let error = layout.copy_blob(layer, &mut Vec::new(), &|_| {}).unwrap_err();
    assert!(matches!(error, Error::WrongSize { .. }), "{error}");
    let mut broken = image.manifest.bytes.clone();
    broken[0] = b' ';
    fs_err::write(layout.blob_path(&manifest.digest).unwrap(), broken).unwrap();
    let error = layout.resolve(None, &amd64()).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
}

#[test]
fn what_is_no_layout_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Layout::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("index.json"), "{error}");
    for (name, bytes) in [("a", &b"not a tar"[..]), ("b.tar.gz", b"\x1f\x8b\x08\0"), ("c", b"")] {
        let path = folder.path().join(name);
        fs_err::write(&path, bytes).unwrap();
        let error = Layout::open(&path).unwrap_err();
        assert!(matches!(error, Error::NotALayout { .. }), "{error}");
    }
    let error = Layout::open(&folder.path().join("absent")).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
}
