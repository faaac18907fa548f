//! What is shown while a build runs, always on standard error: one file for each kind, one line for
//! each in [`KINDS`].

mod plain;
mod quiet;
mod rawjson;
#[cfg(test)]
mod testkit;
mod text;
mod tty;

use crate::{clock, environment, failure::Failure, say};
use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use strake_build::Event;

/// Shows events. It never looks at the clock: `at` is the time since the build began.
trait Show: Send {
    /// Something happened.
    fn event(&mut self, at: Duration, event: Event) -> io::Result<()>;
    /// Time went by: called some ten times a second.
    fn tick(&mut self, at: Duration) -> io::Result<()>;
    /// Nothing will come any more; the terminal is left as it was found.
    fn finish(&mut self, at: Duration) -> io::Result<()>;
}

/// What the kinds are made from.
struct Setting {
    out: Box<dyn Write + Send>,
    /// Say why a step was not cached.
    verbose: bool,
    /// Colours may be used.
    colour: bool,
    /// Seconds since 1970 when the build began.
    began: i64,
    /// Standard error is a terminal that understands escapes.
    terminal: bool,
}

type Make = fn(Setting) -> Box<dyn Show>;

/// The values of `--progress`.
const KINDS: &[(&str, Make)] = &[
    ("auto", |it| if it.terminal { tty::new(it) } else { plain::new(it) }),
    ("plain", plain::new),
    ("tty", tty::new),
    ("quiet", quiet::new),
    ("none", quiet::new),
    ("rawjson", rawjson::new),
];

/// Starts to show a build as `--progress`, `-q` and `-v` say.
pub(crate) fn reader(
    kind: Option<&str>,
    quiet: bool,
    verbose: bool,
    notes: &Notes,
) -> Result<Reader, Failure> {
    let default = environment::text(environment::BUILDKIT_PROGRESS);
    let kind = if quiet { "quiet" } else { kind.or(default.as_deref()).unwrap_or("auto") };
    let Some((_, make)) = KINDS.iter().find(|it| it.0 == kind) else {
        let names: Vec<_> = KINDS.iter().map(|it| it.0).collect();
        return Err(Failure::usage(format!("--progress {kind}: there is no such kind"))
            .hint(format!("use one of {}", names.join(", "))));
    };
    let dumb = environment::text(TERM).is_some_and(|it| it == "dumb");
    let setting = Setting {
        out: Box::new(io::stderr()),
        verbose,
        colour: environment::get(environment::NO_COLOR).is_none(),
        began: clock::now(),
        terminal: io::stderr().is_terminal() && !dumb,
    };
    if kind == "tty" && !setting.terminal {
        return Err(Failure::usage("--progress tty: standard error is not a terminal")
            .hint("use --progress plain"));
    }
    let mut reader = Reader::start(make(setting));
    reader.listen(notes);
    Ok(reader)
}

/// What kind of terminal there is; `dumb` understands no escapes.
const TERM: &str = "TERM";

/// What is said meanwhile by those who know no build: shown in its progress, where there is one.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Option<Sending>>>);

/// Where events go, and since when they are timed.
type Sending = (Instant, SyncSender<(Duration, Event)>);

impl Notes {
    /// Something that does not stop the build.
    pub(crate) fn warn(&self, text: &str) {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((began, sender)) => {
                let event = Event::Warning { text: text.to_owned() };
                drop(sender.send((began.elapsed(), event)));
            }
            None => say::note(&format!("warning: {text}")),
        }
    }
}

/// Takes events from any thread and shows them on one of its own. Ends when it is dropped.
pub(crate) struct Reader {
    began: Instant,
    sender: Option<SyncSender<(Duration, Event)>>,
    thread: Option<JoinHandle<()>>,
    notes: Notes,
}

impl Reader {
    fn start(show: Box<dyn Show>) -> Reader {
        // Whoever writes faster than a terminal reads has to wait, as with any terminal.
        let (sender, receiver) = sync_channel(1024);
        let began = Instant::now();
        let thread = std::thread::spawn(move || run(show, &receiver, began));
        Reader { began, sender: Some(sender), thread: Some(thread), notes: Notes::default() }
    }

    /// Shows what is said to `notes`, until the end.
    pub(crate) fn listen(&mut self, notes: &Notes) {
        let sending = self.sender.clone().map(|it| (self.began, it));
        *notes.0.lock().unwrap_or_else(PoisonError::into_inner) = sending;
        self.notes = notes.clone();
    }

    /// Shows `event`.
    pub(crate) fn event(&self, event: Event) {
        if let Some(sender) = &self.sender {
            // The thread ends only when this sender does.
            drop(sender.send((self.began.elapsed(), event)));
        }
    }

    /// Waits until everything is shown.
    pub(crate) fn finish(self) {
        drop(self);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        *self.notes.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // What a display panicked about is on standard error; the build is not to fail for it.
            drop(thread.join());
        }
    }
}

fn run(mut show: Box<dyn Show>, events: &Receiver<(Duration, Event)>, began: Instant) {
    const TICK: Duration = Duration::from_millis(100);
    let mut next = TICK;
    // Once standard error is gone nothing is shown any more, but events are still taken.
    let mut gone = false;
    loop {
        let now = began.elapsed();
        let shown = if now >= next {
            next = now + TICK;
            if gone { Ok(()) } else { show.tick(now) }
        } else {
            match events.recv_timeout(next - now) {
                Ok((at, event)) if !gone => show.event(at, event),
                Ok(_) | Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        };
        gone |= shown.is_err();
    }
    if !gone {
        // There is nobody left to tell.
        drop(show.finish(began.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::KINDS;

    #[test]
    fn each_kind_is_a_file() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/progress");
        for file in fs_err::read_dir(folder).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let name = name.trim_end_matches(".rs");
            let kind = !["mod", "text", "testkit"].contains(&name);
            assert_eq!(kind, KINDS.iter().any(|it| it.0 == name), "{name}");
        }
    }
}
