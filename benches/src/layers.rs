//! Layers: packed, read and unpacked.

use crate::data;
use std::{fs::File, hint::black_box, io::Read as _, sync::Arc};
use strake_layer::{
    Compression, DigestReader, Form, PackOptions, Packed, Previous, Tree, pack, read_index,
};

/// Files of a layer, and bytes of each.
const FILES: usize = 500;
const LENGTH: usize = 8000;

fn packed(compression: Compression) -> (tempfile::TempDir, Packed) {
    let dir = tempfile::tempdir().expect("a folder");
    let options = PackOptions { compression, threads: 1 };
    let packed = pack(data::changes(FILES, LENGTH), &options, dir.path()).expect("it packs");
    (dir, packed)
}

fn packing(compression: Compression) -> Box<dyn FnMut()> {
    let dir = tempfile::tempdir().expect("a folder");
    let options = PackOptions { compression, threads: 1 };
    let changes = data::changes(FILES, LENGTH);
    Box::new(move || {
        let packed = pack(changes.clone(), &options, dir.path()).expect("it packs");
        fs_err::remove_file(black_box(packed).file).expect("it is there");
    })
}

pub(crate) fn tar() -> Box<dyn FnMut()> {
    packing(Compression::None)
}

pub(crate) fn gzip_1() -> Box<dyn FnMut()> {
    packing(Compression::Gzip(1))
}

pub(crate) fn gzip_5() -> Box<dyn FnMut()> {
    packing(Compression::Gzip(5))
}

pub(crate) fn gzip_9() -> Box<dyn FnMut()> {
    packing(Compression::Gzip(9))
}

pub(crate) fn zstd_3() -> Box<dyn FnMut()> {
    packing(Compression::Zstd(3))
}

/// All but one file as before.
pub(crate) fn repack() -> Box<dyn FnMut()> {
    let (dir, packed) = packed(Compression::Gzip(5));
    let options = PackOptions { compression: Compression::Gzip(5), threads: 1 };
    let mut changes = data::changes(FILES, LENGTH);
    changes[FILES / 2] = data::changes(1, 77).remove(0);
    Box::new(move || {
        let previous = Previous { blob: &packed.file, blocks: &packed.blocks };
        let again = strake_layer::repack(changes.clone(), &options, dir.path(), previous);
        fs_err::remove_file(again.expect("it packs").file).expect("it is there");
    })
}

pub(crate) fn hash() -> Box<dyn FnMut()> {
    let text = data::text(4 << 20);
    Box::new(move || {
        let mut reader = DigestReader::new(&text[..]);
        let mut buffer = vec![0; 64 << 10];
        while reader.read(&mut buffer).expect("from memory") > 0 {}
        black_box(reader.finish().expect("from memory"));
    })
}

fn indexing(compression: Compression) -> Box<dyn FnMut()> {
    let (dir, packed) = packed(compression);
    Box::new(move || {
        assert!(dir.path().exists());
        let blob = File::open(&packed.file).expect("it is there");
        black_box(read_index(blob, Some(packed.diff_id)).expect("a layer"));
    })
}

pub(crate) fn index_of_gzip() -> Box<dyn FnMut()> {
    indexing(Compression::Gzip(5))
}

pub(crate) fn index_of_zstd() -> Box<dyn FnMut()> {
    indexing(Compression::Zstd(3))
}

pub(crate) fn unpack() -> Box<dyn FnMut()> {
    let (dir, packed) = packed(Compression::Gzip(5));
    Box::new(move || {
        let root = dir.path().join("root");
        fs_err::create_dir(&root).expect("a folder");
        let blob = File::open(&packed.file).expect("it is there");
        let expected = Some(packed.diff_id);
        strake_layer::unpack(blob, None, expected, &root, Form::SingleId).expect("a layer");
        fs_err::remove_dir_all(&root).expect("it is there");
    })
}

/// Ten layers of which each replaces what is below.
pub(crate) fn stack() -> Box<dyn FnMut()> {
    let (_dir, packed) = packed(Compression::None);
    let index = Arc::new(packed.index);
    let indexes: Vec<_> = (0..10).map(|_| Arc::clone(&index)).collect();
    Box::new(move || {
        black_box(Tree::stack(&indexes));
    })
}
