//! Reads tar archives: V7, ustar, PAX and GNU, entry by entry.
//!
//! Invariant: what is not understood is an error, never skipped.

use crate::{
    header::{BLOCK, padding},
    sparse,
};
use std::{
    collections::BTreeMap,
    io::{self, Read},
};

/// Extension headers larger than this are refused, as Go does.
const EXTENSION_AT_MOST: u64 = 1 << 20;

/// The archive is damaged or uses what is not supported.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It ends too early.
    #[error("the archive is cut off")]
    CutOff,
    /// A header has a wrong checksum: this is no tar archive, or a damaged one.
    #[error("not a tar archive, or a damaged one: wrong header checksum")]
    Checksum,
    /// A field of a header cannot be read.
    #[error("damaged tar header: invalid {field}")]
    Field {
        /// Which.
        field: &'static str,
    },
    /// A sparse file in a form that is not known (0.1 and 1.0 are, and the old one).
    #[error("a sparse file in an unknown form")]
    Sparse,
}

/// An archive, at the content of an entry or before the next one.
pub(crate) struct Archive<R> {
    reader: R,
    content: u64,
    padding: usize,
    sparse: Option<sparse::Map>,
    global: Records,
}

/// A header with its extensions applied.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) flag: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

impl<R: Read> Read for Archive<R> {
    /// Reads the content of the entry.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut stored = Stored { reader: &mut self.reader, left: &mut self.content };
        match &mut self.sparse {
            Some(map) => map.read(buffer, stored),
            None => stored.read(buffer),
        }
    }
}

/// What an archive has of a content.
struct Stored<'a, R> {
    reader: &'a mut R,
    left: &'a mut u64,
}

impl<R: Read> Read for Stored<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(*self.left).unwrap_or(usize::MAX).min(buffer.len());
        if length == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buffer[..length])?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, TarError::CutOff));
        }
        *self.left -= read as u64;
        Ok(read)
    }
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(reader: R) -> Archive<R> {
        Archive { reader, content: 0, padding: 0, sparse: None, global: Records::new() }
    }

    /// What follows the place that was reached.
    pub(crate) fn into_inner(self) -> R {
        self.reader
    }

    /// Whether the content has holes that are not in the archive.
    pub(crate) fn is_sparse(&self) -> bool {
        self.sparse.is_some()
    }

    /// Skips to the next entry; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Header>, TarError> {
        let mut name = None;
        let mut link = None;
        let mut records = self.global.clone();
        loop {
            let Some(block) = self.header_block()? else { return Ok(None) };
            match block[156] {
                b'x' => records.append(&mut parse_records(&self.extension(&block)?)?),
                b'g' => {
                    let mut global = parse_records(&self.extension(&block)?)?;
                    records.extend(global.clone());
                    self.global.append(&mut global);
                }
                b'L' => name = Some(until_nul(&self.extension(&block)?).to_vec()),
                b'K' => link = Some(until_nul(&self.extension(&block)?).to_vec()),
                _ => {
                    let mut header = parse_header(&block, &records)?;
                    header.name = name.unwrap_or(header.name);
                    header.link = link.unwrap_or(header.link);
                    apply(&mut header, &records)?;
                    self.start_content(&mut header, &block, &records)?;
                    return Ok(Some(header));
                }
            }
        }
    }

    fn start_content(
        &mut self,
        header: &mut Header,
        block: &[u8; BLOCK],
        records: &Records,
    ) -> Result<(), TarError> {
        if matches!(header.flag, b'1'..=b'6') {
            return Ok(());
        }
        self.content = header.size;
        self.padding = padding(header.size);
        let next_block = || read_block(&mut self.reader);
        if header.flag == b'S' {
            header.flag = b'0';
            self.sparse = Some(sparse::old_gnu(block, header.size, next_block)?);
        } else if let Some((map, stored)) = sparse::pax(records, header.size, next_block)? {
            self.content = stored;
            self.sparse = Some(map);
        }
        header.size = self.sparse.as_ref().map_or(header.size, sparse::Map::size);
        Ok(())
    }

    fn extension(&mut self, block: &[u8; BLOCK]) -> Result<Vec<u8>, TarError> {
        let size = number(&block[124..136]).ok_or(TarError::Field { field: "size" })?;
        let size = u64::try_from(size).ok().filter(|it| *it <= EXTENSION_AT_MOST);
        let size = size.ok_or(TarError::Field { field: "extension size" })?;
        self.content = size;
        self.padding = padding(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Skips what is left of the current content, then reads a block. `None` at the end, which is
    /// two blocks of zeros or the end of the stream.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        self.sparse = None;
        io::copy(self, &mut io::sink())?;
        let padding = std::mem::take(&mut self.padding);
        let mut unused = [0; BLOCK];
        if read_full(&mut self.reader, &mut unused[..padding])? < padding {
            return Err(TarError::CutOff);
        }
        let mut block = [0; BLOCK];
        for zeros in 0..2 {
            match read_full(&mut self.reader, &mut block)? {
                BLOCK => {}
                0 => return Ok(None),
                _ => return Err(TarError::CutOff),
            }
            if block != [0; BLOCK] {
                let intact = zeros == 0 && has_valid_checksum(&block);
                return if intact { Ok(Some(block)) } else { Err(TarError::Checksum) };
            }
        }
        Ok(None)
    }
}

fn read_block(reader: &mut impl Read) -> Result<[u8; BLOCK], TarError> {
    let mut block = [0; BLOCK];
    if read_full(reader, &mut block)? < BLOCK {
        return Err(TarError::CutOff);
    }
    Ok(block)
}

/// Whether the block is a tar header.
pub(crate) fn has_valid_checksum(block: &[u8; BLOCK]) -> bool {
    let stored = number(&block[148..156]);
    let rest = || block[..148].iter().chain(b"        ").chain(&block[156..]);
    let unsigned: i64 = rest().map(|it| i64::from(*it)).sum();
    let signed: i64 = rest().map(|it| i64::from(it.cast_signed())).sum();
    *block != [0; BLOCK] && (stored == Some(unsigned) || stored == Some(signed))
}

/// Reads until the buffer is full or the stream ends.
pub(crate) fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|it| *it == 0).next().unwrap_or_default()
}

/// A number in octal digits, or in base 256 where the first bit is set.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        // Two's complement without the marking bit; the next bit is the sign.
        let negative = field[0] & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (at, byte) in field.iter().enumerate() {
            let byte = if at == 0 && !negative { byte & 0x7f } else { *byte };
            value = (value << 8) | i128::from(byte);
        }
        return i64::try_from(value).ok();
    }
    let digits = until_nul(field).trim_ascii();
    digits.iter().try_fold(0i64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|it| *it < 8)?;
        value.checked_mul(8)?.checked_add(i64::from(digit))
    })
}

/// The header in a block, with what its records say. Sparse files have the size that is stored.
pub(crate) fn header(
    block: &[u8; BLOCK],
    records: &[(Vec<u8>, Vec<u8>)],
) -> Result<Header, TarError> {
    let records = records.iter().cloned().collect();
    let mut header = parse_header(block, &records)?;
    apply(&mut header, &records)?;
    Ok(header)
}

fn parse_header(block: &[u8; BLOCK], records: &Records) -> Result<Header, TarError> {
    let signed = |range, field, key: &str| {
        // What a record replaces need not be right.
        let value = number(&block[range]);
        if records.contains_key(key.as_bytes()) {
            return Ok(value.unwrap_or(0));
        }
        value.ok_or(TarError::Field { field })
    };
    let small = |range, field, key: &str| {
        let value = signed(range, field, key)?;
        u32::try_from(value).map_err(|_| TarError::Field { field })
    };
    let mut name = until_nul(&block[..100]).to_vec();
    let is_ustar = &block[257..263] == b"ustar\0";
    let prefix = until_nul(&block[345..500]);
    if is_ustar && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    let has_devices = &block[257..262] == b"ustar" && matches!(block[156], b'3' | b'4');
    let size = signed(124..136, "size", "size")?;
    Ok(Header {
        name,
        link: until_nul(&block[157..257]).to_vec(),
        flag: block[156],
        mode: (signed(100..108, "mode", "")? & 0o7777) as u32,
        uid: small(108..116, "uid", "uid")?,
        gid: small(116..124, "gid", "gid")?,
        size: u64::try_from(size).map_err(|_| TarError::Field { field: "size" })?,
        mtime: signed(136..148, "mtime", "mtime")?,
        major: if has_devices { small(329..337, "device number", "")? } else { 0 },
        minor: if has_devices { small(337..345, "device number", "")? } else { 0 },
        xattrs: BTreeMap::new(),
    })
}

fn apply(header: &mut Header, records: &Records) -> Result<(), TarError> {
    for (key, value) in records {
        // An empty value takes a record back.
        if value.is_empty() && !key.starts_with(b"SCHILY.xattr.") {
            continue;
        }
        match key.as_slice() {
            b"path" => header.name.clone_from(value),
            b"linkpath" => header.link.clone_from(value),
            b"size" => header.size = decimal(value, "size")?,
            b"uid" => header.uid = decimal(value, "uid")?,
            b"gid" => header.gid = decimal(value, "gid")?,
            b"mtime" => header.mtime = seconds(value).ok_or(TarError::Field { field: "mtime" })?,
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    header.xattrs.insert(name.to_vec(), value.clone());
                }
            }
        }
    }
    if let Some(name) = records.get(&b"GNU.sparse.name"[..]) {
        header.name.clone_from(name);
    }
    Ok(())
}

pub(crate) fn decimal<T: std::str::FromStr>(
    value: &[u8],
    field: &'static str,
) -> Result<T, TarError> {
    let text = std::str::from_utf8(value).ok().and_then(|it| it.parse().ok());
    text.ok_or(TarError::Field { field })
}

/// Whole seconds of a decimal fraction, rounded down.
fn seconds(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let below = whole.starts_with('-') && fraction.bytes().any(|it| it != b'0');
    seconds.checked_sub(i64::from(below))
}

/// `LENGTH KEY=VALUE\n`, again and again.
fn parse_records(mut bytes: &[u8]) -> Result<Records, TarError> {
    let mut records = Records::new();
    // Some writers fill the last block with NULs and count them.
    while bytes.first().is_some_and(|it| *it != 0) {
        let (key, value, rest) = parse_record(bytes).ok_or(TarError::Field { field: "record" })?;
        match key {
            // Form 0.0 of sparse files repeats these two; in form 0.1 they are one list.
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let map = records.entry(b"GNU.sparse.map".to_vec()).or_default();
                if !map.is_empty() {
                    map.push(b',');
                }
                map.extend_from_slice(value);
            }
            _ => drop(records.insert(key.to_vec(), value.to_vec())),
        }
        bytes = rest;
    }
    Ok(records)
}

fn parse_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(10).position(|it| *it == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|it| *it == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}
