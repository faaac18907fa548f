//! Request bodies that stream: a plain thread reads, a short channel hands over, the network pulls.

use crate::{Error, cause::cause, client::Patience, transport::stalled};
use bytes::Bytes;
use reqwest::{Body, RequestBuilder, header::CONTENT_LENGTH};
use std::{
    io::{self, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{self, Sender};

/// Bytes in a piece; with the channel's two pieces, what an upload holds in memory is bounded.
const PIECE: usize = 512 << 10;
/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// Opens the bytes of a blob from their beginning; asked again when an upload starts over.
pub type Open<'a> = dyn Fn() -> io::Result<Box<dyn Read + Send>> + 'a;

/// A body of known size.
pub(crate) struct Feed<'a> {
    pub(crate) what: String,
    pub(crate) size: u64,
    pub(crate) open: &'a Open<'a>,
    /// Told how many bytes of the body have left.
    pub(crate) progress: &'a dyn Fn(u64),
    /// Set when nobody wants the blob any more.
    pub(crate) stop: &'a AtomicBool,
}

impl Feed<'_> {
    /// Sends `request` with this body. Who gives the bytes has patience of its own: waiting for them is no
    /// stall of the registry.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        patience: &Patience,
        registry: &str,
    ) -> Result<reqwest::Response, Error> {
        let source = (self.open)().map_err(|error| self.unreadable(error))?;
        let sent = Arc::new(AtomicU64::new(0));
        let fault: Arc<Mutex<Option<io::Error>>> = Arc::default();
        let hungry = Arc::new(AtomicBool::new(false));
        let body = self.start(source, &sent, &hungry, &fault);
        let answer = request.header(CONTENT_LENGTH, self.size).body(body).send();
        tokio::pin!(answer);
        let mut ticks = tokio::time::interval(TICK);
        let (mut last, mut since) = (0, Instant::now());
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer,
                _ = ticks.tick() => {
                    if self.stop.load(Ordering::Relaxed) {
                        return Err(Error::Stopped { what: self.what.clone() });
                    }
                    let now = sent.load(Ordering::Relaxed);
                    if hungry.load(Ordering::Relaxed) {
                        since = Instant::now();
                    }
                    if now != last {
                        (last, since) = (now, Instant::now());
                        (self.progress)(now);
                    }
                    let limit = if now == self.size { patience.commit } else { patience.idle };
                    if since.elapsed() > limit {
                        return Err(stalled(registry, limit));
                    }
                }
            }
        };
        if let Some(error) = fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(self.unreadable(error));
        }
        (self.progress)(sent.load(Ordering::Relaxed));
        answer.map_err(|error| cause(registry, error))
    }

    /// Starts the reading thread, which ends with the body.
    fn start(
        &self,
        source: Box<dyn Read + Send>,
        sent: &Arc<AtomicU64>,
        hungry: &Arc<AtomicBool>,
        fault: &Arc<Mutex<Option<io::Error>>>,
    ) -> Body {
        let (pieces, mut body) = mpsc::channel(2);
        let (size, fault) = (self.size, Arc::clone(fault));
        std::thread::spawn(move || {
            if let Err(error) = read(source, size, &pieces) {
                let broken = io::Error::new(error.kind(), error.to_string());
                *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                // An error ends the request; the registry never takes it for a whole body.
                let _ = pieces.blocking_send(Err(broken));
            }
        });
        let (sent, hungry) = (Arc::clone(sent), Arc::clone(hungry));
        Body::wrap_stream(futures_util::stream::poll_fn(move |context| {
            let piece = body.poll_recv(context);
            hungry.store(piece.is_pending(), Ordering::Relaxed);
            if let std::task::Poll::Ready(Some(Ok(bytes))) = &piece {
                let bytes: &Bytes = bytes;
                sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            piece
        }))
    }

    fn unreadable(&self, source: io::Error) -> Error {
        unreadable(&self.what, source)
    }
}

/// The source's own error: it may be another registry.
pub(crate) fn unreadable(what: &str, source: io::Error) -> Error {
    match source.downcast::<Error>() {
        Ok(error) => error,
        Err(source) => Error::Read { what: what.to_owned(), source },
    }
}

/// Hands over exactly `size` bytes; fewer or more in `source` is an error.
fn read(
    mut source: Box<dyn Read + Send>,
    size: u64,
    pieces: &Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let want = left.min(PIECE as u64);
        let mut piece = Vec::with_capacity(usize::try_from(want).expect("at most PIECE"));
        let got = source.by_ref().take(want).read_to_end(&mut piece)? as u64;
        if got < want {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("it ends after {} of {size} bytes", size - left + got),
            ));
        }
        left -= got;
        if left == 0 && source.read(&mut [0])? != 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it goes on after {size} bytes"),
            ));
        }
        if pieces.blocking_send(Ok(Bytes::from(piece))).is_err() {
            // The request is over; why is known there.
            return Ok(());
        }
    }
    Ok(())
}
