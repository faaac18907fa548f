//! What a build must do, stage by stage, and the identity of each step.
//!
//! Invariant: pure data. No Dockerfile syntax, no IO, no clock.
//! Invariant: everything that a step depends on is a field of its op; keys destructure ops without
//! `..`, so that a new field does not compile until somebody decides whether it is in the key.

mod key;
mod op;

pub use key::{ContentId, KeyRecord, RootId, StepKey, step_key};
pub use op::{
    CacheSharing, CopyOp, CopySource, DeviceRequest, GitSource, HeredocFile, HttpSource, MountKind,
    Network, Op, RunMount, RunOp, Security, Source, Unpack, WorkdirOp,
};
use strake_diag::Span;
use strake_oci::{Config, ImageConfig, Manifest, Platform, Raw, Reference};

/// A whole build: the stages that the target needs, each before those that use it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In an order in which each stage stands after those that it depends on.
    pub stages: Vec<Stage>,
    /// The stage that becomes the image.
    pub target: StageId,
    /// What the image is for.
    pub platform: Platform,
}

/// Index into [`Plan::stages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(pub usize);

/// One stage. Images named by `COPY --from=image` or `--mount=from=image` are stages without steps.
#[derive(Clone, Debug)]
pub struct Stage {
    /// As progress and `--no-cache-filter` name it: the AS name, or `stage-N`.
    pub name: String,
    /// What it stands on.
    pub base: Base,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// The container config after the last step.
    pub config: Config,
    /// MAINTAINER.
    pub author: Option<String>,
    /// What the stage runs on.
    pub platform: Platform,
    /// What its image is for, by its config: the base's platform, or what was asked for.
    pub image_platform: Platform,
    /// Where FROM stands.
    pub span: Span,
}

/// What a stage stands on.
#[derive(Clone, Debug)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage of this plan.
    Stage(StageId),
    /// An image from a registry or a layout.
    Image(Box<BaseImage>),
}

/// A resolved base image: nothing of it but manifest and config has been read.
#[derive(Clone, Debug)]
pub struct BaseImage {
    /// As the Dockerfile wrote it, after expansion.
    pub written: String,
    /// Where its blobs are.
    pub origin: Origin,
    /// The manifest of one platform.
    pub manifest: Raw<Manifest>,
    /// Its config.
    pub config: Raw<ImageConfig>,
}

/// Where the blobs of a base image are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a registry's repository.
    Registry(Reference),
    /// In an OCI layout folder, at this path.
    Layout(std::path::PathBuf),
    /// In the store.
    Store,
}

/// One instruction's work.
#[derive(Clone, Debug)]
pub struct Step {
    /// What to do.
    pub op: Op,
    /// Where it is written.
    pub span: Span,
    /// For progress: the instruction on one line.
    pub text: String,
    /// For history: BuildKit's words; empty for what history does not tell.
    pub created_by: String,
}
