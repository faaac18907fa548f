//! Paths as text.

/// Without `.`, `..` and doubled slashes, relative to the root: `.` for the root itself.
pub(crate) fn clean(path: &str) -> String {
    let joined = components(path).join("/");
    if joined.is_empty() { ".".to_owned() } else { joined }
}

/// `path` below `cwd`, absolute and clean.
pub(crate) fn join(cwd: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{cwd}/{path}") };
    format!("/{}", components(&whole).join("/"))
}

/// Where a COPY goes: absolute and clean, with a slash at its end where it must be a directory.
pub(crate) fn destination(cwd: &str, path: &str) -> String {
    let absolute = join(cwd, path);
    let directory = matches!(path, "" | "." | "..") || path.ends_with('/') || path.ends_with("/.");
    if directory && absolute != "/" { format!("{absolute}/") } else { absolute }
}

/// The last component; the path itself where there is none.
pub(crate) fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

fn components(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{clean, destination, join};

    #[test]
    fn paths_are_clean_and_stay_inside() {
        for (cwd, path, joined, dest) in [
            ("/", "a", "/a", "/a"),
            ("/app", "a/", "/app/a", "/app/a/"),
            ("/app", ".", "/app", "/app/"),
            ("/app", "", "/app", "/app/"),
            ("/app", "./", "/app", "/app/"),
            ("/app", "../b", "/b", "/b"),
            ("/app", "../../..", "/", "/"),
            ("/app", "/x//y/../z/.", "/x/z", "/x/z/"),
            ("/", "/", "/", "/"),
        ] {
            assert_eq!(join(cwd, path), joined, "{cwd} {path}");
            assert_eq!(destination(cwd, path), dest, "{cwd} {path}");
        }
        for (path, want) in [("/", "."), ("../../x", "x"), ("./a/b/", "a/b"), ("a/*.js", "a/*.js")]
        {
            assert_eq!(clean(path), want);
        }
    }
}
