//! Making a root, handing it to the sandbox, and taking it back.

use crate::{
    changes::{self, Changed},
    copy::{set_mode, set_mtime, set_owner},
    error::{Context, RootError},
    inspect::Owners,
    plain::{self, Stamps},
};
use rustix::fs::XattrFlags;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use strake_layer::{Change, Entry, Tree};
use strake_sandbox::{Owner, Privilege, RootSpec};

/// What a root is made of.
#[derive(Clone, Copy, Debug)]
pub struct Prepare<'a> {
    /// Unpacked layers, ready for overlayfs, topmost first.
    pub lowers: &'a [PathBuf],
    /// What they show together.
    pub tree: &'a Arc<Tree>,
    /// A directory on the file system of the lowers, where `upper` and `work`, or `root`, are made.
    pub dir: &'a Path,
    /// Under which the process runs.
    pub privilege: &'a Privilege,
    /// Whether overlayfs can be mounted; without it, the tree is copied.
    pub overlay: bool,
}

/// A root that one process may change.
#[derive(Debug)]
pub struct Root {
    lowers: Vec<PathBuf>,
    tree: Arc<Tree>,
    privilege: Privilege,
    form: Form,
    /// Sockets that the process left, once the changes were read.
    sockets: OnceLock<Vec<PathBuf>>,
}

#[derive(Debug)]
enum Form {
    Overlay { upper: PathBuf, work: PathBuf },
    Plain { root: PathBuf, stamps: Stamps },
}

impl Root {
    /// Makes a root.
    pub fn prepare(spec: Prepare<'_>) -> Result<Root, RootError> {
        let Prepare { lowers, tree, dir, privilege, overlay } = spec;
        let make = |name: &str| {
            let path = dir.join(name);
            fs::create_dir(&path).context("create", &path).map(|()| path)
        };
        let form = if overlay {
            let (upper, work) = (make("upper")?, make("work")?);
            make_own(&upper, tree)?;
            dress_root(&upper, tree, privilege)?;
            Form::Overlay { upper, work }
        } else {
            let root = make("root")?;
            let stamps = plain::materialise(lowers, tree, &root)?;
            make_own(&root, tree)?;
            dress_root(&root, tree, privilege)?;
            Form::Plain { root, stamps }
        };
        let (lowers, tree, privilege) = (lowers.to_vec(), Arc::clone(tree), privilege.clone());
        Ok(Root { lowers, tree, privilege, form, sockets: OnceLock::new() })
    }

    /// Takes over the directory of a root that was copied and that a process has changed, for one more
    /// process: `spec.tree` is what it shows by now.
    pub fn adopt(spec: Prepare<'_>) -> Result<Root, RootError> {
        let Prepare { lowers, tree, dir, privilege, overlay: _ } = spec;
        let root = dir.join("root");
        let stamps = plain::stamps_of(tree, &root)?;
        let form = Form::Plain { root, stamps };
        let (lowers, tree, privilege) = (lowers.to_vec(), tree.clone(), privilege.clone());
        Ok(Root { lowers, tree, privilege, form, sockets: OnceLock::new() })
    }

    /// For the sandbox.
    pub fn spec(&self) -> RootSpec {
        match &self.form {
            Form::Overlay { upper, work } => RootSpec::Overlay {
                lower: self.lowers.clone(),
                upper: upper.clone(),
                work: work.clone(),
            },
            Form::Plain { root, stamps: _ } => RootSpec::Plain(root.clone()),
        }
    }

    /// What the process changed, once it has ended: parents before children, siblings in byte
    /// order. `owners` are those that the sandbox recorded itself.
    ///
    /// A directory is there if it changed or if something below it did. The contents are read from
    /// the root's own directory, which must stay until they are packed. Sockets are left out, and so
    /// are changes of the root directory itself: Docker's layers have neither.
    pub fn changes(&self, owners: &[Owner]) -> Result<Vec<Change>, RootError> {
        let owners = Owners::new(&self.privilege, owners);
        let (dir, stamps) = match &self.form {
            Form::Overlay { upper, work: _ } => (upper, None),
            Form::Plain { root, stamps } => (root, Some(stamps)),
        };
        let Changed { changes, sockets } =
            changes::find(dir, stamps, &self.lowers, &self.tree, owners)?;
        // A second reading finds the same.
        let _ = self.sockets.set(sockets);
        Ok(changes)
    }

    /// The changes as an unpacked layer, where they are there in that form: of a copied tree they
    /// are not. Comes after [`Root::changes`]; they stay readable until the directory is moved.
    pub fn into_snapshot(self) -> Result<Option<PathBuf>, RootError> {
        // What the layer does not carry must not be in its snapshot, or in a tree that is used again.
        for socket in self.sockets.get().into_iter().flatten() {
            fs::remove_file(socket).context("remove", socket)?;
        }
        let Form::Overlay { upper, work: _ } = self.form else { return Ok(None) };
        dress_root(&upper, &self.tree, &self.privilege)?;
        Ok(Some(upper))
    }
}

/// Makes the directories of the file systems that a container has of its own where the tree has nothing
/// of that name. As in Docker they are the first RUN's changes.
fn make_own(dir: &Path, tree: &Tree) -> Result<(), RootError> {
    for name in ["dev", "proc", "sys"] {
        if tree.get(name.as_bytes()).is_none() {
            let path = dir.join(name);
            fs::create_dir(&path).context("create", &path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .context("change the mode of", &path)?;
        }
    }
    Ok(())
}

/// Gives the topmost directory what the merged root has: in an overlay it is the one that shows.
fn dress_root(dir: &Path, tree: &Tree, privilege: &Privilege) -> Result<(), RootError> {
    let Some(node) = tree.get(b"") else { return Ok(()) };
    let Entry { path: _, kind: _, mode, uid, gid, mtime, xattrs } = &node.entry;
    set_owner_of_root(dir, *uid, *gid, privilege)?;
    for (name, value) in xattrs.iter().filter(|(name, _)| name.starts_with(b"user.")) {
        rustix::fs::setxattr(dir, &name[..], value, XattrFlags::empty())
            .context("change the attributes of", dir)?;
    }
    set_mode(dir, *mode, privilege)?;
    set_mtime(dir, *mtime, 0)
}

fn set_owner_of_root(
    dir: &Path,
    uid: u32,
    gid: u32,
    privilege: &Privilege,
) -> Result<(), RootError> {
    // A directory made by root is root's already, and so is one without a record.
    if (uid, gid) == (0, 0) { Ok(()) } else { set_owner(dir, uid, gid, privilege) }
}
