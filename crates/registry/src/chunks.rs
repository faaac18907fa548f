//! Uploads in chunks, which go on where they broke off: in the next attempt, or in the next process.
//!
//! Distribution specification, *Pushing a blob in chunks*. Only for large blobs, and only where the registry
//! answers the first chunk as it should: some answer another status and drop what follows.

use crate::{
    Error,
    challenge::Scopes,
    client::{Host, Inner},
    feed::{Feed, unreadable},
    push::{PushOutcome, session},
    transport::{Call, Payload, Response},
};
use bytes::Bytes;
use reqwest::{
    Method, Url,
    header::{CONTENT_RANGE, CONTENT_TYPE, RANGE},
};
use std::{
    io::{Cursor, Read},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use strake_oci::Digest;

/// Remembers uploads that are under way, across processes.
pub trait Journal: Send + Sync {
    /// Takes the entry `key`; `None` where another process works at it.
    fn claim(&self, key: &str) -> Option<Box<dyn JournalEntry>>;
}

/// One upload that is under way. Nobody else has it as long as this lives.
pub trait JournalEntry: Send + Sync {
    /// What was written last.
    fn read(&self) -> Option<String>;
    /// Writes where the upload goes on. It may let who knows it write to the registry: keep it private.
    fn write(&self, text: &str);
    /// Forgets the upload.
    fn clear(&self);
}

/// What is sent in chunks, and in which.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    /// Blobs that are larger than this.
    pub above: u64,
    /// Bytes in a chunk; each upload holds one in memory.
    pub size: u64,
}

impl Chunks {
    /// Blobs above 32 MiB, in chunks of 16 MiB: each costs a round trip, and the registry a flush.
    pub const STANDARD: Chunks = Chunks { above: 32 << 20, size: 16 << 20 };
}

/// An entry of no journal: for this process alone.
#[derive(Default)]
struct Memory(Mutex<Option<String>>);

impl JournalEntry for Memory {
    fn read(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, text: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// An upload over all its attempts.
pub(crate) struct Upload {
    /// None for blobs that go in one piece.
    entry: Option<Box<dyn JournalEntry>>,
    /// Whether it came further in this attempt than in any before.
    pub(crate) progress: AtomicBool,
    /// How far it came at best: a registry that loses uploads again and again is left in the end.
    best: AtomicU64,
    /// Set when the registry lost a session that was good: what comes next goes in one piece.
    lost: AtomicBool,
}

impl Upload {
    /// An upload of a blob of `size` to `place`.
    pub(crate) fn new(
        inner: &Inner,
        host: &Host,
        place: &str,
        digest: &Digest,
        size: u64,
    ) -> Upload {
        let whole = inner.options.whole.as_ref().is_some_and(|it| it(&host.name));
        let large = size > inner.options.chunks.above && !whole;
        let claimed = || {
            let journal = inner.options.journal.as_ref()?;
            journal.claim(&format!("{place}@{digest}"))
        };
        let entry = large.then(|| claimed().unwrap_or_else(|| Box::new(Memory::default())));
        Upload {
            entry,
            progress: AtomicBool::new(false),
            best: AtomicU64::new(0),
            lost: AtomicBool::new(false),
        }
    }

    /// Writes down how far it is.
    fn reached(&self, at: &Position) {
        if self.best.fetch_max(at.done, Ordering::Relaxed) < at.done {
            self.progress.store(true, Ordering::Relaxed);
        }
        self.entry.iter().for_each(|it| it.write(at.session.as_str()));
    }

    /// Forgets where the upload was.
    pub(crate) fn forget(&self) {
        self.entry.iter().for_each(|it| it.clear());
    }
}

/// Where an upload goes on.
struct Position {
    session: Url,
    done: u64,
}

/// How sending in chunks ended.
pub(crate) enum Chunked {
    Done(PushOutcome),
    /// The registry wants the blob whole.
    Refused,
}

impl Inner {
    /// Goes on with an upload that an earlier attempt or process began, if the registry knows it still.
    pub(crate) async fn resume(
        &self,
        host: &Host,
        scopes: &Scopes,
        digest: &Digest,
        feed: &Feed<'_>,
        upload: &Upload,
    ) -> Result<Option<Chunked>, Error> {
        let Some(entry) = &upload.entry else { return Ok(None) };
        let Some(known) = entry.read().and_then(|it| Url::parse(&it).ok()) else { return Ok(None) };
        // What was written down is followed to this registry only.
        if known.origin() != self.url(host, "").await?.origin() || host.takes_whole() {
            return Ok(None);
        }
        let answer = self.send(&Call::new(host, scopes, Method::GET, known.clone())).await?;
        let done = match answer.status().as_u16() {
            204 | 202 | 200 => received(&answer),
            429 | 500.. => return Err(answer.failure().await),
            _ => None,
        };
        let Some(done) = done.filter(|it| *it <= feed.size) else {
            entry.clear();
            return Ok(None);
        };
        let session = session(host, &answer).unwrap_or(known);
        let at = Position { session, done };
        self.send_chunks(host, scopes, digest, feed, upload, at).await.map(Some)
    }

    /// Sends a blob in chunks to a new session, where that makes sense.
    pub(crate) async fn begin_chunks(
        &self,
        host: &Host,
        scopes: &Scopes,
        digest: &Digest,
        feed: &Feed<'_>,
        upload: &Upload,
        session: &Url,
    ) -> Result<Option<Chunked>, Error> {
        let lost = upload.lost.load(Ordering::Relaxed);
        if upload.entry.is_none() || lost || host.takes_whole() {
            return Ok(None);
        }
        let at = Position { session: session.clone(), done: 0 };
        self.send_chunks(host, scopes, digest, feed, upload, at).await.map(Some)
    }

    async fn send_chunks(
        &self,
        host: &Host,
        scopes: &Scopes,
        digest: &Digest,
        feed: &Feed<'_>,
        upload: &Upload,
        mut at: Position,
    ) -> Result<Chunked, Error> {
        let mut source = (feed.open)().map_err(|it| unreadable(&feed.what, it))?;
        let skipped = std::io::copy(&mut source.by_ref().take(at.done), &mut std::io::sink());
        skipped.map_err(|it| unreadable(&feed.what, it))?;
        while at.done < feed.size {
            let chunk = next_chunk(&mut source, feed, at.done, self.options.chunks.size)?;
            let end = at.done + chunk.len() as u64;
            let answer = self.send_chunk(host, scopes, feed, &at, chunk).await?;
            let honoured = answer.status() == 202 && received(&answer) == Some(end);
            match answer.status().as_u16() {
                202 if honoured => {}
                401 | 403 | 408 | 425 | 429 | 500.. => return Err(answer.failure().await),
                status => {
                    upload.forget();
                    if at.done > 0 && status != 202 && status != 201 {
                        // A session that was good and is no more.
                        upload.lost.store(true, Ordering::Relaxed);
                        return Err(Error::UploadLost {
                            registry: host.name.clone(),
                            digest: *digest,
                        });
                    }
                    host.whole.store(true, Ordering::Relaxed);
                    return Ok(Chunked::Refused);
                }
            }
            // Some registries leave the address out where it stays the same.
            at = Position { session: session(host, &answer).unwrap_or(at.session), done: end };
            upload.reached(&at);
        }
        let outcome = self.close_session(host, scopes, digest, at.session).await?;
        upload.forget();
        Ok(Chunked::Done(outcome))
    }

    async fn send_chunk(
        &self,
        host: &Host,
        scopes: &Scopes,
        feed: &Feed<'_>,
        at: &Position,
        chunk: Bytes,
    ) -> Result<Response, Error> {
        let (start, size) = (at.done, chunk.len() as u64);
        let open = || Ok(Box::new(Cursor::new(chunk.clone())) as Box<dyn Read + Send>);
        let progress = |sent: u64| (feed.progress)(start + sent);
        let part = Feed {
            what: feed.what.clone(),
            size,
            open: &open,
            progress: &progress,
            stop: feed.stop,
        };
        let call = Call::new(host, scopes, Method::PATCH, at.session.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_RANGE, format!("{start}-{}", start + size - 1))
            .carrying(Payload::Feed(&part))
            .bulk();
        self.send(&call).await
    }
}

/// The next bytes of the blob; the source must have them, and at the blob's end no more.
fn next_chunk(
    source: &mut Box<dyn Read + Send>,
    feed: &Feed<'_>,
    done: u64,
    size: u64,
) -> Result<Bytes, Error> {
    let failed = |it| unreadable(&feed.what, it);
    let want = (feed.size - done).min(size);
    let mut chunk = Vec::with_capacity(usize::try_from(want).unwrap_or_default());
    source.by_ref().take(want).read_to_end(&mut chunk).map_err(failed)?;
    let end = done + chunk.len() as u64;
    let goes_on = end == feed.size && source.read(&mut [0]).map_err(failed)? != 0;
    if (chunk.len() as u64) < want || goes_on {
        let (kind, word) = match goes_on {
            true => (std::io::ErrorKind::InvalidData, "goes on after"),
            false => (std::io::ErrorKind::UnexpectedEof, "ends before"),
        };
        let why = format!("it {word} {} bytes", feed.size);
        return Err(failed(std::io::Error::new(kind, why)));
    }
    Ok(Bytes::from(chunk))
}

/// How many bytes the registry has: `Range: 0-99`, also with `bytes=` before it.
fn received(answer: &Response) -> Option<u64> {
    ranged(answer.header(RANGE)?)
}

fn ranged(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_prefix("bytes=").unwrap_or(text);
    let (first, last) = text.split_once('-')?;
    if first != "0" {
        return None;
    }
    // docker-registry says 0-0 of nothing and of one byte; no chunk is one byte.
    match last.parse::<u64>().ok()? {
        0 => Some(0),
        last => last.checked_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::ranged;

    #[test]
    fn ranges() {
        for (text, want) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("0-0", Some(0)),
            ("1-99", None),
            ("0-", None),
            ("", None),
            ("0-18446744073709551615", None),
        ] {
            assert_eq!(ranged(text), want, "{text}");
        }
    }
}
