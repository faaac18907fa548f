//! What a build tells while it runs. Readers are the CLI's.

use crate::ImageLayer;

/// Number of a vertex: a FROM or a step that does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VertexId(pub usize);

/// Something that happened. Readers add the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A vertex began.
    Started {
        /// Which.
        vertex: VertexId,
        /// `[builder 2/5] RUN npm ci`.
        name: String,
    },
    /// The vertex was found in the cache; [`Event::Done`] follows.
    Cached {
        /// Which.
        vertex: VertexId,
    },
    /// The vertex was not found in the cache.
    Missed {
        /// Which.
        vertex: VertexId,
        /// Why, as a sentence.
        reason: String,
    },
    /// A process wrote something.
    Output {
        /// Which.
        vertex: VertexId,
        /// To standard error rather than standard output.
        stderr: bool,
        /// What.
        bytes: Vec<u8>,
    },
    /// A transfer went on.
    Progress {
        /// Which.
        vertex: VertexId,
        /// What is transferred, e.g. a digest.
        id: String,
        /// Bytes so far.
        current: u64,
        /// Bytes in all.
        total: Option<u64>,
        /// `pulling`, `pushing`, `exists`, `mounted`.
        what: String,
    },
    /// The vertex ended well.
    Done {
        /// Which.
        vertex: VertexId,
    },
    /// The vertex failed.
    Failed {
        /// Which.
        vertex: VertexId,
        /// Why.
        error: String,
    },
    /// A layer of the image is finished, while later steps still run. Only told once a step of the target
    /// was not found in the cache, then for all layers below too: what was all cached may be all there.
    Layer {
        /// Which.
        layer: Box<ImageLayer>,
    },
    /// Something that does not stop the build.
    Warning {
        /// What.
        text: String,
    },
}
