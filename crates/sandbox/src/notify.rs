//! Answering the calls that wait at a filter: seccomp's user notification.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use rustix::thread::sched_getcpu;

use crate::identity::{Answer, Call, Ended, Engine};
use crate::sys::notify::{self, Notification};

/// Who answers the calls of one filter.
pub(crate) trait Server: Send + Sync + 'static {
    /// Where the calls come from.
    fn listener(&self) -> BorrowedFd<'_>;
    /// Answers one call. A caller that went away meanwhile needs no answer.
    fn answer(&self, notification: &Notification);
}

/// Threads that answer, at most: each that is idle is woken by each call.
const THREADS: usize = 4;

/// For so many calls more the others help, once callers have come in turns: long enough to outlast the
/// moments in which one of several callers is alone.
const CROWD: u32 = 2000;

/// Answers calls until none can come any more, in threads of their own, which nobody waits for.
///
/// A caller and who answers it take turns, so each is woken on the processor of the other, which makes
/// an answer five times as fast. Callers that run at once need as many who answer, each on the processor
/// of its caller, and are drawn to one processor all the same: there the kernel may wake them where it
/// likes. A caller that is alone is answered by one thread, for the kernel wakes all that wait.
pub(crate) fn serve(server: &Arc<impl Server>) -> Result<(), Errno> {
    notify::wake_in_step(server.listener(), true);
    let server = Arc::clone(server);
    start(move || lead(&server))
}

fn start(act: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
    let started = thread::Builder::new().spawn(act);
    started.map(drop).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
}

/// Answers, and lets others help where callers come in turns.
fn lead(server: &Arc<impl Server>) {
    let crowd = Arc::new(Crowd::default());
    let mut helpers = None;
    while let Ok(notification) = receive(server.listener()) {
        let turn = crowd.turn(notification.pid);
        if turn.is_taken {
            helpers.get_or_insert_with(|| add_helpers(server, &crowd));
            crowd.gather();
        }
        turn.answer(&**server, &notification);
    }
}

/// As many as there are processors; fewer where no more threads are to be had.
fn add_helpers(server: &Arc<impl Server>, crowd: &Arc<Crowd>) {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    for _ in 1..threads {
        let (server, crowd) = (Arc::clone(server), Arc::clone(crowd));
        if start(move || help(&*server, &crowd)).is_err() {
            return;
        }
    }
}

fn help(server: &impl Server, crowd: &Crowd) {
    loop {
        crowd.join();
        let Ok(notification) = receive(server.listener()) else { return };
        crowd.turn(notification.pid).answer(server, &notification);
    }
}

/// Callers that come at once, as far as their answers tell.
#[derive(Default)]
struct Crowd {
    /// How many calls more the others help to answer.
    calls: Mutex<u32>,
    gathers: Condvar,
    /// The latest caller, and the one before it.
    latest: AtomicU32,
    before: AtomicU32,
    /// The processor of the latest answer.
    processor: AtomicUsize,
}

impl Crowd {
    fn calls(&self) -> MutexGuard<'_, u32> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gather(&self) {
        let mut calls = self.calls();
        if *calls < CROWD / 2 {
            *calls = CROWD;
            self.gathers.notify_all();
        }
    }

    /// Waits until there is a crowd, and takes one call off.
    fn join(&self) {
        let mut calls = self
            .gathers
            .wait_while(self.calls(), |calls| *calls == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *calls -= 1;
    }

    /// Notes a caller. Threads that note at once may miss a turn.
    fn turn(&self, pid: u32) -> Turn {
        let processor = sched_getcpu();
        let was_here = self.processor.swap(processor, Ordering::Relaxed) == processor;
        let latest = self.latest.load(Ordering::Relaxed);
        if latest == pid {
            return Turn { is_taken: false, was_here };
        }
        self.latest.store(pid, Ordering::Relaxed);
        Turn { is_taken: self.before.swap(latest, Ordering::Relaxed) == pid, was_here }
    }
}

/// How a call follows the ones before it.
struct Turn {
    /// Whether its caller takes turns with another one.
    is_taken: bool,
    /// Whether the latest call was answered on this processor too.
    was_here: bool,
}

impl Turn {
    fn answer(&self, server: &impl Server, notification: &Notification) {
        let is_crowded = self.is_taken && self.was_here;
        if is_crowded {
            notify::wake_in_step(server.listener(), false);
        }
        server.answer(notification);
        if is_crowded {
            notify::wake_in_step(server.listener(), true);
        }
    }
}

/// Waits for a call; an error where no caller can come any more.
fn receive(listener: BorrowedFd<'_>) -> Result<Notification, Errno> {
    loop {
        match notify::receive(listener) {
            Err(Errno::INTR) => {}
            // The caller is gone, or all are.
            Err(Errno::NOENT) if !events(listener).contains(PollFlags::HUP) => {}
            done => return done,
        }
    }
}

/// What there is to say of a listener now.
fn events(listener: BorrowedFd<'_>) -> PollFlags {
    let mut fds = [PollFd::from_borrowed_fd(listener, PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&now)) {
        Ok(_) => fds[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

/// Answers with the identity engine.
pub(crate) struct Listener {
    listener: OwnedFd,
    engine: RwLock<Engine>,
}

impl Listener {
    /// Takes the listener over from the process that installed the filter.
    pub(crate) fn start(pid: Pid, number: i32, engine: Engine) -> Result<Arc<Self>, Errno> {
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let listener = pidfd_getfd(process, number, PidfdGetfdFlags::empty())?;
        let server = Arc::new(Self { listener, engine: RwLock::new(engine) });
        serve(&server)?;
        Ok(server)
    }

    /// What there is to tell when all callers have ended. An answer that is half given is waited for,
    /// and nothing is done for a caller any more.
    pub(crate) fn end(&self) -> Ended {
        let engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        let ended = engine.end();
        // A thread that has yet to answer a caller that is gone waits for the end of this process.
        std::mem::forget(engine);
        ended
    }
}

impl Server for Listener {
    fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn answer(&self, notification: &Notification) {
        let call = Call {
            pid: notification.pid,
            number: i64::from(notification.number),
            arguments: notification.arguments,
        };
        let (listener, id) = (self.listener(), notification.id);
        let still_there = || notify::is_valid(listener, id);
        let looked = self.engine.read().unwrap_or_else(PoisonError::into_inner).look(&call);
        let answer = looked.unwrap_or_else(|| {
            let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
            engine.answer(&call, &still_there)
        });
        let _gone = match answer {
            Answer::GoOn => notify::go_on(listener, id),
            Answer::Value(result) => notify::answer(listener, id, result),
            Answer::Descriptor { file, close_on_exec } => {
                notify::answer_descriptor(listener, id, file.as_fd(), close_on_exec)
                    .map(drop)
                    .or_else(|errno| notify::answer(listener, id, Err(errno)))
            }
        };
    }
}
