//! What a folder of `testdata/build` says.

use crate::shell::root;
use fs_err as fs;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One behaviour.
///
/// `case.json` may have:
/// - `flags`: of both builders; `{dir}` is the folder in which the case is built, and `{http}` its
///   address on a web server;
/// - `context`: the context where it is not a folder, with the same;
/// - `platforms`: the index has these, and each is compared;
/// - `ours`, `theirs`: flags of one builder alone;
/// - `error`: a part of what strake says when it fails; then both builders must fail;
/// - `line`: the line of the Dockerfile that the error shows; 0 where none is to blame;
/// - `history`: the last entries of the image's history, where the reference is too old for them;
/// - `refused`: a part of what Docker's builder says, where it alone must fail, with `why`;
/// - `stricter`: a part of what strake says where it alone must fail, with `why`;
/// - `ignore`: places whose differences do not count, each with its reason;
/// - `images`: names of images that the toolbox stands in for;
/// - `why`: what stands in for what, or why `Dockerfile.reference` does for the `Dockerfile`;
/// - `subset`: whether CI takes the case;
/// - `not_as_user`: why an ordinary user cannot build it.
///
/// Where the reference builder is too old for a flag, `Dockerfile.reference` has the expectation,
/// written without it: its files and config, not its history, are what the case must give.
/// `setup.sh` makes what Git does not keep.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) flags: Vec<String>,
    pub(crate) ours: Vec<String>,
    pub(crate) theirs: Vec<String>,
    pub(crate) context: Option<String>,
    pub(crate) platforms: Vec<String>,
    pub(crate) error: Option<String>,
    pub(crate) line: u64,
    pub(crate) history: Vec<String>,
    pub(crate) refused: Option<String>,
    pub(crate) stricter: Option<String>,
    pub(crate) ignore: Vec<String>,
    pub(crate) images: Vec<String>,
    pub(crate) subset: bool,
    pub(crate) not_as_user: Option<String>,
    /// Whether `Dockerfile.reference` is there.
    pub(crate) rewritten: bool,
}

impl Case {
    /// Whether a stage of the Dockerfile has the name of a base, which would take its place.
    pub(crate) fn names_a_stage(&self, base: &str) -> bool {
        let name = base.split([':', '=']).next().unwrap_or(base);
        let text = fs::read_to_string(self.folder.join("Dockerfile")).unwrap_or_default();
        let ending = format!(" AS {name}");
        let named = |line: &&str| line.starts_with("FROM ") && line.ends_with(&ending);
        text.lines().filter(named).any(|it| !it.starts_with(&format!("FROM {name} ")))
    }
}

/// All of them, in the order of their names.
pub(crate) fn all() -> Result<Vec<Case>, String> {
    let mut folders: Vec<PathBuf> = fs::read_dir(root().join("testdata/build"))
        .map_err(|error| error.to_string())?
        .filter_map(Result::ok)
        .map(|it| it.path())
        .filter(|it| it.is_dir())
        .collect();
    folders.sort();
    folders.into_iter().map(read).collect()
}

const KEYS: &[&str] = &[
    "flags",
    "ours",
    "theirs",
    "context",
    "platforms",
    "error",
    "line",
    "history",
    "refused",
    "stricter",
    "ignore",
    "images",
    "why",
    "subset",
    "not_as_user",
];

fn read(folder: PathBuf) -> Result<Case, String> {
    let json = document(&folder)?;
    let word = |key: &str| json[key].as_str().map(str::to_owned);
    let words = |key: &str| -> Vec<String> {
        let list = json[key].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let rewritten = folder.join("Dockerfile.reference").is_file();
    let (images, refused, stricter) = (words("images"), word("refused"), word("stricter"));
    if word("why").is_none()
        && (rewritten || !images.is_empty() || refused.is_some() || stricter.is_some())
    {
        return Err(format!("{}: case.json has no `why`", folder.display()));
    }
    let line = json["line"].as_u64();
    if line.is_some() != (word("error").is_some() || stricter.is_some()) {
        return Err(format!("{}: an error has a `line`, and nothing else has", folder.display()));
    }
    let ignore = json["ignore"].as_object().into_iter().flatten();
    Ok(Case {
        name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        flags: words("flags"),
        ours: words("ours"),
        theirs: words("theirs"),
        context: word("context"),
        platforms: words("platforms"),
        error: word("error"),
        line: line.unwrap_or(0),
        history: words("history"),
        refused,
        stricter,
        ignore: ignore.map(|it| it.0.clone()).collect(),
        images,
        subset: json["subset"].as_bool().unwrap_or(false),
        not_as_user: word("not_as_user"),
        rewritten,
        folder,
    })
}

fn document(folder: &Path) -> Result<Value, String> {
    let file = folder.join("case.json");
    if !file.is_file() {
        return Ok(Value::Null);
    }
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(&file).map_err(|error| wrong(&error))?;
    let json: Value = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let keys = json.as_object().ok_or_else(|| wrong(&"no object"))?.keys();
    match keys.into_iter().find(|it| !KEYS.contains(&it.as_str())) {
        Some(unknown) => Err(wrong(&format!("no case has `{unknown}`"))),
        None => Ok(json),
    }
}
