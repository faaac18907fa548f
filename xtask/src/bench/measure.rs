//! What one run of one command costs.

use fs_err as fs;
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

/// One run of one command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// In seconds.
    pub(super) wall: f64,
    /// User and system time. Not a number where a daemon does the work.
    pub(super) processor: f64,
    /// Largest resident set, in MB. Not a number where a daemon does the work.
    pub(super) memory: f64,
}

impl Cost {
    /// One command after another.
    pub(super) fn then(self, next: Cost) -> Cost {
        Cost {
            wall: self.wall + next.wall,
            processor: self.processor + next.processor,
            memory: self.memory.max(next.memory),
        }
    }

    /// What is known of a command that lets a daemon work.
    pub(super) fn of_client(self) -> Cost {
        Cost { wall: self.wall, processor: f64::NAN, memory: f64::NAN }
    }
}

/// Measures commands by `time`.
pub(super) struct Meter {
    /// What `time` writes.
    pub(super) report: PathBuf,
    /// What the last command said.
    pub(super) log: PathBuf,
}

impl Meter {
    /// Runs one command to its end. What was written before goes to disk first, for else it would be
    /// waited for by whoever comes next.
    pub(super) fn run(&self, words: &[&str], env: &[(&str, &str)]) -> Result<Cost, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", words.join(" "));
        let log = fs::File::create(&self.log).map_err(failed)?;
        Command::new("sync").status().map_err(failed)?;
        let began = Instant::now();
        let status = Command::new("time")
            .args(["-f", "%U %S %M", "-o"])
            .arg(&self.report)
            .args(words)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_parts().0)
            .status()
            .map_err(failed)?;
        let wall = began.elapsed().as_secs_f64();
        if !status.success() {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            return Err(format!("{} failed:\n{said}", words.join(" ")));
        }
        let text = fs::read_to_string(&self.report).map_err(failed)?;
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        let &[user, system, memory] = &numbers[..] else {
            return Err(format!("time says `{text}`"));
        };
        Ok(Cost { wall, processor: user + system, memory: memory / 1024.0 })
    }
}

/// Each number by itself.
pub(super) fn median(costs: &[Cost]) -> Cost {
    let middle = |part: fn(&Cost) -> f64| {
        let mut all: Vec<f64> = costs.iter().map(part).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Cost {
        wall: middle(|it| it.wall),
        processor: middle(|it| it.processor),
        memory: middle(|it| it.memory),
    }
}
