//! Packing with an earlier layer at hand: the bytes are those of packing without.

use crate::support::*;
use std::{fs, path::Path};
use strake_layer::{
    Blocks, Body, Change, Compression, ContentHash, Kind, OnDisk, PackError, PackOptions, Packed,
    Previous, pack, repack,
};

const OPTIONS: PackOptions = PackOptions { compression: Compression::Gzip(5), threads: 3 };

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) as usize % below
    }

    fn text(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| b"etaoin shrdlu\n"[self.next(14)]).collect()
    }
}

/// Files on disk, hashed as the files of a context are.
struct Tree<'a> {
    folder: &'a Path,
    files: Vec<(String, Vec<u8>)>,
}

impl Tree<'_> {
    fn changes(&self) -> Vec<Change> {
        let mut changes = vec![directory("app")];
        for (name, content) in &self.files {
            let path = self.folder.join(name);
            fs::write(&path, content).unwrap();
            changes.push(known(&path, name, content));
        }
        changes
    }

    fn edit(&mut self, numbers: &mut Numbers) {
        let at = numbers.next(self.files.len());
        let length = 1 + numbers.next(60_000);
        match numbers.next(6) {
            0 => self.files[at].1.push(b'x'),
            1 => self.files[at].1 = numbers.text(length),
            2 => drop(self.files.remove(at)),
            3 => {
                let name = format!("{}-{}", self.files[at].0, numbers.next(1000));
                self.files.insert(at + 1, (name, numbers.text(length)));
            }
            4 => self.files[at].1 = numbers.text(1_100_000 + 40 * length),
            _ => self.files[at].1.truncate(length / 2),
        }
    }
}

fn known(path: &Path, name: &str, content: &[u8]) -> Change {
    let hash = ContentHash(blake3::hash(content).into());
    let body = match content {
        [] => Body::Empty,
        _ => Body::Known(OnDisk::file(path.to_owned()), hash),
    };
    let kind = Kind::File { size: content.len() as u64 };
    Change { entry: entry(format!("app/{name}").as_bytes(), kind, 0o644), body }
}

fn check_same(changes: &[Change], earlier: &Packed, folder: &Path) -> Packed {
    let cold = pack(changes.to_vec(), &OPTIONS, folder).unwrap();
    let stored = Blocks::load(&earlier.blocks.to_bytes()).unwrap();
    assert_eq!(stored, earlier.blocks);
    let previous = Previous { blob: &earlier.file, blocks: &stored };
    let warm = repack(changes.to_vec(), &OPTIONS, folder, previous).unwrap();
    assert_eq!(warm.descriptor, cold.descriptor);
    assert_eq!(warm.diff_id, cold.diff_id);
    assert!(warm.index == cold.index);
    assert!(warm.blocks == cold.blocks);
    assert!(fs::read(&warm.file).unwrap() == fs::read(&cold.file).unwrap());
    fs::remove_file(cold.file).unwrap();
    warm
}

#[test]
fn edited_trees_are_packed_as_if_for_the_first_time() {
    for seed in 1..=2 {
        let mut numbers = Numbers(seed);
        let (folder, sources) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = (0..400).map(|it| {
            let length = numbers.next(40) * numbers.next(2_000);
            (format!("file-{it:04}"), numbers.text(length))
        });
        let mut tree = Tree { folder: sources.path(), files: files.collect() };
        tree.files[150].1 = numbers.text(2_700_000);
        let mut earlier = pack(tree.changes(), &OPTIONS, folder.path()).unwrap();
        assert!(earlier.blocks.len() > 16);
        earlier = check_same(&tree.changes(), &earlier, folder.path());
        for _ in 0..4 {
            (0..=numbers.next(3)).for_each(|_| tree.edit(&mut numbers));
            let packed = check_same(&tree.changes(), &earlier, folder.path());
            fs::remove_file(std::mem::replace(&mut earlier, packed).file).unwrap();
        }
    }
}

/// A file before the first change is not opened, so a layer is made although one is gone.
#[test]
fn what_stands_before_a_change_is_not_read() {
    let (folder, sources) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut numbers = Numbers(9);
    let files = (0..900).map(|it| (format!("file-{it:04}"), numbers.text(9_000)));
    let mut tree = Tree { folder: sources.path(), files: files.collect() };
    let earlier = pack(tree.changes(), &OPTIONS, folder.path()).unwrap();
    tree.files[899].1.push(b'x');
    let changes = tree.changes();
    let cold = pack(changes.to_vec(), &OPTIONS, folder.path()).unwrap();
    fs::remove_file(sources.path().join("file-0000")).unwrap();
    let previous = Previous { blob: &earlier.file, blocks: &earlier.blocks };
    let warm = repack(changes.to_vec(), &OPTIONS, folder.path(), previous).unwrap();
    assert_eq!(warm.descriptor, cold.descriptor);
    assert!(warm.index == cold.index);
}

#[test]
fn a_blob_that_is_gone_is_no_help_and_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let changes: Vec<_> = (0..9).map(|it| file(&format!("{it}"), &vec![it; 900_000])).collect();
    let cold = pack(changes.to_vec(), &OPTIONS, folder.path()).unwrap();
    let previous = Previous { blob: Path::new("/nowhere"), blocks: &cold.blocks };
    let warm = repack(changes.to_vec(), &OPTIONS, folder.path(), previous).unwrap();
    assert_eq!(warm.descriptor, cold.descriptor);
}

#[test]
fn a_file_that_changes_after_it_was_hashed_is_an_error() {
    for length in [10, 3_000_000] {
        let (folder, sources) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = sources.path().join("it");
        fs::write(&path, vec![b'b'; length]).unwrap();
        let change = known(&path, "it", &vec![b'a'; length]);
        let error = pack(vec![change], &OPTIONS, folder.path()).unwrap_err();
        assert!(matches!(error, PackError::ContentChanged { .. }), "{error}");
    }
}

#[test]
fn damaged_blocks_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let changes: Vec<_> = (0..9).map(|it| file(&format!("{it}"), &vec![it; 900_000])).collect();
    let bytes = pack(changes.to_vec(), &OPTIONS, folder.path()).unwrap().blocks.to_bytes();
    for length in 0..bytes.len() {
        assert!(Blocks::load(&bytes[..length]).is_err());
    }
    assert!(Blocks::load(&[&bytes[..], b"x"].concat()).is_err());
}
