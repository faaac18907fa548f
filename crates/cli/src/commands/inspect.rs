//! `strake inspect`.

use crate::{
    args_registry::InspectArgs, failure::Failure, images::store_folder, origin::Origin, registries,
    say, template,
};
use serde_json::{Map, Value, json};
use std::io::Write;
use strake_cache::Store;
use strake_oci::{Descriptor, Digest, Platform};
use strake_registry::Resolved;

pub(crate) fn run(args: InspectArgs) -> Result<(), Failure> {
    let InspectArgs { image, raw, raw_config, format, platform, remote, registry, store } = args;
    let template = format.as_deref().map(template::parse).transpose().map_err(Failure::usage)?;
    let platform = platform.map_or_else(|| Ok(Platform::host()), |it| it.parse())?;
    let client = registries::client(&registry, None)?;
    let store = Store::open(&store_folder(store.store))?;
    let origin = match remote {
        true => Origin::Registry(image.parse()?),
        false => Origin::find(&image, &store)?,
    };
    if raw {
        return bytes(&origin.document(&store, &client)?);
    }
    let found = origin.resolve(&image, &platform, &store, &client)?;
    let read = origin.config(&found.manifest.value.config, &store, &client)?;
    if raw_config {
        return bytes(&read.bytes);
    }
    let read: Value = serde_json::from_slice(&read.bytes).unwrap_or_default();
    let name = match &origin {
        Origin::Registry(reference) => reference.familiar(),
        Origin::Layout(..) | Origin::Store(_) => image,
    };
    let document = document(&name, &found, &read);
    match template {
        None => say::data(&format!("{document:#}")),
        Some(template) => say::data(&template.fill(&document).map_err(Failure::new)?),
    }
    Ok(())
}

fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    Ok(std::io::stdout().lock().write_all(bytes)?)
}

/// What is shown, under the names that skopeo and docker have for it.
fn document(name: &str, found: &Resolved, config: &Value) -> Value {
    let manifest = &found.manifest.value;
    let mut all = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            all.insert(key.to_owned(), value);
        }
    };
    put("Name", name.into());
    put("Digest", found.digest.to_string().into());
    let kind = match &found.index {
        Some(index) => index.value.media_type.clone(),
        None => Some(found.manifest_descriptor.media_type.clone()),
    };
    put("MediaType", kind.into());
    put("ManifestDigest", found.manifest_descriptor.digest.to_string().into());
    put("ConfigDigest", manifest.config.digest.to_string().into());
    if let Some(index) = &found.index {
        let platforms = index.value.manifests.iter().filter_map(|it| it.platform.as_ref());
        put("Platforms", platforms.map(Platform::to_string).collect::<Vec<_>>().into());
        put("Manifests", index.value.manifests.iter().map(entry).collect::<Vec<_>>().into());
    }
    for (key, name) in [
        ("Architecture", "architecture"),
        ("Os", "os"),
        ("Variant", "variant"),
        ("Created", "created"),
        ("Author", "author"),
        ("Config", "config"),
        ("History", "history"),
        ("RootFS", "rootfs"),
    ] {
        put(key, config[name].clone());
    }
    put("Labels", config["config"]["Labels"].clone());
    put("Env", config["config"]["Env"].clone());
    let layers = &manifest.layers;
    put("Layers", layers.iter().map(|it| it.digest.to_string()).collect::<Vec<_>>().into());
    put("LayersData", layers.iter().map(entry).collect::<Vec<_>>().into());
    put("Size", layers.iter().map(|it| it.size).sum::<u64>().into());
    if !manifest.annotations.is_empty() {
        put("Annotations", json!(manifest.annotations));
    }
    Value::Object(all)
}

fn entry(descriptor: &Descriptor) -> Value {
    let digest: Digest = descriptor.digest;
    let mut entry = json!({
        "MediaType": descriptor.media_type,
        "Digest": digest.to_string(),
        "Size": descriptor.size,
    });
    if let Some(platform) = &descriptor.platform {
        entry["Platform"] = platform.to_string().into();
    }
    if !descriptor.annotations.is_empty() {
        entry["Annotations"] = json!(descriptor.annotations);
    }
    entry
}
