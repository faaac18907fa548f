//! Hashes of files seen before, found again by what `lstat` says: a warm build reads nothing twice.
//!
//! A record is `device, inode, size, mtime, ctime -> hash`. The change time cannot be set by
//! anybody, so equal stats mean equal content, but for one case that git calls racy: a file that
//! changes twice within one tick of the file system's clock, and is hashed in between. Therefore
//! the index takes the time of that clock before anything is hashed, and does not keep what
//! changed later, or so shortly before that the tick could be the same.

use crate::{Context, ContextError, Entry, Hash, Kind, hash};
use rayon::prelude::*;
use std::{
    io::{BufWriter, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

const MAGIC: &[u8; 16] = b"strake-stat-v001";
const RECORD: usize = 40 + 32;
/// Ticks are 1 to 10 ms where times have nanoseconds, and up to 2 s where they have none.
const FINE_TICK: i128 = 20_000_000;
const COARSE_TICK: i128 = 2_000_000_000;
/// Records of files that this build has not seen are kept up to this many.
const UNSEEN_LIMIT: usize = 1_000_000;

/// What a record is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    device: u64,
    inode: u64,
    size: u64,
    mtime: i64,
    ctime: i64,
}

/// The index. Looking up needs no lock; what is new is gathered aside.
#[derive(Debug)]
pub struct StatIndex {
    /// Sorted by key, as in the file.
    records: Vec<(Key, Hash)>,
    new: Mutex<Vec<(Key, Hash)>>,
    /// The file system's time before the first hash, in nanoseconds; none: nothing is kept.
    opened: Option<i128>,
}

impl StatIndex {
    /// Reads an index. A missing or damaged one is empty. The folder is made where it is missing.
    pub fn load(path: &Path) -> StatIndex {
        let records = fs_err::read(path).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default();
        StatIndex { records, new: Mutex::default(), opened: file_system_time(path) }
    }

    /// An index that keeps nothing.
    pub fn none() -> StatIndex {
        StatIndex { records: Vec::new(), new: Mutex::default(), opened: None }
    }

    /// The content hash of a regular file of `context`, read only where it is not known.
    pub fn hash(&self, context: &Context, entry: &Entry) -> Result<Hash, ContextError> {
        self.hash_with(context, entry, &mut hash::buffer())
    }

    /// The content hashes of many regular files, in the order given, on all cores.
    pub fn hash_all(
        &self,
        context: &Context,
        entries: &[&Entry],
    ) -> Result<Vec<Hash>, ContextError> {
        entries
            .par_iter()
            .map_init(hash::buffer, |buffer, entry| self.hash_with(context, entry, buffer))
            .collect()
    }

    /// Writes the index, new records included; readers see the old or the new one, never a part.
    pub fn save(&self, path: &Path) -> Result<(), ContextError> {
        let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        if new.is_empty() || self.opened.is_none() {
            return Ok(());
        }
        // What was hashed twice was hashed alike.
        new.sort_unstable_by_key(|it| it.0);
        new.dedup_by_key(|it| it.0);
        let old = &self.records[..self.records.len().min(UNSEEN_LIMIT)];
        replace(path, merged(old, &new)).map_err(ContextError::Index)
    }

    fn hash_with(
        &self,
        context: &Context,
        entry: &Entry,
        buffer: &mut [u8],
    ) -> Result<Hash, ContextError> {
        let key = key(entry);
        if let Some(key) = key
            && let Ok(at) = self.records.binary_search_by_key(&key, |record| record.0)
        {
            return Ok(self.records[at].1);
        }
        let hash = hash::hash_with(&context.file(&entry.path), buffer)?;
        if let Some(key) = key.filter(|_| self.is_settled(entry)) {
            self.new.lock().unwrap_or_else(PoisonError::into_inner).push((key, hash));
        }
        Ok(hash)
    }

    /// Whether any later change must show in the change time.
    fn is_settled(&self, entry: &Entry) -> bool {
        let tick = if entry.ctime_nanos % 1_000_000_000 == 0 { COARSE_TICK } else { FINE_TICK };
        self.opened.is_some_and(|opened| entry.ctime_nanos + tick < opened)
    }
}

fn key(entry: &Entry) -> Option<Key> {
    let Kind::File { size } = entry.kind else {
        return None;
    };
    let mtime = i128::from(entry.mtime) * 1_000_000_000 + i128::from(entry.mtime_nanos);
    let (device, inode) = entry.inode;
    Some(Key {
        device,
        inode,
        size,
        mtime: mtime.try_into().ok()?,
        ctime: entry.ctime_nanos.try_into().ok()?,
    })
}

fn parse(bytes: &[u8]) -> Option<Vec<(Key, Hash)>> {
    let (body, sum) = bytes.split_last_chunk::<32>()?;
    let records = body.strip_prefix(MAGIC)?;
    if blake3::hash(body) != *sum || !records.len().is_multiple_of(RECORD) {
        return None;
    }
    let number = |record: &[u8], at: usize| {
        u64::from_le_bytes(std::array::from_fn(|byte| record[at * 8 + byte]))
    };
    let records = records.chunks_exact(RECORD).map(|record| {
        let key = Key {
            device: number(record, 0),
            inode: number(record, 1),
            size: number(record, 2),
            mtime: number(record, 3) as i64,
            ctime: number(record, 4) as i64,
        };
        (key, Hash(std::array::from_fn(|byte| record[40 + byte])))
    });
    Some(records.collect())
}

/// Both, sorted; of one inode only the newest state, for no other can be met again.
fn merged<'a>(
    old: &'a [(Key, Hash)],
    new: &'a [(Key, Hash)],
) -> impl Iterator<Item = &'a (Key, Hash)> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let both = std::iter::from_fn(move || match (old.peek(), new.peek()) {
        (Some(a), Some(b)) if a.0 == b.0 => old.next().and(new.next()),
        (Some(a), Some(b)) if a.0 < b.0 => old.next(),
        (_, Some(_)) => new.next(),
        (_, None) => old.next(),
    });
    let mut both = both.peekable();
    std::iter::from_fn(move || {
        loop {
            let record = both.next()?;
            let superseded = both.peek().is_some_and(|(next, _)| {
                (next.device, next.inode) == (record.0.device, record.0.inode)
                    && next.ctime > record.0.ctime
            });
            if !superseded {
                return Some(record);
            }
        }
    })
}

fn record(key: &Key, hash: &Hash) -> [u8; RECORD] {
    let Key { device, inode, size, mtime, ctime } = *key;
    let mut bytes = [0; RECORD];
    for (place, number) in
        bytes.chunks_exact_mut(8).zip([device, inode, size, mtime as u64, ctime as u64])
    {
        place.copy_from_slice(&number.to_le_bytes());
    }
    bytes[40..].copy_from_slice(&hash.0);
    bytes
}

/// What the clock of the index's file system says, by the time of a new file.
fn file_system_time(path: &Path) -> Option<i128> {
    if let Some(folder) = path.parent() {
        // Where it cannot be made the probe fails.
        let _ = fs_err::create_dir_all(folder);
    }
    let probe = beside(path, "probe");
    let time = fs_err::File::create(&probe)
        .and_then(|file| file.metadata())
        .ok()
        .map(|facts| i128::from(facts.ctime()) * 1_000_000_000 + i128::from(facts.ctime_nsec()));
    let _ = fs_err::remove_file(&probe);
    time
}

fn replace<'a>(path: &Path, records: impl Iterator<Item = &'a (Key, Hash)>) -> std::io::Result<()> {
    let temporary = beside(path, "new");
    let mut file = BufWriter::new(fs_err::File::create(&temporary)?);
    let mut sum = blake3::Hasher::new();
    let mut write = |bytes: &[u8]| {
        sum.update(bytes);
        file.write_all(bytes)
    };
    write(MAGIC)?;
    for (key, hash) in records {
        write(&record(key, hash))?;
    }
    let sum = sum.finalize();
    file.write_all(sum.as_bytes())?;
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_data()?;
    fs_err::rename(&temporary, path)
}

/// A name next to the index that no other process uses.
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{what}", rustix::process::getpid().as_raw_nonzero()));
    PathBuf::from(name)
}
