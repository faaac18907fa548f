//! eStargz as its specification has it: read by the places in its table, and as any other layer.

use crate::support::{directory, file, one_of_each, packed, symlink, whiteout};
use std::{fs, io::Read};
use strake_layer::{Change, Compression, Rewritten, decompress, estargz, is_estargz, read_index};
use strake_oci::Digest;

struct Made {
    layer: Rewritten,
    bytes: Vec<u8>,
    tar_before: Vec<u8>,
}

fn made(changes: &[Change], threads: usize) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let packed = packed(changes, Compression::Zstd(3), dir.path());
    let blob = || fs::File::open(&packed.file).unwrap();
    let layer = estargz(blob(), 6, threads, dir.path()).unwrap();
    let bytes = fs::read(&layer.file).unwrap();
    Made { layer, bytes, tar_before: all(blob()) }
}

fn all(blob: impl Read + Send) -> Vec<u8> {
    let mut tar = Vec::new();
    decompress(blob).unwrap().read_to_end(&mut tar).unwrap();
    tar
}

/// Content of several pieces.
fn large() -> Vec<u8> {
    (0..9_000_000_u32).map(|it| (it / 7 % 251) as u8).collect()
}

fn changes() -> Vec<Change> {
    let mut changes = vec![directory("d"), file("d/empty", b""), file("d/large", &large())];
    changes.extend([file("d/small", b"text"), symlink("e", "d"), whiteout("f")]);
    changes
}

#[test]
fn the_layer_is_what_it_was_and_a_table_more() {
    for changes in [changes(), one_of_each(), Vec::new()] {
        let Made { layer, bytes, tar_before } = made(&changes, 2);
        let tar = all(&bytes[..]);
        assert!(tar.starts_with(&tar_before));
        assert_eq!(Digest::of(&tar), layer.diff_id.0);
        assert_eq!(Digest::of(&bytes), layer.descriptor.digest);
        assert_eq!(layer.descriptor.size, bytes.len() as u64);
        let size = &layer.descriptor.annotations["io.containers.estargz.uncompressed-size"];
        assert_eq!(*size, tar.len().to_string());
        assert!(is_estargz(&layer.descriptor));
        let now = read_index(&bytes[..], Some(layer.diff_id)).unwrap();
        assert_eq!(now, read_index(&tar_before[..], None).unwrap());
    }
}

#[test]
fn files_are_found_by_footer_and_table() {
    let Made { layer, bytes, .. } = made(&changes(), 2);
    let footer = &bytes[bytes.len() - 51..];
    assert_eq!(all(footer), b"");
    let place = std::str::from_utf8(&footer[16..32]).unwrap();
    assert_eq!(&footer[32..38], b"STARGZ");
    let place = usize::from_str_radix(place, 16).unwrap();
    let tar = all(&bytes[place..]);
    let end = tar.iter().rposition(|it| *it == b'}').unwrap();
    let json = &tar[512..=end];
    let digest = &layer.descriptor.annotations["containerd.io/snapshot/stargz/toc.digest"];
    assert_eq!(*digest, Digest::of(json).to_string());
    let toc: serde_json::Value = serde_json::from_slice(json).unwrap();
    assert_eq!(toc["version"], 1);
    let entries = toc["entries"].as_array().unwrap();
    let names: Vec<_> = entries
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["type"].as_str().unwrap()))
        .collect();
    let expected = [
        ("d/", "dir"),
        ("d/empty", "reg"),
        ("d/large", "reg"),
        ("d/large", "chunk"),
        ("d/large", "chunk"),
        ("d/small", "reg"),
        ("e", "symlink"),
        (".wh.f", "reg"),
    ];
    assert_eq!(names, expected);
    let number = |entry: usize, key: &str| entries[entry][key].as_u64().unwrap_or(0) as usize;
    let mut content = Vec::new();
    for entry in 2..5 {
        let offset = number(entry, "chunkOffset");
        let length = match number(entry, "chunkSize") {
            0 => large().len() - offset,
            length => length,
        };
        let chunk = &all(&bytes[number(entry, "offset")..])[..length];
        assert_eq!(entries[entry]["chunkDigest"], Digest::of(chunk).to_string());
        assert_eq!(offset, content.len());
        content.extend_from_slice(chunk);
    }
    assert!(content == large());
    assert_eq!(entries[2]["digest"], Digest::of(&content).to_string());
    assert_eq!(&all(&bytes[number(5, "offset")..])[..4], b"text");
    assert_eq!(entries[5]["modtime"], "2020-09-13T12:26:40Z");
    assert_eq!(entries[6]["linkName"], "d");
}

#[test]
fn the_bytes_do_not_depend_on_the_threads() {
    let once = made(&changes(), 1).bytes;
    for threads in [2, 4, 16] {
        assert!(made(&changes(), threads).bytes == once, "{threads}");
    }
}

#[test]
fn what_cannot_become_one_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let packed = packed(&[file("stargz.index.json", b"x")], Compression::None, dir.path());
    let error = estargz(fs::File::open(packed.file).unwrap(), 6, 2, dir.path()).unwrap_err();
    assert!(error.to_string().contains("its own table"), "{error}");
}
