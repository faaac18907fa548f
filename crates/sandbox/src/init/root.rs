//! The tree of one run: mounted, with a place for every mount, and cleaned up afterwards.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::fsys::clone_of_host;
use super::stubs::{self, Kind, Stub};
use crate::Privilege;
use crate::overlay;
use crate::spec::{MountSource, Network, RootSpec, RunSpec};
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
    work: PathBuf,
    /// Directories of the upper directory that are none of the tree's own, children first.
    lent: Vec<PathBuf>,
}

impl Root {
    /// Mounts the tree and makes the places.
    ///
    /// An overlay gets one more layer at the very bottom that holds the places that no layer has: the
    /// upper directory never learns of them. Only what that cannot provide (below a symlink, or where
    /// a layer hides the bottom) is made and removed again.
    pub(super) fn prepare(spec: &RunSpec) -> Result<Self, Failure> {
        let scratch = spec.tmp.clone();
        let places = places(spec);
        let (mount, overlay) = match &spec.root {
            RootSpec::Plain(path) => {
                (clone_of_host(path).step(|| format!("mount {}", path.display()))?, None)
            }
            RootSpec::Overlay { lower, upper, work } => {
                let lent = lent(lower, upper, &places);
                let bottom = bottom_layer(&scratch, lower, &places)
                    .step(|| format!("create places in {}", scratch.display()))?;
                let mut lower = lower.clone();
                lower.extend(bottom);
                let layers = overlay::Layers { lower: &lower, upper, work };
                let mount = overlay::mount(&layers)
                    .step(|| format!("overlay mount on {}", upper.display()))?;
                (mount, Some(Changes { work: work.clone(), lent }))
            }
        };
        let mut root = Self { mount, stubs: Vec::new(), scratch, overlay };
        if let Err(failure) = make_cwd(root.mount.as_fd(), spec) {
            root.clean();
            return Err(failure);
        }
        for (path, kind) in &places {
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

    /// Removes every trace but the changes.
    pub(super) fn clean(self) {
        let Self { mount, stubs, scratch, overlay } = self;
        stubs::remove(stubs);
        drop(mount);
        // Scratch directories are removed by the caller too: what fails here is only late.
        if let Some(Changes { work, lent }) = overlay {
            for folder in lent {
                // Most were never copied up, and what holds something stays.
                let _kept = fs::remove_dir(folder);
            }
            let _late = fs::remove_dir_all(work.join("work"));
            let _late = fs::remove_dir_all(work.join("index"));
        }
        for made in fs::read_dir(scratch).into_iter().flatten().flatten() {
            let _late = fs::remove_dir_all(made.path());
        }
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

/// Where something will be mounted, and what must be there.
fn places(spec: &RunSpec) -> Vec<(PathBuf, Kind)> {
    let mut places: Vec<(PathBuf, Kind)> =
        OWN.map(|path| (PathBuf::from(path), Kind::Directory)).to_vec();
    places.push((PathBuf::from("/etc/hosts"), Kind::File));
    if spec.network != Network::None || !spec.resolv_conf.is_empty() {
        places.push((PathBuf::from("/etc/resolv.conf"), Kind::File));
    }
    for mount in &spec.mounts {
        let kind = match &mount.source {
            MountSource::Tmpfs { .. } => Kind::Directory,
            MountSource::SecretFile { .. } | MountSource::Stack { directory: false, .. } => {
                Kind::File
            }
            MountSource::Stack { directory: true, .. } => Kind::Directory,
            MountSource::Bind { path, .. } | MountSource::BindOverlay { lower: path } => {
                if path.is_dir() { Kind::Directory } else { Kind::File }
            }
        };
        // The fresh file systems are mounted over these: the place is made in them.
        if !is_covered(&mount.target) {
            places.push((mount.target.clone(), kind));
        }
    }
    places
}

/// Returns whether a target lies in one of the container's own file systems.
pub(super) fn is_covered(target: &Path) -> bool {
    OWN.iter().any(|own| target.starts_with(own) && target != Path::new(own))
}

/// Where the container has file systems of its own.
const OWN: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Makes the places that every run needs and few trees have, in an empty directory. A caller that
/// has many runs may put it below all other layers of each, which then make none of their own.
///
/// It is for trees that have an `/etc`: it would show there otherwise.
pub fn make_places(dir: &Path) -> std::io::Result<()> {
    let etc = dir.join("etc");
    fs::create_dir(&etc)?;
    for name in ["hosts", "resolv.conf"] {
        fs::File::create_new(etc.join(name))?;
    }
    Ok(())
}

/// Where in the upper directory the places appear if the run changes something about them. Empty
/// ones are removed like any other place: `pip` makes and removes a file beside its cache, say.
fn lent(lower: &[PathBuf], upper: &Path, places: &[(PathBuf, Kind)]) -> Vec<PathBuf> {
    let mut lent = Vec::new();
    for (path, _) in places {
        let path = path.strip_prefix("/").unwrap_or(path);
        let missing = |part: &&Path| {
            let in_tree = |it: &PathBuf| it.join(part).symlink_metadata().is_ok();
            !part.as_os_str().is_empty() && !lower.iter().rev().any(in_tree)
        };
        lent.extend(path.ancestors().take_while(missing).map(|part| upper.join(part)));
    }
    lent.sort_by(|one, two| two.cmp(one));
    lent.dedup();
    lent
}

fn bottom_layer(
    scratch: &Path,
    lower: &[PathBuf],
    places: &[(PathBuf, Kind)],
) -> std::io::Result<Option<PathBuf>> {
    let mut made = None;
    for (path, kind) in places {
        let path = path.strip_prefix("/").unwrap_or(path);
        // The bottom layers have what most trees have: of the others few are looked at.
        if lower.iter().rev().any(|it| it.join(path).symlink_metadata().is_ok()) {
            continue;
        }
        let bottom = scratch.join("places");
        fs::create_dir_all(&bottom)?;
        let place = bottom.join(path);
        // Two mounts may disagree about a place: the tree decides, or the error comes with the mount.
        let _other = match kind {
            Kind::Directory => fs::create_dir_all(&place),
            Kind::File => place
                .parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| fs::File::create_new(&place).map(drop)),
        };
        made = Some(bottom);
    }
    // An overlay has a layer below the upper one.
    if lower.is_empty() && made.is_none() {
        let bottom = scratch.join("places");
        fs::create_dir_all(&bottom)?;
        made = Some(bottom);
    }
    Ok(made)
}
