//! Looking sources up: wildcards, links, what is below a directory, content hashes.

use super::{
    CopyError,
    fetched::Fetched,
    filter::{Filter, between, pivot, plain_start},
    join, rooted, shown,
    source::{Found, Origin, SourceTree, is_directory, not_found},
    split,
};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf, sync::Arc};
use strake_context::{BadPattern, glob_match, has_wildcard};
use strake_layer::Kind;
use strake_plan::{CopyOp, CopySource, HeredocFile, Source, Unpack};

/// The files that a COPY or ADD copies, in order, hashed.
#[derive(Clone, Debug)]
pub struct Selection {
    pub(super) picked: Vec<Picked>,
    /// Whether the files keep their owners, which then count for the key.
    pub(super) owners_kept: bool,
}

/// One source: what was written, or one match of a wildcard.
#[derive(Clone, Debug)]
pub(super) struct Picked {
    /// From the source's root, links not followed. The last component is a file's name in the image.
    pub(super) name: Vec<u8>,
    /// The path with links followed: that of the first entry.
    pub(super) base: Vec<u8>,
    /// The source itself, then what is below it, in walking order.
    pub(super) entries: Vec<Found>,
    /// Where the archive is that is to be taken apart.
    pub(super) archive: Option<PathBuf>,
    /// Whether the source itself has no time of its own: it gets the time of the copy.
    pub(super) fresh: bool,
    /// What stands in the key for a source that is not of the context: its content and time.
    pub(super) pinned: Option<String>,
}

impl Selection {
    /// Whether [`super::changes`] will read files of the stage's layers, and so needs their folders.
    pub fn reads_layers(&self) -> bool {
        let mut entries = self.picked.iter().flat_map(|picked| &picked.entries);
        entries.any(|found| matches!(found.origin, Origin::Layer(_)))
    }
}

/// Mode of a heredoc's file.
const HEREDOC_MODE: u32 = 0o644;

/// Looks the sources of `op` up in `source`; `fetched` are those from elsewhere, in order.
///
/// A wildcard that matches nothing selects nothing; a path that is not there is an error.
pub fn select(
    op: &CopyOp,
    source: &SourceTree<'_>,
    fetched: &[Fetched],
) -> Result<Selection, CopyError> {
    // What is made of the files is the business of `changes`.
    let CopyOp { from, sources, dest: _, chown, chmod: _, link: _, parents, excludes, unpack } = op;
    let mut picked = Vec::new();
    let mut fetched = fetched.iter();
    for written in sources {
        match written {
            CopySource::Heredoc(file) => picked.push(heredoc(file)),
            CopySource::Path(path) if *parents => {
                with_parents(source, path, excludes, &mut picked)?;
            }
            CopySource::Http(_) | CopySource::Git(_) => {
                picked.push(fetched.next().ok_or(CopyError::NotFetched)?.picked());
            }
            CopySource::Path(path) => pick(source, path, excludes, &mut picked)?,
        }
    }
    for it in &mut picked {
        let unpacked = match unpack {
            Unpack::Never => false,
            Unpack::Local => it.pinned.is_none(),
            Unpack::All => true,
        };
        if unpacked && matches!(source, SourceTree::Context(_)) {
            it.archive = archive(it)?;
        }
    }
    let mut unhashed: Vec<&mut Found> =
        picked.iter_mut().flat_map(|picked| &mut picked.entries).collect();
    source.hash(&mut unhashed)?;
    let has_owners = match source {
        SourceTree::Context(context) => context.has_owners(),
        SourceTree::Stage(_) => matches!(from, Source::Stage(_)),
    };
    let owners_kept = has_owners && chown.is_none();
    Ok(Selection { picked, owners_kept })
}

fn pick(
    source: &SourceTree<'_>,
    written: &str,
    excludes: &[String],
    picked: &mut Vec<Picked>,
) -> Result<(), CopyError> {
    let filter = Filter::new(None, excludes)?;
    let path = rooted(written.as_bytes());
    if !has_wildcard(&path) {
        let found = one(source, &path, &filter)?;
        picked.push(found.map_or_else(|real| not_found(source, &path, &real).and_then(Err), Ok)?);
        return Ok(());
    }
    let (base, matches) = wildcard(source, &path)?;
    for path in matches {
        let found = one(source, &path, &filter)?
            .or_else(|real| not_found(source, &path, &real).and_then(Err))?;
        let below = super::filter::below(&base, &path);
        if is_directory(&found.entries[0].entry) || !filter.excludes(below) {
            picked.push(found);
        }
    }
    Ok(())
}

/// One source by its path; the path that its links lead to where nothing is there.
fn one(
    source: &SourceTree<'_>,
    path: &[u8],
    filter: &Filter,
) -> Result<Result<Picked, Vec<u8>>, CopyError> {
    let real = source.resolve(path)?;
    let entries = if filter.is_empty() {
        source.walk_hashed(&real)?
    } else {
        filter.apply(&real, source.walk(&real)?)
    };
    if entries.is_empty() {
        return Ok(Err(real));
    }
    // The context's own directory has a time of the checkout's, not of the files'.
    let fresh = real.is_empty() && matches!(source, SourceTree::Context(_));
    Ok(Ok(Picked { fresh, ..Picked::new(path.to_vec(), real, entries) }))
}

/// What a path with wildcards matches, with the directory that the wildcards begin in.
///
/// The part before them is resolved; links are not followed while matching.
fn wildcard(source: &SourceTree<'_>, path: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>), CopyError> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let plain = parts.iter().take_while(|part| !has_wildcard(part)).count();
    let written = parts[..plain].join(&b'/');
    let base = source.resolve(&written)?;
    if source.get(&base)?.is_none() {
        return not_found(source, &written, &base).and_then(Err);
    }
    let bad = |BadPattern| CopyError::BadPattern { pattern: shown(path) };
    let mut matches = vec![base.clone()];
    let mut patterns = parts[plain..].iter().peekable();
    while let Some(pattern) = patterns.next() {
        glob_match(pattern, b"").map_err(bad)?;
        let mut next = Vec::new();
        for directory in &matches {
            for (name, is_directory) in source.names(directory)? {
                if (is_directory || patterns.peek().is_none())
                    && glob_match(pattern, &name).map_err(bad)?
                {
                    next.push(join(directory, &name));
                }
            }
        }
        matches = next;
    }
    Ok((base, matches))
}

/// `--parents`: the directory before `/./`, of which only what the pattern matches is copied. Where it
/// has wildcards, each directory that they match.
fn with_parents(
    source: &SourceTree<'_>,
    written: &str,
    excludes: &[String],
    picked: &mut Vec<Picked>,
) -> Result<(), CopyError> {
    let (directory, pattern) = pivot(written);
    let name = rooted(directory.as_bytes());
    if !has_wildcard(&name) {
        picked.push(below_pivot(source, written, name, &pattern, excludes)?);
        return Ok(());
    }
    for name in wildcard(source, &name)?.1 {
        let real = source.resolve(&name)?;
        let is_there = |path: &[u8]| Ok::<_, CopyError>(source.get(path)?.is_some());
        let top = source.get(&real)?.is_some_and(|it| is_directory(&it.entry));
        if top && is_there(&plain_start(&real, &pattern))? {
            picked.push(below_pivot(source, written, name, &pattern, excludes)?);
        }
    }
    Ok(())
}

fn below_pivot(
    source: &SourceTree<'_>,
    written: &str,
    name: Vec<u8>,
    pattern: &str,
    excludes: &[String],
) -> Result<Picked, CopyError> {
    let real = source.resolve(&name)?;
    let Some(top) = source.get(&real)? else {
        return not_found(source, &name, &real).and_then(Err);
    };
    let start = plain_start(&real, pattern);
    let mut entries = vec![top];
    if start != real {
        for directory in between(&real, &start) {
            entries.extend(source.get(&directory)?);
        }
    }
    let walked = source.walk(&start)?;
    if walked.is_empty() && !has_wildcard(pattern.as_bytes()) {
        return not_found(source, written.as_bytes(), &start).and_then(Err);
    }
    entries.extend(walked.into_iter().filter(|found| found.entry.path != real));
    let include = (!pattern.is_empty()).then_some(pattern);
    let entries = Filter::new(include, excludes)?.apply(&real, entries);
    Ok(Picked { fresh: true, ..Picked::new(name, real, entries) })
}

fn heredoc(file: &HeredocFile) -> Picked {
    let HeredocFile { name, content } = file;
    let name = rooted(name.as_bytes());
    let kind = Kind::File { size: content.len() as u64 };
    let origin = Origin::Bytes(Arc::from(content.as_bytes()));
    let found = Found::roots(name.clone(), kind, HEREDOC_MODE, 0, origin);
    Picked { fresh: true, ..Picked::new(name.clone(), name, vec![found]) }
}

fn archive(picked: &Picked) -> Result<Option<PathBuf>, CopyError> {
    let path = match &picked.entries[0] {
        Found { origin: Origin::Path(path), .. } => path.to_path_buf(),
        Found { origin: Origin::Context(root), entry, .. } => {
            root.join(OsStr::from_bytes(&entry.path))
        }
        Found { origin: Origin::Nothing | Origin::Layer(_) | Origin::Bytes(_), .. } => {
            return Ok(None);
        }
    };
    Ok(strake_layer::is_archive_file(fs_err::File::open(&path)?)?.then_some(path))
}

impl Picked {
    /// Files of the context or of a stage, with times of their own.
    pub(super) fn new(name: Vec<u8>, base: Vec<u8>, entries: Vec<Found>) -> Picked {
        Picked { name, base, entries, archive: None, fresh: false, pinned: None }
    }

    /// The name that a file gets in a directory.
    pub(super) fn file_name(&self) -> &[u8] {
        split(&self.name).1
    }
}
