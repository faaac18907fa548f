//! The identity of a layer's content, and an index as bytes.

use crate::{ContentHash, Entry, Index, IndexEntry, Kind, name};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    io::{self, Write},
};
use strake_oci::Digest;

/// `etc/passwd` and `etc/group` larger than this are refused.
pub(crate) const KEPT_AT_MOST: u64 = 16 << 20;

const MAGIC: &[u8; 8] = b"stridx\x00\x01";

/// The paths of [`Index::files`].
pub(crate) const KEPT: [&[u8]; 2] = [b"etc/passwd", b"etc/group"];

/// Whether the content at this path is kept in [`Index::files`].
pub(crate) fn is_kept(path: &[u8]) -> bool {
    KEPT.contains(&path)
}

/// The bytes are no index of this version.
#[derive(Debug, thiserror::Error)]
#[error("not a layer index of this version, or cut off")]
pub struct InvalidIndex;

/// Returns the identity of what a layer holds: names, kinds, modes, owners, links, extended
/// attributes, contents and times. A time within `window` (seconds since 1970, both included) counts
/// as "now". The order of the entries has no part in it.
pub fn content_id(index: &Index, window: Option<(i64, i64)>) -> Digest {
    let mut sorted: Vec<&IndexEntry> = index.entries.iter().collect();
    // Stable: of two entries with one path the later one counts.
    sorted.sort_by(|left, right| name::compare(&left.entry.path, &right.entry.path));
    let mut sha = Sha256::new();
    sha.update(b"strake layer content 1");
    let mut bytes = Vec::new();
    for it in sorted {
        bytes.clear();
        let now = window.is_some_and(|(first, last)| (first..=last).contains(&it.entry.mtime));
        bytes.push(u8::from(now));
        put_bytes(&mut bytes, &it.entry.path);
        put_entry(&mut bytes, it, if now { 0 } else { it.entry.mtime });
        sha.update((bytes.len() as u64).to_le_bytes());
        sha.update(&bytes);
    }
    Digest::from_sha256(sha.finalize().into())
}

/// Writes an index so that [`load_index`] can read it.
pub fn write_index(index: &Index, mut out: impl Write) -> io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    put_number(&mut bytes, index.entries.len() as u64);
    let mut previous: &[u8] = b"";
    for it in &index.entries {
        let path = &it.entry.path;
        let same = previous.iter().zip(path).take_while(|(it, other)| it == other).count();
        put_number(&mut bytes, same as u64);
        put_bytes(&mut bytes, &path[same..]);
        put_entry(&mut bytes, it, it.entry.mtime);
        previous = path;
        if bytes.len() > 1 << 20 {
            out.write_all(&bytes)?;
            bytes.clear();
        }
    }
    put_number(&mut bytes, index.files.len() as u64);
    for (path, content) in &index.files {
        put_bytes(&mut bytes, path);
        put_bytes(&mut bytes, content);
    }
    out.write_all(&bytes)
}

fn put_entry(bytes: &mut Vec<u8>, it: &IndexEntry, mtime: i64) {
    let IndexEntry { entry: Entry { path: _, kind, mode, uid, gid, mtime: _, xattrs }, content } =
        it;
    match kind {
        Kind::File { size } => {
            bytes.push(0);
            put_number(bytes, *size);
        }
        Kind::Directory { opaque } => bytes.push(1 + u8::from(*opaque)),
        Kind::Symlink { target } => {
            bytes.push(3);
            put_bytes(bytes, target);
        }
        Kind::Hardlink { target } => {
            bytes.push(4);
            put_bytes(bytes, target);
        }
        Kind::Character { major, minor } => {
            bytes.push(5);
            put_number(bytes, u64::from(*major));
            put_number(bytes, u64::from(*minor));
        }
        Kind::Block { major, minor } => {
            bytes.push(6);
            put_number(bytes, u64::from(*major));
            put_number(bytes, u64::from(*minor));
        }
        Kind::Fifo => bytes.push(7),
        Kind::Whiteout => bytes.push(8),
    }
    [*mode, *uid, *gid].iter().for_each(|it| put_number(bytes, u64::from(*it)));
    // Zigzag: small negative numbers stay small.
    put_number(bytes, ((mtime << 1) ^ (mtime >> 63)) as u64);
    put_number(bytes, xattrs.len() as u64);
    for (name, value) in xattrs {
        put_bytes(bytes, name);
        put_bytes(bytes, value);
    }
    bytes.push(u8::from(content.is_some()));
    content.iter().for_each(|it| bytes.extend_from_slice(&it.0));
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what [`write_index`] wrote.
pub fn load_index(bytes: &[u8]) -> Result<Index, InvalidIndex> {
    let mut rest = Rest(bytes.strip_prefix(MAGIC).ok_or(InvalidIndex)?);
    let count = rest.length()?;
    let mut entries: Vec<IndexEntry> = Vec::with_capacity(count);
    for _ in 0..count {
        let same = rest.number()?;
        let previous = entries.last().map_or(&b""[..], |it| &it.entry.path);
        let same = usize::try_from(same).ok().and_then(|it| previous.get(..it));
        let path = [same.ok_or(InvalidIndex)?, rest.bytes()?].concat();
        entries.push(rest.entry(path)?);
    }
    let mut files = BTreeMap::new();
    for _ in 0..rest.length()? {
        files.insert(rest.bytes()?.to_vec(), rest.bytes()?.to_vec());
    }
    if !rest.0.is_empty() {
        return Err(InvalidIndex);
    }
    Ok(Index { entries, files })
}

pub(crate) struct Rest<'a>(pub(crate) &'a [u8]);

impl<'a> Rest<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], InvalidIndex> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(InvalidIndex)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, InvalidIndex> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(InvalidIndex)
    }

    /// A number of things, each of which takes at least a byte.
    pub(crate) fn length(&mut self) -> Result<usize, InvalidIndex> {
        let length = usize::try_from(self.number()?).map_err(|_| InvalidIndex)?;
        if length > self.0.len() { Err(InvalidIndex) } else { Ok(length) }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], InvalidIndex> {
        let length = self.length()?;
        self.take(length)
    }

    fn small(&mut self) -> Result<u32, InvalidIndex> {
        u32::try_from(self.number()?).map_err(|_| InvalidIndex)
    }

    fn entry(&mut self, path: Vec<u8>) -> Result<IndexEntry, InvalidIndex> {
        let kind = self.kind()?;
        let (mode, uid, gid) = (self.small()?, self.small()?, self.small()?);
        let zigzag = self.number()?;
        let mtime = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let mut xattrs = BTreeMap::new();
        for _ in 0..self.length()? {
            xattrs.insert(self.bytes()?.to_vec(), self.bytes()?.to_vec());
        }
        let content = match self.take(1)?[0] {
            0 => None,
            1 => Some(ContentHash(self.take(32)?.try_into().map_err(|_| InvalidIndex)?)),
            _ => return Err(InvalidIndex),
        };
        Ok(IndexEntry { entry: Entry { path, kind, mode, uid, gid, mtime, xattrs }, content })
    }

    fn kind(&mut self) -> Result<Kind, InvalidIndex> {
        Ok(match self.take(1)?[0] {
            0 => Kind::File { size: self.number()? },
            1 => Kind::Directory { opaque: false },
            2 => Kind::Directory { opaque: true },
            3 => Kind::Symlink { target: self.bytes()?.to_vec() },
            4 => Kind::Hardlink { target: self.bytes()?.to_vec() },
            5 => Kind::Character { major: self.small()?, minor: self.small()? },
            6 => Kind::Block { major: self.small()?, minor: self.small()? },
            7 => Kind::Fifo,
            8 => Kind::Whiteout,
            _ => return Err(InvalidIndex),
        })
    }
}
