//! What a build must not leave behind.

use super::Lab;
use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How long the last of a killed build's processes may take to go: a bound for hangs.
const PATIENCE: Duration = Duration::from_secs(30);

impl Lab {
    /// Panics if a mount or a process of this lab's builds is left after a while.
    #[track_caller]
    pub fn assert_nothing_runs(&self) {
        let began = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "still running: {left:?}");
            thread::sleep(Duration::from_millis(10));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts: Vec<_> = mounts.lines().filter(|it| self.is_named_in(it)).collect();
        assert!(mounts.is_empty(), "still mounted: {mounts:?}");
    }

    /// Panics if there are temporary files.
    #[track_caller]
    pub fn assert_tidy(&self) {
        for folder in ["store/tmp", "store/leases"] {
            assert_eq!(names(&self.path(folder)), Vec::<String>::new(), "in {folder}");
        }
        let stray: Vec<_> =
            names(&self.path("")).into_iter().filter(|it| it.contains(".strake.tmp")).collect();
        assert!(stray.is_empty(), "{stray:?}");
    }

    /// Processes that are this lab's strake, or that live among mounts of this lab's store.
    fn processes(&self) -> Vec<String> {
        let mut found = Vec::new();
        for process in fs::read_dir("/proc").unwrap().flatten().map(|it| it.path()) {
            let Ok(mounts) = fs::read_to_string(process.join("mountinfo")) else { continue };
            let exe = fs::read_link(process.join("exe")).unwrap_or_default();
            if exe.starts_with(self.path("")) || self.is_named_in(&mounts) {
                let name = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
                found.push(format!("{}: {}", process.display(), name.replace('\0', " ")));
            }
        }
        found
    }

    fn is_named_in(&self, text: &str) -> bool {
        text.contains(self.path("").file_name().unwrap().to_str().unwrap())
    }
}

/// What is in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect()
}
