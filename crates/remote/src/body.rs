//! What a server sends, into a file and a digest: taken out of the gzip that some wrap it in for the way.
//!
//! [RFC 9110, 8.4](https://www.rfc-editor.org/rfc/rfc9110#section-8.4): a content coding belongs to the
//! transfer and not to the file, whatever the file is called. Docker takes it off too.

use flate2::write::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use std::io::{self, Write};
use strake_oci::Digest;

/// A file that is being received.
pub(crate) enum Body {
    Plain(Hashed),
    Packed { decoder: Box<MultiGzDecoder<Hashed>>, empty: bool },
}

/// A file and the hash of what was written to it.
pub(crate) struct Hashed {
    file: fs_err::File,
    hash: Sha256,
}

impl Body {
    /// A body that goes into `file`; `packed` says that it comes as gzip.
    pub(crate) fn new(file: fs_err::File, packed: bool) -> Body {
        let plain = Hashed { file, hash: Sha256::new() };
        match packed {
            false => Body::Plain(plain),
            true => Body::Packed { decoder: Box::new(MultiGzDecoder::new(plain)), empty: true },
        }
    }

    /// Takes the next bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Body::Plain(plain) => plain.write_all(bytes),
            Body::Packed { decoder, empty } => {
                *empty = *empty && bytes.is_empty();
                decoder.write_all(bytes)
            }
        }
    }

    /// The digest of the file, which is whole. No bytes at all are an empty file, packed or not.
    pub(crate) fn finish(self) -> io::Result<Digest> {
        let plain = match self {
            Body::Plain(plain) => plain,
            Body::Packed { decoder: _, empty: true } => return Ok(Digest::of(b"")),
            Body::Packed { decoder, empty: false } => decoder.finish()?,
        };
        Ok(Digest::from_sha256(plain.hash.finalize().into()))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Whether it is the gzip that is broken, and not the disk.
pub(crate) fn is_corrupt(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}
