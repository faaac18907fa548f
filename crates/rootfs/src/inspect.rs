//! What a file on disk is in a layer.

use crate::error::{Context, RootError};
use rustix::{buffer::spare_capacity, io::Errno};
use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::Path,
};
use strake_layer::{Entry, Kind};
use strake_sandbox::{Owner, Privilege};

/// Holds the owner, where files cannot have it.
pub(crate) const OWNER: &[u8] = b"user.strake.owner";
/// Holds the device numbers of a regular file that stands for a device.
const NODE: &[u8] = b"user.strake.node";
/// Holds capabilities that the kernel did not let this user give to a file.
const KEPT_CAPABILITY: &[u8] = b"user.strake.security.capability";
/// The one extended attribute that layers carry.
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// Where owners are to be read.
#[derive(Clone, Debug)]
pub(crate) enum Owners {
    /// They are the files'.
    Real,
    /// In an extended attribute, or here for files that cannot have one; the rest are root's.
    Recorded(BTreeMap<Vec<u8>, (u32, u32)>),
}

impl Owners {
    pub(crate) fn new(privilege: &Privilege, listed: &[Owner]) -> Owners {
        match privilege {
            Privilege::Root | Privilege::SubIds | Privilege::Chroot | Privilege::None { .. } => {
                Owners::Real
            }
            Privilege::SingleId | Privilege::Emulated => {
                let name = |it: &Path| {
                    let bytes = it.as_os_str().as_bytes();
                    bytes.strip_prefix(b"/").unwrap_or(bytes).to_vec()
                };
                let owner = |it: &Owner| (name(&it.path), (it.uid, it.gid));
                Owners::Recorded(listed.iter().map(owner).collect())
            }
        }
    }
}

/// A file on disk.
#[derive(Debug)]
pub(crate) enum Found {
    /// What stands for a deleted file in an upper directory: a character device 0:0.
    Whiteout,
    /// A socket: tar has none.
    Socket,
    /// Anything else.
    Object(Box<Seen>),
}

/// What a layer says of a file, and the file's own data.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Several names of one file are all the file here.
    pub(crate) entry: Entry,
    pub(crate) metadata: Metadata,
    /// Whether what lower layers have in the directory is hidden.
    pub(crate) opaque: bool,
    /// Whether the owner was on record; where not, it is root by default.
    pub(crate) owned: bool,
}

/// Looks at the file at `path`, whose metadata is known and which is `name` in the root.
pub(crate) fn look(
    path: &Path,
    metadata: Metadata,
    name: &[u8],
    owners: &Owners,
) -> Result<Found, RootError> {
    let kind = metadata.file_type();
    if kind.is_socket() {
        return Ok(Found::Socket);
    }
    if kind.is_char_device() && metadata.rdev() == 0 {
        return Ok(Found::Whiteout);
    }
    let mut xattrs = xattrs(path).context("read the attributes of", path)?;
    let opaque = is_opaque(&xattrs);
    let mut wanted = None;
    let owner = match owners {
        Owners::Real => Some((metadata.uid(), metadata.gid())),
        Owners::Recorded(listed) => {
            let recorded = xattrs.get(OWNER).and_then(|it| parse_owner(it));
            wanted = xattrs.get(OWNER).and_then(|it| parse_mode(it));
            recorded.or_else(|| listed.get(name).copied())
        }
    };
    let node = xattrs.get(NODE).and_then(|it| parse_node(it));
    let kind = match node {
        Some(kind) if metadata.is_file() => kind,
        _ => kind_of(path, &metadata)?,
    };
    if let Some(kept) = xattrs.remove(KEPT_CAPABILITY) {
        xattrs.entry(CAPABILITY.to_vec()).or_insert(kept);
    }
    // As in Docker's layers: others are this machine's, or are lost there too.
    xattrs.retain(|name, _| name == CAPABILITY);
    let (uid, gid) = owner.unwrap_or((0, 0));
    let entry = Entry {
        path: name.to_vec(),
        kind,
        mode: wanted.unwrap_or(metadata.mode() & 0o7777),
        uid,
        gid,
        mtime: metadata.mtime(),
        xattrs,
    };
    Ok(Found::Object(Box::new(Seen { entry, metadata, opaque, owned: owner.is_some() })))
}

fn kind_of(path: &Path, metadata: &Metadata) -> Result<Kind, RootError> {
    let kind = metadata.file_type();
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    Ok(if kind.is_dir() {
        Kind::Directory { opaque: false }
    } else if kind.is_symlink() {
        let target = fs::read_link(path).context("read", path)?;
        Kind::Symlink { target: target.as_os_str().as_bytes().to_vec() }
    } else if kind.is_char_device() {
        Kind::Character { major, minor }
    } else if kind.is_block_device() {
        Kind::Block { major, minor }
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        Kind::File { size: metadata.len() }
    })
}

/// The mode in `uid:gid:mode`: what it was to be where it would have kept the user itself out.
fn parse_mode(value: &[u8]) -> Option<u32> {
    u32::from_str_radix(str::from_utf8(value).ok()?.split(':').nth(2)?, 8).ok()
}

/// `uid:gid`, with room for more fields after it.
fn parse_owner(value: &[u8]) -> Option<(u32, u32)> {
    let mut numbers = str::from_utf8(value).ok()?.split(':').map(|it| it.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// `c:major:minor` or `b:major:minor`.
fn parse_node(value: &[u8]) -> Option<Kind> {
    let (kind, numbers) = str::from_utf8(value).ok()?.split_once(':')?;
    let (major, minor) = numbers.split_once(':')?;
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    match kind {
        "c" => Some(Kind::Character { major, minor }),
        "b" => Some(Kind::Block { major, minor }),
        _ => None,
    }
}

fn is_opaque(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> bool {
    [&b"trusted.overlay.opaque"[..], b"user.overlay.opaque"]
        .iter()
        .any(|name| xattrs.get(*name).is_some_and(|it| it == b"y"))
}

/// All extended attributes that this process may read, links not followed.
pub(crate) fn xattrs(path: &Path) -> rustix::io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let Some(names) = grown(|buffer| rustix::fs::llistxattr(path, spare_capacity(buffer)))? else {
        return Ok(BTreeMap::new());
    };
    let mut xattrs = BTreeMap::new();
    for name in names.split(|it| *it == 0).filter(|it| !it.is_empty()) {
        // One that is gone or not for this process is none.
        let value = grown(|buffer| rustix::fs::lgetxattr(path, name, spare_capacity(buffer)))?;
        xattrs.extend(value.map(|it| (name.to_vec(), it)));
    }
    Ok(xattrs)
}

/// Reads into a buffer that is as large as it has to be.
fn grown(
    mut read: impl FnMut(&mut Vec<u8>) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Option<Vec<u8>>> {
    let mut buffer = Vec::with_capacity(256);
    loop {
        buffer.clear();
        match read(&mut buffer) {
            Ok(_) => return Ok(Some(buffer)),
            Err(Errno::RANGE) => {
                let larger = buffer.capacity() * 4;
                buffer.reserve(larger);
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}
