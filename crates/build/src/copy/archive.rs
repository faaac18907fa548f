//! ADD of a local archive: its entries below the destination.
//!
//! As BuildKit does: links among the parents are followed within the destination, whatever is in
//! the place of an entry is replaced, devices are left out, `--chmod` does not apply.

use super::{
    CopyError,
    destination::{Destination, Made, NewDirectory},
    shown,
    source::is_directory,
    split,
};
use strake_layer::{Change, Entry, Kind};

/// Puts an archive's entries, in its order, below the directory `target`.
pub(super) fn place(
    entries: Vec<Change>,
    target: &[u8],
    number: usize,
    owner: Option<(u32, u32)>,
    destination: &mut Destination<'_>,
) -> Result<(), CopyError> {
    let mut times: Vec<(Vec<u8>, i64)> = Vec::new();
    for (at, Change { mut entry, body }) in entries.into_iter().enumerate() {
        let skipped = matches!(entry.kind, Kind::Character { .. } | Kind::Block { .. });
        if entry.path.is_empty() || skipped {
            continue;
        }
        let written = std::mem::take(&mut entry.path);
        let path = destination.resolve(target, &written, false)?;
        destination.make_directories(split(&path).0, NewDirectory::Roots)?;
        entry.path = path;
        (entry.uid, entry.gid) = owner.unwrap_or((entry.uid, entry.gid));
        if matches!(entry.kind, Kind::Symlink { .. }) {
            // Whatever the archive says: on disk a link has no other.
            entry.mode = 0o777;
        }
        if let Kind::Hardlink { target: first } = &entry.kind {
            let first = destination.resolve(target, first, false)?;
            link(&first, entry, (number, at), &written, destination)?;
        } else if is_directory(&entry) {
            times.push((entry.path.clone(), entry.mtime));
            directory(entry, destination);
        } else {
            destination.put(Made { entry, body, group: None });
        }
    }
    for (path, time) in times {
        if destination.is_directory(&path) {
            destination.update(&path, |entry| entry.mtime = time);
        }
    }
    Ok(())
}

fn directory(entry: Entry, destination: &mut Destination<'_>) {
    if !destination.is_directory(&entry.path) {
        destination.put(Made::plain(entry));
        return;
    }
    let Entry { path, kind: _, mode, uid, gid, mtime: _, xattrs } = entry;
    destination.update(&path, |entry| {
        (entry.mode, entry.uid, entry.gid) = (mode, uid, gid);
        entry.xattrs.extend(xattrs);
    });
}

/// A further name of an entry: both get the facts of the link's header.
fn link(
    first: &[u8],
    entry: Entry,
    (number, at): (usize, usize),
    written: &[u8],
    destination: &mut Destination<'_>,
) -> Result<(), CopyError> {
    let missing = || CopyError::ArchiveEntry {
        entry: shown(written),
        why: "it is a hard link to a file that the archive does not have before it",
    };
    let original = destination.made_mut(first).ok_or_else(missing)?;
    if is_directory(&original.entry) {
        return Err(missing());
    }
    // Far from what the groups of copied files are numbered with: those are of other sources.
    let group = *original.group.get_or_insert((number, (u64::MAX, at as u64)));
    let Entry { path, kind: _, mode, uid, gid, mtime, xattrs } = entry;
    let facts = &mut original.entry;
    (facts.mode, facts.uid, facts.gid, facts.mtime) = (mode, uid, gid, mtime);
    facts.xattrs.extend(xattrs);
    let mut copy = original.clone();
    copy.entry.path = path;
    copy.group = Some(group);
    destination.put(copy);
    Ok(())
}
