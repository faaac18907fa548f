//! Plays events to a display at given times and gives back what it wrote.

use super::{Setting, Show};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use strake_build::{Event, VertexId};

pub(super) struct Script {
    show: Box<dyn Show>,
    written: Written,
}

impl Script {
    pub(super) fn new(make: impl FnOnce(Setting) -> Box<dyn Show>) -> Script {
        let written = Written::default();
        let out = Box::new(written.clone());
        let setting = Setting { out, verbose: false, colour: false, began: 0, terminal: true };
        Script { show: make(setting), written }
    }

    /// Milliseconds since the build began.
    pub(super) fn at(&mut self, millis: u64, event: Event) {
        self.show.event(Duration::from_millis(millis), event).unwrap();
    }

    pub(super) fn tick(&mut self, millis: u64) {
        self.show.tick(Duration::from_millis(millis)).unwrap();
    }

    /// All of it so far.
    pub(super) fn written(&self) -> String {
        String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap()
    }

    pub(super) fn finish(mut self, millis: u64) -> String {
        self.show.finish(Duration::from_millis(millis)).unwrap();
        self.written()
    }
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn started(vertex: usize, name: &str) -> Event {
    Event::Started { vertex: VertexId(vertex), name: name.to_owned() }
}

pub(super) fn cached(vertex: usize) -> Event {
    Event::Cached { vertex: VertexId(vertex) }
}

pub(super) fn output(vertex: usize, text: &str) -> Event {
    Event::Output { vertex: VertexId(vertex), stderr: false, bytes: text.as_bytes().to_vec() }
}

pub(super) fn done(vertex: usize) -> Event {
    Event::Done { vertex: VertexId(vertex) }
}

pub(super) fn failed(vertex: usize, error: &str) -> Event {
    Event::Failed { vertex: VertexId(vertex), error: error.to_owned() }
}
