//! What is known beside the Dockerfile: the caller reads it, rules only look.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Which builder the file is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Builder {
    /// strake: as BuildKit.
    #[default]
    Strake,
    /// BuildKit: metadata busts nothing, COPY is by content, a miss is not the end.
    Buildkit,
    /// kaniko: every instruction is in a linear chain of keys, LABEL too.
    Kaniko,
    /// buildah: history is compared, LABEL too, and the first miss ends the search.
    Buildah,
}

impl Builder {
    /// The builder of a name.
    pub fn read(name: &str) -> Option<Builder> {
        Some(match name.to_ascii_lowercase().as_str() {
            "strake" => Builder::Strake,
            "buildkit" | "docker" => Builder::Buildkit,
            "kaniko" => Builder::Kaniko,
            "buildah" | "podman" => Builder::Buildah,
            _ => return None,
        })
    }

    /// Whether instructions that change only metadata are in the keys of what follows.
    pub fn is_linear(self) -> bool {
        matches!(self, Builder::Kaniko | Builder::Buildah)
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Builder::Strake => "strake",
            Builder::Buildkit => "BuildKit",
            Builder::Kaniko => "kaniko",
            Builder::Buildah => "buildah",
        }
    }
}

/// Everything from outside; all of it may be missing.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// Which builder the file is for.
    pub builder: Builder,
    /// The build context.
    pub context: Option<Arc<ContextFacts>>,
    /// Where the context is on this machine.
    pub root: Option<std::path::PathBuf>,
    /// The Git history of the context.
    pub history: Option<Arc<History>>,
    /// Measured seconds, by stage and text of the step: `stage-0 RUN npm ci`.
    pub seconds: BTreeMap<String, f64>,
    /// Variables that the base images bring.
    pub base_env: std::collections::BTreeSet<String>,
    /// Names of other contexts that the file is built with.
    pub named: std::collections::BTreeSet<String>,
    /// By image: the platform that is wanted, and the one it has.
    pub platforms: BTreeMap<String, (String, String)>,
    /// Files that build this one in CI: path and text.
    pub pipelines: Arc<Vec<(String, String)>>,
    /// What ShellCheck remarks on the script of each RUN, by the number of the statement; lines are
    /// those of the script.
    pub remarks: BTreeMap<usize, Vec<crate::Remark>>,
}

/// The build context.
#[derive(Clone, Debug, Default)]
pub struct ContextFacts {
    /// What is in the folder, ignored or not; ignored folders are not entered.
    pub files: Vec<ContextFile>,
    /// The ignore file that counts.
    pub ignore: Option<IgnoreFile>,
    /// Another ignore file that does not count because of the first.
    pub shadowed: Option<String>,
    /// There were more files than were looked at.
    pub cut: bool,
    /// What is found out once for all Dockerfiles of the context.
    pub(crate) known: Known,
}

/// What follows from the files alone, where somebody asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Paths that nobody wants in an image, and what they are.
    pub(crate) junk: OnceLock<Vec<(String, &'static str)>>,
    /// Paths that differ by case alone.
    pub(crate) twins: OnceLock<Vec<(String, String)>>,
}

/// One file or folder of the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextFile {
    /// Relative, with `/`.
    pub path: String,
    /// In bytes; for an ignored folder 0, for it is not entered.
    pub size: u64,
    /// It is a folder.
    pub folder: bool,
    /// The line of the ignore file that decides, from 0, if one does.
    pub line: Option<usize>,
    /// It is left out.
    pub ignored: bool,
    /// The first bytes tell of a secret.
    pub secret: bool,
}

/// An ignore file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoreFile {
    /// As shown to people.
    pub path: String,
    /// Its name in the context, if a fix may write it.
    pub name: String,
    /// Its text.
    pub text: String,
    /// For each line of the text that is a pattern: the line's number from 0, and the pattern.
    pub patterns: Vec<(usize, String)>,
    /// Patterns that match something, by line.
    pub alive: Vec<usize>,
    /// Patterns that decide about something, by line.
    pub deciding: Vec<usize>,
}

/// The last commits.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Newest first.
    pub commits: Vec<Commit>,
}

/// One commit.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Seconds since 1970.
    pub time: i64,
    /// Changed paths, relative to the context.
    pub paths: Vec<String>,
}

impl History {
    /// In how many commits something changed that `matches`.
    pub fn touched(&self, matches: &dyn Fn(&str) -> bool) -> usize {
        self.commits.iter().filter(|it| it.paths.iter().any(|it| matches(it))).count()
    }

    /// How many weeks the commits span, at least one day.
    pub fn weeks(&self) -> f64 {
        let (first, last) = (self.commits.last(), self.commits.first());
        let seconds = first.zip(last).map_or(0, |(first, last)| last.time - first.time);
        (seconds as f64 / 604_800.0).max(1.0 / 7.0)
    }
}

impl ContextFacts {
    /// The files that are sent.
    pub fn kept(&self) -> impl Iterator<Item = &ContextFile> {
        self.files.iter().filter(|it| !it.ignored)
    }

    /// A file that is sent.
    pub fn has(&self, path: &str) -> bool {
        self.kept().any(|it| it.path == path)
    }

    /// Something of this path, be it sent or not.
    pub fn find(&self, path: &str) -> Option<&ContextFile> {
        self.files.iter().find(|it| it.path == path)
    }

    /// Bytes and number of files that are sent of a folder; the empty path is all.
    pub fn size_of(&self, folder: &str) -> (u64, usize) {
        let inside = |it: &&ContextFile| {
            folder.is_empty()
                || it.path == folder
                || it.path.strip_prefix(folder).is_some_and(|it| it.starts_with('/'))
        };
        let files = self.kept().filter(|it| !it.folder).filter(inside);
        files.fold((0, 0), |(size, count), it| (size + it.size, count + 1))
    }
}
