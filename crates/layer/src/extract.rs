//! Makes the files of a layer, as a lower layer of overlayfs wants them.

use crate::{
    Entry, EntryName, Form, Kind, Tree, UnpackError,
    dirs::{Dirs, is_whiteout, remove},
    name,
    scan::Visitor,
    tree::implied_directory,
};
use rustix::{
    fd::{AsFd, AsRawFd, OwnedFd},
    fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    path::Path,
    rc::Rc,
};

pub(crate) struct Extract<'a> {
    dirs: Dirs<'a>,
    form: Form,
    below: &'a Tree,
    /// Directories get their modes and times last: they are written to until then.
    directories: BTreeMap<Vec<u8>, Entry>,
    buffer: Vec<u8>,
}

type Made = Result<(), UnpackError>;

impl<'a> Extract<'a> {
    pub(crate) fn new(target: &Path, form: Form, below: &'a Tree) -> Result<Self, UnpackError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(target, flags, Mode::empty()).map_err(|error| UnpackError::Target {
            path: target.to_owned(),
            source: error.into(),
        })?;
        let dirs = Dirs::new(root, below);
        let buffer = vec![0; 128 << 10];
        Ok(Extract { dirs, form, below, directories: BTreeMap::new(), buffer })
    }

    /// Gives the directories their owners, modes and times.
    pub(crate) fn finish(mut self) -> Made {
        let root = self.below.get(b"").map(|it| it.entry.clone());
        let root = root.unwrap_or_else(|| implied_directory(Vec::new()));
        self.directories.entry(Vec::new()).or_insert(root);
        let directories = std::mem::take(&mut self.directories);
        // Children first: a parent may be closed to us afterwards.
        for (path, entry) in directories.into_iter().rev() {
            let failed = |error: Errno| UnpackError::write(&path, error);
            let (parent, last) = name::split(&path);
            let parent = self.dirs.open(parent).map_err(failed)?;
            let last = if last.is_empty() { b"." } else { last };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = match fs::openat(&parent, last, flags, Mode::empty()) {
                // A later entry took its place by another way.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                opened => opened.map_err(failed)?,
            };
            if entry.kind == (Kind::Directory { opaque: true }) {
                let name: &[u8] = match self.form {
                    Form::Root => b"trusted.overlay.opaque",
                    Form::SubIds | Form::Chroot | Form::SingleId | Form::Unprivileged => {
                        b"user.overlay.opaque"
                    }
                };
                set(&directory, &path, name, b"y")?;
            }
            self.describe(&directory, &entry)?;
        }
        Ok(())
    }

    fn note_directory(&mut self, entry: &Entry) {
        let mut entry = entry.clone();
        let old = self.directories.get(&entry.path).map(|it| &it.kind);
        if old == Some(&Kind::Directory { opaque: true }) {
            entry.kind = Kind::Directory { opaque: true };
        }
        self.directories.insert(entry.path.clone(), entry);
    }

    fn open(&mut self, directory: &[u8], shown: &[u8]) -> Result<Rc<OwnedFd>, UnpackError> {
        let opened = self.dirs.open(directory).map_err(|it| UnpackError::write(shown, it))?;
        for made in self.dirs.take_made() {
            self.note_directory(&made);
        }
        Ok(opened)
    }

    /// Makes something new; what stands in its place goes.
    fn create<T>(
        &mut self,
        parent: &OwnedFd,
        path: &[u8],
        make: impl Fn(&[u8]) -> rustix::io::Result<T>,
    ) -> Result<T, UnpackError> {
        let last = name::split(path).1;
        let mut made = make(last);
        if matches!(made, Err(Errno::EXIST)) {
            self.clear(parent, path)?;
            made = make(last);
        }
        made.map_err(|it| UnpackError::write(path, it))
    }

    fn clear(&mut self, parent: &OwnedFd, path: &[u8]) -> Made {
        remove(parent, name::split(path).1).map_err(|it| UnpackError::write(path, it))?;
        self.dirs.forget();
        if self.directories.remove(path).is_some() {
            // What is below sorts between `path/` and `path0`, `0` being the byte after `/`.
            let below = [path, b"/"].concat()..[path, b"0"].concat();
            let below: Vec<Vec<u8>> =
                self.directories.range(below).map(|it| it.0.clone()).collect();
            below.iter().for_each(|it| drop(self.directories.remove(it)));
        }
        Ok(())
    }

    fn directory(&mut self, parent: &OwnedFd, entry: &Entry) -> Made {
        let last = name::split(&entry.path).1;
        let failed = |error| UnpackError::write(&entry.path, error);
        let mut entry = entry.clone();
        if let Err(error) = fs::mkdirat(parent, last, Mode::RWXU) {
            if error != Errno::EXIST {
                return Err(failed(error));
            }
            let stat = fs::statat(parent, last, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                if is_whiteout(&stat) {
                    entry.kind = Kind::Directory { opaque: true };
                }
                self.clear(parent, &entry.path)?;
                fs::mkdirat(parent, last, Mode::RWXU).map_err(failed)?;
            }
        }
        self.note_directory(&entry);
        Ok(())
    }

    fn whiteout(&mut self, parent: &OwnedFd, path: &[u8]) -> Made {
        // Such a layer is never mounted, and whoever reads it knows from the indexes what is hidden.
        if matches!(self.form, Form::Unprivileged | Form::Chroot) {
            return Ok(());
        }
        let last = name::split(path).1;
        let failed = |error| UnpackError::write(path, error);
        let device = fs::makedev(0, 0);
        match fs::mknodat(parent, last, FileType::CharacterDevice, Mode::empty(), device) {
            Err(Errno::EXIST) => {}
            made => return made.map_err(failed),
        }
        // The deletion is of what is below this layer; what the layer itself has here remains.
        let stat = fs::statat(parent, last, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            self.mark_opaque(path);
        }
        Ok(())
    }

    fn mark_opaque(&mut self, path: &[u8]) {
        let implied = || implied_directory(path.to_vec());
        let entry = self.directories.entry(path.to_vec()).or_insert_with(implied);
        entry.kind = Kind::Directory { opaque: true };
    }

    fn file(&mut self, parent: &OwnedFd, entry: &Entry, content: &mut dyn Read) -> Made {
        let mut file = self.new_file(parent, &entry.path)?;
        loop {
            let read = content.read(&mut self.buffer).map_err(UnpackError::read)?;
            if read == 0 {
                break;
            }
            let written = file.write_all(&self.buffer[..read]);
            written.map_err(|it| UnpackError::write(&entry.path, it))?;
        }
        self.describe(&file, entry)
    }

    fn new_file(&mut self, parent: &OwnedFd, path: &[u8]) -> Result<File, UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(File::from(self.create(parent, path, |it| fs::openat(parent, it, flags, mode))?))
    }

    fn hard_link(&mut self, parent: &OwnedFd, entry: &Entry, target: &[u8]) -> Made {
        if *target == *entry.path {
            return Ok(());
        }
        let (from, first) = name::split(target);
        let from = self.open(from, &entry.path)?;
        let none = AtFlags::empty();
        if let Err(Errno::NOENT) = fs::statat(&from, first, AtFlags::SYMLINK_NOFOLLOW) {
            let (entry, target) = (EntryName(entry.path.clone()), EntryName(target.to_vec()));
            return Err(UnpackError::NoLinkTarget { entry, target });
        }
        self.create(parent, &entry.path, |it| fs::linkat(&from, first, parent, it, none))
    }

    fn device(&mut self, parent: &OwnedFd, entry: &Entry, numbers: (u32, u32)) -> Made {
        let is_block = matches!(entry.kind, Kind::Block { .. });
        if self.form == Form::Root {
            let kind = if is_block { FileType::BlockDevice } else { FileType::CharacterDevice };
            return self.node(parent, entry, kind, fs::makedev(numbers.0, numbers.1));
        }
        // No user namespace may make devices, and no RUN in a chroot is to have them.
        let file = self.new_file(parent, &entry.path)?;
        let letter = if is_block { 'b' } else { 'c' };
        let text = format!("{letter}:{}:{}", numbers.0, numbers.1);
        set(&file, &entry.path, b"user.strake.node", text.as_bytes())?;
        self.describe(&file, entry)
    }

    fn node(&mut self, parent: &OwnedFd, entry: &Entry, kind: FileType, device: fs::Dev) -> Made {
        let mode = Mode::RUSR | Mode::WUSR;
        self.create(parent, &entry.path, |it| fs::mknodat(parent, it, kind, mode, device))?;
        self.describe_name(parent, entry)?;
        let last = name::split(&entry.path).1;
        fs::chmodat(parent, last, Mode::from_raw_mode(self.real_mode(entry)), AtFlags::empty())
            .map_err(|it| UnpackError::write(&entry.path, it))?;
        self.set_times_of_name(parent, entry)
    }

    fn symlink(&mut self, parent: &OwnedFd, entry: &Entry, target: &[u8]) -> Made {
        self.create(parent, &entry.path, |it| fs::symlinkat(target, parent, it))?;
        self.describe_name(parent, entry)?;
        self.set_times_of_name(parent, entry)
    }

    /// Owner, extended attributes, mode, times, in an order in which none undoes another.
    fn describe(&self, file: &impl AsFd, entry: &Entry) -> Made {
        let failed = |error| UnpackError::write(&entry.path, error);
        match self.form {
            Form::Root | Form::SubIds | Form::Chroot => {
                fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
                    .map_err(failed)?;
            }
            Form::SingleId if (entry.uid, entry.gid) == (0, 0) => {}
            Form::Unprivileged if self.real_mode(entry) != entry.mode => {
                let owner = format!("{}:{}:{:04o}", entry.uid, entry.gid, entry.mode);
                set(file, &entry.path, b"user.strake.owner", owner.as_bytes())?;
            }
            Form::Unprivileged if (entry.uid, entry.gid) == (0, 0) => {}
            Form::SingleId | Form::Unprivileged => {
                let owner = format!("{}:{}", entry.uid, entry.gid);
                set(file, &entry.path, b"user.strake.owner", owner.as_bytes())?;
            }
        }
        for (name, value) in written_xattrs(entry) {
            let done = fs::fsetxattr(file, name, value, XattrFlags::empty());
            match done {
                Err(Errno::PERM) if self.form != Form::Root && name == b"security.capability" => {
                    set(file, &entry.path, b"user.strake.security.capability", value)?;
                }
                done => self.judge(done, entry, name)?,
            }
        }
        fs::fchmod(file, Mode::from_raw_mode(self.real_mode(entry))).map_err(failed)?;
        fs::futimens(file, &times(entry)).map_err(failed)
    }

    /// The mode that a file is given: where the owner would keep itself out, a wider one.
    fn real_mode(&self, entry: &Entry) -> u32 {
        let owner = match (self.form, &entry.kind) {
            (Form::Root | Form::SubIds | Form::Chroot | Form::SingleId, _) => 0,
            (Form::Unprivileged, Kind::Directory { .. }) => 0o700,
            (Form::Unprivileged, _) => 0o600,
        };
        entry.mode | owner
    }

    /// Owner and extended attributes of what cannot be opened.
    fn describe_name(&self, parent: &OwnedFd, entry: &Entry) -> Made {
        let last = name::split(&entry.path).1;
        if !matches!(self.form, Form::SingleId | Form::Unprivileged) {
            let (uid, gid) = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
            fs::chownat(parent, last, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|it| UnpackError::write(&entry.path, it))?;
        }
        for (name, value) in written_xattrs(entry) {
            let directory = format!("/proc/self/fd/{}/", parent.as_raw_fd());
            let path = [directory.as_bytes(), last].concat();
            let done = fs::lsetxattr(path, name, value, XattrFlags::empty());
            self.judge(done, entry, name)?;
        }
        Ok(())
    }

    fn set_times_of_name(&self, parent: &OwnedFd, entry: &Entry) -> Made {
        let last = name::split(&entry.path).1;
        fs::utimensat(parent, last, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|it| UnpackError::write(&entry.path, it))
    }

    /// Whether an extended attribute may be missing from the files: the index has it all the same.
    fn judge(&self, done: rustix::io::Result<()>, entry: &Entry, name: &[u8]) -> Made {
        let is_label = name.starts_with(b"security.") && name != b"security.capability";
        let is_trusted = name.starts_with(b"trusted.");
        match done {
            Err(Errno::PERM) if self.form != Form::Root && (is_label || is_trusted) => Ok(()),
            Err(Errno::OPNOTSUPP) if is_label => Ok(()),
            done => done.map_err(|error| xattr_failed(&entry.path, name, error)),
        }
    }
}

impl Visitor for Extract<'_> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Made {
        if entry.path.is_empty() {
            self.note_directory(entry);
            return Ok(());
        }
        let parent = self.open(name::split(&entry.path).0, &entry.path)?;
        match &entry.kind {
            Kind::Directory { .. } => self.directory(&parent, entry),
            Kind::File { .. } => self.file(&parent, entry, content),
            Kind::Symlink { target } => self.symlink(&parent, entry, target),
            Kind::Hardlink { target } => self.hard_link(&parent, entry, target),
            Kind::Character { major, minor } | Kind::Block { major, minor } => {
                self.device(&parent, entry, (*major, *minor))
            }
            Kind::Fifo => self.node(&parent, entry, FileType::Fifo, 0),
            Kind::Whiteout => self.whiteout(&parent, &entry.path),
        }
    }

    fn opaque(&mut self, directory: &[u8]) -> Made {
        self.open(directory, directory)?;
        self.mark_opaque(directory);
        Ok(())
    }
}

/// What a layer says in the name spaces of overlayfs and of strake would be taken for our own words.
fn written_xattrs(entry: &Entry) -> impl Iterator<Item = (&[u8], &[u8])> {
    let reserved = [&b"trusted.overlay."[..], b"user.overlay.", b"user.strake."];
    let all = entry.xattrs.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    all.filter(move |(name, _)| !reserved.iter().any(|it| name.starts_with(it)))
}

fn set(file: &impl AsFd, path: &[u8], name: &[u8], value: &[u8]) -> Made {
    let done = fs::fsetxattr(file, name, value, XattrFlags::empty());
    done.map_err(|error| xattr_failed(path, name, error))
}

fn xattr_failed(path: &[u8], name: &[u8], error: Errno) -> UnpackError {
    let (entry, name) = (EntryName(path.to_vec()), EntryName(name.to_vec()));
    UnpackError::Xattr { entry, name, source: error.into() }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
