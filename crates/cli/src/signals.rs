//! Ctrl-C and its like: the build ends, tidies up and says so.

use crate::{failure::Failure, say};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    iterator::Signals as Incoming,
    low_level::{emulate_default_handler, signal_name},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use strake_cache::Leftovers;
use strake_sandbox::CancelToken;

/// How long a build may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// What ends a build from outside.
pub(crate) struct Signals {
    /// Ends a RUN; every other step looks at it.
    pub(crate) cancel: CancelToken,
    first: Arc<AtomicI32>,
}

impl Signals {
    /// Nothing is watched yet.
    pub(crate) fn new() -> Result<Signals, Failure> {
        let cancel = CancelToken::new().map_err(Failure::new)?;
        Ok(Signals { cancel, first: Arc::default() })
    }

    /// The signal that ended the build.
    pub(crate) fn received(&self) -> Option<i32> {
        Some(self.first.load(Ordering::SeqCst)).filter(|it| *it != 0)
    }

    /// From now on the first signal ends the build, by `stop` too. What does not end soon is left as it is, without
    /// temporary files; a second signal does not wait.
    pub(crate) fn watch(&self, stop: impl Fn() + Send + 'static, leftovers: Leftovers) {
        let Ok(mut incoming) = Incoming::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]) else { return };
        let (cancel, first) = (self.cancel.clone(), Arc::clone(&self.first));
        let (began, ending) = mpsc::channel();
        thread::spawn(move || {
            for signal in incoming.forever() {
                if first.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                    let _ = emulate_default_handler(signal);
                }
                cancel.cancel();
                stop();
                let _ = began.send(signal);
            }
        });
        thread::spawn(move || {
            let Ok(signal) = ending.recv() else { return };
            thread::sleep(GRACE);
            leftovers.remove();
            let failure = cancelled(signal);
            say::failure(&failure);
            leave(&failure);
        });
    }
}

/// What is said in the end, with the exit code of a shell.
pub(crate) fn cancelled(signal: i32) -> Failure {
    let name = signal_name(signal).unwrap_or("a signal");
    let code = u8::try_from(128 + signal).unwrap_or(1);
    Failure { code, ..Failure::new(format!("the build was cancelled by {name}")) }
}

#[expect(clippy::exit, reason = "other threads are busy and will not look")]
fn leave(failure: &Failure) -> ! {
    std::process::exit(i32::from(failure.code))
}
