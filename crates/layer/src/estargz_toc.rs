//! The table of contents of an eStargz: *TOC and TOCEntries* of its specification.

use crate::{
    Entry, Kind,
    estargz::Place,
    header::{self, BLOCK},
    tar::Header,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;
use std::collections::BTreeMap;
use strake_oci::Digest;

/// The table's name in the tar.
pub(crate) const NAME: &str = "stargz.index.json";

/// Entries in the order of the tar.
#[derive(Default)]
pub(crate) struct Drafts {
    pub(crate) entries: Vec<Draft>,
}

/// An entry whose place is not known yet.
pub(crate) struct Draft {
    entry: TocEntry,
    /// Which member its content begins.
    member: Option<usize>,
}

#[derive(Serialize)]
struct Toc<'a> {
    version: u32,
    entries: Vec<&'a TocEntry>,
}

#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct TocEntry {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    modtime: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    link_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: u64,
    #[serde(rename = "NumLink")]
    links: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    digest: String,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    chunk_digest: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Draft {
    /// An entry as its header has it.
    pub(crate) fn new(header: Header) -> Draft {
        let Header { name, link, flag, mode, uid, gid, size, mtime, major, minor, xattrs } = header;
        let kind = match flag {
            b'1' => "hardlink",
            b'2' => "symlink",
            b'3' => "char",
            b'4' => "block",
            b'5' => "dir",
            b'6' => "fifo",
            _ => "reg",
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let xattrs = xattrs.iter().map(|(key, value)| (text(key), BASE64_STANDARD.encode(value)));
        let entry = TocEntry {
            name: text(&name),
            kind,
            size: if kind == "reg" { size } else { 0 },
            modtime: if mtime == 0 { String::new() } else { time(mtime) },
            link_name: text(&link),
            mode: mode.into(),
            uid: uid.into(),
            gid: gid.into(),
            dev_major: major.into(),
            dev_minor: minor.into(),
            xattrs: xattrs.collect(),
            ..TocEntry::default()
        };
        Draft { entry, member: None }
    }

    /// A further piece of a content.
    pub(crate) fn chunk(name: &str, offset: u64) -> Draft {
        let (name, kind) = (name.to_owned(), "chunk");
        let entry = TocEntry { name, kind, chunk_offset: offset, ..TocEntry::default() };
        Draft { entry, member: None }
    }

    pub(crate) fn name(&self) -> &str {
        &self.entry.name
    }

    /// Says which member begins with the content, and how long the piece is, unless it is the last.
    pub(crate) fn in_member(mut self, member: usize, chunk: usize) -> Draft {
        self.entry.chunk_size = chunk as u64;
        self.member = Some(member);
        self
    }

    /// The SHA-256 of the whole content, where that is in several pieces.
    pub(crate) fn set_digest(&mut self, sha: [u8; 32]) {
        self.entry.digest = Digest::from_sha256(sha).to_string();
    }

    fn finished(&self, members: &[Place]) -> TocEntry {
        let mut entry = self.entry.clone();
        if let Some(member) = self.member {
            let Place { offset, payload } = &members[member];
            entry.offset = *offset;
            entry.chunk_digest = Digest::from_sha256(*payload).to_string();
            if entry.kind == "reg" && entry.digest.is_empty() {
                entry.digest = entry.chunk_digest.clone();
            }
        }
        entry
    }
}

/// The table as the end of a tar, and the table's digest.
pub(crate) fn toc(drafts: &Drafts, members: &[Place]) -> (Vec<u8>, Digest) {
    let entries: Vec<TocEntry> = drafts.entries.iter().map(|it| it.finished(members)).collect();
    let toc = Toc { version: 1, entries: entries.iter().collect() };
    let json = serde_json::to_vec_pretty(&toc).expect("keys are strings");
    let size = json.len() as u64;
    let entry = Entry {
        path: NAME.as_bytes().to_vec(),
        kind: Kind::File { size },
        mode: 0o444,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: BTreeMap::new(),
    };
    let mut tar = Vec::with_capacity(json.len() + 4 * BLOCK);
    header::append(&mut tar, &entry).expect("a plain name");
    tar.extend_from_slice(&json);
    header::append_padding(&mut tar, size);
    tar.resize(tar.len() + 2 * BLOCK, 0);
    (tar, Digest::of(&json))
}

/// RFC 3339 in UTC. Days to dates as in the proleptic Gregorian calendar, in eras of 400 years that
/// begin in March.
fn time(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let day = days + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + later;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(time(951_868_799), "2000-02-29T23:59:59Z");
        assert_eq!(time(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59Z");
    }
}
