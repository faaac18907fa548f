//! A layer's blob into another one: with another compression, or with times that end at a given one.

use crate::{
    Compression, PackOptions,
    blob::zstd_encoder,
    gzip,
    header::{BLOCK, padding},
    source::decompress,
    tar::{number, read_full},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
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

/// Compresses the tar in `blob` anew, into a file in `dir`. The tar's bytes stay as they are.
pub fn recompress(
    blob: impl Read + Send,
    options: &PackOptions,
    dir: &Path,
) -> io::Result<Rewritten> {
    written(blob, options, dir, |tar, out| pass(tar, u64::MAX, out).map(drop))
}

/// As [`recompress`], and times later than `latest`, in seconds since 1970, become `latest`: what
/// BuildKit's `rewrite-timestamp=true` does.
pub fn clamp_times(
    blob: impl Read + Send,
    latest: u32,
    options: &PackOptions,
    dir: &Path,
) -> io::Result<Rewritten> {
    written(blob, options, dir, |tar, out| clamp(tar, i64::from(latest), out))
}

fn written(
    blob: impl Read + Send,
    options: &PackOptions,
    dir: &Path,
    write: impl FnOnce(&mut dyn Read, &mut Tar<'_>) -> io::Result<()>,
) -> io::Result<Rewritten> {
    let PackOptions { compression, threads } = *options;
    let file = tempfile::Builder::new().prefix("layer-").tempfile_in(dir)?;
    let sink = Sink { file: file.as_file(), sha: Sha256::new(), size: 0 };
    let mut tar =
        Tar { block: Vec::new(), sha: Sha256::new(), to: To::new(compression, threads, sink)? };
    write(&mut *decompress(blob)?, &mut tar)?;
    tar.flush()?;
    let diff_id = DiffId(Digest::from_sha256(tar.sha.finalize().into()));
    let Sink { file: _, sha, size } = tar.to.finish()?;
    let digest = Digest::from_sha256(sha.finalize().into());
    Ok(Rewritten {
        diff_id,
        descriptor: Descriptor::new(compression.media_type(), digest, size),
        file: file.into_temp_path().keep().map_err(|it| it.error)?,
    })
}

/// The size of a block of tar. It shows in the bytes of a gzip blob.
const BLOCK_OF_TAR: usize = 1 << 20;

/// Takes the tar, and cuts it into blocks.
struct Tar<'a> {
    block: Vec<u8>,
    sha: Sha256,
    to: To<'a>,
}

impl Tar<'_> {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_OF_TAR - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK_OF_TAR {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sha.update(&self.block);
        self.to.write(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

/// How the blob is made.
enum To<'a> {
    Plain(Sink<'a>),
    Gzip { sink: Sink<'a>, encoder: gzip::Encoder, crc: crc32fast::Hasher, size: u32 },
    Zstd(zstd::Encoder<'static, Sink<'a>>),
}

impl<'a> To<'a> {
    fn new(compression: Compression, threads: usize, mut sink: Sink<'a>) -> io::Result<To<'a>> {
        Ok(match compression {
            Compression::None => To::Plain(sink),
            Compression::Gzip(level) => {
                sink.write_all(&gzip::HEADER)?;
                let (encoder, crc) = (gzip::Encoder::new(level), crc32fast::Hasher::new());
                To::Gzip { sink, encoder, crc, size: 0 }
            }
            Compression::Zstd(level) => To::Zstd(zstd_encoder(sink, level, threads)?),
        })
    }

    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        match self {
            To::Plain(sink) => sink.write_all(block),
            To::Zstd(encoder) => encoder.write_all(block),
            To::Gzip { sink, encoder, crc, size } => {
                if block.is_empty() {
                    return Ok(());
                }
                crc.update(block);
                *size = size.wrapping_add(u32::try_from(block.len()).expect("a block is small"));
                sink.write_all(&encoder.compress(block)?.bytes)
            }
        }
    }

    fn finish(self) -> io::Result<Sink<'a>> {
        match self {
            To::Plain(sink) => Ok(sink),
            To::Zstd(encoder) => encoder.finish(),
            To::Gzip { mut sink, encoder: _, crc, size } => {
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

/// Passes on up to `size` bytes and says how many there were.
fn pass(tar: &mut dyn Read, size: u64, out: &mut Tar<'_>) -> io::Result<u64> {
    let mut buffer = vec![0; 128 << 10];
    let mut passed = 0;
    while passed < size {
        let room = usize::try_from(size - passed).unwrap_or(usize::MAX).min(buffer.len());
        let got = read_full(&mut &mut *tar, &mut buffer[..room])?;
        out.write(&buffer[..got])?;
        passed += got as u64;
        if got < room {
            break;
        }
    }
    Ok(passed)
}

fn clamp(tar: &mut dyn Read, latest: i64, out: &mut Tar<'_>) -> io::Result<()> {
    // The size that a PAX record gives for the next entry, and whether one gave its time.
    let (mut size_record, mut late) = (None, false);
    loop {
        let mut block = [0; BLOCK];
        match read_full(&mut &mut *tar, &mut block)? {
            0 => return Ok(()),
            BLOCK => {}
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        if block.iter().all(|it| *it == 0) {
            // The end; what follows is not looked at by anybody.
            out.write(&block)?;
            return pass(tar, u64::MAX, out).map(drop);
        }
        let flag = block[156];
        let size = u64::try_from(field(&block[124..136], "size")?).map_err(|_| damaged("size"))?;
        if flag == b'x' || flag == b'g' {
            let records = extension(tar, size)?;
            size_record = records
                .iter()
                .rev()
                .find(|it| it.0 == b"size")
                .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
            let kept = clamped(&records, latest);
            let time = |records: &Records| records.iter().any(|it| it.0 == b"mtime");
            late = time(&records) && !time(&kept);
            write_extension(&mut block, &kept, out)?;
            continue;
        }
        if late || field(&block[136..148], "mtime")? > latest {
            block[136..148].copy_from_slice(format!("{latest:011o}\0").as_bytes());
            set_checksum(&mut block);
        }
        out.write(&block)?;
        let content = match flag {
            b'1'..=b'6' => 0,
            _ => size_record.unwrap_or(size),
        };
        (size_record, late) = (None, false);
        let whole = content + padding(content) as u64;
        if pass(tar, whole, out)? < whole {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
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

/// Writes an extension header, unless nothing is left in it.
fn write_extension(
    block: &mut [u8; BLOCK],
    records: &Records,
    out: &mut Tar<'_>,
) -> io::Result<()> {
    if records.is_empty() {
        return Ok(());
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
    out.write(block)?;
    out.write(&body)?;
    out.write(&[0; BLOCK][..padding(body.len() as u64)])
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
        let gzip = options(Compression::Gzip(6));
        let packed = pack(vec![change("a", 5, b"abc")], &gzip, dir.path()).unwrap();
        let blob = || fs::File::open(&packed.file).unwrap();
        for compression in [Compression::Zstd(3), Compression::None, Compression::Gzip(6)] {
            let again = recompress(blob(), &options(compression), dir.path()).unwrap();
            assert_eq!(again.diff_id, packed.diff_id);
            assert_eq!(again.descriptor.media_type, compression.media_type());
            let file = fs::File::open(&again.file).unwrap();
            assert!(read_index(file, Some(packed.diff_id)).is_ok());
            if !matches!(compression, Compression::Gzip(_)) {
                let cold = pack(vec![change("a", 5, b"abc")], &options(compression), dir.path());
                assert_eq!(cold.unwrap().descriptor, again.descriptor);
            }
        }
        let mut tar = Vec::new();
        decompress(blob()).unwrap().read_to_end(&mut tar).unwrap();
        let cut = &tar[..700];
        assert!(clamp_times(cut, 1, &gzip, dir.path()).is_err());
    }
}
