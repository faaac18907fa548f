//! Messages of the agent protocol: a length and that many bytes, and the strings inside of them.

use std::io::{self, Read, Write};

pub(super) const FAILURE: u8 = 5;
pub(super) const REQUEST_IDENTITIES: u8 = 11;
pub(super) const IDENTITIES_ANSWER: u8 = 12;
pub(super) const SIGN_REQUEST: u8 = 13;
pub(super) const SIGN_RESPONSE: u8 = 14;

/// OpenSSH's own limit.
const LONGEST: u32 = 256 * 1024;

/// The next message, or `None` at the end.
pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        done => done?,
    }
    let length = u32::from_be_bytes(length);
    if length == 0 || length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length as usize];
    from.read_exact(&mut message)?;
    Ok(Some(message))
}

pub(super) fn write(to: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let mut framed = Vec::new();
    put(&mut framed, message);
    to.write_all(&framed)
}

/// Appends a string: its length, then its bytes.
pub(super) fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("messages are far below 4 GiB");
    to.extend(length.to_be_bytes());
    to.extend(bytes);
}

/// Appends a positive number of any size.
pub(super) fn put_number(to: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = trim(bytes);
    // The highest bit would make it negative.
    let mut number = if bytes.first().is_some_and(|it| it & 0x80 != 0) { vec![0] } else { vec![] };
    number.extend(bytes);
    put(to, &number);
}

/// Without zeroes in front.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// Reads one part after the other.
pub(super) struct Parts<'a>(pub(super) &'a [u8]);

impl<'a> Parts<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.bytes(length as usize)
    }
}
