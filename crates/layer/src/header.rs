//! Tar headers as Go's archive/tar writes them: ustar, with PAX records where ustar falls short.
//!
//! POSIX.1-2024, *pax*, "ustar Interchange Format" and "pax Extended Header". Whole-second times,
//! no user and group names, `SCHILY.xattr.*` for extended attributes, records sorted by key.

use crate::{Entry, EntryName, Kind, PackError};
use std::collections::BTreeMap;

/// The unit of a tar archive.
pub(crate) const BLOCK: usize = 512;

const NAME: std::ops::Range<usize> = 0..100;
const LINK: std::ops::Range<usize> = 157..257;
const PREFIX: std::ops::Range<usize> = 345..500;

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Appends everything that stands before the content of `entry`. An opaque directory is followed by
/// its marker; the root itself has no header.
pub(crate) fn append(out: &mut Vec<u8>, entry: &Entry) -> Result<(), PackError> {
    check_path(entry)?;
    let opaque = matches!(entry.kind, Kind::Directory { opaque: true });
    if !entry.path.is_empty() {
        append_one(out, entry, &name_in_tar(entry)?)?;
    }
    if opaque {
        let marker = Entry {
            path: Vec::new(),
            kind: Kind::File { size: 0 },
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: entry.mtime,
            xattrs: BTreeMap::new(),
        };
        append_one(out, &marker, &crate::name::join(&entry.path, b".wh..wh..opq"))?;
    }
    Ok(())
}

/// Appends the zeros that fill up the last block of a content of `size` bytes.
pub(crate) fn append_padding(out: &mut Vec<u8>, size: u64) {
    out.resize(out.len() + padding(size), 0);
}

/// How many zeros follow a content of `size` bytes.
pub(crate) fn padding(size: u64) -> usize {
    let used = usize::try_from(size % BLOCK as u64).expect("less than 512");
    (BLOCK - used) % BLOCK
}

fn check_path(entry: &Entry) -> Result<(), PackError> {
    let clean = crate::name::relative(&entry.path).is_some_and(|it| it == entry.path);
    let is_directory = matches!(entry.kind, Kind::Directory { .. });
    if !clean || (entry.path.is_empty() && !is_directory) {
        return Err(PackError::InvalidPath { entry: EntryName(entry.path.clone()) });
    }
    if crate::name::split(&entry.path).1.starts_with(b".wh.") {
        return Err(PackError::ReservedName { entry: EntryName(entry.path.clone()) });
    }
    Ok(())
}

fn name_in_tar(entry: &Entry) -> Result<Vec<u8>, PackError> {
    let mut name = entry.path.clone();
    match &entry.kind {
        Kind::Directory { .. } => name.push(b'/'),
        Kind::Whiteout => {
            let (parent, last) = crate::name::split(&entry.path);
            name = crate::name::join(parent, &[b".wh.", last].concat());
        }
        Kind::Symlink { target } | Kind::Hardlink { target } if target.contains(&0) => {
            return Err(PackError::InvalidPath { entry: EntryName(target.clone()) });
        }
        Kind::File { .. } | Kind::Symlink { .. } | Kind::Hardlink { .. } => {}
        Kind::Character { .. } | Kind::Block { .. } | Kind::Fifo => {}
    }
    Ok(name)
}

fn append_one(out: &mut Vec<u8>, entry: &Entry, name: &[u8]) -> Result<(), PackError> {
    let mut block = [0; BLOCK];
    let (flag, link, size) = match &entry.kind {
        Kind::File { size } => (b'0', &b""[..], *size),
        Kind::Whiteout => (b'0', &b""[..], 0),
        Kind::Hardlink { target } => (b'1', target.as_slice(), 0),
        Kind::Symlink { target } => (b'2', target.as_slice(), 0),
        Kind::Character { .. } => (b'3', &b""[..], 0),
        Kind::Block { .. } => (b'4', &b""[..], 0),
        Kind::Directory { .. } => (b'5', &b""[..], 0),
        Kind::Fifo => (b'6', &b""[..], 0),
    };
    let mut records = xattr_records(entry)?;
    let prefix = place_name(&mut block, name, records.is_empty(), &mut records);
    text(&mut block[LINK], link, b"linkpath", &mut records);
    octal(&mut block[100..108], u64::from(entry.mode));
    number(&mut block[108..116], i64::from(entry.uid), b"uid", &mut records);
    number(&mut block[116..124], i64::from(entry.gid), b"gid", &mut records);
    number(&mut block[124..136], i64::try_from(size).unwrap_or(i64::MAX), b"size", &mut records);
    number(&mut block[136..148], entry.mtime, b"mtime", &mut records);
    let (major, minor) = match entry.kind {
        Kind::Character { major, minor } | Kind::Block { major, minor } => (major, minor),
        _ => (0, 0),
    };
    for (field, value) in [(329..337, major), (337..345, minor)] {
        if !octal(&mut block[field], u64::from(value)) {
            return Err(PackError::DeviceNumber { entry: EntryName(entry.path.clone()), value });
        }
    }
    if records.is_empty() {
        // The two-part name of ustar is used only where that alone is enough.
        if let Some(at) = prefix {
            block[NAME].fill(0);
            block[NAME][..name.len() - at - 1].copy_from_slice(&name[at + 1..]);
            block[PREFIX][..at].copy_from_slice(&name[..at]);
        }
    } else {
        if prefix.is_some() {
            records.insert(b"path".to_vec(), name.to_vec());
        }
        append_records(out, name, &records);
    }
    seal(&mut block, flag);
    out.extend_from_slice(&block);
    Ok(())
}

fn xattr_records(entry: &Entry) -> Result<Records, PackError> {
    let mut records = Records::new();
    for (name, value) in &entry.xattrs {
        if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
            let (entry, name) = (EntryName(entry.path.clone()), EntryName(name.clone()));
            return Err(PackError::XattrName { entry, name });
        }
        records.insert([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone());
    }
    Ok(records)
}

/// Puts the name into the block, and into the records if need be. Where ustar could hold it in two
/// parts, nothing is recorded and the place of the parting slash is returned.
fn place_name(
    block: &mut [u8; BLOCK],
    name: &[u8],
    ustar: bool,
    records: &mut Records,
) -> Option<usize> {
    let at = if ustar { parting_slash(name) } else { None };
    let mut unused = Records::new();
    let records = if at.is_some() { &mut unused } else { records };
    text(&mut block[NAME], name, b"path", records);
    at
}

/// Where a name too long for one field may be parted: the last slash that leaves 155 bytes before
/// and 100 after it.
fn parting_slash(name: &[u8]) -> Option<usize> {
    if name.len() <= NAME.len() || !name.is_ascii() {
        return None;
    }
    let mut searched = name.len().min(PREFIX.len() + 1);
    if searched == name.len() && name.ends_with(b"/") {
        searched -= 1;
    }
    let at = name[..searched].iter().rposition(|it| *it == b'/')?;
    let rest = name.len() - at - 1;
    (at > 0 && at <= PREFIX.len() && (1..=NAME.len()).contains(&rest)).then_some(at)
}

fn text(field: &mut [u8], value: &[u8], key: &[u8], records: &mut Records) {
    if value.len() > field.len() || !value.is_ascii() {
        records.insert(key.to_vec(), value.to_vec());
    }
    let ascii: Vec<u8> = value.iter().copied().filter(u8::is_ascii).collect();
    let length = ascii.len().min(field.len());
    field[..length].copy_from_slice(&ascii[..length]);
    if ascii.len() > field.len() && field.ends_with(b"/") {
        // Readers of old take a name cut off at a slash for a directory.
        let kept = field.iter().rposition(|it| *it != b'/').map_or(0, |it| it + 1);
        field[kept..].fill(0);
    }
}

fn number(field: &mut [u8], value: i64, key: &[u8], records: &mut Records) {
    if !u64::try_from(value).is_ok_and(|it| octal(field, it)) {
        records.insert(key.to_vec(), value.to_string().into_bytes());
        octal(field, 0);
    }
}

/// Writes octal digits and a NUL; false if they do not fit.
fn octal(field: &mut [u8], mut value: u64) -> bool {
    let digits = field.len() - 1;
    for place in field[..digits].iter_mut().rev() {
        *place = b'0' + (value & 7) as u8;
        value >>= 3;
    }
    value == 0
}

fn append_records(out: &mut Vec<u8>, name: &[u8], records: &Records) {
    let mut body = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        // The length counts its own digits.
        let mut length = rest + rest.to_string().len();
        if rest + length.to_string().len() != length {
            length = rest + length.to_string().len();
        }
        body.extend_from_slice(length.to_string().as_bytes());
        body.push(b' ');
        body.extend_from_slice(key);
        body.push(b'=');
        body.extend_from_slice(value);
        body.push(b'\n');
    }
    let (parent, last) = crate::name::split(name);
    let parent = crate::name::join(parent, b"PaxHeaders.0");
    let mut shown = crate::name::join(&parent, last);
    shown.retain(u8::is_ascii);
    shown.truncate(NAME.len());
    while shown.ends_with(b"/") {
        shown.pop();
    }
    let mut block = [0; BLOCK];
    block[..shown.len()].copy_from_slice(&shown);
    for field in [100..108, 108..116, 116..124, 136..148] {
        octal(&mut block[field], 0);
    }
    octal(&mut block[124..136], body.len() as u64);
    seal(&mut block, b'x');
    out.extend_from_slice(&block);
    out.extend_from_slice(&body);
    append_padding(out, body.len() as u64);
}

fn seal(block: &mut [u8; BLOCK], flag: u8) {
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|it| u64::from(*it)).sum();
    octal(&mut block[148..155], sum);
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, append};
    use crate::{Entry, Kind, tar::Archive};
    use std::collections::BTreeMap;

    fn entry(path: &str, kind: Kind) -> Entry {
        let (path, xattrs) = (path.into(), BTreeMap::new());
        Entry { path, kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, xattrs }
    }

    fn written(entry: &Entry) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(&mut bytes, entry).unwrap();
        bytes
    }

    #[test]
    fn a_plain_header_is_ustar() {
        let bytes = written(&Entry {
            uid: 0o1234567,
            mtime: 0o14000000000,
            ..entry("usr/bin/env", Kind::File { size: 5 })
        });
        assert_eq!(bytes.len(), BLOCK);
        assert_eq!(&bytes[..12], b"usr/bin/env\0");
        let fields = b"0000644\x001234567\x000000000\x0000000000005\x0014000000000\x00";
        assert_eq!(&bytes[100..148], fields);
        assert_eq!(&bytes[156..158], b"0\0");
        assert_eq!(&bytes[257..265], b"ustar\x0000");
        assert_eq!(&bytes[329..345], b"0000000\x000000000\x00");
    }

    #[test]
    fn what_ustar_cannot_hold_is_in_records() {
        let size = 9 << 30;
        let large = Entry { uid: 4_000_000_000, mtime: -1, ..entry("large", Kind::File { size }) };
        let bytes = written(&large);
        let records = "12 mtime=-1\n19 size=9663676416\n18 uid=4000000000\n";
        assert_eq!(&bytes[..18], b"PaxHeaders.0/large");
        assert_eq!(bytes[156], b'x');
        assert_eq!(&bytes[BLOCK..BLOCK + records.len()], records.as_bytes());
        assert_eq!(&bytes[2 * BLOCK + 124..2 * BLOCK + 136], b"00000000000\0");
        let header = Archive::new(&bytes[..]).next().unwrap().unwrap();
        assert_eq!((header.size, header.uid, header.mtime), (size, 4_000_000_000, -1));
    }

    #[test]
    fn long_names_are_parted_where_that_is_enough() {
        let parted = format!("{}/{}", "d".repeat(150), "f".repeat(100));
        let bytes = written(&entry(&parted, Kind::File { size: 0 }));
        assert_eq!(bytes.len(), BLOCK);
        assert_eq!(&bytes[..100], "f".repeat(100).as_bytes());
        assert_eq!(&bytes[345..496], format!("{}\0", "d".repeat(150)).as_bytes());
        for path in [format!("a/{}", "f".repeat(101)), "\u{e9}".to_owned(), "f".repeat(101)] {
            let bytes = written(&entry(&path, Kind::Directory { opaque: false }));
            assert_eq!(bytes[156], b'x', "{path}");
            let header = Archive::new(&bytes[..]).next().unwrap().unwrap();
            assert_eq!(header.name, format!("{path}/").as_bytes());
        }
    }

    #[test]
    fn the_length_of_a_record_counts_itself() {
        for length in (80..120).chain(960..1020).chain(9_960..10_020) {
            let target = "x".repeat(length).into_bytes();
            let bytes = written(&entry("a", Kind::Symlink { target: target.clone() }));
            assert_eq!(Archive::new(&bytes[..]).next().unwrap().unwrap().link, target);
        }
    }
}
