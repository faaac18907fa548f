//! What history, context and store say about a step.

use super::{Facts, Step, Transfer};
use crate::context::Ignoring;

/// How often something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Churn {
    /// In so many commits.
    pub changed: usize,
    /// Of so many.
    pub of: usize,
}

impl Transfer<'_> {
    /// Whether everything of the context is taken, or nearly.
    pub fn is_wide(&self) -> bool {
        let wide = |it: &str| matches!(it, "." | "./" | "/" | "*" | "./*" | "/." | "./.");
        self.files.sources.iter().any(|it| wide(it.text.as_str()))
    }

    /// Whether a path of the context is among the sources.
    pub fn selects(&self, path: &str) -> bool {
        let excluded = self.excludes.iter().any(|it| {
            strake_context::Patterns::new(&[&it.text]).is_ok_and(|it| it.matches(path.as_bytes()))
        });
        !excluded && self.files.sources.iter().any(|it| selects(&it.text, path))
    }
}

fn selects(source: &str, path: &str) -> bool {
    let source = source.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/');
    if matches!(source, "" | "." | "*") {
        return true;
    }
    // Asked of each path of a context: what is usual comes first.
    let bytes = source.as_bytes();
    let joined;
    let source = if bytes.windows(3).any(|it| it == b"/./") {
        joined = source.replace("/./", "/");
        joined.as_str()
    } else {
        source
    };
    let Some(wild) = source.bytes().position(|it| matches!(it, b'*' | b'?' | b'[')) else {
        return path.strip_prefix(source).is_some_and(|it| it.is_empty() || it.starts_with('/'));
    };
    if source[wild..].contains("**") {
        // `--parents` takes these.
        return strake_context::Patterns::new(&[source])
            .is_ok_and(|it| it.matches(path.as_bytes()));
    }
    let plain = &source[..wild];
    if !plain.contains('\\') && !path.starts_with(plain) {
        return false;
    }
    if path.strip_prefix(source).is_some_and(|it| it.is_empty() || it.starts_with('/')) {
        return true;
    }
    let depth = source.bytes().filter(|it| *it == b'/').count();
    let end = path.match_indices('/').nth(depth).map_or(path.len(), |it| it.0);
    strake_context::glob_match(source.as_bytes(), &path.as_bytes()[..end]).unwrap_or(false)
}

impl Facts<'_> {
    /// In how many commits a file changed that is sent and `counts`.
    pub fn churn(&self, counts: &dyn Fn(&str) -> bool) -> Option<Churn> {
        let history = self.outside.history.as_ref()?;
        let ignore = self.outside.context.as_ref().and_then(|it| it.ignore.as_ref());
        let ignoring = ignore.and_then(|it| Ignoring::new(it).ok());
        let sent = |path: &str| !ignoring.as_ref().is_some_and(|it| it.of(path).0);
        let changed = history.touched(&|path| counts(path) && sent(path));
        Some(Churn { changed, of: history.commits.len() })
    }

    /// Seconds that a step took when it was last built.
    pub fn seconds(&self, step: &Step<'_>) -> Option<f64> {
        let stage = &self.stages[step.stage?];
        let name = stage.from.name.as_ref().map(|it| it.text.to_ascii_lowercase());
        let name = name.unwrap_or_else(|| format!("stage-{}", stage.index));
        let text = step.statement.text.split_whitespace().collect::<Vec<&str>>().join(" ");
        self.outside.seconds.get(&format!("{name} {text}")).copied()
    }

    /// Seconds a week that `commits` rebuilds of a step cost.
    pub fn weekly(&self, step: &Step<'_>, commits: usize) -> Option<f64> {
        let history = self.outside.history.as_ref()?;
        Some(self.seconds(step)? * commits as f64 / history.weeks())
    }

    /// Where a COPY without a name of its own puts files: the folder, `/` at its end.
    pub fn dest_of(&self, step: &Step<'_>, transfer: &Transfer<'_>) -> Option<String> {
        let dest = self.expand(&transfer.files.dest.text, step.index);
        let dest = dest.trim_end_matches("/.").trim_start_matches("./");
        let path = match dest {
            it if it.starts_with('/') => it.to_owned(),
            "." | "" => step.cwd.clone()?,
            it => format!("{}/{it}", step.cwd.as_deref()?.trim_end_matches('/')),
        };
        Some(format!("{}/", path.trim_end_matches('/')))
    }
}

/// `12.3 MB`, as people read sizes.
pub fn bytes(size: u64) -> String {
    match size {
        0..=999 => format!("{size} B"),
        1_000..=999_999 => format!("{:.1} kB", size as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.1} MB", size as f64 / 1e6),
        _ => format!("{:.1} GB", size as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, selects};

    #[test]
    fn sources_select_paths() {
        for (source, path, want) in [
            (".", "a/b", true),
            ("./src", "src/a", true),
            ("src", "srcs", false),
            ("package*.json", "package-lock.json", true),
            ("package*.json", "a/package.json", false),
            ("src/*", "src/a/b", true),
        ] {
            assert_eq!(selects(source, path), want, "{source} {path}");
        }
        assert_eq!(bytes(12_340_000), "12.3 MB");
    }
}
