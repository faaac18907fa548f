//! Work on several threads whose results come back in the order in which it was handed in.
//!
//! Invariant: no more than a fixed number of items is under way, so memory is bounded.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, SyncSender, sync_channel},
};
use std::thread::Scope;

/// Where items are handed in. Dropping it ends the threads.
pub(crate) struct Input<I, O> {
    jobs: SyncSender<(I, SyncSender<O>)>,
    order: SyncSender<Receiver<O>>,
}

/// Where results come out. Dropping it makes [`Input::send`] say so.
pub(crate) struct Output<O> {
    order: Receiver<Receiver<O>>,
}

/// Starts `threads` threads that each make something to work with by `start`, then do `work`.
pub(crate) fn ordered<'scope, S, I, O>(
    scope: &'scope Scope<'scope, '_>,
    threads: usize,
    start: impl Fn() -> S + Copy + Send + 'scope,
    work: impl Fn(&mut S, I) -> O + Copy + Send + 'scope,
) -> (Input<I, O>, Output<O>)
where
    I: Send + 'scope,
    O: Send + 'scope,
{
    let (jobs, queue) = sync_channel::<(I, SyncSender<O>)>(threads);
    let (order, finished) = sync_channel(threads + 2);
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..threads {
        let queue = Arc::clone(&queue);
        scope.spawn(move || {
            let mut state = start();
            while let Some((item, reply)) = next(&queue) {
                // Nobody waits any more when the output was dropped: the result is not needed.
                let _ = reply.send(work(&mut state, item));
            }
        });
    }
    (Input { jobs, order }, Output { order: finished })
}

fn next<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl<I, O> Input<I, O> {
    /// Hands in an item, waiting while too many are under way. False if nobody reads the results.
    pub(crate) fn send(&self, item: I) -> bool {
        let (reply, result) = sync_channel(1);
        self.order.send(result).is_ok() && self.jobs.send((item, reply)).is_ok()
    }
}

impl<O> Iterator for Output<O> {
    type Item = O;

    fn next(&mut self) -> Option<O> {
        self.order.recv().ok()?.recv().ok()
    }
}
