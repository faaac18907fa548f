//! Threads that carry out execve calls: tracing is bound to a thread, and the thread that answers calls must
//! go on answering meanwhile.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use rustix::io::Errno;

use super::lock;

/// So many wait for the next one; others end.
const KEPT: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// The threads, and what they have to do.
#[derive(Default)]
pub(super) struct Tracers {
    queue: Mutex<Queue>,
    comes: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    idle: usize,
    threads: usize,
}

impl Tracers {
    /// Has a thread do this. Where no more threads are to be had it waits for one that has other things to
    /// do; an error where there is none at all.
    pub(super) fn start(
        self: &Arc<Self>,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), Errno> {
        self.start_by(|work| thread::Builder::new().spawn(work).is_ok(), job)
    }

    fn start_by(
        self: &Arc<Self>,
        spawn: impl FnOnce(Job) -> bool,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), Errno> {
        let mut queue = lock(&self.queue);
        queue.jobs.push_back(Box::new(job));
        if queue.idle >= queue.jobs.len() {
            self.comes.notify_one();
            return Ok(());
        }
        let tracers = Arc::clone(self);
        if spawn(Box::new(move || tracers.work())) {
            queue.threads += 1;
        } else if queue.threads == 0 {
            queue.jobs.pop_back();
            return Err(Errno::AGAIN);
        }
        Ok(())
    }

    fn work(&self) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job();
                queue = lock(&self.queue);
            } else if queue.idle >= KEPT {
                queue.threads -= 1;
                return;
            } else {
                queue.idle += 1;
                queue = self.comes.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn without_threads_it_is_refused_or_waits_for_the_one_there_is() {
        let tracers = Arc::new(Tracers::default());
        let none = |_: Job| false;
        assert_eq!(tracers.start_by(none, || {}), Err(Errno::AGAIN));
        let (go, wait) = channel::<()>();
        tracers.start(move || wait.recv().unwrap()).unwrap();
        let (tell, told) = channel();
        for number in 0..3 {
            let tell = tell.clone();
            tracers.start_by(none, move || tell.send(number).unwrap()).unwrap();
        }
        assert!(told.try_recv().is_err());
        go.send(()).unwrap();
        drop(tell);
        assert_eq!(told.iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
