//! Where the last block of a deflate stream begins and ends. RFC 1951.
//!
//! A compressor that only makes whole streams marks its last block as the last. To put such streams
//! one after another that mark is taken away, so its place must be known: all blocks before it are
//! read, symbol by symbol, without making the text that they stand for.

/// Bits from the start of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastBlock {
    /// Of the bit that says that the block is the last.
    pub(crate) start: usize,
    /// Just behind the block.
    pub(crate) end: usize,
}

/// Finds the last block; nothing where the bytes are no whole stream.
pub(crate) fn last_block(stream: &[u8]) -> Option<LastBlock> {
    let mut bits = Bits { bytes: stream, at: 0, held: 0, count: 0 };
    let mut codes = Codes::new();
    loop {
        let start = bits.position();
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => bits.skip_stored()?,
            1 => {
                codes.fixed();
                codes.skip_block(&mut bits)?;
            }
            2 => {
                codes.read(&mut bits)?;
                codes.skip_block(&mut bits)?;
            }
            _ => return None,
        }
        if is_last {
            let end = bits.position();
            return (end <= stream.len() * 8).then_some(LastBlock { start, end });
        }
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// Holds at least 56 bits, zeros behind the end.
    #[inline]
    fn fill(&mut self) {
        if let Some(next) = self.bytes.get(self.at..self.at + 8) {
            let next = u64::from_le_bytes(next.try_into().expect("eight bytes"));
            self.held |= next << self.count;
            self.at += ((63 - self.count) / 8) as usize;
            self.count |= 56;
            return;
        }
        while self.count <= 56 {
            let byte = self.bytes.get(self.at).copied().unwrap_or(0);
            self.held |= u64::from(byte) << self.count;
            self.at += 1;
            self.count += 8;
        }
    }

    #[inline]
    fn drop(&mut self, count: u32) {
        self.held >>= count;
        self.count -= count;
    }

    fn take(&mut self, count: u32) -> Option<usize> {
        self.fill();
        let taken = self.held & ((1 << count) - 1);
        self.drop(count);
        (self.position() <= self.bytes.len() * 8).then_some(taken as usize)
    }

    fn position(&self) -> usize {
        self.at * 8 - self.count as usize
    }

    fn skip_stored(&mut self) -> Option<()> {
        let at = self.position().div_ceil(8);
        let length = self.bytes.get(at..at + 2)?;
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        (self.held, self.count, self.at) = (0, 0, at + 4 + length);
        (self.at <= self.bytes.len()).then_some(())
    }
}

/// Bits of a code that its table is looked up by. Longer codes are rare.
const LITERAL_BITS: u32 = 11;
const DISTANCE_BITS: u32 = 9;

const END: u16 = 0x100;
const LENGTH: u16 = 0x200;
const LONG: u16 = 0x400;
const BITS: u16 = 0xff;

/// A Huffman code: how many bits a symbol takes with the extra bits that follow it.
struct Code {
    /// By the next bits: the number of bits in all, with what kind of symbol it is.
    table: Vec<u16>,
    table_bits: u32,
    /// For codes that are too long for the table: how many there are of each length, and the
    /// symbols by length.
    counts: [u16; 16],
    symbols: Vec<u16>,
    fact: fn(u16) -> u16,
}

impl Code {
    fn new(table_bits: u32, fact: fn(u16) -> u16) -> Code {
        let table = vec![0; 1 << table_bits];
        Code { table, table_bits, counts: [0; 16], symbols: Vec::new(), fact }
    }

    fn build(&mut self, lengths: &[u8]) {
        self.counts = [0; 16];
        lengths.iter().for_each(|it| self.counts[usize::from(*it)] += 1);
        self.counts[0] = 0;
        let mut places = [0u16; 16];
        let mut codes = [0u16; 16];
        for length in 1..16 {
            places[length] = places[length - 1] + self.counts[length - 1];
            codes[length] = (codes[length - 1].wrapping_add(self.counts[length - 1])) << 1;
        }
        self.symbols.clear();
        self.symbols.resize(lengths.len(), 0);
        self.table.fill(LONG);
        for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let length = usize::from(*length);
            let symbol = symbol as u16;
            self.symbols[usize::from(places[length])] = symbol;
            places[length] += 1;
            let code = codes[length];
            codes[length] = code.wrapping_add(1);
            if length as u32 > self.table_bits {
                continue;
            }
            let value = length as u16 + (self.fact)(symbol);
            let first = usize::from(code.reverse_bits() >> (16 - length));
            let places = self.table.iter_mut().skip(first).step_by(1 << length);
            places.for_each(|place| *place = value);
        }
    }

    /// The entry for the next bits.
    #[inline]
    fn next(&self, bits: &Bits<'_>) -> u16 {
        let entry = self.table[bits.held as usize & (self.table.len() - 1)];
        if entry & LONG == 0 { entry } else { self.long(bits.held) }
    }

    /// Bit by bit.
    #[cold]
    fn long(&self, mut held: u64) -> u16 {
        let (mut code, mut first, mut place) = (0u32, 0u32, 0u32);
        for length in 1..16u16 {
            code |= (held & 1) as u32;
            held >>= 1;
            let count = u32::from(self.counts[usize::from(length)]);
            if (first..first + count).contains(&code) {
                let symbol = self.symbols[(place + code - first) as usize];
                return length + (self.fact)(symbol);
            }
            place += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        LONG
    }
}

/// Extra bits of literals and lengths, and their kinds.
fn literal(symbol: u16) -> u16 {
    match symbol {
        0..=255 => 0,
        256 => END,
        257..=264 | 285 => LENGTH,
        265..=284 => LENGTH + (symbol - 261) / 4,
        _ => LONG,
    }
}

fn distance(symbol: u16) -> u16 {
    match symbol {
        0..=3 => 0,
        4..=29 => symbol / 2 - 1,
        _ => LONG,
    }
}

struct Codes {
    literals: Code,
    distances: Code,
    lengths: Code,
}

impl Codes {
    fn new() -> Codes {
        Codes {
            literals: Code::new(LITERAL_BITS, literal),
            distances: Code::new(DISTANCE_BITS, distance),
            // The fact is the symbol itself.
            lengths: Code::new(7, |symbol| symbol << 8),
        }
    }

    fn fixed(&mut self) {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        self.literals.build(&lengths);
        self.distances.build(&[5; 30]);
    }

    /// Reads the codes of a dynamic block.
    fn read(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        const ORDER: [usize; 19] =
            [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let literals = bits.take(5)? + 257;
        let distances = bits.take(5)? + 1;
        let given = bits.take(4)? + 4;
        let mut small = [0; 19];
        for place in &ORDER[..given] {
            small[*place] = bits.take(3)? as u8;
        }
        self.lengths.build(&small);
        let mut lengths = [0u8; 320];
        let mut at = 0;
        while at < literals + distances {
            bits.fill();
            let entry = self.lengths.table[bits.held as usize & 127];
            if entry == LONG {
                return None;
            }
            bits.drop(u32::from(entry & BITS));
            let (value, count) = match entry >> 8 {
                16 => (*lengths.get(at.checked_sub(1)?)?, bits.take(2)? + 3),
                17 => (0, bits.take(3)? + 3),
                18 => (0, bits.take(7)? + 11),
                length => (length as u8, 1),
            };
            lengths.get_mut(at..at + count)?.fill(value);
            at += count;
        }
        self.literals.build(&lengths[..literals]);
        self.distances.build(lengths.get(literals..at)?);
        (at == literals + distances).then_some(())
    }

    /// Passes over the symbols of a block.
    fn skip_block(&self, bits: &mut Bits<'_>) -> Option<()> {
        let behind = bits.bytes.len() + 8;
        while bits.at <= behind {
            bits.fill();
            // A length and a distance take 48 bits at most: 15 + 5 and 15 + 13.
            let mut entry = self.literals.next(bits);
            bits.drop(u32::from(entry & BITS));
            if entry <= BITS {
                entry = self.literals.next(bits);
                if entry <= BITS {
                    bits.drop(u32::from(entry));
                    continue;
                }
                bits.drop(u32::from(entry & BITS));
                bits.fill();
            }
            match entry & !BITS {
                LENGTH => {
                    let entry = self.distances.next(bits);
                    if entry & LONG != 0 {
                        return None;
                    }
                    bits.drop(u32::from(entry & BITS));
                }
                END => return Some(()),
                _ => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::last_block;
    use libdeflater::{CompressionLvl, Compressor};

    fn text(seed: u64, length: usize, letters: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) * letters) >> 31
        };
        let mut out: Vec<u8> = Vec::with_capacity(length);
        while out.len() < length {
            let back = next() as usize * 37 % 40_000;
            if letters < 200 && back < out.len() && next() % 2 == 0 {
                let start = out.len() - back - 1;
                let end = (start + 3 + next() as usize % 260).min(out.len());
                out.extend_from_within(start..end);
            } else {
                out.push(next() as u8);
            }
        }
        out.truncate(length);
        out
    }

    /// With the mark taken away and an empty last block of its own behind it, the stream is the same.
    #[test]
    fn a_stream_goes_on_where_its_last_block_ends() {
        for level in [1, 5, 6, 9, 12] {
            let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
            for (seed, (length, letters)) in
                [(0, 2), (1, 2), (90, 20), (40_000, 7), (700_000, 60), (300_000, 256), (900_000, 3)]
                    .into_iter()
                    .enumerate()
            {
                let text = text(seed as u64 + 1, length, letters);
                let mut out = vec![0; compressor.deflate_compress_bound(text.len())];
                let size = compressor.deflate_compress(&text, &mut out).unwrap();
                out.truncate(size);
                let last = last_block(&out).unwrap();
                assert_eq!(last.end.div_ceil(8), size, "level {level}, length {length}");
                assert_eq!(out[last.start / 8] >> (last.start % 8) & 1, 1);
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_damaged_has_no_last_block() {
        let text = text(3, 50_000, 40);
        let mut compressor = Compressor::new(CompressionLvl::new(6).unwrap());
        let mut out = vec![0; compressor.deflate_compress_bound(text.len())];
        let size = compressor.deflate_compress(&text, &mut out).unwrap();
        out.truncate(size);
        for length in 0..size {
            assert_eq!(last_block(&out[..length]), None, "{length}");
        }
        // Any bytes are read without harm.
        for at in 0..size {
            let mut damaged = out.clone();
            damaged[at] ^= 0x5a;
            let _ = last_block(&damaged);
        }
    }
}
