//! Finds the base images that a plan asks for.

use crate::{failure::Failure, inputs::Named, origin};
use std::collections::BTreeMap;
use strake_cache::Store;
use strake_dockerfile::Wanted;
use strake_oci::{ImageConfig, Platform, Raw, Reference, media_type};
use strake_plan::{BaseImage, Origin};
use strake_registry::{Client, Error, Layout};

/// Where base images may be.
pub(crate) struct Bases<'a> {
    pub(crate) store: &'a Store,
    pub(crate) client: &'a Client,
    pub(crate) named: &'a BTreeMap<String, Named>,
    /// Ask the registry even if the store has an image of that name.
    pub(crate) pull: bool,
}

/// The media types that the config of an image has. The last one is what old registries made of it.
const CONFIGS: [&str; 3] =
    [media_type::OCI_CONFIG, media_type::DOCKER_CONFIG, "application/octet-stream"];

impl Bases<'_> {
    /// Reads manifest and config of `name`; no layer is fetched.
    pub(crate) fn find(&self, wanted: &Wanted) -> Result<BaseImage, Failure> {
        let base = self.found(wanted)?;
        let kind = &base.manifest.value.config.media_type;
        if !CONFIGS.contains(&kind.as_str()) {
            return Err(Failure::new(format!(
                "it is no container image: its config is of type {kind}"
            ))
            .hint("it is an artifact of another kind: name an image"));
        }
        Ok(base)
    }

    fn found(&self, wanted: &Wanted) -> Result<BaseImage, Failure> {
        let (name, platform) = (&wanted.name, &wanted.platform);
        match wanted.context.as_ref().and_then(|it| self.named.get(it)) {
            Some(Named::Layout(folder, what)) => {
                return self.in_layout(name, folder, what.as_deref(), platform);
            }
            Some(Named::Image(image)) => return self.by_reference(name, image, platform),
            Some(Named::Folder(_) | Named::Repository(_) | Named::File(_)) | None => (),
        }
        self.by_reference(name, &wanted.reference, platform)
    }

    fn in_layout(
        &self,
        name: &str,
        folder: &std::path::Path,
        what: Option<&str>,
        platform: &Platform,
    ) -> Result<BaseImage, Failure> {
        let layout = Layout::open(folder)?;
        let found = layout.resolve(what, platform)?;
        Ok(BaseImage {
            written: name.to_owned(),
            origin: Origin::Layout(folder.to_owned()),
            config: layout.config(&found.manifest.value.config)?,
            manifest: found.manifest,
        })
    }

    fn by_reference(
        &self,
        name: &str,
        image: &str,
        platform: &Platform,
    ) -> Result<BaseImage, Failure> {
        let reference: Reference = image.parse()?;
        if !self.pull
            && let Some(found) = self.in_store(name, &reference, platform)?
        {
            return Ok(found);
        }
        let found = self.client.resolve(&reference, platform)?;
        let descriptor = &found.manifest.value.config;
        let config = match self.store.blob(&descriptor.digest) {
            Some(path) => parse(name, "config", fs_err::read(path)?)?,
            None => {
                let config = self.client.config(&reference, descriptor)?;
                self.store.write_blob(&config.bytes)?;
                config
            }
        };
        Ok(BaseImage {
            written: name.to_owned(),
            origin: Origin::Registry(reference),
            manifest: found.manifest,
            config,
        })
    }

    /// An image that an earlier build put into the store under this name.
    fn in_store(
        &self,
        name: &str,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<BaseImage>, Failure> {
        let Some(digest) = self.store.image(&reference.to_string()) else { return Ok(None) };
        let manifest = match origin::in_store(name, digest, platform, self.store) {
            Ok(found) => found.manifest,
            Err(Error::PlatformMissing { .. } | Error::Incomplete { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(path) = self.store.blob(&manifest.value.config.digest) else { return Ok(None) };
        let config: Raw<ImageConfig> = parse(name, "config", fs_err::read(path)?)?;
        let whole = manifest.value.layers.iter().all(|it| self.store.blob(&it.digest).is_some());
        if !whole || !config.value.platform().satisfies(platform) {
            return Ok(None);
        }
        Ok(Some(BaseImage { written: name.to_owned(), origin: Origin::Store, manifest, config }))
    }
}

fn parse<T: serde::de::DeserializeOwned>(
    name: &str,
    what: &str,
    bytes: Vec<u8>,
) -> Result<Raw<T>, Failure> {
    Raw::parse(bytes).map_err(|error| Failure::new(format!("the {what} of {name}: {error}")))
}
