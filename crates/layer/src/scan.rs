//! Entries of a tar archive, checked and hashed, shown to a visitor one by one.

use crate::{
    ContentHash, Entry, EntryName, Index, IndexEntry, Kind, UnpackError, index, name,
    tar::{Archive, Header},
};
use std::{
    collections::BTreeMap,
    io::{self, Read},
};

/// Whether `.wh.` names mean deletion. In layers they do, and names with `..` are refused; in other
/// archives `..` leads up to the root at most.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whiteouts {
    Meant,
    Ordinary,
}

/// Sees the entries in order. Content that it leaves over is read all the same.
pub(crate) trait Visitor {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), UnpackError>;
    fn opaque(&mut self, directory: &[u8]) -> Result<(), UnpackError>;
}

/// Sees and does nothing.
pub(crate) struct Nobody;

impl Visitor for Nobody {
    fn entry(&mut self, _: &Entry, _: &mut dyn Read) -> Result<(), UnpackError> {
        Ok(())
    }

    fn opaque(&mut self, _: &[u8]) -> Result<(), UnpackError> {
        Ok(())
    }
}

/// What an entry asks for.
pub(crate) enum Seen {
    /// A whiteout is one too.
    Entry(Entry),
    /// This directory shows nothing of the layers below.
    Opaque(Vec<u8>),
}

/// Shows each entry with its content, in order. Content that is left over is skipped.
pub(crate) fn each<E: From<UnpackError>>(
    reader: &mut dyn Read,
    whiteouts: Whiteouts,
    mut see: impl FnMut(Seen, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut archive = Archive::new(reader);
    while let Some(header) = archive.next().map_err(UnpackError::tar)? {
        let Some(mut entry) = entry(header, whiteouts)? else { continue };
        if whiteouts == Whiteouts::Meant {
            match special(&mut entry)? {
                Special::No => {}
                Special::Ignored => continue,
                Special::Opaque(directory) => {
                    see(Seen::Opaque(directory), &mut io::empty())?;
                    continue;
                }
            }
        }
        see(Seen::Entry(entry), &mut archive)?;
    }
    Ok(())
}

/// Reads a whole archive.
pub(crate) fn scan(
    reader: &mut dyn Read,
    whiteouts: Whiteouts,
    visitor: &mut dyn Visitor,
) -> Result<Index, UnpackError> {
    let mut index = Index::default();
    let mut directories = BTreeMap::new();
    each(reader, whiteouts, |seen, archive| {
        let entry = match seen {
            Seen::Entry(entry) => entry,
            Seen::Opaque(directory) => {
                visitor.opaque(&directory)?;
                mark_opaque(&mut index, &mut directories, directory);
                return Ok::<_, UnpackError>(());
            }
        };
        if matches!(entry.kind, Kind::Directory { .. }) {
            directories.insert(entry.path.clone(), index.entries.len());
        }
        let content = visit(&entry, archive, &mut index, visitor)?;
        index.entries.push(IndexEntry { entry, content });
        Ok(())
    })?;
    Ok(index)
}

/// An opaque directory without an entry of its own gets one.
fn mark_opaque(index: &mut Index, directories: &mut BTreeMap<Vec<u8>, usize>, path: Vec<u8>) {
    if let Some(at) = directories.get(&path) {
        index.entries[*at].entry.kind = Kind::Directory { opaque: true };
        return;
    }
    directories.insert(path.clone(), index.entries.len());
    let mut entry = crate::tree::implied_directory(path);
    entry.kind = Kind::Directory { opaque: true };
    index.entries.push(IndexEntry { entry, content: None });
}

fn visit(
    entry: &Entry,
    archive: &mut dyn Read,
    index: &mut Index,
    visitor: &mut dyn Visitor,
) -> Result<Option<ContentHash>, UnpackError> {
    let Kind::File { size } = entry.kind else {
        // A changed passwd is no regular file any more.
        index.files.remove(&entry.path);
        visitor.entry(entry, archive)?;
        return Ok(None);
    };
    let kept = index::is_kept(&entry.path);
    if kept && size > index::KEPT_AT_MOST {
        return Err(UnpackError::TooLarge { entry: EntryName(entry.path.clone()) });
    }
    let copy = kept.then(Vec::new);
    let mut content = Content { inner: archive, hasher: blake3::Hasher::new(), copy };
    visitor.entry(entry, &mut content)?;
    io::copy(&mut content, &mut io::sink()).map_err(UnpackError::read)?;
    if let Some(copy) = content.copy {
        index.files.insert(entry.path.clone(), copy);
    }
    Ok(Some(ContentHash(content.hasher.finalize().into())))
}

struct Content<'a> {
    inner: &'a mut dyn Read,
    hasher: blake3::Hasher,
    copy: Option<Vec<u8>>,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.copy.iter_mut().for_each(|it| it.extend_from_slice(&buffer[..read]));
        Ok(read)
    }
}

/// Linux's PATH_MAX without its NUL.
const LONGEST_PATH: usize = 4095;

/// `None` for what is no entry: the root as anything but a directory does not occur.
fn entry(header: Header, whiteouts: Whiteouts) -> Result<Option<Entry>, UnpackError> {
    let shown = || EntryName(header.name.clone());
    let read = match whiteouts {
        Whiteouts::Meant => name::relative,
        Whiteouts::Ordinary => name::clamped,
    };
    let path = read(&header.name).ok_or_else(|| UnpackError::Escapes { entry: shown() })?;
    if path.len() > LONGEST_PATH {
        let start = EntryName(path[..40].to_vec());
        return Err(UnpackError::PathTooLong { start, length: path.len() });
    }
    let kind = match header.flag {
        b'0' | 0 | b'7' if header.name.ends_with(b"/") => Kind::Directory { opaque: false },
        b'0' | 0 | b'7' => Kind::File { size: header.size },
        b'1' => {
            let target = read(&header.link);
            let target = target.ok_or_else(|| UnpackError::LinkEscapes {
                entry: shown(),
                target: EntryName(header.link.clone()),
            })?;
            Kind::Hardlink { target }
        }
        b'2' => Kind::Symlink { target: header.link.clone() },
        b'3' => Kind::Character { major: header.major, minor: header.minor },
        b'4' => Kind::Block { major: header.major, minor: header.minor },
        b'5' => Kind::Directory { opaque: false },
        b'6' => Kind::Fifo,
        flag => return Err(UnpackError::UnknownType { entry: shown(), flag }),
    };
    if path.is_empty() && !matches!(kind, Kind::Directory { .. }) {
        return Err(UnpackError::Escapes { entry: shown() });
    }
    let Header { mode, uid, gid, mtime, xattrs, .. } = header;
    Ok(Some(Entry { path, kind, mode, uid, gid, mtime, xattrs }))
}

enum Special {
    No,
    Ignored,
    Opaque(Vec<u8>),
}

fn special(entry: &mut Entry) -> Result<Special, UnpackError> {
    let (parent, last) = name::split(&entry.path);
    let parent_is_special = parent.split(|it| *it == b'/').any(|it| it.starts_with(b".wh..wh."));
    if parent_is_special {
        return Ok(Special::Ignored);
    }
    let Some(deleted) = last.strip_prefix(b".wh.") else { return Ok(Special::No) };
    if last == b".wh..wh..opq" {
        return Ok(Special::Opaque(parent.to_vec()));
    }
    // What the old aufs driver kept for itself.
    if deleted.starts_with(b".wh.") {
        return Ok(Special::Ignored);
    }
    if matches!(deleted, b"" | b"." | b"..") {
        return Err(UnpackError::Escapes { entry: EntryName(entry.path.clone()) });
    }
    entry.path = name::join(parent, deleted);
    entry.kind = Kind::Whiteout;
    Ok(Special::No)
}
