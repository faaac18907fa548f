//! Lines as BuildKit's plain progress writes them, for logs and for grep.
//!
//! Lines of one step stand together: another step's lines wait until this one ends, or for a second.

use super::{
    Setting, Show,
    text::{Lines, harmless, stamp},
};
use crate::units::people;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};
use strake_build::{Event, VertexId};

/// How long a running step may keep the others waiting.
const TURN: Duration = Duration::from_secs(1);
/// How many lines may wait at most.
const MOST_WAITING: usize = 1000;

pub(super) fn new(setting: Setting) -> Box<dyn Show> {
    let Setting { out, verbose, colour: _, began: _, terminal: _ } = setting;
    Box::new(Plain {
        out,
        verbose,
        steps: BTreeMap::new(),
        numbers: BTreeMap::new(),
        turn: None,
        last: 0,
        first: true,
    })
}

struct Plain {
    out: Box<dyn Write + Send>,
    verbose: bool,
    /// By number.
    steps: BTreeMap<usize, Step>,
    /// The last number of each vertex: one that starts again is another step here.
    numbers: BTreeMap<VertexId, usize>,
    /// Whose lines are written, and since when.
    turn: Option<(usize, Duration)>,
    /// Who had the turn last.
    last: usize,
    first: bool,
}

struct Step {
    number: usize,
    name: String,
    started: Duration,
    stdout: Lines,
    stderr: Lines,
    /// Lines that are not written yet.
    waiting: Vec<Vec<u8>>,
    /// When a transfer was last told of.
    told: BTreeMap<String, Duration>,
    cached: bool,
    ended: bool,
}

impl Show for Plain {
    fn event(&mut self, at: Duration, event: Event) -> io::Result<()> {
        match event {
            Event::Started { vertex, name } => {
                if self.numbers.get(&vertex).is_some_and(|it| self.steps[it].ended) {
                    self.numbers.remove(&vertex);
                }
                let step = self.step(vertex, at);
                step.name = harmless(name.replace(['\n', '\r'], " ").as_bytes());
                step.started = at;
            }
            Event::Cached { vertex } => {
                let step = self.step(vertex, at);
                step.cached = true;
                step.say("CACHED");
            }
            Event::Missed { vertex, reason } => {
                if self.verbose {
                    self.step(vertex, at)
                        .say(&format!("not cached: {}", harmless(reason.as_bytes())));
                }
            }
            Event::Output { vertex, stderr, bytes } => {
                self.step(vertex, at).output(at, stderr, &bytes)
            }
            Event::Progress { vertex, id, current, total, what } => {
                self.step(vertex, at).transfer(at, id, current, total, &what);
            }
            Event::Done { vertex } => {
                let step = self.step(vertex, at);
                let took = at.saturating_sub(step.started).as_secs_f64();
                step.end(at, (!step.cached).then(|| format!("DONE {took:.1}s")));
            }
            Event::Failed { vertex, error } => {
                let error = error.lines().map(|it| harmless(it.as_bytes())).collect::<Vec<_>>();
                self.step(vertex, at).end(at, Some(format!("ERROR: {}", error.join("\n"))));
            }
            Event::Layer { .. } => {}
            Event::Warning { text } => {
                self.pause()?;
                let text = text.lines().map(|it| harmless(it.as_bytes())).collect::<Vec<_>>();
                writeln!(self.out, "warning: {}", text.join("\n"))?;
            }
        }
        self.write(at)
    }

    fn tick(&mut self, at: Duration) -> io::Result<()> {
        self.write(at)
    }

    fn finish(&mut self, at: Duration) -> io::Result<()> {
        for step in self.steps.values_mut().filter(|it| !it.ended) {
            step.end(at, Some("CANCELED".to_owned()));
        }
        self.write(at)?;
        self.out.flush()
    }
}

impl Plain {
    fn step(&mut self, vertex: VertexId, at: Duration) -> &mut Step {
        let number = *self.numbers.entry(vertex).or_insert(self.steps.len() + 1);
        self.steps.entry(number).or_insert_with(|| Step {
            number,
            name: String::new(),
            started: at,
            stdout: Lines::default(),
            stderr: Lines::default(),
            waiting: vec![Vec::new()],
            told: BTreeMap::new(),
            cached: false,
            ended: false,
        })
    }

    /// Writes what may be written now.
    fn write(&mut self, at: Duration) -> io::Result<()> {
        loop {
            let Some((number, since)) = self.turn else {
                // Round and round, so that two noisy steps do not keep a third one waiting.
                let next = self.steps.values().filter(|it| !it.waiting.is_empty());
                let next = next.min_by_key(|it| (it.number <= self.last, it.number));
                let Some(step) = next else { return Ok(()) };
                self.turn = Some((step.number, at));
                self.last = step.number;
                let gap = if std::mem::take(&mut self.first) { "" } else { "\n" };
                writeln!(self.out, "{gap}#{} {}", step.number, step.name)?;
                continue;
            };
            let step = self.steps.get_mut(&number).expect("it has the turn");
            let mut block = Vec::new();
            for line in step.waiting.drain(..).filter(|it| !it.is_empty()) {
                block.extend_from_slice(&line);
                block.push(b'\n');
            }
            self.out.write_all(&block)?;
            let over = step.ended;
            let waiting = self.steps.values().map(|it| it.waiting.len());
            let (most, any) =
                waiting.fold((0, false), |(most, any), it| (most.max(it), any || it > 0));
            if over {
                self.turn = None;
            } else if any && (at.saturating_sub(since) >= TURN || most > MOST_WAITING) {
                self.pause()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Takes the turn from a step that has not ended.
    fn pause(&mut self) -> io::Result<()> {
        match self.turn.take() {
            Some((number, _)) => writeln!(self.out, "#{number} ..."),
            None => Ok(()),
        }
    }
}

impl Step {
    fn say(&mut self, what: &str) {
        self.waiting.push(format!("#{} {what}", self.number).into_bytes());
    }

    fn output(&mut self, at: Duration, stderr: bool, bytes: &[u8]) {
        let stream = if stderr { &mut self.stderr } else { &mut self.stdout };
        for line in stream.push(bytes) {
            self.line(at, &line);
        }
    }

    /// A line as the process wrote it: logs are often kept to be looked at with their colours.
    fn line(&mut self, at: Duration, line: &[u8]) {
        let time = stamp(at.saturating_sub(self.started));
        let mut whole = format!("#{} {time} ", self.number).into_bytes();
        whole.extend_from_slice(line);
        self.waiting.push(whole);
    }

    /// A transfer is told of when it begins, every few seconds, and when it ends.
    fn transfer(&mut self, at: Duration, id: String, current: u64, total: Option<u64>, what: &str) {
        const PAUSE: Duration = Duration::from_secs(5);
        let ended = total.is_none_or(|it| current >= it);
        let told = self.told.get(&id);
        if !ended && told.is_some_and(|it| at.saturating_sub(*it) < PAUSE) {
            return;
        }
        if ended && told == Some(&Duration::MAX) {
            return;
        }
        let size = match total {
            Some(total) => format!(" {} / {}", people(current), people(total)),
            None if current > 0 => format!(" {}", people(current)),
            None => String::new(),
        };
        let end = if ended && total.is_some() { " done" } else { "" };
        let id_text = harmless(id.as_bytes());
        self.say(&format!("{} {id_text}{size}{end}", harmless(what.as_bytes())));
        self.told.insert(id, if ended && total.is_some() { Duration::MAX } else { at });
    }

    fn end(&mut self, at: Duration, what: Option<String>) {
        for line in [self.stdout.rest(), self.stderr.rest()].into_iter().flatten() {
            self.line(at, &line);
        }
        if let Some(what) = what {
            self.say(&what);
        }
        self.ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::new;
    use crate::progress::testkit::{Script, cached, done, failed, output, started};
    use strake_build::{Event, VertexId};

    #[test]
    fn as_buildkit_writes_it() {
        let mut script = Script::new(new);
        script.at(0, started(1, "[1/3] FROM node:20"));
        script.at(0, cached(1));
        script.at(0, done(1));
        script.at(1000, started(2, "[2/3] RUN npm ci"));
        script.at(1123, output(2, "added 10 packages\npart"));
        script.at(1200, output(2, "ial"));
        script.at(2200, done(2));
        script.at(2200, started(3, "[3/3] RUN false"));
        script.at(2300, failed(3, "exit code 1"));
        let want = "\
#1 [1/3] FROM node:20
#1 CACHED

#2 [2/3] RUN npm ci
#2 0.123 added 10 packages
#2 1.200 partial
#2 DONE 1.2s

#3 [3/3] RUN false
#3 ERROR: exit code 1
";
        assert_eq!(script.finish(2300), want);
    }

    #[test]
    fn steps_side_by_side_take_turns() {
        let mut script = Script::new(new);
        script.at(0, started(1, "a"));
        script.at(0, started(2, "b"));
        script.at(100, output(1, "a1\n"));
        script.at(200, output(2, "b1\n"));
        script.at(300, output(1, "a2\n"));
        script.tick(1100);
        script.at(1200, output(1, "a3\n"));
        script.at(1300, done(2));
        script.at(1400, done(1));
        let want = "\
#1 a
#1 0.100 a1
#1 0.300 a2
#1 ...

#2 b
#2 0.200 b1
#2 DONE 1.3s

#1 a
#1 1.200 a3
#1 DONE 1.4s
";
        assert_eq!(script.finish(1400), want);
    }

    #[test]
    fn transfers_are_told_of_seldom() {
        let mut script = Script::new(new);
        let progress = |current, total, what: &str| Event::Progress {
            vertex: VertexId(1),
            id: "sha256:0123".to_owned(),
            current,
            total,
            what: what.to_owned(),
        };
        script.at(0, started(1, "exporting"));
        for step in 0..=100 {
            script.at(step * 10, progress(step * 1_000_000, Some(100_000_000), "pushing"));
        }
        script.at(2000, done(1));
        let want = "\
#1 exporting
#1 pushing sha256:0123 0 B / 100.0 MB
#1 pushing sha256:0123 100.0 MB / 100.0 MB done
#1 DONE 2.0s
";
        assert_eq!(script.finish(2000), want);
    }

    #[test]
    fn what_was_cut_off_is_said_and_warnings_stand_alone() {
        let mut script = Script::new(new);
        script.at(0, started(1, "RUN sleep 9\n&& x"));
        script.at(0, Event::Warning { text: "careful".to_owned() });
        script.at(100, output(1, "half"));
        let want = "\
#1 RUN sleep 9 && x
#1 ...
warning: careful

#1 RUN sleep 9 && x
#1 0.200 half
#1 CANCELED
";
        assert_eq!(script.finish(200), want);
    }

    #[test]
    fn a_vertex_that_starts_again_is_another_step() {
        let mut script = Script::new(new);
        for name in ["exporting", "pushing"] {
            script.at(0, started(1, name));
            script.at(0, done(1));
        }
        let want = "#1 exporting\n#1 DONE 0.0s\n\n#2 pushing\n#2 DONE 0.0s\n";
        assert_eq!(script.finish(0), want);
    }

    #[test]
    fn misses_are_explained_on_request() {
        let missed = || Event::Missed { vertex: VertexId(1), reason: "ARG A changed".to_owned() };
        for (verbose, want) in [(true, "#1 a\n#1 not cached: ARG A changed\n"), (false, "#1 a\n")] {
            let mut script = Script::new(|it| new(super::Setting { verbose, ..it }));
            script.at(0, started(1, "a"));
            script.at(0, missed());
            script.at(0, done(1));
            assert_eq!(script.finish(0), format!("{want}#1 DONE 0.0s\n"));
        }
    }
}
