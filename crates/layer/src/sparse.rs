//! Sparse files in tar archives: GNU's old header and its three PAX forms (0.0, 0.1 and 1.0).
//!
//! GNU tar manual, "Storing Sparse Files". Holes are read as zeros; nothing sparse is ever written.

use crate::{
    header::BLOCK,
    tar::{TarError, decimal, number},
};
use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Read},
};

/// What is left of a file: which parts of it are stored.
#[derive(Debug, Default)]
pub(crate) struct Map {
    parts: VecDeque<(u64, u64)>,
    position: u64,
    size: u64,
}

const WRONG: TarError = TarError::Field { field: "map of a sparse file" };
/// A map with more parts than this is refused.
const PARTS_AT_MOST: usize = 1 << 20;

impl Map {
    /// Checks that the parts are in order, within the file, and as much as is stored.
    fn new(parts: Vec<(u64, u64)>, size: u64, stored: u64) -> Result<Map, TarError> {
        let mut end = 0;
        let mut sum = 0u64;
        for (offset, length) in &parts {
            let next = offset.checked_add(*length).filter(|it| *it <= size && *offset >= end);
            end = next.ok_or(WRONG)?;
            sum += length;
        }
        if sum != stored {
            return Err(WRONG);
        }
        Ok(Map { parts: parts.into(), position: 0, size })
    }

    /// The size of the file with its holes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Reads the next piece, from `stored` or from a hole.
    pub(crate) fn read(&mut self, buffer: &mut [u8], stored: impl Read) -> io::Result<usize> {
        while self.parts.front().is_some_and(|it| it.0 + it.1 <= self.position) {
            self.parts.pop_front();
        }
        let (start, end) = match self.parts.front() {
            Some((offset, length)) => (*offset, offset + length),
            None => (self.size, self.size),
        };
        let read = if self.position < start {
            let hole = usize::try_from(start - self.position).unwrap_or(usize::MAX);
            let hole = hole.min(buffer.len());
            buffer[..hole].fill(0);
            hole
        } else {
            stored.take(end - self.position).read(buffer)?
        };
        self.position += read as u64;
        Ok(read)
    }
}

/// Reads the map of a header with the type flag `S`; `next_block` reads its continuations.
pub(crate) fn old_gnu(
    block: &[u8; BLOCK],
    stored: u64,
    mut next_block: impl FnMut() -> Result<[u8; BLOCK], TarError>,
) -> Result<Map, TarError> {
    let size = field(&block[483..495])?;
    let mut parts = Vec::new();
    add_parts(&mut parts, &block[386..482])?;
    let mut goes_on = block[482] != 0;
    while goes_on {
        let block = next_block()?;
        add_parts(&mut parts, &block[..504])?;
        goes_on = block[504] != 0;
    }
    Map::new(parts, size, stored)
}

fn add_parts(parts: &mut Vec<(u64, u64)>, bytes: &[u8]) -> Result<(), TarError> {
    for pair in bytes.chunks_exact(24).take_while(|it| it[0] != 0) {
        if parts.len() == PARTS_AT_MOST {
            return Err(WRONG);
        }
        parts.push((field(&pair[..12])?, field(&pair[12..])?));
    }
    Ok(())
}

fn field(bytes: &[u8]) -> Result<u64, TarError> {
    number(bytes).and_then(|it| u64::try_from(it).ok()).ok_or(WRONG)
}

/// Reads the map that PAX records announce, if they do. In form 1.0 it stands before the content,
/// in `stored` bytes of which as many are left afterwards as are returned beside the map.
pub(crate) fn pax(
    records: &BTreeMap<Vec<u8>, Vec<u8>>,
    stored: u64,
    mut next_block: impl FnMut() -> Result<[u8; BLOCK], TarError>,
) -> Result<Option<(Map, u64)>, TarError> {
    let get = |key: &str| records.get(key.as_bytes()).map(Vec::as_slice);
    if let Some(major) = get("GNU.sparse.major") {
        if major != b"1" || get("GNU.sparse.minor") != Some(b"0") {
            return Err(TarError::Sparse);
        }
        let size = decimal(get("GNU.sparse.realsize").ok_or(WRONG)?, "sparse size")?;
        let mut numbers = Numbers { block: [0; BLOCK], at: BLOCK, used: 0 };
        let count: usize = numbers.next(&mut next_block)?;
        let mut parts = Vec::new();
        for _ in 0..count.min(PARTS_AT_MOST + 1) {
            parts.push((numbers.next(&mut next_block)?, numbers.next(&mut next_block)?));
        }
        let rest = stored.checked_sub(numbers.used).filter(|_| count <= PARTS_AT_MOST);
        let rest = rest.ok_or(WRONG)?;
        return Ok(Some((Map::new(parts, size, rest)?, rest)));
    }
    let Some(map) = get("GNU.sparse.map") else {
        let is_sparse = records.keys().any(|it| it.starts_with(b"GNU.sparse."));
        return if is_sparse { Err(TarError::Sparse) } else { Ok(None) };
    };
    let size = decimal(get("GNU.sparse.size").ok_or(WRONG)?, "sparse size")?;
    let numbers = map.split(|it| *it == b',').map(|it| decimal(it, "map of a sparse file"));
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>()?;
    let parts = numbers.chunks(2).map(|it| Some((it[0], *it.get(1)?)));
    let parts: Option<Vec<_>> = parts.collect();
    Ok(Some((Map::new(parts.ok_or(WRONG)?, size, stored)?, stored)))
}

/// Decimal numbers, one a line, in whole blocks.
struct Numbers {
    block: [u8; BLOCK],
    at: usize,
    used: u64,
}

impl Numbers {
    fn next<T: std::str::FromStr>(
        &mut self,
        next_block: &mut impl FnMut() -> Result<[u8; BLOCK], TarError>,
    ) -> Result<T, TarError> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                self.block = next_block()?;
                self.at = 0;
                self.used += BLOCK as u64;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' => return decimal(&digits, "map of a sparse file"),
                b'0'..=b'9' if digits.len() < 20 => digits.push(byte),
                _ => return Err(WRONG),
            }
        }
    }
}
