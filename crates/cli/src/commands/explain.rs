//! `strake explain`: why each step of the last build was found or built again.

use crate::linting::args::ExplainArgs;
use crate::{clock, environment, failure::Failure, say};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use strake_build::{Event, Workbench};

/// What is kept of a build.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Seconds since 1970.
    time: i64,
    steps: Vec<Step>,
}

/// One step of a build.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Step {
    name: String,
    cached: bool,
    reason: Option<String>,
    error: Option<String>,
}

/// Listens to a build.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<BTreeMap<usize, Step>>);

impl Journal {
    /// Something happened.
    pub(crate) fn note(&self, event: &Event) {
        let mut steps = self.0.lock().unwrap_or_else(|it| it.into_inner());
        match event {
            Event::Started { vertex, name } => {
                steps.insert(vertex.0, Step { name: name.clone(), ..Step::default() });
            }
            Event::Cached { vertex } => {
                if let Some(step) = steps.get_mut(&vertex.0) {
                    step.cached = true;
                }
            }
            Event::Missed { vertex, reason } => {
                if let Some(step) = steps.get_mut(&vertex.0) {
                    step.reason = Some(reason.clone());
                }
            }
            Event::Failed { vertex, error } => {
                if let Some(step) = steps.get_mut(&vertex.0) {
                    step.error = Some(error.clone());
                }
            }
            Event::Output { .. }
            | Event::Progress { .. }
            | Event::Done { .. }
            | Event::Layer { .. }
            | Event::Warning { .. } => {}
        }
    }

    /// Keeps what happened in the store. A build is not worse for what cannot be kept.
    pub(crate) fn keep(&self, bench: &Workbench) {
        let steps = std::mem::take(&mut *self.0.lock().unwrap_or_else(|it| it.into_inner()));
        let kept = Kept { time: clock::now(), steps: steps.into_values().collect() };
        let Ok(text) = serde_json::to_vec(&kept) else { return };
        let path = place(bench.store.root());
        let aside = path.with_extension(format!("{}", std::process::id()));
        if std::fs::write(&aside, text).is_ok() {
            let _ = std::fs::rename(&aside, path);
        }
    }
}

fn place(store: &Path) -> PathBuf {
    store.join("last-build.json")
}

pub(crate) fn run(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let ExplainArgs { fail_on_miss, format, store } = args;
    let uid = rustix::process::getuid().as_raw();
    let folder = environment::store(store.store.clone(), uid);
    let bytes = std::fs::read(place(&folder)).map_err(|_| {
        Failure::usage(format!("nothing was built with the store {}", folder.display()))
            .hint("build first, or name the store with --store")
    })?;
    let kept: Kept = serde_json::from_slice(&bytes).map_err(Failure::new)?;
    if format == "json" {
        say::data(String::from_utf8_lossy(&bytes).trim_end());
    } else {
        kept.steps.iter().for_each(tell);
        let found = kept.steps.iter().filter(|it| it.cached).count();
        let built = kept.steps.iter().filter(|it| it.reason.is_some()).count();
        say::data(&format!("{found} steps were found, {built} were built"));
    }
    let missed = kept.steps.iter().any(|it| it.reason.is_some() || it.error.is_some());
    Ok(ExitCode::from(u8::from(*fail_on_miss && missed)))
}

fn tell(step: &Step) {
    let Step { name, cached, reason, error } = step;
    let told = match (cached, reason, error) {
        (_, Some(reason), Some(error)) => format!("built: {reason}; it failed: {error}"),
        (_, None, Some(error)) => format!("failed: {error}"),
        (true, _, None) => "found".to_owned(),
        (false, Some(reason), None) => format!("built: {reason}"),
        (false, None, None) => return,
    };
    say::data(&format!("{name}\n    {told}"));
}
