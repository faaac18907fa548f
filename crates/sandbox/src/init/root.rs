//! The tree of one run: mounted, with a place for every mount, and cleaned up afterwards.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, unlinkat};
use rustix::io::Errno;

use super::fsys::{clone_of_host, look_up};
use super::stubs::{self, Stub};
use crate::Privilege;
use crate::overlay;
use crate::places::{Kind, Place, places};
use crate::spec::{RootSpec, RunSpec};
use crate::wire::{Failure, Step};

/// The tree, mounted nowhere yet.
pub(super) struct Root {
    mount: OwnedFd,
    stubs: Vec<Stub>,
    scratch: PathBuf,
    overlay: Option<Changes>,
}

/// What an overlay leaves besides the changes.
struct Changes {
    upper: PathBuf,
    /// Paths of the tree that are none of its own, children first.
    lent: Vec<PathBuf>,
}

impl Root {
    /// Mounts the tree, and makes the places that it still lacks: those are removed again.
    pub(super) fn prepare(spec: &RunSpec) -> Result<Self, Failure> {
        let scratch = spec.tmp.clone();
        let (mount, overlay) = match &spec.root {
            RootSpec::Plain(path) => {
                (clone_of_host(path).step(|| format!("mount {}", path.display()))?, None)
            }
            RootSpec::Overlay { lower, upper, work } => {
                let mut lower = lower.clone();
                // An overlay has a layer below the upper one.
                if lower.is_empty() {
                    let empty = scratch.join("empty");
                    fs::create_dir(&empty).step(|| format!("create {}", empty.display()))?;
                    lower.push(empty);
                }
                let layers = overlay::Layers { lower: &lower, upper, work };
                let mount = overlay::mount(&layers)
                    .step(|| format!("overlay mount on {}", upper.display()))?;
                let changes = Changes { upper: upper.clone(), lent: spec.lent.clone() };
                (mount, Some(changes))
            }
        };
        let mut root = Self { mount, stubs: Vec::new(), scratch, overlay };
        if let Err(failure) = make_cwd(root.mount.as_fd(), spec) {
            root.clean();
            return Err(failure);
        }
        for Place { path, kind } in &places(spec) {
            let made = stubs::ensure(root.mount.as_fd(), path, *kind, &mut root.stubs)
                .step(|| format!("create {} for a mount", path.display()));
            if let Err(failure) = made {
                root.clean();
                return Err(failure);
            }
        }
        Ok(root)
    }

    /// The tree itself.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    /// Whether places were made that are seen by what is mounted on them, until that is gone.
    pub(super) fn is_covered(&self) -> bool {
        !self.stubs.is_empty()
    }

    /// Removes every trace but the changes.
    pub(super) fn clean(self) {
        let Self { mount, stubs, scratch, overlay } = self;
        stubs::remove(stubs);
        drop(mount);
        // Scratch directories are removed by the caller too: what fails here is only late.
        if let Some(Changes { upper, lent }) = overlay {
            return_lent(&upper, &lent);
        }
        for made in fs::read_dir(scratch).into_iter().flatten().flatten() {
            let _late = fs::remove_dir_all(made.path());
        }
    }
}

/// Removes what the run has changed about places that are none of the tree's own, where nothing is in
/// them: `pip` makes and removes a file beside its cache, say.
fn return_lent(upper: &Path, lent: &[PathBuf]) {
    if lent.is_empty() {
        return;
    }
    let open = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(upper) = rustix::fs::open(upper, open, Mode::empty()) else { return };
    for path in lent {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let parent = parent.strip_prefix("/").unwrap_or(parent);
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        // The run may have left symlinks to anywhere.
        let limits = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        // Most were never copied up, and what holds something stays.
        let _kept = look_up(&upper, parent, OFlags::DIRECTORY, limits)
            .and_then(|parent| unlinkat(parent, name, AtFlags::REMOVEDIR));
    }
}

/// Makes the working directory where it is missing, as the user's, as Docker does. It stays.
fn make_cwd(root: BorrowedFd<'_>, spec: &RunSpec) -> Result<(), Failure> {
    let mut made = Vec::new();
    match stubs::ensure(root, &spec.cwd, Kind::Directory, &mut made) {
        // Something else is in the way, which the program's own chdir reports.
        Err(Errno::NOTDIR) => return Ok(()),
        done => done.step(|| format!("create the working directory {}", spec.cwd.display()))?,
    }
    let recorded = spec.privilege == Privilege::SingleId;
    stubs::keep(made, spec.user.uid, spec.user.gid, recorded)
        .step(|| format!("change the owner of {}", spec.cwd.display()))
}
