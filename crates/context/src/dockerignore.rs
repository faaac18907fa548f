//! The text of an ignore file, and where it is.

use crate::glob::clean;
use std::path::{Path, PathBuf};

/// The patterns of an ignore file, normalised as Docker does: comments and blank lines dropped, a
/// leading slash taken off.
pub fn read_patterns(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        // Before trimming: an indented `#` is a pattern.
        .filter(|line| !line.starts_with('#'))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| match line.strip_prefix('!') {
            Some(rest) => format!("!{}", normalise(rest.trim())),
            None => normalise(line),
        })
        .collect()
}

fn normalise(pattern: &str) -> String {
    if pattern.is_empty() {
        return String::new();
    }
    let cleaned = String::from_utf8_lossy(&clean(pattern.as_bytes())).into_owned();
    match cleaned.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => cleaned,
    }
}

/// Where the ignore file may be, best first: `<Dockerfile>.dockerignore` beside the Dockerfile,
/// then the context's own.
pub fn ignore_file(dockerfile: &Path, context: &Path) -> [PathBuf; 2] {
    let mut named = dockerfile.as_os_str().to_owned();
    named.push(".dockerignore");
    [PathBuf::from(named), context.join(".dockerignore")]
}

#[cfg(test)]
mod tests {
    use super::{ignore_file, read_patterns};
    use std::path::Path;

    #[test]
    fn reads_lines_as_docker_does() {
        let text = "\u{feff}# comment\r\n  # kept\n\n/abs/../x/\n!  /y/ \n!!z\n/\n./a//b\n!\n ";
        assert_eq!(read_patterns(text), ["# kept", "x", "!y", "!!z", "/", "a/b", "!"]);
    }

    #[test]
    fn the_dockerfiles_own_ignore_file_comes_first() {
        assert_eq!(
            ignore_file(Path::new("docker/app.Dockerfile"), Path::new("src")),
            [Path::new("docker/app.Dockerfile.dockerignore"), Path::new("src/.dockerignore")]
        );
    }
}
