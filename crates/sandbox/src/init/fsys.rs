//! Mounts by descriptor: nothing is looked up by name but in the root of the container itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use rustix::path::Arg;

use crate::sys::mount::make_readonly;

/// What no file system for the container needs: device nodes, setuid programs, programs.
pub(crate) const INERT: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Makes a file system, mounted nowhere yet.
pub(crate) fn make(
    kind: &str,
    options: &[(&str, &str)],
    flags: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What `df` shows.
    fsconfig_set_string(context.as_fd(), "source", kind)?;
    for (key, value) in options {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(context.as_fd(), *key)?;
        } else {
            fsconfig_set_string(context.as_fd(), *key, *value)?;
        }
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

/// Copies the mounts at and below a path, mounted nowhere yet.
pub(crate) fn clone_of(at: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    open_tree(at, path, flags)
}

/// Copies the mounts at and below a path of the host.
pub(crate) fn clone_of_host(path: &Path) -> Result<OwnedFd, Errno> {
    clone_of(CWD, path)
}

/// Finds a path in a root, symlinks and `..` never leading out of it.
pub(crate) fn find(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    look_up(root, path, OFlags::empty(), ResolveFlags::IN_ROOT)
}

/// Looks a path up within limits; the descriptor stands for the place and opens nothing.
pub(crate) fn look_up(
    root: impl AsFd,
    path: impl Arg + Copy,
    flags: OFlags,
    limits: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
    loop {
        match openat2(root.as_fd(), path, flags, Mode::empty(), limits) {
            // Somebody, somewhere on the machine, moved something while `..` was looked up.
            Err(Errno::AGAIN) => {}
            done => return done,
        }
    }
}

/// Mounts something at a path in a root.
pub(crate) fn attach(root: BorrowedFd<'_>, tree: &OwnedFd, target: &Path) -> Result<(), Errno> {
    let place = find(root, target)?;
    move_mount(
        tree.as_fd(),
        "",
        place.as_fd(),
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
}

/// Moves what is mounted at a name in one root to the same in another.
pub(crate) fn shift(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    let place = find(to, Path::new(name))?;
    move_mount(from, name, place.as_fd(), "", MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH)
}

/// Mounts something at a path of the host's tree.
pub(crate) fn attach_to_host(tree: BorrowedFd<'_>, target: &Path) -> Result<(), Errno> {
    move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Makes what is at a path read-only by mounting it over itself; a missing path is no error.
pub(crate) fn freeze(root: BorrowedFd<'_>, path: &str) -> Result<(), Errno> {
    let place = match find(root, Path::new(path)) {
        Ok(place) => place,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let tree = clone_of(place.as_fd(), Path::new(""))?;
    make_readonly(tree.as_fd())?;
    attach(root, &tree, Path::new(path))
}
