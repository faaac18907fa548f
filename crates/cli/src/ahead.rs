//! Layers on their way to the registry while later steps still run.

use crate::{failure::chain, output::Output, publish, transfer::shown};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::Scope,
};
use strake_build::{Event, ImageLayer, VertexId, Workbench};
use strake_oci::{Digest, Reference};
use strake_registry::{PushLayer, PushSource};

/// Sends finished layers. What fails here is no failure: the push that follows tries it again, and tells.
pub(crate) struct Ahead<'a> {
    bench: &'a Workbench,
    emit: &'a (dyn Fn(Event) + Sync),
    vertex: VertexId,
    /// The first repository of each registry: the others mount from there.
    targets: Vec<Reference>,
    begun: Mutex<BTreeSet<Digest>>,
    stop: AtomicBool,
    failed: Mutex<Option<String>>,
}

impl<'a> Ahead<'a> {
    /// For the outputs that take layers as the build makes them.
    pub(crate) fn new(
        outputs: &[Output],
        names: &[Reference],
        bench: &'a Workbench,
        emit: &'a (dyn Fn(Event) + Sync),
        vertex: VertexId,
    ) -> Ahead<'a> {
        let mut targets = BTreeMap::new();
        for output in outputs.iter().filter(|it| it.takes_layers_of(bench.compression)) {
            let names = if output.names.is_empty() { names } else { &output.names };
            for name in names {
                targets.entry(&name.registry).or_insert(name);
            }
        }
        Ahead {
            bench,
            emit,
            vertex,
            targets: targets.into_values().cloned().collect(),
            begun: Mutex::default(),
            stop: AtomicBool::new(false),
            failed: Mutex::default(),
        }
    }

    /// Begins to send a layer, once.
    pub(crate) fn take<'s>(&'s self, scope: &'s Scope<'s, '_>, layer: ImageLayer) {
        if self.targets.is_empty() || self.stop.load(Ordering::Relaxed) {
            return;
        }
        {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            if !begun.insert(layer.descriptor.digest) {
                return;
            }
            if begun.len() == 1 {
                let name = "pushing layers".to_owned();
                (self.emit)(Event::Started { vertex: self.vertex, name });
            }
        }
        scope.spawn(move || self.send(&layer));
    }

    fn send(&self, layer: &ImageLayer) {
        let Ok(source) = publish::source(layer, self.bench) else { return };
        let events = |event| {
            if let Some(event) = shown(self.vertex, event) {
                (self.emit)(event);
            }
        };
        for target in &self.targets {
            // What a later step may have to fetch anyway is not streamed through besides.
            if matches!(&source, PushSource::Remote(from) if from.registry != target.registry) {
                continue;
            }
            let layer = PushLayer { descriptor: layer.descriptor.clone(), source: source.clone() };
            let sent = self.bench.client.push_ahead(&layer, target, &self.stop, &events);
            if let Err(error) = sent {
                // Where one fails, as without a login, others would too.
                if !self.stop.swap(true, Ordering::Relaxed) {
                    let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                    *failed = Some(chain(&error));
                }
                return;
            }
        }
    }

    /// Ends what is under way.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// To be called when all has ended.
    pub(crate) fn finish(&self) {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.is_empty() {
            return;
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        (self.emit)(match failed.take() {
            Some(error) => Event::Failed { vertex: self.vertex, error },
            None => Event::Done { vertex: self.vertex },
        });
    }
}
