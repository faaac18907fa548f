//! Records: small JSON documents with a checksum, that are whole or not there.

use crate::{
    Store,
    error::StoreError,
    files::{rename, write_whole},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fs, path::Path};
use strake_oci::Digest;

/// First word of every record; counted up when older ones must not be read any more.
const MAGIC: &str = "strake1";

/// The bytes of a record: magic, checksum, newline, body.
pub(crate) fn seal(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{MAGIC} {}\n", Digest::of(body).hex()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The body of a record, if it is what was sealed.
pub(crate) fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|&it| it == b'\n')?;
    let (head, body) = (&bytes[..end], &bytes[end + 1..]);
    let expected = format!("{MAGIC} {}", Digest::of(body).hex());
    (head == expected.as_bytes()).then_some(body)
}

/// Reads a record. A damaged one is removed and is not there.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    read_with(path, |body| serde_json::from_slice(body).ok())
}

/// As [`read`], of a body in another format.
pub(crate) fn read_with<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
    let bytes = fs::read(path).ok()?;
    let value = unseal(&bytes).and_then(parse);
    if value.is_none() {
        let _ = fs::remove_file(path);
    }
    value
}

/// Writes a record over an older one. What a crash of the machine leaves of it is not read.
pub(crate) fn write<T: Serialize>(store: &Store, path: &Path, value: &T) -> Result<(), StoreError> {
    let body = serde_json::to_vec(value).expect("records have string keys");
    write_bytes(store, path, &body)
}

/// As [`write()`], of a body in another format.
pub(crate) fn write_bytes(store: &Store, path: &Path, body: &[u8]) -> Result<(), StoreError> {
    let fresh = store.temp_path("record");
    write_whole(&fresh, &seal(body))?;
    let _shared = store.share()?;
    rename(&fresh, path).inspect_err(|_| {
        let _ = fs::remove_file(&fresh);
    })
}

#[cfg(test)]
mod tests {
    use super::{read, seal, unseal};
    use std::fs;

    #[test]
    fn what_was_sealed_comes_back_and_nothing_else() {
        let whole = seal(b"{\"a\":1}");
        assert_eq!(unseal(&whole), Some(&b"{\"a\":1}"[..]));
        for end in 0..whole.len() {
            assert_eq!(unseal(&whole[..end]), None, "truncated at {end}");
        }
        let mut flipped = whole;
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(unseal(&flipped), None);
    }

    #[test]
    fn a_damaged_record_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        fs::write(&path, &seal(b"[1,2]")[..20]).unwrap();
        assert_eq!(read::<Vec<u8>>(&path), None);
        assert!(!path.exists());
    }
}
