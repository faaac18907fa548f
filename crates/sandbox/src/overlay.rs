//! Overlay mounts, made detached: they have no place in any mount namespace until one is given.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

/// The directories of one overlay; the topmost lower first.
pub(crate) struct Layers<'a> {
    pub(crate) lower: &'a [PathBuf],
    pub(crate) upper: &'a Path,
    pub(crate) work: &'a Path,
}

/// Returns whether an overlay with its upper directory below `dir` can be mounted and written to.
///
/// Makes and removes a folder of its own in `dir`; to be asked after [`crate::enter`].
pub fn overlay_works(dir: &Path) -> bool {
    let probe = dir.join(format!(".overlay-{}", std::process::id()));
    let works = probe_overlay(&probe).is_ok();
    let _gone = fs::remove_dir_all(&probe);
    works
}

fn probe_overlay(probe: &Path) -> std::io::Result<()> {
    let (lower, upper, work) = (probe.join("lower"), probe.join("upper"), probe.join("work"));
    for folder in [&lower.join("d"), &upper, &work] {
        fs::create_dir_all(folder)?;
    }
    fs::write(lower.join("d/f"), "f")?;
    let mount = mount(&Layers { lower: &[lower], upper: &upper, work: &work })?;
    // Removing a file of a lower layer needs a whiteout, which some file systems cannot hold.
    rustix::fs::unlinkat(&mount, "d/f", rustix::fs::AtFlags::empty())?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(&mount, "d/g", flags, Mode::from_raw_mode(0o644)).map(drop)?;
    Ok(())
}

/// Mounts an overlay, attached nowhere.
///
/// Directories are never redirected and files never copied up in part, so that the upper directory
/// is the whole difference.
pub(crate) fn mount(layers: &Layers<'_>) -> Result<OwnedFd, Errno> {
    match mount_with(layers, append_lowers) {
        // Kernels before 6.7 do not know "lowerdir+".
        Err(Errno::INVAL) => mount_with(layers, join_lowers),
        result => result,
    }
}

type SetLowers = fn(&OwnedFd, &[PathBuf]) -> Result<(), Errno>;

fn mount_with(layers: &Layers<'_>, set_lowers: SetLowers) -> Result<OwnedFd, Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    if !in_initial_user_namespace() {
        fsconfig_set_flag(context.as_fd(), "userxattr")?;
    }
    fsconfig_set_string(context.as_fd(), "source", "overlay")?;
    set_lowers(&context, layers.lower)?;
    fsconfig_set_string(context.as_fd(), "upperdir", layers.upper)?;
    fsconfig_set_string(context.as_fd(), "workdir", layers.work)?;
    for (key, value) in [("index", "off"), ("metacopy", "off"), ("redirect_dir", "nofollow")] {
        fsconfig_set_string(context.as_fd(), key, value)?;
    }
    // Else the upper directory gets an attribute of its own; kernels before 6.6 give it none anyway.
    let _unknown = fsconfig_set_string(context.as_fd(), "uuid", "null");
    fsconfig_set_flag(context.as_fd(), "volatile")?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn append_lowers(context: &OwnedFd, lower: &[PathBuf]) -> Result<(), Errno> {
    lower.iter().try_for_each(|layer| fsconfig_set_string(context.as_fd(), "lowerdir+", layer))
}

fn join_lowers(context: &OwnedFd, lower: &[PathBuf]) -> Result<(), Errno> {
    let mut joined = Vec::new();
    for layer in lower {
        if !joined.is_empty() {
            joined.push(b':');
        }
        for byte in layer.as_os_str().as_encoded_bytes() {
            if matches!(byte, b':' | b'\\') {
                joined.push(b'\\');
            }
            joined.push(*byte);
        }
    }
    let joined: OsString = std::os::unix::ffi::OsStringExt::from_vec(joined);
    let joined: &OsStr = &joined;
    fsconfig_set_string(context.as_fd(), "lowerdir", joined)
}

/// Only there may overlayfs keep its marks in trusted attributes.
fn in_initial_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}
