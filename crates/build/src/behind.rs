//! What is written about a step's layer while the next step runs already.
//!
//! The next step needs the layer itself, which is in its place by then, and none of what the store
//! keeps about it. Other stages and other builds wait: the former for the end of the stage, the
//! latter for the lock of the step, which goes with what is to be written.

use crate::StepError;
use std::{
    cell::RefCell,
    sync::mpsc::{Sender, channel},
    thread::{Scope, ScopedJoinHandle},
};

type Job<'scope> = Box<dyn FnOnce() -> Result<(), StepError> + Send + 'scope>;

/// The writing of one stage: in order, by a thread that is started with the first of it.
///
/// What is added waits until the next step runs, which is where processors are free.
pub(crate) struct Behind<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    writer: RefCell<Option<Writer<'scope>>>,
    waiting: RefCell<Vec<Job<'scope>>>,
}

struct Writer<'scope> {
    jobs: Sender<Job<'scope>>,
    thread: ScopedJoinHandle<'scope, Result<(), StepError>>,
}

impl<'scope, 'env> Behind<'scope, 'env> {
    pub(crate) fn new(scope: &'scope Scope<'scope, 'env>) -> Self {
        Behind { scope, writer: RefCell::default(), waiting: RefCell::default() }
    }

    /// Has `job` done after those before it, from [`Behind::release`] on.
    pub(crate) fn add(&self, job: impl FnOnce() -> Result<(), StepError> + Send + 'scope) {
        self.waiting.borrow_mut().push(Box::new(job));
    }

    /// Begins with what was added; the error is that of something before it.
    pub(crate) fn release(&self) -> Result<(), StepError> {
        let mut writer = self.writer.borrow_mut();
        for job in self.waiting.take() {
            if writer.get_or_insert_with(|| self.start()).jobs.send(job).is_err() {
                // It has stopped at the first failure.
                return writer.take().map_or(Ok(()), Writer::end);
            }
        }
        Ok(())
    }

    /// Waits until everything is written.
    pub(crate) fn end(self) -> Result<(), StepError> {
        self.release()?;
        self.writer.into_inner().map_or(Ok(()), Writer::end)
    }

    fn start(&self) -> Writer<'scope> {
        let (jobs, receiver) = channel::<Job<'scope>>();
        let thread = self.scope.spawn(move || receiver.into_iter().try_for_each(|job| job()));
        Writer { jobs, thread }
    }
}

impl Writer<'_> {
    fn end(self) -> Result<(), StepError> {
        let Writer { jobs, thread } = self;
        drop(jobs);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn jobs_are_done_in_order_until_one_fails() {
        let done = Mutex::new(Vec::new());
        let (behind_end, later) = std::thread::scope(|scope| {
            let behind = Behind::new(scope);
            for number in 0..3 {
                let done = &done;
                behind.add(move || {
                    done.lock().unwrap().push(number);
                    if number == 1 { Err(StepError::Stopped) } else { Ok(()) }
                });
                let released = behind.release();
                if released.is_err() {
                    return (Ok(()), released);
                }
            }
            (behind.end(), Ok(()))
        });
        assert!(behind_end.and(later).is_err());
        assert_eq!(*done.lock().unwrap(), [0, 1]);
    }

    #[test]
    fn jobs_wait_for_their_release_or_the_end() {
        let done = Mutex::new(false);
        std::thread::scope(|scope| {
            let behind = Behind::new(scope);
            behind.add(|| {
                *done.lock().unwrap() = true;
                Ok(())
            });
            assert!(!*done.lock().unwrap());
            behind.end().unwrap();
        });
        assert!(*done.lock().unwrap());
    }
}
