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
pub(crate) struct Behind<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    writer: RefCell<Option<Writer<'scope>>>,
}

struct Writer<'scope> {
    jobs: Sender<Job<'scope>>,
    thread: ScopedJoinHandle<'scope, Result<(), StepError>>,
}

impl<'scope, 'env> Behind<'scope, 'env> {
    pub(crate) fn new(scope: &'scope Scope<'scope, 'env>) -> Self {
        Behind { scope, writer: RefCell::new(None) }
    }

    /// Has `job` done after those before it; the error is that of one of those.
    pub(crate) fn add(
        &self,
        job: impl FnOnce() -> Result<(), StepError> + Send + 'scope,
    ) -> Result<(), StepError> {
        let mut writer = self.writer.borrow_mut();
        let sent = writer.get_or_insert_with(|| self.start()).jobs.send(Box::new(job));
        if sent.is_ok() {
            return Ok(());
        }
        // It has stopped at the first failure.
        writer.take().map_or(Ok(()), Writer::end)
    }

    /// Waits until everything is written.
    pub(crate) fn end(self) -> Result<(), StepError> {
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
                let added = behind.add(move || {
                    done.lock().unwrap().push(number);
                    if number == 1 { Err(StepError::Stopped) } else { Ok(()) }
                });
                if added.is_err() {
                    return (Ok(()), added);
                }
            }
            (behind.end(), Ok(()))
        });
        assert!(behind_end.and(later).is_err());
        assert_eq!(*done.lock().unwrap(), [0, 1]);
    }
}
