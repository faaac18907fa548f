//! Runs a plan: schedules stages, asks the cache, executes steps, emits events, returns an image.
//!
//! Invariant: no Dockerfile syntax and no terminal; nothing is printed.
//! Invariant: nothing is materialised before somebody needs it. A stage is a list of layers; files
//! are unpacked only for a RUN, and headers are read only for a step that was not cached.
//! Invariant: a step that failed leaves nothing in the store; steps that finished stay cached.

mod behind;
mod caches;
mod cdi;
pub mod copy;
mod engine;
mod error;
mod event;
mod finish;
mod foreign;
mod history;
mod image;
mod known;
mod marks;
mod materialise;
mod mounts;
mod op;
mod options;
mod platforms;
mod preview;
mod program;
mod run_folders;
mod ssh;
mod state;
mod time;
mod workbench;

pub use cdi::DeviceError;
pub use engine::run;
pub use error::{BuildError, StepError};
pub use event::{Event, VertexId};
pub use finish::{Finish, finish};
pub use foreign::{FOREIGN_PLATFORMS, Foreign, foreign, how_to_install, own_interpreters};
pub use image::{Image, ImageLayer, LayerOrigin, local_blob};
pub use options::{Allow, Devices, HOSTNAME, RunOptions};
pub use platforms::{count, run_all};
pub use preview::{StagePreview, StepPreview, Verdict, preview};
pub use program::ProgramError;
pub use ssh::{Forward, KeyError, SshAgent, SshKey};
pub use time::rfc3339;
pub use workbench::{Kept, Secrets, Workbench};
