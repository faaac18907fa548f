//! A layer as eStargz, from which runtimes can fetch single files.
//!
//! The format is that of containerd/stargz-snapshotter, *docs/estargz.md*: gzip members, one of which
//! begins at each file's content; a table of contents; a footer that says where the table is. As in
//! BuildKit the tar itself stays as it is, and the table stands behind its end, where readers of tar do
//! not look: so the tree has no file more.

use crate::{
    Rewritten,
    estargz_toc::{Draft, Drafts, toc},
    ordered::ordered,
    source::decompress,
    tar::{Archive, Header, TarError},
};
use libdeflater::{CompressionLvl, Compressor};
use sha2::{Digest as _, Sha256};
use std::{
    cell::RefCell,
    io::{self, Read, Write},
    path::Path,
    rc::Rc,
};
use strake_oci::{Descriptor, DiffId, Digest, media_type};

/// What a descriptor says of the table of contents, which is verified by it.
const TOC_DIGEST: &str = "containerd.io/snapshot/stargz/toc.digest";
/// And how large the tar is, for stores that ask.
const UNCOMPRESSED_SIZE: &str = "io.containers.estargz.uncompressed-size";

/// Contents are cut into pieces of this size, as stargz-snapshotter does by default.
const CHUNK: usize = 4 << 20;

/// Makes an eStargz of the layer in `blob`, in a file in `dir`, with gzip at `level`. It has another
/// diff id, for the table of contents counts as well. The bytes do not depend on the threads.
pub fn estargz(
    blob: impl Read + Send,
    level: u32,
    threads: usize,
    dir: &Path,
) -> io::Result<Rewritten> {
    let file = tempfile::Builder::new().prefix("layer-").tempfile_in(dir)?;
    let mut sink = Sink { file: file.as_file(), sha: Sha256::new(), size: 0 };
    let level = i32::try_from(level.clamp(1, 9)).expect("at most 9");
    let (split, members) = std::thread::scope(|scope| {
        let (input, packed) = ordered(
            scope,
            threads.max(1),
            move || Compressor::new(CompressionLvl::new(level).expect("a level of libdeflate")),
            |compressor, it: Member| it.pack(compressor),
        );
        let split = scope.spawn(move || split(blob, |it| input.send(it)));
        let mut members = Vec::new();
        for packed in packed {
            let (bytes, payload) = packed?;
            members.push(Place { offset: sink.size, payload });
            sink.write_all(&bytes)?;
        }
        let split = split.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        io::Result::Ok((split?, members))
    })?;
    let Split { mut tar, mut size, drafts } = split;
    let (entry, toc_digest) = toc(&drafts, &members);
    tar.update(&entry);
    size += entry.len() as u64;
    let mut compressor =
        Compressor::new(CompressionLvl::new(level).expect("a level of libdeflate"));
    let offset = sink.size;
    sink.write_all(&gzip_member(&mut compressor, &entry)?)?;
    sink.write_all(&footer(offset))?;
    let digest = Digest::from_sha256(sink.sha.finalize().into());
    let mut descriptor = Descriptor::new(media_type::OCI_LAYER_GZIP, digest, sink.size);
    descriptor.annotations.insert(TOC_DIGEST.to_owned(), toc_digest.to_string());
    descriptor.annotations.insert(UNCOMPRESSED_SIZE.to_owned(), size.to_string());
    Ok(Rewritten {
        diff_id: DiffId(Digest::from_sha256(tar.finalize().into())),
        descriptor,
        file: file.into_temp_path().keep().map_err(|it| it.error)?,
    })
}

/// Whether a layer is one already.
pub fn is_estargz(descriptor: &Descriptor) -> bool {
    descriptor.annotations.contains_key(TOC_DIGEST)
}

/// A piece of the tar that is compressed by itself.
struct Member {
    bytes: Vec<u8>,
    /// How much of its beginning is the content of a file.
    payload: usize,
}

impl Member {
    fn pack(self, compressor: &mut Compressor) -> io::Result<(Vec<u8>, [u8; 32])> {
        let Member { bytes, payload } = self;
        let hash = Sha256::digest(&bytes[..payload]).into();
        Ok((gzip_member(compressor, &bytes)?, hash))
    }
}

/// Where a member is, and the SHA-256 of the content that it begins with.
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) payload: [u8; 32],
}

fn gzip_member(compressor: &mut Compressor, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let size = compressor
        .gzip_compress(bytes, &mut packed)
        .map_err(|error| io::Error::other(format!("gzip: {error}")))?;
    packed.truncate(size);
    Ok(packed)
}

/// An empty member whose extra field says where the table of contents is.
fn footer(offset: u64) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 26, 0, b'S', b'G', 22, 0];
    bytes.extend_from_slice(format!("{offset:016x}STARGZ").as_bytes());
    bytes.extend_from_slice(&[1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// What is known when the whole tar was read.
struct Split {
    tar: Sha256,
    size: u64,
    drafts: Drafts,
}

/// Cuts the tar in `blob` into members and hands them to `send`, which says false when nobody takes them.
fn split(blob: impl Read + Send, send: impl Fn(Member) -> bool) -> io::Result<Split> {
    let raw = Raw::default();
    let record = Record { inner: decompress(blob)?, raw: Rc::clone(&raw) };
    let mut archive = Archive::new(record);
    let mut cut = Cut { raw, payload: 0, members: 0, tar: Sha256::new(), size: 0, send };
    let mut drafts = Drafts::default();
    while let Some(header) = archive.next().map_err(damaged)? {
        if header.name == crate::estargz_toc::NAME.as_bytes() {
            let what = "the layer has a file of the name that eStargz has for its own table";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        if header.size == 0 || !matches!(header.flag, b'0' | 0 | b'7') {
            drafts.entries.push(Draft::new(header));
        } else if archive.is_sparse() {
            let what = "a layer with sparse files cannot become eStargz";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        } else {
            content(&mut archive, header, &mut cut, &mut drafts)?;
        }
    }
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    cut.member(0);
    let Cut { tar, size, .. } = cut;
    Ok(Split { tar, size, drafts })
}

/// A file's content, in members of its own.
fn content<S: Fn(Member) -> bool>(
    archive: &mut Archive<Record<'_>>,
    header: Header,
    cut: &mut Cut<S>,
    drafts: &mut Drafts,
) -> io::Result<()> {
    let size = header.size;
    let mut whole = Sha256::new();
    let mut draft = Draft::new(header);
    let mut at = 0;
    while at < size {
        let length = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
        cut.member(length);
        let mut left = archive.by_ref().take(length as u64);
        if size > CHUNK as u64 {
            let mut piece = Vec::with_capacity(length);
            left.read_to_end(&mut piece)?;
            whole.update(&piece);
        } else {
            io::copy(&mut left, &mut io::sink())?;
        }
        let chunk = if at + (length as u64) < size { length } else { 0 };
        let next = Draft::chunk(draft.name(), at + length as u64);
        drafts.entries.push(draft.in_member(cut.members, chunk));
        draft = next;
        at += length as u64;
    }
    if size > CHUNK as u64 {
        let first = drafts.entries.len() - size.div_ceil(CHUNK as u64) as usize;
        drafts.entries[first].set_digest(whole.finalize().into());
    }
    Ok(())
}

type Raw = Rc<RefCell<Vec<u8>>>;

/// Keeps what passes.
struct Record<'a> {
    inner: Box<dyn Read + Send + 'a>,
    raw: Raw,
}

impl Read for Record<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.raw.borrow_mut().extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

/// The tar since the last cut.
struct Cut<S> {
    raw: Raw,
    /// Content at the beginning of the current member.
    payload: usize,
    /// Members that were sent: the number of the current one.
    members: usize,
    tar: Sha256,
    size: u64,
    send: S,
}

impl<S: Fn(Member) -> bool> Cut<S> {
    /// Ends the current member; the next one begins with so much content.
    fn member(&mut self, payload: usize) {
        let bytes = std::mem::take(&mut *self.raw.borrow_mut());
        self.tar.update(&bytes);
        self.size += bytes.len() as u64;
        // Nobody takes it when writing failed, which the writer says.
        let _ = (self.send)(Member { bytes, payload: self.payload });
        self.members += 1;
        self.payload = payload;
    }
}

fn damaged(error: TarError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The file, and what is known of its bytes.
struct Sink<'a> {
    file: &'a std::fs::File,
    sha: Sha256,
    size: u64,
}

impl Sink<'_> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&mut &*self.file).write_all(bytes)?;
        self.sha.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }
}
