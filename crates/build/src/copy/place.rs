//! From selected files and a destination to the changes of a layer.

use super::{
    CopyError, archive,
    destination::{Destination, Made, NewDirectory, file_body},
    filter::below,
    join,
    mode::ModeChange,
    rooted,
    select::{Picked, Selection},
    shown,
    source::{Found, Origin, is_directory},
    split,
};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use strake_layer::{Body, Change, Entry, Kind, OnDisk, Tree};
use strake_plan::CopyOp;

/// What all sources of one COPY have in common.
struct Copy<'a> {
    op: &'a CopyOp,
    /// `--chown`, as numbers.
    owner: Option<(u32, u32)>,
    chmod: Option<ModeChange>,
    now: i64,
    folders: &'a [PathBuf],
}

/// The layer that `op` makes of `selection` on top of `below`, in walking order. The selection goes as
/// the layer comes, so that memory holds one of both.
///
/// `owner` is `--chown` in numbers, `now` the time for what has none of its own. `scratch` takes
/// what an archive spills, and must live until the layer is packed. `folders` are the snapshots of
/// the source stage's layers, by [`strake_layer::Node::layer`]; empty where
/// [`Selection::reads_layers`] says no.
pub fn changes(
    op: &CopyOp,
    selection: Selection,
    below: &Tree,
    owner: Option<(u32, u32)>,
    now: i64,
    scratch: &Path,
    folders: &[PathBuf],
) -> Result<Placed, CopyError> {
    let chmod = op.chmod.as_deref().map(ModeChange::parse).transpose()?;
    let copy = Copy { op, owner, chmod, now, folders };
    let mut destination = Destination::new(below, now);
    let mut files = Files::default();
    for (number, picked) in selection.picked.into_iter().enumerate() {
        match &picked.archive {
            Some(path) => copy.unpack(&picked, number, path, scratch, &mut destination)?,
            None => copy.place(picked, number, &mut files, &mut destination)?,
        }
    }
    Ok(Placed { changes: destination.finish(), overwritten: files.overwritten })
}

/// What a copy makes.
#[derive(Debug)]
pub struct Placed {
    /// The layer, in walking order.
    pub changes: Vec<Change>,
    /// The destination, where one source's file took the place of another's.
    pub overwritten: Option<String>,
}

/// The places where files were put.
#[derive(Default)]
struct Files {
    put: Vec<Vec<u8>>,
    overwritten: Option<String>,
}

/// Where the files of one source are.
struct Folders {
    /// The source's path.
    base: Vec<u8>,
    /// Whether the source is a file without a time of its own.
    is_fresh_file: bool,
    /// Of the context: what the source's path is in it.
    context: Option<Arc<PathBuf>>,
    /// Of each layer the same.
    layers: Vec<Arc<PathBuf>>,
}

impl Folders {
    fn new(picked: &Picked, layers: &[PathBuf]) -> Folders {
        let base = OsStr::from_bytes(&picked.base);
        let context = picked.entries.iter().find_map(|it| match &it.origin {
            Origin::Context(root) => Some(Arc::new(root.join(base))),
            _ => None,
        });
        let layers = layers.iter().map(|it| Arc::new(it.join(base))).collect();
        let is_fresh_file = picked.fresh && picked.entries.len() == 1;
        Folders { base: picked.base.clone(), is_fresh_file, context, layers }
    }

    fn body(&self, found: &Found) -> Result<Body, CopyError> {
        let within = below(&self.base, &found.entry.path);
        let folder = match &found.origin {
            Origin::Nothing => return Ok(Body::Empty),
            Origin::Bytes(bytes) => return Ok(Body::Bytes(bytes.clone())),
            Origin::Path(path) => {
                return Ok(file_body(OnDisk::file(path.to_path_buf()), found.content));
            }
            Origin::Context(_) => self.context.as_ref().expect("there is such a file"),
            Origin::Layer(layer) => {
                self.layers.get(*layer).ok_or(CopyError::NoFolder { layer: *layer })?
            }
        };
        Ok(file_body(OnDisk::below(folder, within), found.content))
    }
}

impl Copy<'_> {
    fn place(
        &self,
        picked: Picked,
        number: usize,
        files: &mut Files,
        destination: &mut Destination<'_>,
    ) -> Result<(), CopyError> {
        let target = self.target(&picked, destination)?;
        let folders = Folders::new(&picked, self.folders);
        let Picked { entries, fresh, .. } = picked;
        let mut entries = entries.into_iter();
        let Some(top) = entries.next() else { return Ok(()) };
        if !is_directory(&top.entry) {
            if !self.op.dest.ends_with('/') && files.put.contains(&target) {
                files.overwritten = Some(self.op.dest.clone());
            }
            files.put.push(target.clone());
            return self.put_file(&folders, number, &top, target, destination);
        }
        let mut times: Vec<(Vec<u8>, i64)> = Vec::new();
        for found in entries {
            let path = join(&target, below(&folders.base, &found.entry.path));
            if is_directory(&found.entry) {
                times.push((path.clone(), found.entry.mtime));
                self.put_directory(&found, path, destination)?;
            } else {
                self.put_file(&folders, number, &found, path, destination)?;
            }
        }
        // Last, for what is put into a directory changes its time.
        for (path, time) in times {
            destination.update(&path, |entry| entry.mtime = time);
        }
        let time = if fresh { self.now } else { top.entry.mtime };
        destination.update(&target, |entry| entry.mtime = time);
        Ok(())
    }

    /// Where a source goes: the destination itself, or for a file its name in that directory.
    fn target(
        &self,
        picked: &Picked,
        destination: &mut Destination<'_>,
    ) -> Result<Vec<u8>, CopyError> {
        let written = self.op.dest.as_bytes();
        let (parent, last) = split(written);
        let made = if matches!(last, b"" | b".") { written } else { parent };
        let made = destination.resolve(b"", made, true)?;
        destination.make_directories(&made, self.new_directory())?;
        let target = destination.resolve(b"", &rooted(written), true)?;
        let (source, parent) = if is_directory(&picked.entries[0].entry) {
            if destination.get(&target).is_some_and(|entry| !is_directory(entry)) {
                return Err(CopyError::DirectoryOverFile {
                    from: shown(&picked.name),
                    to: shown(&target),
                });
            }
            (target.clone(), target)
        } else if destination.is_directory(&target) {
            (join(&target, picked.file_name()), target)
        } else {
            let parent = split(&target).0.to_vec();
            (target, parent)
        };
        destination.make_directories(&parent, self.new_directory())?;
        Ok(source)
    }

    /// `--chmod` is for the directories above, too, since
    /// [fsutil 228](https://github.com/tonistiigi/fsutil/pull/228).
    fn new_directory(&self) -> NewDirectory {
        self.directory_of(self.chmod.as_ref().map_or(0o755, |it| it.apply(0o755, true) & 0o777))
    }

    fn directory_of(&self, mode: u32) -> NewDirectory {
        match self.owner {
            Some(owner) => NewDirectory::Of(mode, owner),
            None => NewDirectory::Plain(mode),
        }
    }

    fn put_directory(
        &self,
        found: &Found,
        path: Vec<u8>,
        destination: &mut Destination<'_>,
    ) -> Result<(), CopyError> {
        let facts = self.facts(&found.entry, path);
        if destination.get(&facts.path).is_none() {
            destination.put(Made::plain(facts));
            return Ok(());
        }
        if !destination.is_directory(&facts.path) {
            return Err(CopyError::DirectoryOverFile {
                from: shown(&found.entry.path),
                to: shown(&facts.path),
            });
        }
        let Entry { path, kind: _, mode, uid, gid, mtime: _, xattrs } = facts;
        destination.update(&path, |entry| {
            (entry.mode, entry.uid, entry.gid) = (mode, uid, gid);
            entry.xattrs.extend(xattrs);
        });
        Ok(())
    }

    fn put_file(
        &self,
        folders: &Folders,
        number: usize,
        found: &Found,
        path: Vec<u8>,
        destination: &mut Destination<'_>,
    ) -> Result<(), CopyError> {
        if destination.is_directory(&path) {
            return Err(CopyError::FileOverDirectory {
                from: shown(&found.entry.path),
                to: shown(&path),
            });
        }
        let mut entry = self.facts(&found.entry, path);
        if folders.is_fresh_file {
            entry.mtime = self.now;
        }
        let body = folders.body(found)?;
        destination.put(Made { entry, body, group: found.group.map(|group| (number, group)) });
        Ok(())
    }

    /// The entry as it will be in the image.
    fn facts(&self, entry: &Entry, path: Vec<u8>) -> Entry {
        let mut facts = Entry { path, ..entry.clone() };
        (facts.uid, facts.gid) = self.owner.unwrap_or((entry.uid, entry.gid));
        if let Some(chmod) = &self.chmod
            && !matches!(entry.kind, Kind::Symlink { .. })
        {
            facts.mode = chmod.apply(entry.mode, is_directory(entry));
        }
        facts
    }

    fn unpack(
        &self,
        picked: &Picked,
        number: usize,
        path: &Path,
        scratch: &Path,
        destination: &mut Destination<'_>,
    ) -> Result<(), CopyError> {
        let target = destination.resolve(b"", self.op.dest.as_bytes(), true)?;
        destination.make_directories(&target, self.directory_of(0o755))?;
        let file = fs_err::File::open(path)?;
        let entries = strake_layer::read_archive(file, scratch)
            .map_err(|source| CopyError::Archive { path: shown(&picked.name), source })?;
        archive::place(entries, &target, number, self.owner, destination)
    }
}
