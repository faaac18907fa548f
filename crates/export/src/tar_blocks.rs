//! Tar, block by block: headers with their PAX and GNU records, and contents.
//!
//! The `tar` crate parts PAX records at newlines, but a value may hold one: a `security.capability`
//! often does, and the `path` that follows it would be lost. Here records go by their lengths. POSIX.1,
//! *pax*, "pax Extended Header".

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

const BLOCK: u64 = 512;
/// More metadata than this before one entry is not a layer but an attack.
const MAX_METADATA: u64 = 16 << 20;

/// A header with what the records before it say.
pub(crate) struct Header {
    /// The block.
    pub(crate) block: tar::Header,
    /// The whole path.
    pub(crate) path: Vec<u8>,
    /// The whole link target.
    pub(crate) link: Vec<u8>,
    /// The size of the content.
    pub(crate) size: u64,
    /// All PAX records.
    pub(crate) pax: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Reads one entry after the other. As a [`Read`] it gives the content of the last one.
pub(crate) struct Blocks<R> {
    input: R,
    content: u64,
    padding: u64,
}

impl<R: Read> Blocks<R> {
    pub(crate) fn new(input: R) -> Blocks<R> {
        Blocks { input, content: 0, padding: 0 }
    }

    /// The next entry, or `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Header>> {
        let mut pax = BTreeMap::new();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let Some(block) = self.block()? else { return Ok(None) };
            match block.entry_type() {
                tar::EntryType::XHeader => {
                    self.start(block.entry_size()?);
                    pax = records(&self.metadata()?)?;
                }
                tar::EntryType::GNULongName => {
                    self.start(block.entry_size()?);
                    long_name = Some(until_nul(self.metadata()?));
                }
                tar::EntryType::GNULongLink => {
                    self.start(block.entry_size()?);
                    long_link = Some(until_nul(self.metadata()?));
                }
                _ => return self.entry(block, pax, long_name, long_link).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        block: tar::Header,
        pax: BTreeMap<Vec<u8>, Vec<u8>>,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> io::Result<Header> {
        let size = match pax.get(b"size".as_slice()) {
            Some(text) => number(text).ok_or_else(|| invalid("a PAX size is not a number"))?,
            None => block.entry_size()?,
        };
        let kind = block.entry_type();
        // Some writers give a hard link or a directory the size of what it stands for.
        let has_content = kind.is_file() || kind.is_pax_global_extensions() || !is_known(kind);
        let size = if has_content { size } else { 0 };
        self.start(size);
        let record = |key: &[u8]| pax.get(key).cloned();
        let path = record(b"path").or(long_name).unwrap_or_else(|| block.path_bytes().into_owned());
        let in_block = || block.link_name_bytes().map(std::borrow::Cow::into_owned);
        let link = record(b"linkpath").or(long_link).or_else(in_block).unwrap_or_default();
        Ok(Header { path, link, size, pax, block })
    }

    /// The next header block, past what is left of the entry before.
    fn block(&mut self) -> io::Result<Option<tar::Header>> {
        let left = self.content + self.padding;
        if io::copy(&mut (&mut self.input).take(left), &mut io::sink())? != left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (self.content, self.padding) = (0, 0);
        let mut header = tar::Header::new_old();
        if !fill(&mut self.input, header.as_mut_bytes())? {
            return Ok(None);
        }
        if header.as_bytes().iter().all(|it| *it == 0) {
            return Ok(None);
        }
        let bytes = header.as_bytes();
        let plain = bytes[..148].iter().chain(&bytes[156..]).map(|it| u32::from(*it)).sum::<u32>();
        if header.cksum()? != plain + 8 * u32::from(b' ') {
            return Err(invalid("the checksum of a header is wrong"));
        }
        Ok(Some(header))
    }

    fn start(&mut self, size: u64) {
        self.content = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
    }

    fn metadata(&mut self) -> io::Result<Vec<u8>> {
        if self.content > MAX_METADATA {
            return Err(invalid("more than 16 MiB of metadata before one entry"));
        }
        let (size, mut bytes) = (self.content, Vec::new());
        self.read_to_end(&mut bytes)?;
        if crate::image::length(&bytes) == size {
            Ok(bytes)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&mut self.input).take(self.content).read(buffer)?;
        self.content -= u64::try_from(read).expect("a length fits 64 bits");
        Ok(read)
    }
}

fn is_known(kind: tar::EntryType) -> bool {
    kind.is_dir()
        || kind.is_symlink()
        || kind.is_hard_link()
        || kind.is_character_special()
        || kind.is_block_special()
        || kind.is_fifo()
}

/// Fills the buffer, or says that the input had ended before it.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// `LENGTH KEY=VALUE\n`, again and again.
fn records(mut bytes: &[u8]) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let (record, rest) =
            split_record(bytes).ok_or_else(|| invalid("a PAX record is broken"))?;
        let at = record.iter().position(|it| *it == b'=');
        let at = at.ok_or_else(|| invalid("a PAX record has no `=`"))?;
        let (key, value) = (record[..at].to_vec(), record[at + 1..].to_vec());
        if value.is_empty() && !key.starts_with(b"SCHILY.xattr.") {
            records.remove(&key);
        } else {
            records.insert(key, value);
        }
        bytes = rest;
    }
    Ok(records)
}

fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|it| *it == b' ')?;
    let length = usize::try_from(number(&bytes[..space])?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    Some((record.get(space + 1..)?.strip_suffix(b"\n")?, rest))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|it| *it == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::{Blocks, records};
    use crate::write_tar::{end, header, pad};
    use std::io::{Read, Write};
    use strake_layer::{Entry, Kind};

    #[test]
    fn a_value_may_hold_newlines() {
        let bytes = b"28 SCHILY.xattr.user.a=\n\n=\n\n12 path=a/b\n";
        let read = records(bytes).unwrap();
        assert_eq!(read[b"SCHILY.xattr.user.a".as_slice()], b"\n\n=\n");
        assert_eq!(read[b"path".as_slice()], b"a/b");
        for bad in ["5", "x a=b\n", "99 a=b\n", "6 ab\n\n", "6 a=bc", "0 a=b\n"] {
            assert!(records(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let entry = Entry {
            path: [b"\xff/".as_slice(), &[b'x'; 300]].concat(),
            kind: Kind::File { size: 5 },
            mode: 0o4755,
            uid: u32::MAX,
            gid: 7,
            mtime: -1,
            xattrs: [(b"security.capability".to_vec(), b"\n\0\n".to_vec())].into(),
        };
        let mut bytes = Vec::new();
        header(&mut bytes, &entry).unwrap();
        bytes.write_all(b"hello").unwrap();
        pad(&mut bytes, 5).unwrap();
        end(&mut bytes).unwrap();
        let mut blocks = Blocks::new(bytes.as_slice());
        let read = blocks.next().unwrap().unwrap();
        assert_eq!(read.path, entry.path);
        assert_eq!(read.size, 5);
        assert_eq!(read.pax[b"uid".as_slice()], b"4294967295");
        assert_eq!(read.pax[b"mtime".as_slice()], b"-1");
        assert_eq!(read.pax[b"SCHILY.xattr.security.capability".as_slice()], b"\n\0\n");
        let mut content = String::new();
        blocks.read_to_string(&mut content).unwrap();
        assert_eq!(content, "hello");
        assert!(blocks.next().unwrap().is_none());
    }

    #[test]
    fn a_wrong_checksum_and_a_cut_content_are_errors() {
        let mut bytes = Vec::new();
        let kind = Kind::File { size: 600 };
        let path = b"a".to_vec();
        let entry =
            Entry { path, kind, mode: 0, uid: 0, gid: 0, mtime: 0, xattrs: Default::default() };
        header(&mut bytes, &entry).unwrap();
        let mut blocks = Blocks::new(bytes.as_slice());
        assert!(blocks.next().unwrap().is_some());
        assert!(blocks.next().is_err());
        bytes[0] = b'b';
        assert!(Blocks::new(bytes.as_slice()).next().is_err());
    }
}
