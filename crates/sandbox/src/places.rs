//! Where something is mounted over the tree, and what lends a tree the places that it lacks.
//!
//! A place that is made in the tree itself would be a change of the run. So an overlay gets one more
//! layer at the very bottom that holds those that no other layer has. Who runs something knows what
//! the layers show, and looking for it in each of them would take longer than the mounts; so the
//! layer is the caller's, who may use it for many runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::spec::{MountSource, Network, RootSpec, RunSpec};

/// What a place must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    File,
    Directory,
}

/// A path where something will be mounted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
}

/// Where the container has file systems of its own.
pub(crate) const OWN: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Lends an overlay the places that its tree lacks. `has` tells what the tree has, `layer` returns a
/// directory with these places, as [`make_places`] makes them.
///
/// /dev, /proc and /sys are not lent: who makes the tree knows whether they stay. Without this, and
/// where a symlink or a layer hides the bottom, places are made for the run and removed after it.
pub fn lend_places<E>(
    spec: &mut RunSpec,
    has: impl Fn(&Path) -> bool,
    layer: impl FnOnce(&[Place]) -> Result<PathBuf, E>,
) -> Result<(), E> {
    let mut missing = places(spec);
    missing.retain(|it| !OWN.iter().any(|own| it.path == Path::new(own)) && !has(&it.path));
    let RootSpec::Overlay { lower, .. } = &mut spec.root else { return Ok(()) };
    if missing.is_empty() {
        return Ok(());
    }
    lower.push(layer(&missing)?);
    let parts = missing.iter().flat_map(|it| it.path.ancestors());
    spec.lent = parts.filter(|it| *it != Path::new("/") && !has(it)).map(Path::to_owned).collect();
    // Children first.
    spec.lent.sort_by(|one, two| two.cmp(one));
    spec.lent.dedup();
    Ok(())
}

/// Makes places in an empty directory. Of two that exclude each other the first is made.
pub fn make_places(dir: &Path, places: &[Place]) -> io::Result<()> {
    for Place { path, kind } in places {
        let place = dir.join(path.strip_prefix("/").unwrap_or(path));
        // The tree decides, or the error comes with the mount.
        let made = match kind {
            Kind::Directory => fs::create_dir_all(&place),
            Kind::File => place
                .parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| fs::File::create_new(&place).map(drop)),
        };
        match made {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where something will be mounted, and what must be there.
pub(crate) fn places(spec: &RunSpec) -> Vec<Place> {
    let place = |path: &str, kind| Place { path: PathBuf::from(path), kind };
    let mut places: Vec<Place> = OWN.map(|path| place(path, Kind::Directory)).to_vec();
    places.push(place("/etc/hosts", Kind::File));
    if spec.network != Network::None || !spec.resolv_conf.is_empty() {
        places.push(place("/etc/resolv.conf", Kind::File));
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
            places.push(Place { path: mount.target.clone(), kind });
        }
    }
    places
}

/// Returns whether a target lies in one of the container's own file systems.
pub(crate) fn is_covered(target: &Path) -> bool {
    OWN.iter().any(|own| target.starts_with(own) && target != Path::new(own))
}
