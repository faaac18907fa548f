//! Archives of `docker save`, as a source of images.
//!
//! Docker image specification v1.2, *combined image JSON + filesystem changeset format*: a
//! `manifest.json` names the config and the layers. Newer ones are OCI layouts as well; this is for
//! those that are not.

use crate::{
    Error, document,
    layout::{table, unreadable},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};
use strake_oci::{ImageConfig, Raw, Reference};

/// An archive of `docker save`.
#[derive(Debug)]
pub struct DockerArchive {
    path: PathBuf,
    table: BTreeMap<String, (u64, u64)>,
    images: Vec<Item>,
}

/// An element of manifest.json.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

impl DockerArchive {
    /// Opens the tar archive at `path`.
    pub fn open(path: &Path) -> Result<DockerArchive, Error> {
        let mut archive =
            DockerArchive { path: path.to_owned(), table: table(path)?, images: Vec::new() };
        let bytes = archive.document("manifest.json")?;
        let images: Result<Vec<Item>, _> = serde_json::from_slice(&bytes);
        archive.images = images.map_err(|error| archive.malformed(error.to_string()))?;
        Ok(archive)
    }

    /// The config of the image called `wanted`, or of the only one, and its layers' places in the
    /// archive, base first.
    pub fn image(&self, wanted: Option<&str>) -> Result<(Raw<ImageConfig>, Vec<String>), Error> {
        let wanted_name = wanted.and_then(|it| it.parse::<Reference>().ok());
        let is_called = |item: &&Item| {
            let mut names = item.repo_tags.iter().flatten();
            names.any(|name| {
                let parsed = name.parse::<Reference>().ok();
                parsed.as_ref().is_some_and(|it| it.tag.as_deref() == wanted)
                    || (parsed.is_some() && parsed == wanted_name)
            })
        };
        let found = match (wanted, self.images.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), images) => images.iter().find(is_called),
        };
        let Some(Item { config, repo_tags: _, layers }) = found else {
            let names = self.images.iter().filter_map(|it| it.repo_tags.clone()).flatten();
            return Err(Error::NotInLayout {
                path: self.path.clone(),
                wanted: wanted.unwrap_or("a single image").to_owned(),
                available: names.collect(),
            });
        };
        let place = self.path.display().to_string();
        Ok((document::config(&place, self.document(config)?)?, layers.clone()))
    }

    /// A layer, by its place in the archive; it has not been checked.
    pub fn layer(&self, name: &str) -> Result<Box<dyn Read + Send>, Error> {
        let Some((offset, size)) = self.table.get(name).copied() else {
            return Err(self.malformed(format!("there is no {name}")));
        };
        let failed = |source| unreadable(&self.path, source);
        let mut file = fs_err::File::open(&self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        Ok(Box::new(file.take(size)))
    }

    fn document(&self, name: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let reader = self.layer(name)?;
        let read = reader.take(document::LIMIT).read_to_end(&mut bytes);
        read.map_err(|source| unreadable(&self.path, source))?;
        Ok(bytes)
    }

    fn malformed(&self, why: String) -> Error {
        Error::Malformed { place: self.path.display().to_string(), what: "docker archive", why }
    }
}
