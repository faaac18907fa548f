//! What `case.json` says about a seed case.

use crate::shell::root;
use fs_err as fs;
use serde_json::Value;
use std::path::PathBuf;

/// One Dockerfile of a seed document, with its application.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The folder in the checkout.
    pub(crate) folder: PathBuf,
    /// The file that builds.
    pub(crate) dockerfile: String,
    /// The document's own text, where Docker does not build that.
    pub(crate) refused: Option<String>,
    pub(crate) build_args: Vec<String>,
    pub(crate) uid: u32,
    /// Port and path that answer.
    pub(crate) health: Option<(u16, String)>,
    pub(crate) healthcheck: bool,
    /// A command for a container that serves nothing, and what it prints.
    pub(crate) prints: Option<(Vec<String>, String)>,
    /// The source file whose change is tried.
    pub(crate) source: String,
}

/// All of them, in the order of their names.
pub(crate) fn all() -> Result<Vec<Case>, String> {
    let mut folders: Vec<PathBuf> = fs::read_dir(root().join("testdata/seeds"))
        .map_err(|error| error.to_string())?
        .filter_map(Result::ok)
        .map(|it| it.path())
        .filter(|it| it.join("case.json").is_file())
        .collect();
    folders.sort();
    folders.into_iter().map(read).collect()
}

fn read(folder: PathBuf) -> Result<Case, String> {
    let file = folder.join("case.json");
    let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
    let json: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let missing = |what: &str| format!("{}: no {what}", file.display());
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let words = |value: &Value| value.as_array().into_iter().flatten().filter_map(word).collect();
    let args = json["build_args"].as_object().into_iter().flatten();
    let port = json["port"].as_u64().and_then(|it| u16::try_from(it).ok());
    Ok(Case {
        name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        dockerfile: word(&json["dockerfile"]).ok_or_else(|| missing("dockerfile"))?,
        refused: word(&json["docker"]["file"]),
        build_args: args
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
            .collect(),
        uid: json["uid"]
            .as_u64()
            .and_then(|it| u32::try_from(it).ok())
            .ok_or_else(|| missing("uid"))?,
        health: port.zip(word(&json["health"])),
        healthcheck: json["healthcheck"].as_bool().ok_or_else(|| missing("healthcheck"))?,
        prints: word(&json["prints"]).map(|text| (words(&json["run"]), text)),
        source: word(&json["source"]).ok_or_else(|| missing("source"))?,
        folder,
    })
}
