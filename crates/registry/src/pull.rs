//! Blobs from a registry: streamed, resumed where a connection broke, checked byte for byte.

use crate::{
    Client, Error,
    challenge::Scopes,
    client::{Host, Inner},
    retry::Failed,
    transport::Call,
};
use fs_err::File;
use reqwest::{
    Method,
    header::{CONTENT_RANGE, RANGE},
};
use sha2::{Digest as _, Sha256};
use std::{
    io::{Read, Seek, Write},
    path::Path,
    sync::mpsc,
};
use strake_oci::{Descriptor, Digest, Reference};

/// An attempt that brought less counts as none: a server that trickles is left in the end.
const PROGRESS: u64 = 1 << 20;

impl Client {
    /// Writes a blob of `reference`'s repository to `sink` and checks its digest and size.
    ///
    /// `progress` is told how many bytes have been written. `sink` gets each byte once, whatever
    /// happens to connections; it may have been given any number of bytes when this fails.
    pub fn pull_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        sink: &mut dyn Write,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let inner = self.inner()?;
        inner.block_on(async {
            let _turn = inner.pulls.acquire().await;
            inner.pull(reference, descriptor, sink, progress).await
        })
    }

    /// Writes a blob to a file at `path`, which it replaces.
    ///
    /// Damaged content is asked for a second time, from its beginning. The file is complete only
    /// when this returns `Ok`: give it a temporary name.
    pub fn pull_blob_to(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        path: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let written = |source| Error::Write { what: path.display().to_string(), source };
        let mut file = File::create(path).map_err(written)?;
        match self.pull_blob(reference, descriptor, &mut file, progress) {
            Err(Error::WrongDigest { .. } | Error::WrongSize { .. }) => {
                file.set_len(0).and_then(|()| file.rewind()).map_err(written)?;
                self.pull_blob(reference, descriptor, &mut file, progress)
            }
            other => other,
        }
    }

    /// The bytes of a blob as they arrive, from a thread of its own.
    ///
    /// The end of the stream comes only after the digest was checked.
    pub(crate) fn open_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> impl Read + Send + use<> {
        let (pieces, stream) = mpsc::sync_channel::<std::io::Result<Vec<u8>>>(4);
        let (client, reference, descriptor) = (self.clone(), reference.clone(), descriptor.clone());
        std::thread::spawn(move || {
            let pulled = client.inner().and_then(|inner| {
                let mut sink = Pieces(pieces.clone());
                // Takes no turn: the push that reads this has one.
                inner.block_on(inner.pull(&reference, &descriptor, &mut sink, &|_| {}))
            });
            let _ = pieces.send(match pulled {
                Ok(()) => Ok(Vec::new()),
                Err(error) => Err(std::io::Error::other(error)),
            });
        });
        Stream { stream, piece: Vec::new(), at: 0, ended: false }
    }
}

struct Pieces(mpsc::SyncSender<std::io::Result<Vec<u8>>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.0.send(Ok(bytes.to_vec())).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Stream {
    stream: mpsc::Receiver<std::io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.piece.len() && !self.ended {
            let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            self.piece = self.stream.recv().map_err(gone)??;
            self.at = 0;
            self.ended = self.piece.is_empty();
        }
        let count = (&self.piece[self.at..]).read(buffer)?;
        self.at += count;
        Ok(count)
    }
}

impl Inner {
    pub(crate) async fn pull(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        sink: &mut dyn Write,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let salt = descriptor.digest.to_string();
        let host = self.host(&reference.registry);
        let mut pull = Pull { descriptor, hash: Sha256::new(), done: 0, sink, progress };
        // What one place has begun another goes on with.
        self.at_places(reference, async |place| {
            let host = self.host(&place.registry);
            self.retry(&salt, async || {
                let before = pull.done;
                let tried = pull.attempt(self, &host, place).await;
                let progress = pull.done - before >= PROGRESS;
                tried.map_err(|error| Failed { error, progress })
            })
            .await
        })
        .await?;
        let got = Digest::from_sha256(pull.hash.finalize().into());
        if got != descriptor.digest {
            let asked = descriptor.digest;
            return Err(Error::WrongDigest { place: host.name.clone(), asked, got });
        }
        sink.flush().map_err(|source| Error::Write { what: salt, source })
    }
}

/// A blob on its way: what has been written, and hashed, stays.
struct Pull<'a> {
    descriptor: &'a Descriptor,
    hash: Sha256,
    done: u64,
    sink: &'a mut dyn Write,
    progress: &'a dyn Fn(u64),
}

impl Pull<'_> {
    async fn attempt(
        &mut self,
        inner: &Inner,
        host: &Host,
        place: &Reference,
    ) -> Result<(), Error> {
        let scopes = Scopes::pull(&place.repository);
        let (digest, size) = (self.descriptor.digest, self.descriptor.size);
        if self.done == size && size > 0 {
            return Ok(());
        }
        let path = format!("v2/{}/blobs/{digest}", place.repository);
        let url = inner.url(host, &path).await?;
        let mut call = Call::new(host, &scopes, Method::GET, url).bulk();
        if self.done > 0 {
            call = call.header(RANGE, format!("bytes={}-{}", self.done, size - 1));
        }
        let mut answer = inner.send(&call).await?;
        let mut skip = match answer.status().as_u16() {
            // The whole blob again: what is there already is passed over.
            200 => self.done,
            206 if self.done > 0 && starts_at(answer.header(CONTENT_RANGE), self.done) => 0,
            404 => {
                let (registry, repository) = (host.name.clone(), place.repository.clone());
                return Err(Error::BlobMissing { registry, repository, digest });
            }
            _ => return Err(answer.failure().await),
        };
        while let Some(chunk) = answer.chunk().await? {
            let passed = skip.min(chunk.len() as u64);
            skip -= passed;
            let fresh = &chunk[usize::try_from(passed).expect("at most the chunk")..];
            let got = self.done + fresh.len() as u64;
            if got > size {
                return Err(self.wrong_size(host, got));
            }
            self.hash.update(fresh);
            self.sink
                .write_all(fresh)
                .map_err(|source| Error::Write { what: digest.to_string(), source })?;
            self.done = got;
            (self.progress)(got);
        }
        if self.done < size {
            return Err(self.wrong_size(host, self.done));
        }
        Ok(())
    }

    fn wrong_size(&self, host: &Host, got: u64) -> Error {
        let (digest, asked) = (self.descriptor.digest, self.descriptor.size);
        Error::WrongSize { place: host.name.clone(), digest, asked, got }
    }
}

/// Whether `Content-Range: bytes 5-9/10` begins at `start`. RFC 9110, section 14.4.
fn starts_at(range: Option<&str>, start: u64) -> bool {
    let first = range.and_then(|it| it.trim().strip_prefix("bytes")?.trim().split('-').next());
    first.is_some_and(|it| it.parse() == Ok(start))
}

#[cfg(test)]
mod tests {
    use super::starts_at;

    #[test]
    fn ranges() {
        assert!(starts_at(Some("bytes 5-9/10"), 5));
        assert!(starts_at(Some("bytes 5-9/*"), 5));
        for bad in [None, Some(""), Some("bytes */10"), Some("bytes 0-9/10"), Some("5-9/10")] {
            assert!(!starts_at(bad, 5), "{bad:?}");
        }
    }
}
