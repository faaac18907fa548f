//! What a stage consists of at some point: layers, identity, history.

use crate::image::ImageLayer;
use strake_oci::History;
use strake_plan::RootId;

/// A stage after some of its steps.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Base layer first.
    pub(crate) layers: Vec<ImageLayer>,
    /// Identity of what the layers hold.
    pub(crate) root: RootId,
    /// The base's history and one entry a step.
    pub(crate) history: Vec<History>,
    /// How many of them are the base's.
    pub(crate) base_history: usize,
    /// How progress calls what made each layer.
    pub(crate) made_by: Vec<String>,
    /// The base's `os.features`, which no instruction sets.
    pub(crate) os_features: Vec<String>,
    /// The base's author.
    pub(crate) author: Option<String>,
    /// Whether a step was not found in the cache.
    pub(crate) made: bool,
    /// How many of the layers have been told of.
    pub(crate) told: usize,
}

impl State {
    pub(crate) fn scratch() -> State {
        State {
            layers: Vec::new(),
            root: RootId::scratch(),
            history: Vec::new(),
            base_history: 0,
            made_by: Vec::new(),
            os_features: Vec::new(),
            author: None,
            made: false,
            told: 0,
        }
    }

    pub(crate) fn push(&mut self, layer: ImageLayer, made_by: String) {
        self.root = self.root.with(layer.content);
        self.layers.push(layer);
        self.made_by.push(made_by);
    }
}
