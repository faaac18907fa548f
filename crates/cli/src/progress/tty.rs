//! A live display: ended steps stand above and stay, running ones with the last of their output are
//! redrawn below.
//!
//! The cursor is never hidden and the terminal's modes are as found after each frame, so that whatever
//! ends the process leaves nothing to restore.

use super::{
    Setting, Show,
    text::{Lines, harmless},
};
use crate::units::people;
use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Write},
    time::Duration,
};
use strake_build::{Event, VertexId};

/// Lines of output shown below a running step, if there is room.
const TAIL: usize = 6;

pub(super) fn new(setting: Setting) -> Box<dyn Show> {
    let Setting { out, verbose, colour, began: _, terminal: _ } = setting;
    Box::new(Tty {
        out,
        verbose,
        colour,
        size: terminal_size,
        steps: BTreeMap::new(),
        ended: 0,
        above: Vec::new(),
        drawn: 0,
    })
}

struct Tty {
    out: Box<dyn Write + Send>,
    verbose: bool,
    colour: bool,
    /// Columns and rows.
    size: fn() -> (usize, usize),
    /// The running ones.
    steps: BTreeMap<VertexId, Step>,
    ended: usize,
    /// Lines to be written once and for all.
    above: Vec<Line>,
    /// Lines of the live part that stand on the terminal.
    drawn: usize,
}

struct Step {
    name: String,
    started: Duration,
    cached: bool,
    missed: Option<String>,
    stdout: Lines,
    stderr: Lines,
    tail: VecDeque<String>,
    transfers: BTreeMap<String, String>,
}

/// A line of the display, still of any length.
struct Line {
    paint: Paint,
    left: String,
    /// At the right edge.
    right: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Paint {
    Bold,
    Plain,
    Dim,
    Blue,
    Red,
    Yellow,
}

impl Show for Tty {
    fn event(&mut self, at: Duration, event: Event) -> io::Result<()> {
        match event {
            Event::Started { vertex, name } => {
                let name = harmless(name.replace(['\n', '\r'], " ").as_bytes());
                self.steps.insert(vertex, Step::new(name, at));
            }
            Event::Cached { vertex } => self.change(vertex, |it| it.cached = true),
            Event::Missed { vertex, reason } => {
                if self.verbose {
                    self.change(vertex, |it| it.missed = Some(harmless(reason.as_bytes())));
                }
            }
            Event::Output { vertex, stderr, bytes } => {
                self.change(vertex, |it| it.output(stderr, &bytes));
            }
            Event::Progress { vertex, id, current, total, what } => {
                self.change(vertex, |it| it.transfer(id, current, total, &what));
            }
            Event::Done { vertex } => self.end(vertex, at, None),
            Event::Failed { vertex, error: _ } => self.end(vertex, at, Some("ERROR")),
            Event::Layer { .. } => {}
            Event::Warning { text } => {
                for line in text.lines() {
                    let left = format!("warning: {}", harmless(line.as_bytes()));
                    self.above.push(Line { paint: Paint::Yellow, left, right: String::new() });
                }
            }
        }
        Ok(())
    }

    fn tick(&mut self, at: Duration) -> io::Result<()> {
        let (columns, rows) = (self.size)();
        let mut live = vec![self.headline(at, "")];
        let room = rows.saturating_sub(2);
        let running = self.steps.len().max(1);
        let tail = (room.saturating_sub(running) / running).min(TAIL);
        for step in self.steps.values() {
            live.push(step.line(at, None));
            live.extend(step.below(tail));
        }
        live.truncate(room.max(1));
        self.draw(&live, columns)
    }

    fn finish(&mut self, at: Duration) -> io::Result<()> {
        let running: Vec<_> = self.steps.keys().copied().collect();
        let whole = running.is_empty();
        for vertex in running {
            self.end(vertex, at, Some("CANCELED"));
        }
        let headline = self.headline(at, if whole { " FINISHED" } else { "" });
        self.above.push(headline);
        let (columns, _) = (self.size)();
        self.draw(&[], columns)?;
        self.out.flush()
    }
}

impl Tty {
    fn change(&mut self, vertex: VertexId, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.steps.get_mut(&vertex) {
            change(step);
        }
    }

    fn end(&mut self, vertex: VertexId, at: Duration, how: Option<&str>) {
        let Some(step) = self.steps.remove(&vertex) else { return };
        self.ended += 1;
        self.above.push(step.line(at, how));
        if let Some(reason) = &step.missed {
            let left = format!(" => => not cached: {reason}");
            self.above.push(Line { paint: Paint::Dim, left, right: String::new() });
        }
    }

    fn headline(&self, at: Duration, end: &str) -> Line {
        let all = self.ended + self.steps.len();
        let left = format!("[+] Building {:.1}s ({}/{all}){end}", at.as_secs_f64(), self.ended);
        Line { paint: Paint::Bold, left, right: String::new() }
    }

    /// Replaces the live part, in one write.
    fn draw(&mut self, live: &[Line], columns: usize) -> io::Result<()> {
        // Without wrapping, a line takes one row however wide its letters are.
        let mut frame = String::from("\x1b[?7l\r");
        if self.drawn > 0 {
            frame.push_str(&format!("\x1b[{}A", self.drawn));
        }
        frame.push_str("\x1b[0J");
        for line in self.above.drain(..).as_slice().iter().chain(live) {
            line.write(&mut frame, columns, self.colour);
        }
        frame.push_str("\x1b[?7h");
        self.drawn = live.len();
        self.out.write_all(frame.as_bytes())
    }
}

impl Step {
    fn new(name: String, started: Duration) -> Step {
        Step {
            name,
            started,
            cached: false,
            missed: None,
            stdout: Lines::default(),
            stderr: Lines::default(),
            tail: VecDeque::new(),
            transfers: BTreeMap::new(),
        }
    }

    fn output(&mut self, stderr: bool, bytes: &[u8]) {
        let stream = if stderr { &mut self.stderr } else { &mut self.stdout };
        for line in stream.push(bytes) {
            let line = harmless(&line);
            if line.trim().is_empty() {
                continue;
            }
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(line);
        }
    }

    fn transfer(&mut self, id: String, current: u64, total: Option<u64>, what: &str) {
        if total.is_none_or(|it| current >= it) {
            self.transfers.remove(&id);
            return;
        }
        let total = people(total.unwrap_or(0));
        let id_text = harmless(id.as_bytes());
        let text = format!("{} {id_text} {} / {total}", harmless(what.as_bytes()), people(current));
        self.transfers.insert(id, text);
    }

    fn line(&self, at: Duration, how: Option<&str>) -> Line {
        let (paint, word) = match how {
            Some(how) => (Paint::Red, format!("{how} ")),
            None if self.cached => (Paint::Blue, "CACHED ".to_owned()),
            None => (Paint::Plain, String::new()),
        };
        let left = format!(" => {word}{}", self.name);
        let right = format!("{:.1}s", at.saturating_sub(self.started).as_secs_f64());
        Line { paint, left, right }
    }

    /// The last of what it transfers and writes.
    fn below(&self, most: usize) -> impl Iterator<Item = Line> {
        let transfers = self.transfers.values().map(|it| format!(" => => {it}"));
        let tail = self.tail.iter().map(|it| format!(" => => # {it}"));
        let all = transfers.chain(tail);
        let skipped = (self.transfers.len() + self.tail.len()).saturating_sub(most);
        all.skip(skipped).map(|left| Line { paint: Paint::Dim, left, right: String::new() })
    }
}

impl Line {
    fn write(&self, frame: &mut String, columns: usize, colour: bool) {
        let right = self.right.chars().count();
        let room = columns.saturating_sub(right + usize::from(right > 0));
        let left: String = match self.left.chars().count() {
            it if it > room => {
                self.left.chars().take(room.saturating_sub(1)).chain(['…']).collect()
            }
            _ => self.left.clone(),
        };
        let code = match self.paint {
            _ if !colour => "",
            Paint::Plain => "",
            Paint::Bold => "\x1b[1m",
            Paint::Dim => "\x1b[2m",
            Paint::Blue => "\x1b[34m",
            Paint::Red => "\x1b[31m",
            Paint::Yellow => "\x1b[33m",
        };
        frame.push_str(code);
        if right > 0 {
            frame.push_str(&format!("{left:<room$} {}", self.right));
        } else {
            frame.push_str(&left);
        }
        if !code.is_empty() {
            frame.push_str("\x1b[0m");
        }
        frame.push('\n');
    }
}

/// Of the terminal at standard error.
fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(rustix::stdio::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => (80, 24),
    }
}

#[cfg(test)]
mod tests {
    use super::new;
    use crate::progress::testkit::{Script, cached, done, failed, output, started};

    /// What a terminal of 80 columns shows in the end: only the escapes that the display uses.
    fn screen(written: &str) -> Vec<String> {
        let mut rows: Vec<String> = vec![String::new()];
        for part in written.split("\x1b[?7l\r").skip(1) {
            let part = part.strip_suffix("\x1b[?7h").expect("each frame restores wrapping");
            let (moves, text) = part.split_once("\x1b[0J").expect("each frame clears");
            let up: usize = match moves.strip_prefix("\x1b[") {
                Some(it) => it.strip_suffix('A').unwrap().parse().unwrap(),
                None => 0,
            };
            rows.truncate(rows.len() - up);
            *rows.last_mut().unwrap() = String::new();
            for line in text.split_inclusive('\n') {
                assert!(!line.contains('\x1b'), "{line:?}");
                assert!(line.trim_end_matches('\n').chars().count() <= 80);
                rows.last_mut().unwrap().push_str(line.trim_end());
                rows.push(String::new());
            }
        }
        rows
    }

    fn row(left: &str, right: &str) -> String {
        format!("{left:<75}{right}")
    }

    #[test]
    fn ended_steps_stay_and_running_ones_are_redrawn() {
        let mut script = Script::new(new);
        script.at(0, started(1, "[1/2] FROM a"));
        script.tick(100);
        script.at(100, cached(1));
        script.at(100, done(1));
        script.at(100, started(2, "[2/2] RUN b"));
        script.at(200, output(2, "one\n\x1b[31mtwo\x1b[0m\n"));
        script.tick(1100);
        let so_far = script.written();
        assert_eq!(
            screen(&so_far),
            [
                row(" => CACHED [1/2] FROM a", " 0.1s"),
                "[+] Building 1.1s (1/2)".to_owned(),
                row(" => [2/2] RUN b", " 1.0s"),
                " => => # one".to_owned(),
                " => => # two".to_owned(),
                String::new(),
            ]
        );
        script.at(1200, done(2));
        assert_eq!(
            screen(&script.finish(1200)),
            [
                row(" => CACHED [1/2] FROM a", " 0.1s"),
                row(" => [2/2] RUN b", " 1.1s"),
                "[+] Building 1.2s (2/2) FINISHED".to_owned(),
                String::new(),
            ]
        );
    }

    #[test]
    fn failed_and_cut_off_steps_are_told_apart() {
        let mut script = Script::new(new);
        script.at(0, started(1, &"long ".repeat(30)));
        script.at(0, started(2, "b"));
        script.tick(50);
        script.at(100, failed(1, "exit code 1"));
        let rows = screen(&script.finish(100));
        assert!(rows[0].starts_with(" => ERROR long") && rows[0].ends_with("… 0.1s"), "{rows:?}");
        assert!(rows[1].starts_with(" => CANCELED b"), "{rows:?}");
        assert_eq!(rows[2], "[+] Building 0.1s (2/2)");
    }

    #[test]
    fn a_small_terminal_is_never_overfull() {
        let mut script = Script::new(new);
        for vertex in 0..50 {
            script.at(0, started(vertex, "step"));
            script.at(0, output(vertex, "line\nline\nline\n"));
        }
        script.tick(100);
        script.tick(200);
        assert!(screen(&script.written()).len() <= 24);
    }
}
