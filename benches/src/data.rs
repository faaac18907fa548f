//! Made-up data.

use std::{collections::BTreeMap, path::Path, sync::Arc};
use strake_layer::{Body, Change, Entry, Kind};

/// Text of words and signs, of which gzip makes about a third.
pub(crate) fn text(bytes: usize) -> Vec<u8> {
    let words = ["function", "const", "return", "import", "value", "index", "export", "default"];
    let mut numbers = Numbers(3);
    let mut text = Vec::with_capacity(bytes + 32);
    while text.len() < bytes {
        let word = words[numbers.next(words.len())];
        text.extend_from_slice(word.as_bytes());
        let rest = format!("{:x}", numbers.next(1 << 12));
        text.extend_from_slice([" = ", "(", ");\n", " "][numbers.next(4)].as_bytes());
        text.extend_from_slice(rest.as_bytes());
    }
    text.truncate(bytes);
    text
}

/// Numbers that are the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) as usize % below
    }
}

/// The path of a file among many.
pub(crate) fn path(number: usize) -> String {
    format!("package-{:03}/lib-{:02}/module-{number:05}.js", number / 200, number / 20 % 10)
}

/// So many small files as a layer's changes.
pub(crate) fn changes(count: usize, length: usize) -> Vec<Change> {
    let text = text(1 << 20);
    let mut numbers = Numbers(5);
    let change = |at: usize| {
        let start = numbers.next(text.len() - length);
        let body: Arc<[u8]> = text[start..start + length].into();
        Change { entry: entry(path(at).as_bytes(), length), body: Body::Bytes(body) }
    };
    (0..count).map(change).collect()
}

pub(crate) fn entry(path: &[u8], length: usize) -> Entry {
    Entry {
        path: path.to_vec(),
        kind: Kind::File { size: length as u64 },
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 1_700_000_000,
        xattrs: BTreeMap::new(),
    }
}

/// So many files of a few bytes below a folder.
pub(crate) fn files(folder: &Path, count: usize) {
    for at in 0..count {
        let file = folder.join(path(at));
        fs_err::create_dir_all(file.parent().expect("it has one")).expect("a folder");
        fs_err::write(file, format!("file {at}\n")).expect("a file");
    }
}
