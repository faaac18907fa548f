//! What `-o` says. Types and keys are those of buildx; see [`KEYS`].

mod csv;
mod keys;

use crate::{annotations::Annotations, failure::Failure};
use std::{
    collections::BTreeMap,
    io::IsTerminal,
    path::{Path, PathBuf},
};
use strake_export::MediaTypes;
use strake_layer::Compression;
use strake_oci::Reference;

/// Steps are always cached: nothing else is wanted.
const CACHE_ONLY: &str = "type=cacheonly";

/// One place that the image goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// Where, and in which form.
    pub(crate) kind: Kind,
    /// `name=`: what the image is called there. Without it, what `-t` says.
    pub(crate) names: Vec<Reference>,
    /// `oci-mediatypes=`, or what the type has by default.
    pub(crate) media_types: MediaTypes,
    /// `force-compression=`: layers of the base are recompressed too.
    pub(crate) force_compression: bool,
    /// `rewrite-timestamp=`: times of files end at the epoch.
    pub(crate) rewrite_timestamp: bool,
    /// `source-date-epoch=`: instead of the build's.
    pub(crate) epoch: Option<u32>,
    /// `annotation*`.
    pub(crate) annotations: Annotations,
    /// `platform-split=`: whether files are in a folder for each platform.
    pub(crate) split: Option<bool>,
    /// `dangling-name-prefix=` and `name-canonical=`.
    pub(crate) store_names: StoreNames,
    /// `compression=estargz`, and its level.
    pub(crate) estargz: Option<u32>,
    compression: Option<Compression>,
}

/// Names that an image gets in the store besides its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreNames {
    /// What stands before the digest of an image without a name.
    pub(crate) dangling_prefix: Option<String>,
    /// Whether each name stands there with the digest too.
    pub(crate) canonical: bool,
}

/// The forms of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `type=oci`: the layout as a tar.
    OciTar(Sink),
    /// `type=oci,tar=false`: the layout as a folder.
    OciFolder(PathBuf),
    /// `type=docker`: for `docker load`.
    Docker(Sink),
    /// `type=tar`: the files as a tar.
    Tar(Sink),
    /// `type=local`: the files in a folder.
    Local(PathBuf),
    /// `type=registry`, or `type=image,push=true`.
    Registry {
        /// `push-by-digest=`: no tag is written.
        by_digest: bool,
        /// `store=true`: the image is put into the store too.
        store: bool,
    },
    /// `type=image`: the store.
    Store,
}

/// Where a stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// `dest=-`.
    Stdout,
    /// `dest=FILE`.
    File(PathBuf),
}

impl Output {
    /// Everything that `-o`, `--push`, `--load` and `-t` together ask for. Empty where nothing is asked.
    pub(crate) fn choose(
        written: &[String],
        push: bool,
        load: bool,
        tagged: bool,
    ) -> Result<Vec<Output>, Failure> {
        let written_out = written.iter().filter(|it| *it != CACHE_ONLY);
        let mut outputs = written_out.map(|it| parse(it)).collect::<Result<Vec<_>, _>>()?;
        let registry = Kind::Registry { by_digest: false, store: false };
        if push && !outputs.iter().any(Output::is_push) {
            match outputs.iter_mut().find(|it| it.is_store()) {
                Some(image) => image.kind = registry,
                None => outputs.push(Output::plain(registry)),
            }
        }
        let wants_store = load || (written.is_empty() && outputs.is_empty() && tagged);
        if wants_store && !outputs.iter().any(Output::is_store) {
            outputs.push(Output::plain(Kind::Store));
        }
        if !tagged && outputs.iter().any(|it| it.is_push() && it.names.is_empty()) {
            return Err(Failure::usage("a push needs a name").hint("give -t REGISTRY/NAME:TAG"));
        }
        check_stdout(&outputs, std::io::stdout().is_terminal())?;
        Ok(outputs)
    }

    /// How layers are to be compressed, where it is said.
    pub(crate) fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Whether the image goes to the store and nowhere else.
    pub(crate) fn is_store(&self) -> bool {
        self.kind == Kind::Store
    }

    /// Whether an archive goes to standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        match &self.kind {
            Kind::OciTar(sink) | Kind::Docker(sink) | Kind::Tar(sink) => *sink == Sink::Stdout,
            Kind::OciFolder(_) | Kind::Local(_) | Kind::Registry { .. } | Kind::Store => false,
        }
    }

    /// The file that an archive goes to.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.kind {
            Kind::OciTar(Sink::File(path))
            | Kind::Docker(Sink::File(path))
            | Kind::Tar(Sink::File(path)) => Some(path),
            _ => None,
        }
    }

    /// Whether layers go to a registry as the build packs them with `compression`.
    pub(crate) fn takes_layers_of(&self, packed: Compression) -> bool {
        let wanted = self.compression.unwrap_or(Compression::Gzip(Compression::DEFAULT_GZIP));
        self.is_push()
            && wanted == packed
            && self.estargz.is_none()
            && !self.rewrite_timestamp
            && !self.force_compression
    }

    fn is_push(&self) -> bool {
        matches!(self.kind, Kind::Registry { by_digest: _, store: _ })
    }

    /// An output with nothing but a form.
    pub(crate) fn plain(kind: Kind) -> Output {
        Output {
            kind,
            names: Vec::new(),
            media_types: MediaTypes::Oci,
            force_compression: false,
            rewrite_timestamp: false,
            epoch: None,
            annotations: Annotations::default(),
            split: None,
            store_names: StoreNames::default(),
            estargz: None,
            compression: None,
        }
    }
}

/// A stream on a terminal helps nobody, and two streams in one pipe neither.
fn check_stdout(outputs: &[Output], terminal: bool) -> Result<(), Failure> {
    match outputs.iter().filter(|it| it.is_stdout()).count() {
        0 => Ok(()),
        1 if terminal => Err(Failure::usage("-o would write an archive to the terminal")
            .hint("give dest=FILE, or redirect standard output")),
        1 => Ok(()),
        _ => Err(Failure::usage("more than one -o writes to standard output")
            .hint("give dest=FILE to all but one")),
    }
}

/// Reads one value of `-o`.
fn parse(text: &str) -> Result<Output, Failure> {
    let wrong = |what: String| Failure::usage(format!("-o {text}: {what}"));
    let fields = csv::fields(text).map_err(wrong)?;
    if let [path] = fields.as_slice()
        && !keys::has_known_key(path)
    {
        return Ok(Output::plain(match path.as_str() {
            "" => return Err(wrong("it is empty".to_owned()).hint("give a folder or type=..")),
            "-" => Kind::Tar(Sink::Stdout),
            path => Kind::Local(PathBuf::from(path)),
        }));
    }
    let values = pairs(&fields).map_err(|(what, hint)| wrong(what).hint(hint))?;
    let Some(kind) = values.get("type") else {
        return Err(wrong("`type` is missing".to_owned()).hint(keys::TYPES_HINT));
    };
    keys::check(kind, &values).map_err(|(what, hint)| wrong(what).maybe_hint(hint))?;
    build(kind, &values).map_err(|(what, hint)| wrong(what).maybe_hint(hint))
}

/// What is wrong, and what to do.
pub(crate) type Wrong = (String, Option<String>);

fn pairs(fields: &[String]) -> Result<BTreeMap<String, String>, (String, &'static str)> {
    let mut values = BTreeMap::new();
    for field in fields {
        let Some((key, value)) = field.split_once('=') else {
            let hint = "write KEY=VALUE; quote a value with commas: '\"name=a,b\"'";
            return Err((format!("`{field}` has no `=`"), hint));
        };
        let mut key = key.trim().to_owned();
        // The names of annotations are what they are.
        if !keys::is_annotation(&key) {
            key.make_ascii_lowercase();
        }
        if values.insert(key, value.to_owned()).is_some() {
            return Err((format!("`{field}` is said twice"), "say it once"));
        }
    }
    Ok(values)
}

fn build(kind: &str, values: &BTreeMap<String, String>) -> Result<Output, Wrong> {
    let flag = |key: &str, default: bool| match values.get(key) {
        Some(value) => boolean(key, value),
        None => Ok(default),
    };
    let by_digest = flag("push-by-digest", false)?;
    let store = flag("store", false)?;
    let kind_of = match kind {
        "oci" if flag("tar", true)? => Kind::OciTar(sink(values)),
        "oci" => Kind::OciFolder(folder(kind, values)?),
        "docker" => Kind::Docker(docker_sink(values, flag("tar", true)?)?),
        "tar" => Kind::Tar(sink(values)),
        "local" => Kind::Local(folder(kind, values)?),
        "registry" if flag("push", true)? => Kind::Registry { by_digest, store },
        "image" if flag("push", false)? => Kind::Registry { by_digest, store },
        _ => Kind::Store,
    };
    if by_digest && kind_of == Kind::Store {
        return Err(("`push-by-digest` without a push".to_owned(), Some("add push=true".into())));
    }
    if kind_of == Kind::Store && !flag("store", true)? {
        let hint = "add push=true, or leave store=false out";
        return Err(("`store=false` without a push writes nothing".to_owned(), Some(hint.into())));
    }
    if flag("unpack", false)? {
        let hint = "leave it out: images of the store are unpacked when a build needs their files";
        return Err((
            "`unpack=true` has no meaning without a daemon".to_owned(),
            Some(hint.into()),
        ));
    }
    copy_mode(values)?;
    let oci = flag("oci-mediatypes", kind != "docker")?;
    Ok(Output {
        names: names(values.get("name"))?,
        media_types: if oci { MediaTypes::Oci } else { MediaTypes::Docker },
        force_compression: flag("force-compression", false)?,
        rewrite_timestamp: flag("rewrite-timestamp", false)?,
        epoch: epoch(values)?,
        annotations: annotations(values)?,
        split: values.get("platform-split").map(|it| boolean("platform-split", it)).transpose()?,
        store_names: StoreNames {
            dangling_prefix: values.get("dangling-name-prefix").cloned(),
            canonical: flag("name-canonical", false)?,
        },
        estargz: estargz(values)?,
        compression: compression(values)?,
        kind: kind_of,
    })
}

/// `mode=copy` is what is done anyway.
fn copy_mode(values: &BTreeMap<String, String>) -> Result<(), Wrong> {
    match values.get("mode").map(String::as_str) {
        None | Some("copy") => Ok(()),
        Some(mode) => {
            let hint = "empty the folder first".to_owned();
            Err((format!("`mode={mode}` is not supported"), Some(hint)))
        }
    }
}

fn epoch(values: &BTreeMap<String, String>) -> Result<Option<u32>, Wrong> {
    let Some(value) = values.get("source-date-epoch") else { return Ok(None) };
    let wrong = |_| (format!("`source-date-epoch={value}` is not a number of seconds"), None);
    value.parse().map(Some).map_err(wrong)
}

fn annotations(values: &BTreeMap<String, String>) -> Result<Annotations, Wrong> {
    let mut found = Annotations::default();
    for (key, value) in values.iter().filter(|it| keys::is_annotation(it.0)) {
        found.add_key(key, value).map_err(|(what, hint)| (what, Some(hint.to_owned())))?;
    }
    Ok(found)
}

/// As Go's `strconv.ParseBool` reads it.
pub(crate) fn boolean(key: &str, value: &str) -> Result<bool, Wrong> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err((format!("`{key}={value}` is neither true nor false"), None)),
    }
}

fn sink(values: &BTreeMap<String, String>) -> Sink {
    match values.get("dest").map(String::as_str) {
        None | Some("-" | "") => Sink::Stdout,
        Some(path) => Sink::File(PathBuf::from(path)),
    }
}

fn docker_sink(values: &BTreeMap<String, String>, tar: bool) -> Result<Sink, Wrong> {
    if !tar {
        let hint = "use type=oci,tar=false, or leave tar=false out";
        return Err(("`docker load` reads no folder".to_owned(), Some(hint.to_owned())));
    }
    if !values.contains_key("dest") {
        let hint = "give dest=FILE, or dest=- and pipe it into `docker load`";
        return Err((
            "there is no daemon to load the image into".to_owned(),
            Some(hint.to_owned()),
        ));
    }
    Ok(sink(values))
}

fn folder(kind: &str, values: &BTreeMap<String, String>) -> Result<PathBuf, Wrong> {
    match values.get("dest").map(String::as_str) {
        None | Some("") => Err(("`dest` is missing".to_owned(), Some("give dest=FOLDER".into()))),
        Some("-") => {
            let hint = if kind == "oci" { "leave tar=false out" } else { "use type=tar,dest=-" };
            Err(("a folder cannot go to standard output".to_owned(), Some(hint.to_owned())))
        }
        Some(path) => Ok(PathBuf::from(path)),
    }
}

fn names(written: Option<&String>) -> Result<Vec<Reference>, Wrong> {
    let parts = written.iter().flat_map(|it| it.split(',')).filter(|it| !it.is_empty());
    let name = |text: &str| {
        let mut name: Reference = text.parse().map_err(|it| (format!("{it}"), None))?;
        if name.digest.is_some() {
            let hint = "write NAME:TAG".to_owned();
            return Err((format!("`{text}`: a name to give has no digest"), Some(hint)));
        }
        name.tag.get_or_insert_with(|| "latest".to_owned());
        Ok(name)
    };
    parts.map(name).collect()
}

fn level(values: &BTreeMap<String, String>) -> Result<Option<u32>, Wrong> {
    let Some(text) = values.get("compression-level") else { return Ok(None) };
    let wrong = |_| (format!("`compression-level={text}` is not a number"), None);
    text.parse().map(Some).map_err(wrong)
}

fn within(level: Option<u32>, default: u32, most: u32) -> Result<u32, Wrong> {
    match level {
        None => Ok(default),
        Some(level) if (1..=most).contains(&level) => Ok(level),
        Some(level) => {
            Err((format!("`compression-level={level}` is not between 1 and {most}"), None))
        }
    }
}

/// The level, where eStargz is asked for.
fn estargz(values: &BTreeMap<String, String>) -> Result<Option<u32>, Wrong> {
    if values.get("compression").is_none_or(|it| it != "estargz") {
        return Ok(None);
    }
    within(level(values)?, Compression::DEFAULT_GZIP, 9).map(Some)
}

fn compression(values: &BTreeMap<String, String>) -> Result<Option<Compression>, Wrong> {
    let level = level(values)?;
    let within = |default: u32, most: u32| within(level, default, most);
    match (values.get("compression").map(String::as_str), level) {
        (None, None) => Ok(None),
        (None | Some("gzip"), _) => {
            Ok(Some(Compression::Gzip(within(Compression::DEFAULT_GZIP, 9)?)))
        }
        (Some("zstd"), _) => {
            let level = i32::try_from(within(3, 22)?).expect("at most 22");
            Ok(Some(Compression::Zstd(level)))
        }
        // Made of layers as they come.
        (Some("estargz"), _) => Ok(None),
        (Some("uncompressed"), None) => Ok(Some(Compression::None)),
        (Some("uncompressed"), Some(_)) => {
            Err(("`compression-level` without compression".to_owned(), None))
        }
        (Some(other), _) => {
            let hint = "use gzip, estargz, zstd or uncompressed".to_owned();
            Err((format!("`compression={other}` is not supported"), Some(hint)))
        }
    }
}

#[cfg(test)]
mod tests;
