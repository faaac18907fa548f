//! A layer's blob into another one: with another compression, or with times that end at a given one.

use crate::{
    Compression, PackOptions,
    blob::zstd_encoder,
    gzip,
    header::{BLOCK, append_padding, padding},
    ordered::{Input, ordered},
    source::decompress,
    tar::{header, number, read_full},
    unit::{Boundaries, pieces},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
};
use strake_oci::{Descriptor, DiffId, Digest};

/// What a layer became.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// Digest of the tar: the old one unless a time was changed.
    pub diff_id: DiffId,
    /// The blob, with an OCI media type.
    pub descriptor: Descriptor,
    /// Where the blob is. It belongs to the caller, who moves or deletes it.
    pub file: PathBuf,
}

/// Compresses the tar in `blob` anew, into a file in `dir`. The tar's bytes stay as they are, and the blob of
/// a tar that [`crate::pack`] wrote is the one that it would have written with this compression.
pub fn recompress(
    blob: impl Read + Send,
    options: &PackOptions,
    dir: &Path,
) -> io::Result<Rewritten> {
    written(blob, options, dir, |tar, out| copy(tar, i64::MAX, out))
}

/// As [`recompress`], and times later than `latest`, in seconds since 1970, become `latest`: what
/// BuildKit's `rewrite-timestamp=true` does.
pub fn clamp_times(
    blob: impl Read + Send,
    latest: u32,
    options: &PackOptions,
    dir: &Path,
) -> io::Result<Rewritten> {
    written(blob, options, dir, |tar, out| copy(tar, i64::from(latest), out))
}

fn written(
    blob: impl Read + Send,
    options: &PackOptions,
    dir: &Path,
    write: impl FnOnce(&mut dyn Read, &mut Tar) -> io::Result<()> + Send,
) -> io::Result<Rewritten> {
    let PackOptions { compression, threads } = *options;
    let file = tempfile::Builder::new().prefix("layer-").tempfile_in(dir)?;
    let sink = Sink { file: file.as_file(), sha: Sha256::new(), size: 0 };
    let mut to = To::new(compression, threads, sink)?;
    let tar = thread::scope(|scope| {
        let (to_packers, mut packed) =
            ordered(scope, threads.max(1), move || Packer::new(compression), Packer::pack);
        let reader = scope.spawn(move || {
            let mut tar = Tar { block: Vec::new(), sha: Sha256::new(), to: to_packers };
            write(&mut *decompress(blob)?, &mut tar)?;
            tar.cut()?;
            io::Result::Ok(tar.sha)
        });
        // The reader ends when nobody takes what it reads.
        let taken = packed.try_for_each(|it| to.write(it?));
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        taken.and(read)
    })?;
    let diff_id = DiffId(Digest::from_sha256(tar.finalize().into()));
    let Sink { file: _, sha, size } = to.finish()?;
    let digest = Digest::from_sha256(sha.finalize().into());
    Ok(Rewritten {
        diff_id,
        descriptor: Descriptor::new(compression.media_type(), digest, size),
        file: file.into_temp_path().keep().map_err(|it| it.error)?,
    })
}

/// What is no entry is cut into blocks of this size. It shows in the bytes of a gzip blob.
const BLOCK_AT_MOST: usize = 1 << 20;

/// Takes the tar, block by block.
struct Tar {
    block: Vec<u8>,
    sha: Sha256,
    to: Input<Vec<u8>, io::Result<Packed>>,
}

impl Tar {
    /// Appends to the block.
    fn write(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    /// Ends the block, unless it is empty.
    fn cut(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.sha.update(&self.block);
        match self.to.send(std::mem::take(&mut self.block)) {
            true => Ok(()),
            false => Err(io::Error::other("the layer could not be written")),
        }
    }
}

/// A block as it is written.
struct Packed {
    bytes: Vec<u8>,
    /// Of gzip: the checksum of what was compressed, and how long it was.
    plain: (u32, u32),
}

/// What a thread compresses with, where blocks are compressed each by itself.
struct Packer(Option<gzip::Encoder>);

impl Packer {
    fn new(compression: Compression) -> Packer {
        Packer(match compression {
            Compression::Gzip(level) => Some(gzip::Encoder::new(level)),
            Compression::None | Compression::Zstd(_) => None,
        })
    }

    fn pack(&mut self, block: Vec<u8>) -> io::Result<Packed> {
        let Some(encoder) = &mut self.0 else { return Ok(Packed { bytes: block, plain: (0, 0) }) };
        let length = u32::try_from(block.len()).map_err(|_| damaged("block"))?;
        let gzip::Deflated { bytes, crc } = encoder.compress(&block)?;
        Ok(Packed { bytes, plain: (crc, length) })
    }
}

/// How the blob is made.
enum To<'a> {
    Plain(Sink<'a>),
    Gzip { sink: Sink<'a>, crc: crc32fast::Hasher, size: u32 },
    Zstd(zstd::Encoder<'static, Sink<'a>>),
}

impl<'a> To<'a> {
    fn new(compression: Compression, threads: usize, mut sink: Sink<'a>) -> io::Result<To<'a>> {
        Ok(match compression {
            Compression::None => To::Plain(sink),
            Compression::Gzip(_) => {
                sink.write_all(&gzip::HEADER)?;
                To::Gzip { sink, crc: crc32fast::Hasher::new(), size: 0 }
            }
            Compression::Zstd(level) => To::Zstd(zstd_encoder(sink, level, threads)?),
        })
    }

    fn write(&mut self, block: Packed) -> io::Result<()> {
        match self {
            To::Plain(sink) => sink.write_all(&block.bytes),
            To::Zstd(encoder) => encoder.write_all(&block.bytes),
            To::Gzip { sink, crc, size } => {
                let (of_block, length) = block.plain;
                let length_of = u64::from(length);
                crc.combine(&crc32fast::Hasher::new_with_initial_len(of_block, length_of));
                *size = size.wrapping_add(length);
                sink.write_all(&block.bytes)
            }
        }
    }

    fn finish(self) -> io::Result<Sink<'a>> {
        match self {
            To::Plain(sink) => Ok(sink),
            To::Zstd(encoder) => encoder.finish(),
            To::Gzip { mut sink, crc, size } => {
                sink.write_all(&gzip::trailer(crc.finalize(), size))?;
                Ok(sink)
            }
        }
    }
}

/// The file, and what is known of its bytes.
struct Sink<'a> {
    file: &'a File,
    sha: Sha256,
    size: u64,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sha.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes on so many bytes, in blocks of their own but for the last, which more may follow in.
fn pass(tar: &mut dyn Read, lengths: impl Iterator<Item = u64>, out: &mut Tar) -> io::Result<()> {
    let mut lengths = lengths.peekable();
    while let Some(length) = lengths.next() {
        let before = out.block.len();
        tar.take(length).read_to_end(&mut out.block)?;
        if ((out.block.len() - before) as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if lengths.peek().is_some() {
            out.cut()?;
        }
    }
    Ok(())
}

/// Passes on what follows the last entry, or what is no tar.
fn rest(tar: &mut dyn Read, out: &mut Tar) -> io::Result<()> {
    loop {
        let room = BLOCK_AT_MOST.saturating_sub(out.block.len()) as u64;
        let read = tar.take(room).read_to_end(&mut out.block)?;
        if (read as u64) < room {
            return Ok(());
        }
        out.cut()?;
    }
}

/// Passes the entries on, in the blocks that packing would put them into, with no time after `latest`.
fn copy(tar: &mut dyn Read, latest: i64, out: &mut Tar) -> io::Result<()> {
    let mut units = Boundaries::default();
    // What stands before the next entry: extension headers as they will be written, and their records.
    let (mut ahead, mut records, mut late) = (Vec::new(), Records::new(), false);
    loop {
        let mut block = [0; BLOCK];
        match read_full(&mut &mut *tar, &mut block)? {
            0 => return Ok(()),
            BLOCK => {}
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        if block.iter().all(|it| *it == 0) {
            // The end; what follows is not looked at by anybody.
            out.cut()?;
            out.write(&ahead);
            out.write(&block);
            return rest(tar, out);
        }
        let flag = block[156];
        if flag == b'x' || flag == b'g' {
            let size = field(&block[124..136], "size")?;
            let found = extension(tar, u64::try_from(size).map_err(|_| damaged("size"))?)?;
            let kept = clamped(&found, latest);
            let time = |records: &Records| records.iter().any(|it| it.0 == b"mtime");
            late |= time(&found) && !time(&kept);
            append_extension(&mut ahead, &mut block, &kept);
            records.extend(found);
            continue;
        }
        if late || field(&block[136..148], "mtime")? > latest {
            block[136..148].copy_from_slice(format!("{latest:011o}\0").as_bytes());
            set_checksum(&mut block);
        }
        ahead.extend_from_slice(&block);
        let header = header(&block, &records).map_err(io::Error::other)?;
        let size = if matches!(flag, b'1'..=b'6') { 0 } else { header.size };
        if units.before_header(&header, size) {
            out.cut()?;
        }
        out.write(&ahead);
        pass(tar, pieces(size), out)?;
        pass(tar, std::iter::once(padding(size) as u64), out)?;
        ahead.clear();
        records.clear();
        late = false;
    }
}

/// Key and value.
type Record = (Vec<u8>, Vec<u8>);
type Records = Vec<Record>;

/// More metadata than this before one entry is not a layer but an attack.
const EXTENSION_AT_MOST: u64 = 16 << 20;

fn extension(tar: &mut dyn Read, size: u64) -> io::Result<Records> {
    if size > EXTENSION_AT_MOST {
        return Err(damaged("PAX header"));
    }
    let mut body = vec![0; usize::try_from(size).expect("16 MiB at most") + padding(size)];
    tar.read_exact(&mut body)?;
    body.truncate(usize::try_from(size).expect("16 MiB at most"));
    let (mut rest, mut records) = (body.as_slice(), Records::new());
    while !rest.is_empty() {
        let (record, after) = split_record(rest).ok_or_else(|| damaged("PAX record"))?;
        records.push(record);
        rest = after;
    }
    Ok(records)
}

/// `LENGTH KEY=VALUE\n` from the rest.
fn split_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let space = bytes.iter().position(|it| *it == b' ')?;
    let length = std::str::from_utf8(&bytes[..space]).ok()?.parse::<usize>().ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let pair = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|it| *it == b'=')?;
    Some(((pair[..equals].to_vec(), pair[equals + 1..].to_vec()), rest))
}

/// Times that are later than `latest` are left out: that of the content is in the header itself.
fn clamped(records: &Records, latest: i64) -> Records {
    let is_later = |value: &[u8]| {
        let text = String::from_utf8_lossy(value);
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        whole.parse::<i64>().is_ok_and(|it| {
            it > latest || (it == latest && part.bytes().any(|digit| digit != b'0'))
        })
    };
    let is_time = |key: &[u8]| [b"mtime", b"atime", b"ctime"].iter().any(|it| key == *it);
    records.iter().filter(|it| !(is_time(&it.0) && is_later(&it.1))).cloned().collect()
}

/// Appends an extension header, unless nothing is left in it.
fn append_extension(out: &mut Vec<u8>, block: &mut [u8; BLOCK], records: &Records) {
    if records.is_empty() {
        return;
    }
    let mut body = Vec::new();
    for (key, value) in records {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + rest.to_string().len();
        length = rest + length.to_string().len();
        body.extend_from_slice(format!("{length} ").as_bytes());
        body.extend_from_slice(key);
        body.push(b'=');
        body.extend_from_slice(value);
        body.push(b'\n');
    }
    block[124..136].copy_from_slice(format!("{:011o}\0", body.len()).as_bytes());
    set_checksum(block);
    out.extend_from_slice(block);
    out.extend_from_slice(&body);
    append_padding(out, body.len() as u64);
}

fn set_checksum(block: &mut [u8; BLOCK]) {
    // Writers end the digits in different ways: as it was, so that equal entries stay equal.
    let end = [block[154], block[155]];
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|it| u32::from(*it)).sum();
    block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    block[154..156].copy_from_slice(&end);
}

fn field(bytes: &[u8], name: &'static str) -> io::Result<i64> {
    number(bytes).ok_or_else(|| damaged(name))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged tar header: invalid {what}"))
}

#[cfg(test)]
mod tests {
    use super::{clamp_times, recompress};
    use crate::{
        Body, Change, Compression, Entry, Kind, PackOptions, decompress, pack, read_index,
    };
    use std::{collections::BTreeMap, fs, io::Read};

    fn change(path: &str, mtime: i64, body: &[u8]) -> Change {
        let entry = Entry {
            path: path.as_bytes().to_vec(),
            kind: Kind::File { size: body.len() as u64 },
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime,
            xattrs: BTreeMap::from([(b"user.a".to_vec(), b"\nb=\n".to_vec())]),
        };
        Change { entry, body: Body::Bytes(body.to_vec().into()) }
    }

    #[test]
    fn later_times_become_the_latest_and_nothing_else_changes() {
        let dir = tempfile::tempdir().unwrap();
        let options = |compression| PackOptions { compression, threads: 2 };
        let long = "n".repeat(200);
        let changes = |late: i64| {
            vec![
                change("early", 50, b"one"),
                change("late", late, &[7; 700]),
                change(&long, late, b""),
            ]
        };
        let gzip = options(Compression::Gzip(6));
        let packed = pack(changes(1_000), &gzip, dir.path()).unwrap();
        let wanted = pack(changes(100), &gzip, dir.path()).unwrap();
        let blob = || fs::File::open(&packed.file).unwrap();
        let clamped = clamp_times(blob(), 100, &gzip, dir.path()).unwrap();
        assert_eq!(clamped.diff_id, wanted.diff_id);
        let same = clamp_times(blob(), 1_000, &gzip, dir.path()).unwrap();
        assert_eq!(same.diff_id, packed.diff_id);
        // A time that needs a PAX record goes with its record.
        let far = pack(changes(1 << 40), &gzip, dir.path()).unwrap();
        let near = clamp_times(fs::File::open(&far.file).unwrap(), 100, &gzip, dir.path());
        assert_eq!(near.unwrap().diff_id, wanted.diff_id);
    }

    #[test]
    fn another_compression_of_the_same_tar() {
        let dir = tempfile::tempdir().unwrap();
        let options = |compression| PackOptions { compression, threads: 2 };
        let compressions = [Compression::Zstd(3), Compression::None, Compression::Gzip(6)];
        let tree = || {
            let kind = |path: &str, kind| {
                let Change { entry, .. } = change(path, 5, b"");
                Change { entry: Entry { kind, ..entry }, body: Body::Empty }
            };
            let mut changes = vec![
                kind("", Kind::Directory { opaque: false }),
                kind("a", Kind::Directory { opaque: true }),
                kind("gone", Kind::Whiteout),
                change("large", 5, &noise(3_700_001)),
                change("z".repeat(150).as_str(), 1 << 40, b"far"),
            ];
            for at in 0..400 {
                let link = Kind::Symlink { target: b"x".to_vec() };
                changes.push(kind(&format!("m{at}/{}", "l".repeat(at % 120 + 1)), link));
                changes.push(change(&format!("n{at}"), 7, &noise(at * 97 % 40_000)));
                changes.push(kind(&format!("o{at}"), Kind::Directory { opaque: at % 3 == 0 }));
                changes.push(kind(&format!("p{at}/gone"), Kind::Whiteout));
            }
            changes.push(change("last", 5, &noise(1_200_000)));
            changes
        };
        for from in compressions {
            let packed = pack(tree(), &options(from), dir.path()).unwrap();
            let blob = || fs::File::open(&packed.file).unwrap();
            for to in compressions {
                let again = recompress(blob(), &options(to), dir.path()).unwrap();
                assert_eq!(again.diff_id, packed.diff_id);
                let file = fs::File::open(&again.file).unwrap();
                assert!(read_index(file, Some(packed.diff_id)).is_ok());
                // As if it had been packed so at once.
                let cold = pack(tree(), &options(to), dir.path()).unwrap();
                assert_eq!(cold.descriptor, again.descriptor, "{from:?} {to:?}");
            }
        }
        let gzip = options(Compression::Gzip(6));
        let packed = pack(vec![change("a", 5, b"abc")], &gzip, dir.path()).unwrap();
        let mut tar = Vec::new();
        let blob = fs::File::open(&packed.file).unwrap();
        decompress(blob).unwrap().read_to_end(&mut tar).unwrap();
        let cut = &tar[..700];
        assert!(clamp_times(cut, 1, &gzip, dir.path()).is_err());
    }

    /// Bytes that compress a little.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = length as u32 | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state & 0x1f) as u8
        };
        (0..length).map(|_| next()).collect()
    }
}
