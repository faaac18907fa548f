//! A CDI specification as it is written: JSON, or YAML of the same shape.

use super::DeviceError;
use serde::Deserialize;
use serde_json::{Map, Number, Value};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use yaml_rust2::{Yaml, YamlLoader};

/// One file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Spec {
    #[serde(rename = "cdiVersion")]
    pub(super) _version: String,
    pub(super) kind: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) devices: Vec<Device>,
    #[serde(default)]
    pub(super) container_edits: Option<Edits>,
}

/// One device.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Device {
    pub(super) name: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) container_edits: Edits,
}

/// What changes in the container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Edits {
    #[serde(default)]
    pub(super) env: Vec<String>,
    #[serde(default)]
    pub(super) device_nodes: Vec<Node>,
    #[serde(default)]
    pub(super) mounts: Vec<Mount>,
    #[serde(default)]
    pub(super) hooks: Vec<Value>,
    #[serde(default)]
    pub(super) additional_gids: Vec<u32>,
    #[serde(default)]
    pub(super) intel_rdt: Option<Value>,
    #[serde(default)]
    pub(super) net_devices: Vec<Value>,
}

/// A device node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Node {
    pub(super) path: PathBuf,
    #[serde(default)]
    pub(super) host_path: Option<PathBuf>,
    /// The host's own node is what is shown, and it has the type that it has.
    #[serde(default, rename = "type")]
    pub(super) _kind: Option<String>,
    #[serde(default)]
    pub(super) major: Option<i64>,
    #[serde(default)]
    pub(super) minor: Option<i64>,
    #[serde(default)]
    pub(super) file_mode: Option<u32>,
    #[serde(default)]
    pub(super) permissions: String,
    #[serde(default)]
    pub(super) uid: Option<u32>,
    #[serde(default)]
    pub(super) gid: Option<u32>,
}

/// A mount.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Mount {
    pub(super) host_path: PathBuf,
    pub(super) container_path: PathBuf,
    #[serde(default)]
    pub(super) options: Vec<String>,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
}

pub(super) fn read(file: &Path) -> Result<Spec, DeviceError> {
    let broken = |why: String| DeviceError::Spec { path: file.to_owned(), why };
    let text = std::fs::read_to_string(file).map_err(|error| broken(error.to_string()))?;
    // JSON is YAML too.
    let mut documents =
        YamlLoader::load_from_str(&text).map_err(|error| broken(error.to_string()))?;
    let document = documents.pop().filter(|_| documents.is_empty());
    let value = document.and_then(value).ok_or_else(|| broken("no single document".to_owned()))?;
    serde_json::from_value(value).map_err(|error| broken(error.to_string()))
}

fn value(yaml: Yaml) -> Option<Value> {
    Some(match yaml {
        Yaml::Real(text) => Value::Number(Number::from_f64(text.parse().ok()?)?),
        Yaml::Integer(number) => number.into(),
        Yaml::String(text) => text.into(),
        Yaml::Boolean(switch) => switch.into(),
        Yaml::Array(items) => items.into_iter().map(value).collect::<Option<Vec<_>>>()?.into(),
        Yaml::Hash(pairs) => {
            let pairs = pairs.into_iter().map(|(key, it)| Some((key.into_string()?, value(it)?)));
            pairs.collect::<Option<Map<_, _>>>()?.into()
        }
        Yaml::Null => Value::Null,
        Yaml::Alias(_) | Yaml::BadValue => return None,
    })
}
