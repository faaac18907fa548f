//! What an ignore file says of the files of a context.

use crate::outside::{ContextFacts, ContextFile, IgnoreFile};
use strake_context::{ContextError, Patterns};

impl IgnoreFile {
    /// An ignore file of this text; what is alive is found out later.
    pub fn new(path: &str, name: &str, text: &str) -> IgnoreFile {
        let patterns = text
            .split('\n')
            .enumerate()
            .filter_map(|(line, it)| {
                strake_context::read_patterns(it).first().map(|it| (line, it.clone()))
            })
            .collect();
        IgnoreFile {
            path: path.to_owned(),
            name: name.to_owned(),
            text: text.to_owned(),
            patterns,
            alive: Vec::new(),
            deciding: Vec::new(),
        }
    }
}

/// Decides path by path which line of an ignore file counts.
pub struct Ignoring {
    all: Patterns,
    lines: Vec<(usize, bool, Patterns)>,
}

impl Ignoring {
    /// Reads the patterns of a file.
    pub fn new(ignore: &IgnoreFile) -> Result<Ignoring, ContextError> {
        let list: Vec<&str> = ignore.patterns.iter().map(|(_, it)| it.as_str()).collect();
        let one = |(line, pattern): &(usize, String)| {
            let negated = pattern.starts_with('!');
            let bare = pattern.strip_prefix('!').unwrap_or(pattern);
            Patterns::new(&[bare]).map(|it| (*line, negated, it))
        };
        Ok(Ignoring {
            all: Patterns::new(&list)?,
            lines: ignore.patterns.iter().map(one).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a path is left out, the line that decides, and all lines that match.
    pub fn of(&self, path: &str) -> (bool, Option<usize>, Vec<usize>) {
        let ignored = self.all.matches(path.as_bytes());
        let hits = self.lines.iter().filter(|(_, _, it)| it.matches(path.as_bytes()));
        let hits: Vec<(usize, bool)> = hits.map(|(line, negated, _)| (*line, *negated)).collect();
        let line = hits.iter().rev().find(|(_, negated)| *negated != ignored).map(|it| it.0);
        (ignored, line, hits.into_iter().map(|it| it.0).collect())
    }
}

impl ContextFacts {
    /// Puts together files that are there (path, bytes, folder, looks like a secret) and the ignore
    /// file that counts.
    pub fn new(
        files: Vec<(String, u64, bool, bool)>,
        ignore: Option<IgnoreFile>,
    ) -> Result<ContextFacts, ContextError> {
        let mut facts = ContextFacts { ignore, ..ContextFacts::default() };
        let ignoring = facts.ignore.as_ref().map(Ignoring::new).transpose()?;
        let (mut alive, mut deciding) = (Vec::new(), Vec::new());
        for (path, size, folder, secret) in files {
            let (ignored, line, hits) =
                ignoring.as_ref().map(|it| it.of(&path)).unwrap_or_default();
            alive.extend(hits);
            deciding.extend(line);
            facts.files.push(ContextFile { path, size, folder, line, ignored, secret });
        }
        for list in [&mut alive, &mut deciding] {
            list.sort_unstable();
            list.dedup();
        }
        if let Some(ignore) = &mut facts.ignore {
            ignore.alive = alive;
            ignore.deciding = deciding;
        }
        Ok(facts)
    }
}
