//! What a build works with: everything from outside that is not in the plan.

use crate::options::RunOptions;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use strake_cache::{Store, TempDir};
use strake_context::Context;
use strake_layer::Compression;
use strake_oci::DiffId;
use strake_plan::StepKey;
use strake_registry::Client;
use strake_remote::Remote;
use strake_sandbox::{CancelToken, Privilege};

/// Values of secrets by id. They reach a RUN and nothing else.
pub type Secrets = BTreeMap<String, Vec<u8>>;

/// Everything from outside: store, contexts, registry, clock.
pub struct Workbench {
    /// Where finished steps and blobs are kept.
    pub store: Store,
    /// The main context.
    pub context: Option<Context>,
    /// Named contexts that are local directories.
    pub named: BTreeMap<String, Context>,
    /// For base layers.
    pub client: Client,
    /// For ADD of URLs and repositories.
    pub remote: Remote,
    /// What the sandbox may do here.
    pub privilege: Privilege,
    /// Whether roots are copied in any case.
    pub no_overlay: bool,
    /// Whether overlayfs works in the store; otherwise roots are copied. Empty until a RUN has to know.
    pub overlay: OnceLock<bool>,
    /// For `RUN --mount=type=secret`.
    pub secrets: Secrets,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--no-cache-filter`: names of stages.
    pub no_cache_filter: Vec<String>,
    /// How new layers are compressed.
    pub compression: Compression,
    /// Threads for packing.
    pub threads: usize,
    /// Seconds since 1970: the time of what is made now.
    pub clock: fn() -> i64,
    /// SOURCE_DATE_EPOCH: the time that config and history give instead, in seconds since 1970.
    pub source_date_epoch: Option<i64>,
    /// Content of `/etc/resolv.conf` during a RUN.
    pub resolv_conf: Vec<u8>,
    /// Lines added to `/etc/hosts` during a RUN.
    pub extra_hosts: Vec<u8>,
    /// Limit of `/dev/shm`, in bytes.
    pub shm_size: Option<u64>,
    /// What a RUN gets from the command line besides.
    pub run: RunOptions,
    /// Variables that every RUN gets without their being in its key. Empty as a rule.
    pub host_env: Vec<(OsString, OsString)>,
    /// Steps that this build has done: found again whatever `--no-cache` says.
    pub made: Mutex<BTreeSet<StepKey>>,
    /// Copied roots of RUNs that have ended, for the RUNs on top of them.
    pub kept: Mutex<Kept>,
    /// Ends the build early.
    pub cancel: CancelToken,
    /// Set when a stage has failed: the others stop at their next step.
    pub failed: AtomicBool,
}

/// Copied roots by the layers that they show. Where nothing can be mounted, a copy for every RUN would
/// take longer than most RUNs do.
#[derive(Debug, Default)]
pub struct Kept(Vec<(Vec<DiffId>, TempDir)>);

/// As many as there may be stages at work.
const MOST_KEPT: usize = 4;

impl Workbench {
    /// Keeps the directory of a RUN whose copied root shows these layers.
    pub(crate) fn keep(&self, layers: Vec<DiffId>, dir: TempDir) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0.len() == MOST_KEPT {
            kept.0.remove(0);
        }
        kept.0.push((layers, dir));
    }

    /// The directory of a RUN whose root shows these layers, if there is one.
    pub(crate) fn take_kept(&self, layers: &[DiffId]) -> Option<TempDir> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.0.iter().position(|(of, _)| of == layers)?;
        Some(kept.0.remove(at).1)
    }

    /// Whether roots are overlays. Trying it takes a while, so it is tried when it matters.
    pub(crate) fn overlay(&self) -> bool {
        let works = || {
            let probe = self.store.temp_dir("probe");
            probe.is_ok_and(|it| strake_sandbox::overlay_works(it.path()))
        };
        !self.no_overlay && !self.copies_roots() && *self.overlay.get_or_init(works)
    }

    /// Whether nothing can be mounted: a RUN has a copy of its root.
    pub(crate) fn copies_roots(&self) -> bool {
        matches!(self.privilege, Privilege::Emulated | Privilege::Chroot)
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst) || self.cancel.is_cancelled()
    }

    /// Whether a step of `stage` may be taken from the store.
    pub(crate) fn may_hit(&self, stage: &str, key: &StepKey) -> bool {
        let asked_for_new =
            self.no_cache || self.no_cache_filter.iter().any(|it| it.eq_ignore_ascii_case(stage));
        !asked_for_new || self.made.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    pub(crate) fn note_made(&self, key: StepKey) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }
}
