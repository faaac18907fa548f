//! An image as an OCI layout: a tar, or a folder that may hold others already.

use crate::{
    ExportError, Package,
    image::{Blob, length},
    layout,
    write_tar::{end, header, pad},
};
use fs_err::{self as fs, File};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use strake_layer::{Entry, Kind};
use strake_oci::{Digest, Index, Raw, media_type};

/// Writes the layout as a tar: entries in byte order of their names, times 0, owners 0.
pub fn oci_tar<'a>(
    package: impl Into<Package<'a>>,
    sink: &mut dyn Write,
) -> Result<(), ExportError> {
    layout_tar(&package.into(), sink, &[])
}

/// The layout as a tar, with further documents that stand between `index.json` and `oci-layout`.
pub(crate) fn layout_tar(
    package: &Package<'_>,
    sink: &mut dyn Write,
    documents: &[(&str, Vec<u8>)],
) -> Result<(), ExportError> {
    let index = Raw::write(layout::index(package));
    directory(sink, "blobs")?;
    directory(sink, "blobs/sha256")?;
    for (digest, blob) in package.blobs()? {
        header(sink, &entry(&format!("blobs/sha256/{}", digest.hex()), blob.size()))?;
        copy_blob(blob, sink)?;
        pad(sink, blob.size())?;
    }
    document(sink, "index.json", &index.bytes)?;
    for (name, bytes) in documents {
        document(sink, name, bytes)?;
    }
    document(sink, "oci-layout", layout::OCI_LAYOUT)?;
    Ok(end(sink)?)
}

/// Puts the image into the layout at `dir`, which is made where there is none. Images of other names
/// stay. A reader sees the old index or the new one, and each has its blobs; exports take turns. When
/// this fails, everything is as it was.
pub fn oci_dir<'a>(package: impl Into<Package<'a>>, dir: &Path) -> Result<(), ExportError> {
    let package = package.into();
    let blobs = package.blobs()?;
    let made = made_folders(dir)?;
    let mut placed = Vec::new();
    let done = fill(&package, &blobs, dir, &mut placed);
    if done.is_err() {
        // The first error is the one to tell. A folder that others have put something into stays.
        placed.iter().for_each(|it| drop(fs::remove_file(it)));
        if !made.is_empty() {
            ["blobs/sha256", "blobs"].iter().for_each(|it| drop(fs::remove_dir(dir.join(it))));
        }
        made.iter().rev().for_each(|it| drop(fs::remove_dir(it)));
    }
    done
}

/// Makes the folder, and says which of it and its parents were not there.
pub(crate) fn made_folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let missing = dir.ancestors().take_while(|it| !it.as_os_str().is_empty() && !it.exists());
    let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    missing.reverse();
    fs::create_dir_all(dir)?;
    Ok(missing)
}

fn fill(
    package: &Package<'_>,
    blobs: &[(Digest, Blob<'_>)],
    dir: &Path,
    placed: &mut Vec<PathBuf>,
) -> Result<(), ExportError> {
    let lock = File::open(dir)?;
    lock.file().lock()?;
    let index = layout::merged(present_index(dir)?, package);
    let blob_dir = dir.join("blobs/sha256");
    fs::create_dir_all(&blob_dir)?;
    let mut put = |path: PathBuf, write: &dyn Fn(&mut File) -> Result<(), ExportError>| {
        let is_new = !path.exists();
        place(dir, &path, write)?;
        placed.extend(is_new.then_some(path));
        Ok::<(), ExportError>(())
    };
    for (digest, blob) in blobs {
        let path = blob_dir.join(digest.hex());
        if fs::metadata(&path).is_ok_and(|it| it.len() == blob.size()) {
            continue;
        }
        put(path, &|file| copy_blob(*blob, file))?;
    }
    File::open(&blob_dir)?.sync_all()?;
    let bytes = Raw::write(index).bytes;
    put(dir.join("oci-layout"), &|file| Ok(file.write_all(layout::OCI_LAYOUT)?))?;
    put(dir.join("index.json"), &|file| Ok(file.write_all(&bytes)?))?;
    Ok(lock.sync_all()?)
}

/// What is in `dir` so far. A folder with other things in it is not taken over.
fn present_index(dir: &Path) -> Result<Index, ExportError> {
    let refused = |why: String| ExportError::NotALayout { dir: dir.to_owned(), why };
    let index = dir.join("index.json");
    if index.try_exists()? {
        let read: Raw<Index> = Raw::parse(fs::read(&index)?)
            .map_err(|it| refused(format!("its index.json cannot be read ({it})")))?;
        return Ok(read.value);
    }
    for found in fs::read_dir(dir)? {
        let name = found?.file_name();
        if !["blobs", "oci-layout", TEMPORARY].iter().any(|it| name == *it) {
            return Err(refused(format!("it holds `{}`", name.display())));
        }
    }
    Ok(Index {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.to_owned()),
        manifests: Vec::new(),
        annotations: BTreeMap::new(),
    })
}

/// The one temporary file of a layout. Whoever holds the lock owns it, so one that a killed process
/// left is used up by the next export.
const TEMPORARY: &str = ".strake.tmp";

fn place(
    dir: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let temporary = dir.join(TEMPORARY);
    let placed = (|| {
        let mut file = File::create(&temporary)?;
        write(&mut file)?;
        file.sync_all()?;
        Ok(fs::rename(&temporary, path)?)
    })();
    if placed.is_err() {
        // The first error is the one to tell.
        drop(fs::remove_file(&temporary));
    }
    placed
}

/// Copies exactly as many bytes as the descriptor says.
fn copy_blob(blob: Blob<'_>, sink: &mut (impl Write + ?Sized)) -> Result<(), ExportError> {
    match blob {
        Blob::Bytes(bytes) => sink.write_all(bytes)?,
        Blob::File { path, size } => {
            let copied = io::copy(&mut File::open(path)?.take(size), sink)?;
            if copied != size {
                let why = format!("{} became shorter while it was read", path.display());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why).into());
            }
        }
    }
    Ok(())
}

fn directory(sink: &mut dyn Write, path: &str) -> io::Result<()> {
    let kind = Kind::Directory { opaque: false };
    header(sink, &Entry { kind, mode: 0o755, ..entry(path, 0) })
}

fn document(sink: &mut dyn Write, path: &str, bytes: &[u8]) -> io::Result<()> {
    header(sink, &entry(path, length(bytes)))?;
    sink.write_all(bytes)?;
    pad(sink, length(bytes))
}

fn entry(path: &str, size: u64) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind: Kind::File { size },
        mode: 0o444,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: BTreeMap::new(),
    }
}
