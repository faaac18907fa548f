//! Opening the store, and the leases of running builds.

use crate::{
    error::{Context, StoreError},
    files::{Touched, make_dir, names, remove_tree, rename},
    locks,
};
use std::{
    collections::hash_map::RandomState,
    fs::{self, DirBuilder, File, TryLockError},
    hash::{BuildHasher as _, Hasher as _},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{OnceLock, atomic::AtomicU64},
};

/// Tells backup programs to leave the store out: <https://bford.info/cachedir/>.
const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder holds what strake can make again. See `strake du` and `strake prune`.\n";

const FOLDERS: [&str; 15] = [
    "blobs/sha256",
    "layers",
    "indexes",
    "steps",
    "equal",
    "last",
    "earlier",
    "images",
    "fetched",
    "git",
    "snapshots",
    "mounts",
    "sizes",
    "leases",
    "locks",
];

/// An open store. Threads share a `&Store`; processes open the same folder.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    gate: PathBuf,
    pub(crate) lease: Lease,
    pub(crate) counter: AtomicU64,
    pub(crate) boot: OnceLock<String>,
}

/// What says to other processes that this one is alive: a locked file, and a folder that goes with it.
#[derive(Debug)]
pub(crate) struct Lease {
    _file: File,
    path: PathBuf,
    pub(crate) temp: PathBuf,
}

/// The temporary files of one running build.
#[derive(Debug)]
pub struct Leftovers {
    lease: PathBuf,
    temp: PathBuf,
}

impl Leftovers {
    /// Removes them, just before the process ends. What other threads write meanwhile may stay: the
    /// next store to open removes it.
    pub fn remove(&self) {
        if remove_tree(&self.temp).is_ok() {
            let _ = fs::remove_file(&self.lease);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let removed = remove_tree(&self.temp);
        // Where something stayed behind, the next store to open tries again.
        if removed.is_ok() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Store {
    /// Opens the store at `path`, making it where it is missing, and clears up after builds that died.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let not_writable = |error| match error {
            StoreError::Io { source, .. } => {
                StoreError::NotWritable { path: path.to_owned(), source }
            }
            other => other,
        };
        make_folders(path).map_err(not_writable)?;
        // Absolute, for paths are handed to processes with another working directory.
        let root = fs::canonicalize(path).context("find", path)?;
        let gate = root.join("gate");
        let lease = {
            let _alone = exclude(&gate).map_err(not_writable)?;
            take_lease(&root).map_err(not_writable)?
        };
        let store = Store { root, gate, lease, counter: AtomicU64::new(0), boot: OnceLock::new() };
        store.clear_up()?;
        Ok(store)
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What must go where this process ends without dropping the store.
    pub fn leftovers(&self) -> Leftovers {
        Leftovers { lease: self.lease.path.clone(), temp: self.lease.temp.clone() }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// Keeps pruning out while something is looked up and touched, or put in.
    pub(crate) fn share(&self) -> Result<File, StoreError> {
        let file = locks::open(&self.gate)?;
        file.lock_shared().context("lock", &self.gate)?;
        Ok(file)
    }

    /// Keeps everybody out. Held for moments only.
    pub(crate) fn exclude(&self) -> Result<File, StoreError> {
        exclude(&self.gate)
    }

    /// When the oldest of the running builds began. This store's own lease is one of them.
    pub(crate) fn oldest_lease(&self) -> Option<Touched> {
        let leases = self.path("leases");
        names(&leases)
            .iter()
            .map(|name| leases.join(name))
            .filter(|path| is_live(path))
            .filter_map(|path| Touched::at(&path))
            .min()
    }

    /// Removes what builds that died left behind.
    fn clear_up(&self) -> Result<(), StoreError> {
        let (leases, temps) = (self.path("leases"), self.path("tmp"));
        // Under the gate, where no lease is between being made and being locked. As long as its file
        // is locked here nobody else takes it for dead.
        let dead: Vec<_> = {
            let _alone = self.exclude()?;
            let claim = |name| {
                let file = locks::open_existing(&leases.join(&name)).ok()?;
                file.try_lock().is_ok().then_some((name, file))
            };
            names(&leases).into_iter().filter_map(claim).collect()
        };
        for (name, _claimed) in dead {
            if remove_tree(&temps.join(&name)).is_ok() {
                let _ = fs::remove_file(leases.join(&name));
            }
        }
        // A folder without a lease was half removed. Leases are taken under the gate.
        let orphans: Vec<_> = {
            let _alone = self.exclude()?;
            names(&temps).into_iter().filter(|name| !leases.join(name).exists()).collect()
        };
        for name in orphans {
            let claimed = self.temp_path("orphan");
            if rename(&temps.join(name), &claimed).is_ok() {
                let _ = remove_tree(&claimed);
            }
        }
        Ok(())
    }
}

fn make_folders(path: &Path) -> Result<(), StoreError> {
    let mut private = DirBuilder::new();
    private.recursive(true).mode(0o700);
    private.create(path).context("create", path)?;
    if !path.join("tmp").exists() {
        spread(path);
    }
    for folder in FOLDERS {
        make_dir(&path.join(folder))?;
    }
    make_dir(&path.join("tmp"))?;
    let tag = path.join("CACHEDIR.TAG");
    match File::create_new(&tag) {
        Ok(_) => fs::write(&tag, CACHEDIR_TAG).context("write", &tag),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).context("create", &tag),
    }
}

/// Tells ext4 that the folders below `path` have nothing to do with each other, see chattr(1), *T*. They
/// go to places of the disk of their own, where new files are not slowed down by what was removed nearby.
fn spread(path: &Path) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let Ok(folder) = File::open(path) else { return };
    // Other file systems do not know it.
    if let Ok(flags) = ioctl_getflags(&folder) {
        let _unknown = ioctl_setflags(&folder, flags | IFlags::TOPDIR);
    }
}

fn exclude(gate: &Path) -> Result<File, StoreError> {
    let file = locks::open(gate)?;
    file.lock().context("lock", gate)?;
    Ok(file)
}

fn take_lease(root: &Path) -> Result<Lease, StoreError> {
    loop {
        // Randomly keyed by the standard library; a name that is taken is drawn again.
        let name = format!("{:016x}", RandomState::new().build_hasher().finish());
        let path = root.join("leases").join(&name);
        let file = match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other.context("create", &path)?,
        };
        file.lock().context("lock", &path)?;
        let temp = root.join("tmp").join(&name);
        fs::create_dir(&temp).context("create", &temp)?;
        return Ok(Lease { _file: file, path, temp });
    }
}

/// Whether the lease's process lives.
fn is_live(path: &Path) -> bool {
    locks::open_existing(path)
        .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}
