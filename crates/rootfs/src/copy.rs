//! Copies of files with all that belongs to them.

use crate::{
    error::{Context, RootError},
    inspect::{OWNER, xattrs},
};
use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata, Permissions},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use strake_sandbox::Privilege;

/// Copies a directory's content and attributes onto an existing directory: modes, owners (also
/// recorded ones), times, extended attributes and hard links.
pub fn copy_tree(from: &Path, to: &Path) -> Result<(), RootError> {
    copy_below(from, to, &mut BTreeMap::new())
}

/// Makes `path` belong to a user and group, or records that where files can belong to one id only.
pub fn set_owner(path: &Path, uid: u32, gid: u32, privilege: &Privilege) -> Result<(), RootError> {
    let changed = match privilege {
        Privilege::SingleId | Privilege::Emulated => {
            let value = format!("{uid}:{gid}");
            rustix::fs::lsetxattr(path, OWNER, value.as_bytes(), XattrFlags::empty())
        }
        Privilege::Root | Privilege::SubIds | Privilege::Chroot | Privilege::None { .. } => {
            chown(path, uid, gid)
        }
    };
    changed.context("change the owner of", path)
}

/// Gives `path` a mode, or records the one that would keep this user out of its own file.
pub fn set_mode(path: &Path, mode: u32, privilege: &Privilege) -> Result<(), RootError> {
    let found = fs::symlink_metadata(path).context("read", path)?;
    let owner = if found.is_dir() { 0o700 } else { 0o600 };
    let real = if matches!(privilege, Privilege::Emulated) { mode | owner } else { mode };
    if real != mode {
        let recorded = xattrs(path).context("read the attributes of", path)?;
        let owner = recorded.get(OWNER).map_or_else(|| b"0:0".to_vec(), Clone::clone);
        let mut fields = owner.split(|it| *it == b':');
        let ids = [fields.next().unwrap_or(b"0"), fields.next().unwrap_or(b"0")].join(&b':');
        let value = [ids, format!(":{mode:04o}").into_bytes()].concat();
        rustix::fs::lsetxattr(path, OWNER, &value, XattrFlags::empty())
            .context("change the mode of", path)?;
    }
    fs::set_permissions(path, Permissions::from_mode(real)).context("change the mode of", path)
}

fn copy_below(
    from: &Path,
    to: &Path,
    links: &mut BTreeMap<(u64, u64), PathBuf>,
) -> Result<(), RootError> {
    let metadata = fs::symlink_metadata(from).context("read", from)?;
    for entry in fs::read_dir(from).context("read", from)? {
        let name = entry.context("read", from)?.file_name();
        let (source, target) = (from.join(&name), to.join(&name));
        let found = fs::symlink_metadata(&source).context("read", &source)?;
        if found.is_dir() {
            fs::create_dir(&target).context("create", &target)?;
            copy_below(&source, &target, links)?;
            continue;
        }
        let inode = (found.dev(), found.ino());
        if found.nlink() > 1
            && let Some(first) = links.get(&inode)
        {
            link(first, &target)?;
            continue;
        }
        if copy_object(&source, &found, &target)? && found.nlink() > 1 {
            links.insert(inode, target);
        }
    }
    dress(from, &metadata, to)
}

/// Makes a further name of a file; symbolic links are files too.
pub(crate) fn link(first: &Path, to: &Path) -> Result<(), RootError> {
    rustix::fs::linkat(CWD, first, CWD, to, AtFlags::empty()).context("link", to)
}

/// Copies anything but a directory. A socket is not copied.
pub(crate) fn copy_object(from: &Path, metadata: &Metadata, to: &Path) -> Result<bool, RootError> {
    let kind = metadata.file_type();
    if kind.is_socket() {
        return Ok(false);
    }
    if kind.is_file() {
        copy_content(from, to)?;
    } else if kind.is_symlink() {
        let target = fs::read_link(from).context("read", from)?;
        std::os::unix::fs::symlink(target, to).context("create", to)?;
    } else {
        let kind = FileType::from_raw_mode(metadata.mode());
        rustix::fs::mknodat(CWD, to, kind, Mode::from_raw_mode(0o600), metadata.rdev())
            .context("create", to)?;
    }
    dress(from, metadata, to)?;
    Ok(true)
}

/// Shares the blocks where the file system can, and copies them otherwise.
fn copy_content(from: &Path, to: &Path) -> Result<(), RootError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = rustix::fs::open(from, flags, Mode::empty()).context("read", from)?;
    let mut source = File::from(source);
    let mut target = File::create_new(to).context("create", to)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        io::copy(&mut source, &mut target).context("copy", from)?;
    }
    Ok(())
}

/// Gives `to` the owner, mode, extended attributes and times of `from`.
pub(crate) fn dress(from: &Path, metadata: &Metadata, to: &Path) -> Result<(), RootError> {
    let made = fs::symlink_metadata(to).context("read", to)?;
    if (made.uid(), made.gid()) != (metadata.uid(), metadata.gid()) {
        chown(to, metadata.uid(), metadata.gid()).context("change the owner of", to)?;
    }
    for (name, value) in xattrs(from).context("read the attributes of", from)? {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        match rustix::fs::lsetxattr(to, &name[..], &value, XattrFlags::empty()) {
            // As overlayfs does when it copies a file up.
            Err(Errno::OPNOTSUPP | Errno::PERM) if !name.starts_with(b"user.") => {}
            other => other.context("change the attributes of", to)?,
        }
    }
    if !metadata.is_symlink() {
        // After the owner: a change of owner clears setuid bits.
        let mode = Permissions::from_mode(metadata.mode() & 0o7777);
        fs::set_permissions(to, mode).context("change the mode of", to)?;
    }
    set_mtime(to, metadata.mtime(), metadata.mtime_nsec())
}

pub(crate) fn set_mtime(path: &Path, seconds: i64, nanos: i64) -> Result<(), RootError> {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .context("change the time of", path)
}

fn chown(path: &Path, uid: u32, gid: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}
