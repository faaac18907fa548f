//! The image's files as one tar, with owners, whatever the caller may do on this machine.

use crate::{
    ExportError, Image,
    flatten::{Target, flatten},
    write_tar::{end, header, pad},
};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};
use strake_layer::{Entry, Kind};
use strake_oci::Platform;

/// Writes the files of the image as a tar: layers merged, parents before what is in them. `epoch` is the
/// time of all files, where it is given.
pub fn tar(image: &Image, epoch: Option<i64>, sink: &mut dyn Write) -> Result<(), ExportError> {
    flatten(image, epoch, &mut TarTarget { sink, folder: String::new() })?;
    Ok(end(sink)?)
}

/// Writes the files of several images as one tar, each under a folder that is named for its platform.
pub fn tar_by_platform(
    images: &[Image],
    epoch: Option<i64>,
    sink: &mut dyn Write,
) -> Result<(), ExportError> {
    for image in images {
        let folder = platform_folder(&image.config.value.platform());
        let directory = Entry {
            path: folder.clone().into_bytes(),
            kind: Kind::Directory { opaque: false },
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: epoch.unwrap_or(0),
            xattrs: BTreeMap::new(),
        };
        header(sink, &directory)?;
        flatten(image, epoch, &mut TarTarget { sink: &mut *sink, folder })?;
    }
    Ok(end(sink)?)
}

/// As buildx names the folders of several platforms: `linux_arm_v7`.
pub fn platform_folder(platform: &Platform) -> String {
    platform.to_string().replace('/', "_")
}

struct TarTarget<'a> {
    sink: &'a mut dyn Write,
    /// What everything is below; may be empty.
    folder: String,
}

impl TarTarget<'_> {
    fn below(&self, entry: &Entry) -> Entry {
        let join = |path: &[u8]| [self.folder.as_bytes(), b"/", path].concat();
        let kind = match &entry.kind {
            Kind::Hardlink { target } => Kind::Hardlink { target: join(target) },
            kind => kind.clone(),
        };
        Entry { path: join(&entry.path), kind, ..entry.clone() }
    }
}

impl Target for TarTarget<'_> {
    fn put(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> Result<(), ExportError> {
        if self.folder.is_empty() {
            header(self.sink, entry)?;
        } else {
            let entry = self.below(entry);
            header(self.sink, &entry)?;
        }
        if io::copy(content, self.sink)? != size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(pad(self.sink, size)?)
    }
}
