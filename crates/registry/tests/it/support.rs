//! What the tests of this crate share: small images and clients.

use std::{path::Path, sync::Arc, time::Duration};
use strake_oci::{
    Descriptor, Digest, ImageConfig, Manifest, Platform, Raw, Reference, RootFs, media_type,
};
use strake_registry::{
    Anonymous, Client, Credentials, Keychain, KeychainError, Options, Patience, PushImage,
    PushLayer, PushSource, Retries,
};

/// A login that never changes.
pub(crate) struct Fixed(pub(crate) Credentials);

impl Keychain for Fixed {
    fn credentials(&self, _: &str) -> Result<Credentials, KeychainError> {
        Ok(self.0.clone())
    }
}

pub(crate) fn basic(user: &str, password: &str) -> Arc<dyn Keychain> {
    Arc::new(Fixed(Credentials::Basic { user: user.to_owned(), password: password.to_owned() }))
}

/// Options for tests: short waits, no proxies.
pub(crate) fn options(keychain: Arc<dyn Keychain>) -> Options {
    let short = Duration::from_millis(2);
    Options {
        proxies: strake_registry::Proxies::Direct,
        retries: Retries { base: short, ..Retries::STANDARD },
        patience: Patience { idle: Duration::from_secs(20), ..Patience::STANDARD },
        ..Options::standard(keychain)
    }
}

pub(crate) fn anonymous() -> Client {
    Client::new(options(Arc::new(Anonymous))).unwrap()
}

/// Options that know that `fake` has no TLS.
pub(crate) fn options_of(fake: &crate::fake::Fake) -> Options {
    Options { plain_http: [fake.host()].into(), ..options(Arc::new(Anonymous)) }
}

pub(crate) fn client_of(fake: &crate::fake::Fake) -> Client {
    Client::new(options_of(fake)).unwrap()
}

pub(crate) fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// An image with these layers, whose blobs are written to `folder`.
pub(crate) fn image(folder: &Path, layers: &[&[u8]]) -> PushImage {
    let layers: Vec<PushLayer> = layers
        .iter()
        .map(|bytes| {
            let digest = Digest::of(bytes);
            let path = folder.join(digest.hex());
            fs_err::write(&path, bytes).unwrap();
            PushLayer {
                descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, bytes.len() as u64),
                source: PushSource::File(path),
            }
        })
        .collect();
    let diff_ids = layers.iter().map(|it| strake_oci::DiffId(it.descriptor.digest)).collect();
    let config = Raw::write(ImageConfig {
        rootfs: RootFs { diff_ids, ..RootFs::default() },
        ..ImageConfig::scratch(&amd64())
    });
    let size = config.bytes.len() as u64;
    let manifest = Raw::write(Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.to_owned()),
        config: Descriptor::new(media_type::OCI_CONFIG, config.digest(), size),
        layers: layers.iter().map(|it| it.descriptor.clone()).collect(),
        annotations: Default::default(),
    });
    PushImage { manifest, config: config.bytes, layers }
}

/// Bytes without a pattern that a short period would hide.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state >> 56).unwrap()
    };
    (0..length).map(step).collect()
}
