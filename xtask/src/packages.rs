//! Debian packages that tests and the demo need.

use crate::shell::{is_root, output, run_with, say, which};
use std::path::Path;

/// A program and the package that brings it.
pub(crate) type Needed = (&'static str, &'static str);

/// Installs what is missing; an ordinary user is told what to ask for.
pub(crate) fn install(needed: &[Needed]) -> Result<(), String> {
    let missing: Vec<&str> = needed.iter().filter(|it| !present(it.0)).map(|it| it.1).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        return Err(format!("as root, install: apt-get install {}", missing.join(" ")));
    }
    say(&format!("installing {}", missing.join(" ")));
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    run_with("apt-get", &["update", "-qq"], &quiet)?;
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(&missing);
    run_with("apt-get", &args, &quiet)
}

fn present(program: &str) -> bool {
    which(program).is_some()
        || ["/usr/sbin", "/sbin", "/usr/lib"].iter().any(|it| Path::new(it).join(program).exists())
}

/// The shared libraries that a program is linked with, and its loader.
pub(crate) fn libraries(program: &Path) -> Result<Vec<String>, String> {
    let text = output("ldd", &[program])?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_whitespace().find(|it| it.starts_with('/')))
        .map(str::to_owned)
        .collect())
}
