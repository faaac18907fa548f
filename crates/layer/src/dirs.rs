//! Directories below a root, by descriptor: no path leads out of it.
//!
//! Symbolic links in the way are followed within the root. The kernel does that (openat2 with
//! RESOLVE_IN_ROOT); where it cannot, or where something is missing, each component is opened on its own.

use crate::{
    Entry, Kind, Tree, name,
    tree::{components, implied_directory},
};
use rustix::{
    fd::OwnedFd,
    fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::{Errno, Result},
};
use std::rc::Rc;

const LINKS_AT_MOST: usize = 255;

pub(crate) struct Dirs<'a> {
    root: Rc<OwnedFd>,
    below: &'a Tree,
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
    has_openat2: bool,
    made: Vec<Entry>,
}

impl<'a> Dirs<'a> {
    pub(crate) fn new(root: OwnedFd, below: &'a Tree) -> Dirs<'a> {
        Dirs { root: Rc::new(root), below, last: None, has_openat2: true, made: Vec::new() }
    }

    /// Opens a directory (O_PATH), making it and its parents where they are missing.
    pub(crate) fn open(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        if path.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some((_, directory)) = self.last.as_ref().filter(|(last, _)| last == path) {
            return Ok(Rc::clone(directory));
        }
        let directory = Rc::new(match self.open_at_once(path) {
            Some(directory) => directory,
            None => self.open_by_component(path)?,
        });
        self.last = Some((path.to_vec(), Rc::clone(&directory)));
        Ok(directory)
    }

    /// To be called when a directory is removed: a kept descriptor would still be of the old one.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    /// The directories made on the way since the last call. Their mode is 0700 so far.
    pub(crate) fn take_made(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.made)
    }

    fn open_at_once(&mut self, path: &[u8]) -> Option<OwnedFd> {
        if !self.has_openat2 {
            return None;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let opened = fs::openat2(&self.root, path, flags, Mode::empty(), resolve);
        // Refused by an old kernel or by a seccomp filter.
        self.has_openat2 = !matches!(opened, Err(Errno::NOSYS | Errno::PERM));
        opened.ok()
    }

    fn open_by_component(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let mut ahead: Vec<Vec<u8>> = components(path).map(<[u8]>::to_vec).collect();
        let mut opened = vec![self.root.try_clone().map_err(|_| Errno::MFILE)?];
        let mut real = Vec::new();
        let mut links = 0;
        while let Some(component) = ahead.pop() {
            if component == b".." {
                opened.truncate(opened.len().max(2) - 1);
                real.truncate(name::split(&real).0.len());
                continue;
            }
            let here = opened.last().expect("the root is never popped");
            let step = self.step(here, &component, &name::join(&real, &component))?;
            match step {
                Step::Into(directory) => {
                    opened.push(directory);
                    real = name::join(&real, &component);
                }
                Step::Link(target) => {
                    links += 1;
                    if links > LINKS_AT_MOST {
                        return Err(Errno::LOOP);
                    }
                    if target.starts_with(b"/") {
                        opened.truncate(1);
                        real.clear();
                    }
                    ahead.extend(components(&target).map(<[u8]>::to_vec));
                }
            }
        }
        Ok(opened.pop().expect("the root is never popped"))
    }

    fn step(&mut self, here: &OwnedFd, component: &[u8], path: &[u8]) -> Result<Step> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match fs::openat(here, component, flags, Mode::empty()) {
            Err(Errno::NOENT) => return self.supply(here, component, path),
            opened => opened?,
        };
        let stat = fs::fstat(&opened)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(Step::Into(opened)),
            FileType::Symlink => {
                Ok(Step::Link(fs::readlinkat(&opened, "", Vec::new())?.into_bytes()))
            }
            _ if is_whiteout(&stat) => {
                fs::unlinkat(here, component, AtFlags::empty())?;
                let mut entry = implied_directory(path.to_vec());
                entry.kind = Kind::Directory { opaque: true };
                self.make(here, component, entry)
            }
            _ => Err(Errno::NOTDIR),
        }
    }

    /// Does as it is below this layer: a link there is followed, a directory there is made here too.
    fn supply(&mut self, here: &OwnedFd, component: &[u8], path: &[u8]) -> Result<Step> {
        let entry = self.below.get(path).map(|it| &it.entry);
        match entry.map(|it| &it.kind) {
            Some(Kind::Symlink { target }) => Ok(Step::Link(target.clone())),
            Some(Kind::Directory { .. }) => {
                let entry = entry.cloned().expect("it has a kind");
                self.make(here, component, entry)
            }
            _ => self.make(here, component, implied_directory(path.to_vec())),
        }
    }

    fn make(&mut self, here: &OwnedFd, component: &[u8], entry: Entry) -> Result<Step> {
        fs::mkdirat(here, component, Mode::RWXU)?;
        self.made.push(entry);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Step::Into(fs::openat(here, component, flags, Mode::empty())?))
    }
}

enum Step {
    Into(OwnedFd),
    Link(Vec<u8>),
}

/// Whether it is what overlayfs takes for a deletion.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Removes whatever has this name in a directory, following no link.
pub(crate) fn remove(parent: &OwnedFd, name: &[u8]) -> Result<()> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        done => return done,
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = fs::openat(parent, name, flags, Mode::empty())?;
    let names: Vec<_> = fs::Dir::read_from(&directory)?.collect::<Result<_>>()?;
    for entry in names {
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            remove(&directory, name)?;
        }
    }
    fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

#[cfg(test)]
mod tests {
    use super::Dirs;
    use crate::Tree;
    use rustix::{
        fs::{Mode, OFlags, open, stat},
        io::Errno,
    };
    use std::{fs, os::unix::fs::symlink};

    /// What a path leads to must not depend on what the kernel can do.
    #[test]
    fn links_stay_within_the_root_with_and_without_openat2() {
        for has_openat2 in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join("root");
            fs::create_dir_all(root.join("a/b")).unwrap();
            fs::create_dir(folder.path().join("outside")).unwrap();
            fs::write(root.join("file"), b"").unwrap();
            symlink("/a", root.join("absolute")).unwrap();
            symlink("../../../a", root.join("a/up")).unwrap();
            symlink("../outside", root.join("out")).unwrap();
            symlink("circle", root.join("circle")).unwrap();
            let below = Tree::default();
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let mut dirs = Dirs::new(open(&root, flags, Mode::empty()).unwrap(), &below);
            dirs.has_openat2 = has_openat2;
            let inode = |path: &str| stat(root.join(path)).unwrap().st_ino;
            for (path, real) in [
                ("a/b", "a/b"),
                ("absolute/b", "a/b"),
                ("a/up/b", "a/b"),
                ("absolute/up/up", "a"),
                ("out/new/deep", "outside/new/deep"),
                ("a/new", "a/new"),
            ] {
                let opened = dirs.open(path.as_bytes()).unwrap();
                let got = rustix::fs::fstat(&*opened).unwrap().st_ino;
                assert_eq!(got, inode(real), "{path}, openat2: {has_openat2}");
            }
            assert_eq!(dirs.open(b"circle/a").unwrap_err(), Errno::LOOP);
            assert_eq!(dirs.open(b"file/a").unwrap_err(), Errno::NOTDIR);
            let made: Vec<_> = dirs.take_made().into_iter().map(|it| it.path).collect();
            assert_eq!(made, [&b"outside"[..], b"outside/new", b"outside/new/deep", b"a/new"]);
            assert_eq!(fs::read_dir(folder.path().join("outside")).unwrap().count(), 0);
        }
    }
}
