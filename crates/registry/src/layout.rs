//! OCI image layouts, folders or tar archives, as a source of images.
//!
//! OCI image specification, *image-layout.md*. Nothing in a layout is believed before its digest
//! has been checked.

use crate::{
    Error, Resolved,
    document::{self, Document},
    select::{is_attestation, select},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Component, Path, PathBuf},
};
use strake_oci::{Descriptor, Digest, ImageConfig, Index, Platform, Raw, Reference};

/// The tag, by the specification.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name, by BuildKit and containerd.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// An OCI image layout.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    store: Store,
    index: Raw<Index>,
}

#[derive(Debug)]
enum Store {
    Folder,
    /// Offset and size of each file in the archive.
    Archive(BTreeMap<String, (u64, u64)>),
}

impl Layout {
    /// Opens the folder or tar archive at `path`.
    pub fn open(path: &Path) -> Result<Layout, Error> {
        let metadata = fs_err::metadata(path).map_err(|source| unreadable(path, source))?;
        let store = match metadata.is_dir() {
            true => Store::Folder,
            false => Store::Archive(table(path)?),
        };
        let empty = Index {
            schema_version: 2,
            media_type: None,
            manifests: Vec::new(),
            annotations: BTreeMap::new(),
        };
        let mut layout = Layout { path: path.to_owned(), store, index: Raw::write(empty) };
        let bytes = layout.document("index.json", None)?;
        layout.index = Raw::parse(bytes)
            .map_err(|error| layout.not_a_layout(format!("index.json: {error}")))?;
        Ok(layout)
    }

    /// The image called `wanted`, a tag or a digest, for `platform`.
    ///
    /// Without a name: the only image, else the one called `latest`, else, when none has a name, the
    /// one for the platform.
    pub fn resolve(&self, wanted: Option<&str>, platform: &Platform) -> Result<Resolved, Error> {
        let place = self.path.display().to_string();
        let candidates = self.candidates(wanted)?;
        let missing = |available| Error::PlatformMissing {
            reference: place.clone(),
            wanted: Box::new(platform.clone()),
            available,
        };
        let mut chosen = match candidates.manifests.as_slice() {
            [only] => only.clone(),
            _ => select(&candidates, platform).map_err(missing)?.clone(),
        };
        let digest = chosen.digest;
        let mut outermost = None;
        for _ in 0..=document::MAX_DEPTH {
            let bytes = self.document(&blob_name(&chosen.digest), Some(&chosen))?;
            let size = bytes.len() as u64;
            match document::read(&place, bytes, Some(&chosen.media_type))? {
                Document::Manifest(manifest, media_type) => {
                    let manifest_descriptor = Descriptor::new(&media_type, chosen.digest, size);
                    let (manifest, index) = (*manifest, outermost);
                    return Ok(Resolved { digest, manifest, manifest_descriptor, index });
                }
                Document::Index(index) => {
                    chosen = select(&index.value, platform).map_err(missing)?.clone();
                    outermost.get_or_insert(index);
                }
            }
        }
        let why = "its indexes are nested too deeply".to_owned();
        Err(Error::Malformed { place, what: "index", why })
    }

    /// The one entry of index.json that `wanted` means.
    pub(crate) fn entry(&self, wanted: Option<&str>) -> Result<Descriptor, Error> {
        match self.candidates(wanted)?.manifests.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(self.not_found(wanted.unwrap_or("a single image"))),
        }
    }

    /// A manifest or index, checked.
    pub(crate) fn read_document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        self.document(&blob_name(&descriptor.digest), Some(descriptor))
    }

    /// Where the layout is, for messages.
    pub(crate) fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// The config that a manifest of this layout names.
    pub fn config(&self, descriptor: &Descriptor) -> Result<Raw<ImageConfig>, Error> {
        let bytes = self.document(&blob_name(&descriptor.digest), Some(descriptor))?;
        document::config(&self.path.display().to_string(), bytes)
    }

    /// The file with a blob, where the layout is a folder that has it. It has not been checked.
    pub fn blob_path(&self, digest: &Digest) -> Option<PathBuf> {
        let path = self.path.join(blob_name(digest));
        matches!(self.store, Store::Folder).then_some(path).filter(|it| it.is_file())
    }

    /// A blob's bytes; they have not been checked.
    pub fn open_blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send>, Error> {
        Ok(self.open_file(&blob_name(digest))?.0)
    }

    /// Writes a blob to `sink` and checks its digest and size.
    ///
    /// `progress` is told how many bytes have been written; `sink` may have been given any number of
    /// bytes when this fails.
    pub fn copy_blob(
        &self,
        descriptor: &Descriptor,
        sink: &mut dyn Write,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let name = blob_name(&descriptor.digest);
        let (mut source, got) = self.open_file(&name)?;
        let (digest, asked) = (descriptor.digest, descriptor.size);
        let place = self.path.display().to_string();
        if got != asked {
            return Err(Error::WrongSize { place, digest, asked, got });
        }
        let (mut hash, mut done) = (Sha256::new(), 0);
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(unreadable(&self.path.join(name), source)),
            };
            hash.update(&buffer[..count]);
            let what = digest.to_string();
            sink.write_all(&buffer[..count]).map_err(|source| Error::Write { what, source })?;
            done += count as u64;
            progress(done);
        }
        let got = Digest::from_sha256(hash.finalize().into());
        if got != digest {
            return Err(Error::WrongDigest { place, asked: digest, got });
        }
        Ok(())
    }

    /// The entries of index.json that `wanted` may mean.
    fn candidates(&self, wanted: Option<&str>) -> Result<Index, Error> {
        let all = || self.index.value.manifests.iter().filter(|it| !is_attestation(it));
        let with = |manifests| Index { manifests, ..self.index.value.clone() };
        if let Some(digest) = wanted.and_then(|it| it.parse::<Digest>().ok()) {
            let known = all().find(|it| it.digest == digest).cloned();
            return match known.map_or_else(|| self.unlisted(&digest), |it| Ok(Some(it)))? {
                Some(found) => Ok(with(vec![found])),
                None => Err(self.not_found(&digest.to_string())),
            };
        }
        let named = |name: &str| -> Vec<Descriptor> {
            all().filter(|it| is_called(it, name)).cloned().collect()
        };
        let found = match wanted {
            Some(name) => named(name),
            None if all().count() == 1 => all().cloned().collect(),
            None if all().all(|it| names_of(it).is_empty()) => all().cloned().collect(),
            None => named("latest"),
        };
        if found.is_empty() {
            return Err(self.not_found(wanted.unwrap_or("latest")));
        }
        Ok(with(found))
    }

    /// A manifest that lies among the blobs and that index.json does not list.
    fn unlisted(&self, digest: &Digest) -> Result<Option<Descriptor>, Error> {
        let name = blob_name(digest);
        let there = match &self.store {
            Store::Folder => self.path.join(&name).is_file(),
            Store::Archive(table) => table.contains_key(&name),
        };
        if !there {
            return Ok(None);
        }
        let (_, size) = self.open_file(&name)?;
        Ok(Some(Descriptor::new("", *digest, size)))
    }

    /// Reads a small file whole, and checks it where a descriptor says what it is.
    fn document(&self, name: &str, descriptor: Option<&Descriptor>) -> Result<Vec<u8>, Error> {
        let place = self.path.display().to_string();
        let (source, size) = self.open_file(name)?;
        if size > document::LIMIT {
            return Err(Error::TooLarge { place, what: "document", limit: document::LIMIT });
        }
        let mut bytes = Vec::new();
        let read = source.take(document::LIMIT).read_to_end(&mut bytes);
        read.map_err(|source| unreadable(&self.path.join(name), source))?;
        if let Some(descriptor) = descriptor {
            document::verify(&place, descriptor, &bytes)?;
        }
        Ok(bytes)
    }

    fn open_file(&self, name: &str) -> Result<(Box<dyn Read + Send>, u64), Error> {
        let missing = || match name {
            "index.json" => self.not_a_layout("there is no index.json".to_owned()),
            name => self.not_a_layout(format!("there is no {name}")),
        };
        match &self.store {
            Store::Folder => {
                let path = self.path.join(name);
                let metadata = match fs_err::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => metadata,
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(unreadable(&path, error));
                    }
                    _ => return Err(missing()),
                };
                let file = fs_err::File::open(&path).map_err(|source| unreadable(&path, source))?;
                Ok((Box::new(file), metadata.len()))
            }
            Store::Archive(table) => {
                let (offset, size) = *table.get(name).ok_or_else(missing)?;
                let unreadable = |source| unreadable(&self.path, source);
                let mut file = fs_err::File::open(&self.path).map_err(unreadable)?;
                file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
                Ok((Box::new(file.take(size)), size))
            }
        }
    }

    fn not_a_layout(&self, why: String) -> Error {
        Error::NotALayout { path: self.path.clone(), why }
    }

    fn not_found(&self, wanted: &str) -> Error {
        let mut available: Vec<String> =
            self.index.value.manifests.iter().flat_map(names_of).map(str::to_owned).collect();
        available.sort();
        available.dedup();
        Error::NotInLayout { path: self.path.clone(), wanted: wanted.to_owned(), available }
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn names_of(descriptor: &Descriptor) -> Vec<&str> {
    let get = |key: &str| descriptor.annotations.get(key).map(String::as_str);
    [get(REF_NAME), get(CONTAINERD_NAME)].into_iter().flatten().collect()
}

/// Whether an entry is called `name`: a tag, or a whole reference.
fn is_called(descriptor: &Descriptor, name: &str) -> bool {
    let wanted = name.parse::<Reference>().ok();
    names_of(descriptor).iter().any(|it| {
        let parsed = it.parse::<Reference>().ok();
        *it == name
            || (it.contains([':', '/'])
                && parsed.as_ref().is_some_and(|it| {
                    it.tag.as_deref() == Some(name) || Some(it) == wanted.as_ref()
                }))
    })
}

/// Where each file lies in the tar archive at `path`. Only whole blobs and documents count.
pub(crate) fn table(path: &Path) -> Result<BTreeMap<String, (u64, u64)>, Error> {
    let unreadable = |source| unreadable(path, source);
    let not_tar = |why: String| Error::NotALayout { path: path.to_owned(), why };
    let mut file = fs_err::File::open(path).map_err(unreadable)?;
    let mut magic = [0; 4];
    let count = file.read(&mut magic).map_err(unreadable)?;
    if magic[..count].starts_with(&[0x1f, 0x8b]) || magic[..count] == [0x28, 0xb5, 0x2f, 0xfd] {
        return Err(not_tar("it is compressed; unpack it first".to_owned()));
    }
    file.rewind().map_err(unreadable)?;
    let mut table = BTreeMap::new();
    let mut links = Vec::new();
    let mut archive = tar::Archive::new(file);
    let broken = |error: io::Error| not_tar(error.to_string());
    for entry in archive.entries_with_seek().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let kind = entry.header().entry_type();
        if kind.is_file()
            && let Some(name) = plain(&name).to_str()
        {
            // A later entry of the same name takes the place of an earlier one, as when unpacked.
            table.insert(name.to_owned(), (entry.raw_file_position(), entry.size()));
        }
        // `docker save` and podman write a layer that occurs twice as a link.
        if let Some(target) = entry.link_name().map_err(broken)? {
            let from = name.parent().filter(|_| kind.is_symlink()).unwrap_or(Path::new(""));
            links.push((plain(&name), plain(&from.join(target))));
        }
    }
    for (name, target) in &links {
        if let (Some(name), Some(found)) =
            (name.to_str(), target.to_str().and_then(|it| table.get(it)).copied())
        {
            table.entry(name.to_owned()).or_insert(found);
        }
    }
    Ok(table)
}

/// A name without `.` and `..`, as far as it stays inside.
fn plain(name: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain
}

pub(crate) fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Read { what: path.display().to_string(), source }
}
