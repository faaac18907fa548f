//! The root where overlayfs is refused: a copy of the merged tree, and what it looked like at first.

use crate::{
    copy::{copy_object, dress, link},
    error::{Context, RootError},
};
use rayon::prelude::*;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, Metadata},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};
use strake_layer::{Kind, LinkGroup, Node, Tree};

/// What files looked like before the process ran.
#[derive(Debug)]
pub(crate) struct Stamps {
    files: BTreeMap<Vec<u8>, Stamp>,
    /// Changes as young as the copy itself may not show in a ctime.
    racy: (i64, i64),
}

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    links: u64,
    ctime: (i64, i64),
    mtime: (i64, i64),
    size: u64,
    mode: u32,
    owner: (u32, u32),
}

impl Stamp {
    fn of(it: &Metadata) -> Stamp {
        Stamp {
            inode: it.ino(),
            links: it.nlink(),
            ctime: (it.ctime(), it.ctime_nsec()),
            mtime: (it.mtime(), it.mtime_nsec()),
            size: it.len(),
            mode: it.mode(),
            owner: (it.uid(), it.gid()),
        }
    }
}

impl Stamps {
    /// Whether nothing at all happened to this file.
    pub(crate) fn is_untouched(&self, name: &[u8], metadata: &Metadata) -> bool {
        let now = Stamp::of(metadata);
        now.ctime < self.racy && self.files.get(name) == Some(&now)
    }

    /// Whether the file has more names than at first.
    pub(crate) fn has_new_links(&self, name: &[u8], metadata: &Metadata) -> bool {
        self.files
            .get(name)
            .is_none_or(|it| it.inode == metadata.ino() && it.links < metadata.nlink())
    }
}

/// Copies what `tree` shows of the unpacked layers `lowers`, topmost first, into the empty directory
/// `root`.
pub(crate) fn materialise(
    lowers: &[PathBuf],
    tree: &Tree,
    root: &Path,
) -> Result<Stamps, RootError> {
    let nodes: Vec<&Node> = tree.walk(b"").collect();
    let directories: Vec<&Node> = nodes
        .iter()
        .copied()
        .filter(|it| matches!(it.entry.kind, Kind::Directory { .. }))
        .collect();
    for node in directories.iter().filter(|it| !it.entry.path.is_empty()) {
        let path = in_root(root, &node.entry.path);
        fs::create_dir(&path).context("create", &path)?;
    }
    let mut firsts: BTreeMap<LinkGroup, &Node> = BTreeMap::new();
    let (mut files, mut links) = (Vec::new(), Vec::new());
    for node in nodes.iter().copied() {
        if matches!(node.entry.kind, Kind::Directory { .. }) {
            continue;
        }
        match node.group.and_then(|it| firsts.get(&it)) {
            Some(first) => links.push((*first, node)),
            None => {
                firsts.extend(node.group.map(|it| (it, node)));
                files.push(node);
            }
        }
    }
    files.par_iter().try_for_each(|node| {
        let name = &node.entry.path;
        let (from, metadata) = find(lowers, name)?;
        copy_object(&from, &metadata, &in_root(root, name)).map(drop)
    })?;
    for (first, node) in links {
        link(&in_root(root, &first.entry.path), &in_root(root, &node.entry.path))?;
    }
    // Children first: what is made in a directory changes its time.
    for node in directories.iter().rev() {
        if let Ok((from, metadata)) = find(lowers, &node.entry.path) {
            dress(&from, &metadata, &in_root(root, &node.entry.path))?;
        }
    }
    stamps(&nodes, root)
}

/// What the files of `tree` look like in the directory `root` now.
pub(crate) fn stamps_of(tree: &Tree, root: &Path) -> Result<Stamps, RootError> {
    let nodes: Vec<&Node> = tree.walk(b"").collect();
    stamps(&nodes, root)
}

fn stamps(nodes: &[&Node], root: &Path) -> Result<Stamps, RootError> {
    let stamp = |node: &&Node| {
        let path = in_root(root, &node.entry.path);
        let metadata = fs::symlink_metadata(&path).context("read", &path)?;
        Ok((node.entry.path.clone(), Stamp::of(&metadata)))
    };
    let files: BTreeMap<Vec<u8>, Stamp> =
        nodes.par_iter().map(stamp).collect::<Result<_, RootError>>()?;
    let latest = files.values().map(|it| it.ctime).max().unwrap_or_default();
    // Clocks of file systems tick every few milliseconds; a tenth of a second is no tick short.
    let racy = latest.1 - 100_000_000;
    let racy = if racy < 0 { (latest.0 - 1, racy + 1_000_000_000) } else { (latest.0, racy) };
    Ok(Stamps { files, racy })
}

/// The file that the topmost of the layers has under this name. The caller knows from the merged
/// tree that it is there, so that what hides it in no layer above. No link is followed on the way:
/// it would lead to files of this machine.
pub(crate) fn find(lowers: &[PathBuf], name: &[u8]) -> Result<(PathBuf, Metadata), RootError> {
    let parent =
        Path::new(OsStr::from_bytes(name)).parent().filter(|it| !it.as_os_str().is_empty());
    lowers
        .iter()
        .filter(|lower| parent.is_none_or(|parent| is_real(lower, parent)))
        .map(|lower| in_root(lower, name))
        .find_map(|path| fs::symlink_metadata(&path).ok().map(|it| (path, it)))
        .ok_or_else(|| RootError::LayerIncomplete { path: OsStr::from_bytes(name).into() })
}

/// Whether a directory is there without any link in its path.
fn is_real(lower: &Path, parent: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::open(lower, flags, Mode::empty()) else { return false };
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(root, parent, flags, Mode::empty(), how).is_ok()
}

/// Where a name in the root is on disk.
pub(crate) fn in_root(root: &Path, name: &[u8]) -> PathBuf {
    if name.is_empty() { root.to_owned() } else { root.join(OsStr::from_bytes(name)) }
}

#[cfg(test)]
mod tests {
    use super::find;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn links_lead_out_of_no_layer() {
        let dir = tempfile::tempdir().unwrap();
        let (top, low, outside) =
            (dir.path().join("top"), dir.path().join("low"), dir.path().join("outside"));
        fs::create_dir_all(&outside).unwrap();
        fs::create_dir_all(&top).unwrap();
        fs::create_dir_all(low.join("a/b")).unwrap();
        fs::write(outside.join("file"), "of this machine").unwrap();
        fs::write(low.join("a/b/file"), "").unwrap();
        symlink(&outside, top.join("link")).unwrap();
        let lowers = [top.clone(), low.clone()];
        assert_eq!(find(&lowers, b"a/b/file").unwrap().0, low.join("a/b/file"));
        assert_eq!(find(&lowers, b"link").unwrap().0, top.join("link"));
        assert_eq!(find(&lowers, b"").unwrap().0, top);
        let error = find(&lowers, b"link/file").unwrap_err();
        assert_eq!(error.to_string(), "link/file is in none of the unpacked layers");
    }
}
