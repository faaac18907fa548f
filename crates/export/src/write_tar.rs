//! Tar entries as Go's archive/tar writes them: ustar, and PAX records for what does not fit.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};
use strake_layer::{Entry, Kind};

const BLOCK: usize = 512;
/// The largest number in eleven octal digits: sizes and times.
const MAX_OCTAL_11: u64 = 0o777_7777_7777;
/// The largest number in seven octal digits: owners.
const MAX_OCTAL_7: u32 = 0o777_7777;

/// Writes an entry's header. The caller writes `size` bytes after it and then calls [`pad`].
pub(crate) fn header(sink: &mut dyn Write, entry: &Entry) -> io::Result<()> {
    let name = stored_name(entry);
    let (type_flag, size, link, device) = described(&entry.kind);
    let records = pax_records(entry, &name, link, size);
    if !records.is_empty() {
        write_pax(sink, &records)?;
    }
    let mut header = tar::Header::new_ustar();
    set_text(&mut header.as_old_mut().name, &name);
    set_text(&mut header.as_old_mut().linkname, link);
    header.set_mode(entry.mode);
    header.set_uid(if entry.uid > MAX_OCTAL_7 { 0 } else { entry.uid.into() });
    header.set_gid(if entry.gid > MAX_OCTAL_7 { 0 } else { entry.gid.into() });
    header.set_size(if size > MAX_OCTAL_11 { 0 } else { size });
    header.set_mtime(u64::try_from(entry.mtime).unwrap_or(0).min(MAX_OCTAL_11));
    header.set_entry_type(type_flag);
    if let Some((major, minor)) = device {
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
    }
    header.set_cksum();
    sink.write_all(header.as_bytes())
}

/// Fills the last block after `size` bytes of content.
pub(crate) fn pad(sink: &mut dyn Write, size: u64) -> io::Result<()> {
    let over = usize::try_from(size % 512).expect("less than 512");
    if over == 0 { Ok(()) } else { sink.write_all(&[0; BLOCK][over..]) }
}

/// The two empty blocks at the end of a tar.
pub(crate) fn end(sink: &mut dyn Write) -> io::Result<()> {
    sink.write_all(&[0; 2 * BLOCK])
}

/// Directories end in a slash.
fn stored_name(entry: &Entry) -> Vec<u8> {
    let mut name = entry.path.clone();
    if matches!(entry.kind, Kind::Directory { .. }) {
        name.push(b'/');
    }
    name
}

type Described<'a> = (tar::EntryType, u64, &'a [u8], Option<(u32, u32)>);

fn described(kind: &Kind) -> Described<'_> {
    use tar::EntryType;
    match kind {
        Kind::File { size } => (EntryType::Regular, *size, b"", None),
        Kind::Directory { opaque: _ } => (EntryType::Directory, 0, b"", None),
        Kind::Symlink { target } => (EntryType::Symlink, 0, target, None),
        Kind::Hardlink { target } => (EntryType::Link, 0, target, None),
        Kind::Character { major, minor } => (EntryType::Char, 0, b"", Some((*major, *minor))),
        Kind::Block { major, minor } => (EntryType::Block, 0, b"", Some((*major, *minor))),
        Kind::Fifo => (EntryType::Fifo, 0, b"", None),
        Kind::Whiteout => unreachable!("an exported tree has no whiteouts"),
    }
}

fn pax_records(entry: &Entry, name: &[u8], link: &[u8], size: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut records = BTreeMap::new();
    let mut number = |key: &[u8], value: String| {
        records.insert(key.to_vec(), value.into_bytes());
    };
    if size > MAX_OCTAL_11 {
        number(b"size", size.to_string());
    }
    if entry.uid > MAX_OCTAL_7 {
        number(b"uid", entry.uid.to_string());
    }
    if entry.gid > MAX_OCTAL_7 {
        number(b"gid", entry.gid.to_string());
    }
    if u64::try_from(entry.mtime).is_ok_and(|it| it <= MAX_OCTAL_11) {
        // Fits the header.
    } else {
        number(b"mtime", entry.mtime.to_string());
    }
    for (key, text) in [(b"path".as_slice(), name), (b"linkpath", link)] {
        if text.len() > 100 || !text.is_ascii() {
            records.insert(key.to_vec(), text.to_vec());
        }
    }
    for (key, value) in &entry.xattrs {
        records.insert([b"SCHILY.xattr.", key.as_slice()].concat(), value.clone());
    }
    records
}

fn write_pax(sink: &mut dyn Write, records: &BTreeMap<Vec<u8>, Vec<u8>>) -> io::Result<()> {
    let mut body = Vec::new();
    for (key, value) in records {
        // `LENGTH KEY=VALUE\n`, where the length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + rest.to_string().len();
        length = rest + length.to_string().len();
        body.extend_from_slice(format!("{length} ").as_bytes());
        body.extend_from_slice(key);
        body.push(b'=');
        body.extend_from_slice(value);
        body.push(b'\n');
    }
    let size = crate::image::length(&body);
    let mut header = tar::Header::new_ustar();
    set_text(&mut header.as_old_mut().name, b"PaxHeaders.0/entry");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_cksum();
    sink.write_all(header.as_bytes())?;
    sink.write_all(&body)?;
    pad(sink, size)
}

/// As much of `text` as fits; the whole of it is in a PAX record otherwise.
fn set_text(field: &mut [u8; 100], text: &[u8]) {
    let fits = text.len().min(100);
    field[..fits].copy_from_slice(&text[..fits]);
}
