//! Finds and reads a finished image by what a person calls it.

use crate::{
    environment,
    failure::{Failure, chain},
    origin,
};
use rayon::prelude::*;
use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};
use strake_cache::Store;
use strake_diff::Image;
use strake_layer::{DigestReader, Index, read_index};
use strake_oci::{DiffId, Digest, ImageConfig, Manifest, Platform, Reference};
use strake_registry::{Client, DockerArchive, Error, Layout};

/// Where images may be.
pub(crate) struct Images<'a> {
    /// The folder of the store; it is opened when a reference is asked for.
    pub(crate) store: &'a Path,
    pub(crate) client: &'a Client,
    pub(crate) platform: &'a Platform,
}

/// What a person wrote, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A layout or an archive, and what of it.
    Path(PathBuf, Option<String>),
    Reference(String),
}

/// What gives a layer's bytes.
type Opener<'a> = dyn Fn(usize) -> Result<Box<dyn Read + Send>, Failure> + Sync + 'a;

/// The same by digest.
type BlobOpener<'a> = dyn Fn(&Digest) -> Result<Box<dyn Read + Send>, Failure> + Sync + 'a;

impl Images<'_> {
    /// Reads config and layers of `PATH[:TAG|@DIGEST]` or of a reference, the store's first.
    pub(crate) fn read(&self, written: &str) -> Result<Image, Failure> {
        match parse(written)? {
            Written::Path(path, what) => self.at_path(&path, what.as_deref()),
            Written::Reference(name) => self.by_name(&name.parse()?),
        }
        .map_err(|it| Failure { message: format!("{written}: {}", it.message), ..it })
    }

    fn at_path(&self, path: &Path, what: Option<&str>) -> Result<Image, Failure> {
        let layout = match Layout::open(path) {
            Ok(layout) => layout,
            Err(error @ Error::NotALayout { .. }) if path.is_file() => {
                return match DockerArchive::open(path) {
                    Ok(archive) => in_archive(&archive, what),
                    Err(_) => Err(error.into()),
                };
            }
            Err(error) => return Err(error.into()),
        };
        let found = layout.resolve(what, self.platform)?;
        let manifest = &found.manifest.value;
        let config = layout.config(&manifest.config)?.value;
        let layers = checked(manifest, &config, &|digest| Ok(layout.open_blob(digest)?))?;
        Ok(Image { config, layers })
    }

    fn by_name(&self, reference: &Reference) -> Result<Image, Failure> {
        let store = Store::open(self.store)?;
        if let Some(image) = in_store(&store, reference, self.platform)? {
            return Ok(image);
        }
        let found = self.client.resolve(reference, self.platform)?;
        let manifest = &found.manifest.value;
        let config = self.client.config(reference, &manifest.config)?.value;
        let folder = store.temp_dir("diff")?;
        let layers = checked(manifest, &config, &|digest| {
            if let Some(path) = store.blob(digest) {
                return Ok(Box::new(fs_err::File::open(path)?));
            }
            let path = folder.path().join(digest.hex());
            let layer = manifest.layers.iter().find(|it| it.digest == *digest);
            let layer = layer.expect("the layer is of this manifest");
            self.client.pull_blob_to(reference, layer, &path, &|_| ())?;
            Ok(Box::new(fs_err::File::open(path)?))
        })?;
        Ok(Image { config, layers })
    }
}

/// The image for the platform where an index has the name.
fn in_store(
    store: &Store,
    reference: &Reference,
    platform: &Platform,
) -> Result<Option<Image>, Failure> {
    let Some(name) = store.image(&reference.to_string()) else { return Ok(None) };
    let manifest = origin::in_store("the store", name, platform, store)?.manifest.value;
    let path = |digest: &Digest| {
        let missing = || Failure::new(format!("the store has no blob {digest}"));
        store.blob(digest).ok_or_else(missing)
    };
    let broken = |error: serde_json::Error| Failure::new(format!("cannot be read: {error}"));
    let bytes = fs_err::read(path(&manifest.config.digest)?)?;
    let config: ImageConfig = serde_json::from_slice(&bytes).map_err(broken)?;
    let layers = checked(&manifest, &config, &|it| Ok(Box::new(fs_err::File::open(path(it)?)?)))?;
    Ok(Some(Image { config, layers }))
}

fn in_archive(archive: &DockerArchive, what: Option<&str>) -> Result<Image, Failure> {
    let (config, places) = archive.image(what)?;
    let open = |at: usize| Ok(archive.layer(&places[at])?);
    let layers = indexes(&config.value, places.len(), &open)?;
    Ok(Image { config: config.value, layers })
}

/// Reads the layers of a manifest; each is what its digest and its diff id say, or this fails.
fn checked(
    manifest: &Manifest,
    config: &ImageConfig,
    open: &BlobOpener<'_>,
) -> Result<Vec<Arc<Index>>, Failure> {
    let layers = &manifest.layers;
    indexes(config, layers.len(), &|at| {
        let digest = layers[at].digest;
        let reader = DigestReader::new(open(&digest)?);
        Ok(Box::new(Checked { reader: Some(reader), digest }))
    })
}

/// Fails at its end when the bytes are not what the digest says.
struct Checked {
    reader: Option<DigestReader<Box<dyn Read + Send>>>,
    digest: Digest,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some(reader) = &mut self.reader else { return Ok(0) };
        let count = reader.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            let (got, _) = self.reader.take().expect("there is one").finish()?;
            if got != self.digest {
                let message = format!("blob {} is damaged: it is {got}", self.digest);
                return Err(std::io::Error::other(message));
            }
        }
        Ok(count)
    }
}

fn indexes(
    config: &ImageConfig,
    count: usize,
    open: &Opener<'_>,
) -> Result<Vec<Arc<Index>>, Failure> {
    let diff_ids: &[DiffId] = &config.rootfs.diff_ids;
    if diff_ids.len() != count {
        return Err(Failure::new(format!(
            "the manifest has {count} layers and the config {}",
            diff_ids.len()
        )));
    }
    let one = |(at, diff_id): (usize, &DiffId)| {
        let index = read_index(open(at)?, Some(*diff_id));
        let index = index.map_err(|it| Failure::new(format!("layer {at}: {}", chain(&it))))?;
        Ok(Arc::new(index))
    };
    diff_ids.par_iter().enumerate().map(one).collect()
}

pub(crate) fn parse(written: &str) -> Result<Written, Failure> {
    if let Some(name) = written.strip_prefix("docker-image://") {
        return Ok(Written::Reference(name.to_owned()));
    }
    let (path, must) = match written.strip_prefix("oci-layout://") {
        Some(path) => (path, true),
        None => (written, written.starts_with(['/', '.'])),
    };
    if must && Path::new(path).exists() || is_image(Path::new(path)) {
        return Ok(Written::Path(PathBuf::from(path), None));
    }
    let cut = path.split_once("::").or_else(|| path.rsplit_once('@'));
    if let Some((path, what)) = cut.or_else(|| path.rsplit_once(':'))
        && (must && Path::new(path).exists() || is_image(Path::new(path)))
    {
        return Ok(Written::Path(PathBuf::from(path), Some(what.to_owned())));
    }
    if must {
        return Err(Failure::usage(format!("there is no `{path}`"))
            .hint("name an OCI layout, an archive of one or of `docker save`, or an image"));
    }
    Ok(Written::Reference(written.to_owned()))
}

/// Whether this can only be meant as a path: a folder may have the name of an image.
fn is_image(path: &Path) -> bool {
    path.is_file() || path.join("index.json").is_file()
}

/// The folder of the store, where none was written.
pub(crate) fn store_folder(flag: Option<PathBuf>) -> PathBuf {
    environment::store(flag, rustix::process::getuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::{Written, parse};
    use std::path::PathBuf;

    #[test]
    fn what_people_call_images() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("alpine")).unwrap();
        let folder = dir.path().display().to_string();
        let path =
            |what: Option<&str>| Written::Path(PathBuf::from(&folder), what.map(str::to_owned));
        assert_eq!(parse(&folder).unwrap(), path(None));
        assert_eq!(parse(&format!("{folder}:v1")).unwrap(), path(Some("v1")));
        assert_eq!(parse(&format!("{folder}::a:b")).unwrap(), path(Some("a:b")));
        assert_eq!(
            parse(&format!("oci-layout://{folder}@sha256:0")).unwrap(),
            path(Some("sha256:0"))
        );
        let name = |it: &str| Written::Reference(it.to_owned());
        assert_eq!(parse("alpine:3.20").unwrap(), name("alpine:3.20"));
        assert_eq!(parse("docker-image://alpine").unwrap(), name("alpine"));
        assert!(parse("/no/such/layout:v1").is_err());
    }
}
