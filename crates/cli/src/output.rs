//! What `-o` says. Types and keys are those of buildx; see [`KEYS`].

mod csv;
mod keys;

use crate::failure::Failure;
use std::{collections::BTreeMap, io::IsTerminal, path::PathBuf};
use strake_export::MediaTypes;
use strake_layer::Compression;
use strake_oci::Reference;

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
    compression: Option<Compression>,
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
        let mut outputs = written.iter().map(|it| parse(it)).collect::<Result<Vec<_>, _>>()?;
        let registry = Kind::Registry { by_digest: false };
        if push && !outputs.iter().any(Output::is_push) {
            match outputs.iter_mut().find(|it| it.is_store()) {
                Some(image) => image.kind = registry,
                None => outputs.push(Output::plain(registry)),
            }
        }
        let wants_store = load || (outputs.is_empty() && tagged);
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

    fn is_push(&self) -> bool {
        matches!(self.kind, Kind::Registry { by_digest: _ })
    }

    fn plain(kind: Kind) -> Output {
        Output {
            kind,
            names: Vec::new(),
            media_types: MediaTypes::Oci,
            force_compression: false,
            compression: None,
        }
    }
}

/// A stream on a terminal helps nobody, and two streams in one pipe neither.
fn check_stdout(outputs: &[Output], terminal: bool) -> Result<(), Failure> {
    let streams = outputs.iter().filter(|it| {
        matches!(
            it.kind,
            Kind::OciTar(Sink::Stdout) | Kind::Docker(Sink::Stdout) | Kind::Tar(Sink::Stdout)
        )
    });
    match streams.count() {
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
type Wrong = (String, Option<String>);

fn pairs(fields: &[String]) -> Result<BTreeMap<String, String>, (String, &'static str)> {
    let mut values = BTreeMap::new();
    for field in fields {
        let Some((key, value)) = field.split_once('=') else {
            let hint = "write KEY=VALUE; quote a value with commas: '\"name=a,b\"'";
            return Err((format!("`{field}` has no `=`"), hint));
        };
        let key = key.trim().to_ascii_lowercase();
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
    let kind_of = match kind {
        "oci" if flag("tar", true)? => Kind::OciTar(sink(values)),
        "oci" => Kind::OciFolder(folder(kind, values)?),
        "docker" => Kind::Docker(docker_sink(values, flag("tar", true)?)?),
        "tar" => Kind::Tar(sink(values)),
        "local" => Kind::Local(folder(kind, values)?),
        "registry" if flag("push", true)? => Kind::Registry { by_digest },
        "image" if flag("push", false)? => Kind::Registry { by_digest },
        _ => Kind::Store,
    };
    if by_digest && kind_of == Kind::Store {
        return Err(("`push-by-digest` without a push".to_owned(), Some("add push=true".into())));
    }
    let oci = flag("oci-mediatypes", kind != "docker")?;
    Ok(Output {
        names: names(values.get("name"))?,
        media_types: if oci { MediaTypes::Oci } else { MediaTypes::Docker },
        force_compression: flag("force-compression", false)?,
        compression: compression(values)?,
        kind: kind_of,
    })
}

/// As Go's `strconv.ParseBool` reads it.
fn boolean(key: &str, value: &str) -> Result<bool, Wrong> {
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

fn compression(values: &BTreeMap<String, String>) -> Result<Option<Compression>, Wrong> {
    let level = match values.get("compression-level") {
        Some(text) => Some(
            text.parse::<u32>()
                .map_err(|_| (format!("`compression-level={text}` is not a number"), None))?,
        ),
        None => None,
    };
    let within = |default: u32, most: u32| match level {
        None => Ok(default),
        Some(level) if (1..=most).contains(&level) => Ok(level),
        Some(level) => {
            Err((format!("`compression-level={level}` is not between 1 and {most}"), None))
        }
    };
    match (values.get("compression").map(String::as_str), level) {
        (None, None) => Ok(None),
        (None | Some("gzip"), _) => {
            Ok(Some(Compression::Gzip(within(Compression::DEFAULT_GZIP, 9)?)))
        }
        (Some("zstd"), _) => {
            let level = i32::try_from(within(3, 22)?).expect("at most 22");
            Ok(Some(Compression::Zstd(level)))
        }
        (Some("uncompressed"), None) => Ok(Some(Compression::None)),
        (Some("uncompressed"), Some(_)) => {
            Err(("`compression-level` without compression".to_owned(), None))
        }
        (Some(other), _) => {
            let hint = "use gzip, zstd or uncompressed".to_owned();
            Err((format!("`compression={other}` is not supported"), Some(hint)))
        }
    }
}

#[cfg(test)]
mod tests;
