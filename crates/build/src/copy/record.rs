//! The names and digests that stand for a selection in a step's key.

use super::{
    filter::below,
    join,
    select::{Picked, Selection},
    shown,
    source::{Found, Group, Origin},
};
use std::collections::BTreeMap;
use strake_layer::{Entry, Kind};
use strake_oci::Digest;

/// Up to so many records; where there are more entries, deep directories are summed up.
const MAX_RECORDS: usize = 4096;

impl Selection {
    /// Name and digest of what is copied. In a digest are kinds, modes, links, extended attributes,
    /// contents, and owners where they are kept; never times, nor where the source is.
    ///
    /// Small selections have a record for each file; in large ones a directory stands for all below
    /// it.
    pub fn records(&self) -> Vec<(String, String)> {
        let depth = self.depth();
        let mut records = Vec::new();
        for picked in &self.picked {
            if let Some(pinned) = &picked.pinned {
                records.push((shown(&picked.name), pinned.clone()));
                continue;
            }
            let groups = self.groups(picked, depth);
            records.extend(groups.into_iter().map(|(name, bytes)| {
                let name = if name.is_empty() { ".".to_owned() } else { shown(&name) };
                (name, Digest::of(&bytes).hex())
            }));
        }
        records
    }

    /// What describes the entries, by the first `depth` components of their paths.
    fn groups(&self, picked: &Picked, depth: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut groups: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut first_names: BTreeMap<Group, &[u8]> = BTreeMap::new();
        // The group of the last entry: in walking order it hardly ever changes.
        let (mut last, mut bytes) = (&b""[..], Vec::new());
        for (at, found) in picked.entries.iter().enumerate() {
            let path = below(&picked.base, &found.entry.path);
            let group = &path[..prefix(path, depth)];
            if group != last && at > 0 {
                groups.entry(join(&picked.name, last)).or_default().append(&mut bytes);
            }
            last = group;
            let first = found.group.map(|group| *first_names.entry(group).or_insert(path));
            part(path, &mut bytes);
            self.describe(picked, at, found, first, &mut bytes);
        }
        if !picked.entries.is_empty() {
            groups.entry(join(&picked.name, last)).or_default().append(&mut bytes);
        }
        groups
    }

    /// The greatest number of components that keeps the records few.
    fn depth(&self) -> usize {
        // How many entries have so many components.
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for picked in &self.picked {
            for found in &picked.entries {
                let path = below(&picked.base, &found.entry.path);
                let slashes = path.iter().filter(|byte| **byte == b'/').count();
                *counts.entry(slashes + usize::from(!path.is_empty())).or_default() += 1;
            }
        }
        let mut records = 0;
        let mut depth = 0;
        for (components, entries) in counts {
            records += entries;
            if records > MAX_RECORDS {
                return depth;
            }
            depth = components;
        }
        depth
    }

    fn describe(
        &self,
        picked: &Picked,
        at: usize,
        found: &Found,
        first_name: Option<&[u8]>,
        bytes: &mut Vec<u8>,
    ) {
        let Found { entry, content, origin, group: _, on_disk: _ } = found;
        let Entry { path: _, kind, mode, uid, gid, mtime: _, xattrs } = entry;
        bytes.push(u8::from(picked.archive.is_some()));
        part(&kind_bytes(kind), bytes);
        // Of a directory that is copied only what is in it goes along.
        let only_contents = at == 0 && matches!(kind, Kind::Directory { .. });
        if only_contents {
            return;
        }
        bytes.extend_from_slice(&mode.to_le_bytes());
        if self.owners_kept {
            bytes.extend_from_slice(&uid.to_le_bytes());
            bytes.extend_from_slice(&gid.to_le_bytes());
        }
        part(first_name.unwrap_or_default(), bytes);
        for (name, value) in xattrs {
            part(name, bytes);
            part(value, bytes);
        }
        match (content, origin) {
            (Some(hash), _) => part(&hash.0, bytes),
            (None, Origin::Bytes(content)) => part(content, bytes),
            (None, _) => part(b"", bytes),
        }
    }
}

/// The length of the first `depth` components of a path.
fn prefix(path: &[u8], depth: usize) -> usize {
    if depth == 0 {
        return 0;
    }
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| at).nth(depth - 1).unwrap_or(path.len())
}

fn part(part: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
    bytes.extend_from_slice(part);
}

fn kind_bytes(kind: &Kind) -> Vec<u8> {
    let device = |letter: &[u8], major: &u32, minor: &u32| {
        [letter, &major.to_le_bytes(), &minor.to_le_bytes()].concat()
    };
    match kind {
        Kind::File { size } => [b"f".as_slice(), &size.to_le_bytes()].concat(),
        Kind::Directory { opaque: _ } => b"d".to_vec(),
        Kind::Symlink { target } => [b"l", target.as_slice()].concat(),
        Kind::Hardlink { target } => [b"h", target.as_slice()].concat(),
        Kind::Character { major, minor } => device(b"c", major, minor),
        Kind::Block { major, minor } => device(b"b", major, minor),
        Kind::Fifo => b"p".to_vec(),
        Kind::Whiteout => b"w".to_vec(),
    }
}
