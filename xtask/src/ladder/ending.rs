//! An early end: what runs is told to end, and what was made is taken away.

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether somebody wants the end.
static WANTED: AtomicBool = AtomicBool::new(false);

/// From now on a signal ends the build that runs, and with it the ladder, which then cleans up. A second
/// one ends the ladder at once.
pub(super) fn expect() -> Result<(), String> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|error| error.to_string())?;
    std::thread::spawn(move || {
        for signal in &mut signals {
            if WANTED.swap(true, Ordering::SeqCst) {
                let _ends = signal_hook::low_level::emulate_default_handler(signal);
            }
            for child in children() {
                let _gone = Command::new("kill").arg(child).status();
            }
        }
    });
    Ok(())
}

/// An error after a signal.
pub(super) fn check() -> Result<(), String> {
    match WANTED.load(Ordering::SeqCst) {
        true => Err("a signal came: what was made is taken away".to_owned()),
        false => Ok(()),
    }
}

/// The processes that this one has started.
fn children() -> Vec<String> {
    let mut all = Vec::new();
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let found = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        all.extend(found.split_whitespace().map(str::to_owned));
    }
    all
}
