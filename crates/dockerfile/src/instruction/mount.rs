//! `RUN --mount=type=..,option=..`
//! ([reference](https://docs.docker.com/reference/dockerfile/#run---mount)).

use super::run::is_agent;
use crate::lex::Word;
use crate::lower::{Scope, base_name, clean, join};
use crate::problem::{Outcome, did_you_mean, error, error_hint};
use std::collections::BTreeMap;
use strake_diag::Diagnostic;
use strake_plan::{CacheSharing, MountKind, RunMount, Source};

/// A mount with all its options expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    written: Word,
    kind: Kind,
    options: BTreeMap<&'static str, String>,
    from: Option<Word>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// Each option: its names, and the kinds that know it.
const OPTIONS: &[(&str, &[&str], &[Kind])] = &[
    ("target", &["target", "dst", "destination"], ALL),
    ("source", &["source", "src"], &[Kind::Bind, Kind::Cache, Kind::Secret]),
    ("from", &["from"], &[Kind::Bind, Kind::Cache]),
    ("readonly", &["readonly", "ro"], &[Kind::Bind, Kind::Cache, Kind::Secret, Kind::Ssh]),
    ("readwrite", &["readwrite", "rw"], ALL),
    ("id", &["id"], ALL),
    ("sharing", &["sharing"], &[Kind::Cache]),
    ("size", &["size"], &[Kind::Tmpfs]),
    ("env", &["env"], &[Kind::Secret]),
    ("required", &["required"], &[Kind::Secret, Kind::Ssh]),
    ("mode", &["mode"], FILES),
    ("uid", &["uid"], FILES),
    ("gid", &["gid"], FILES),
];
const ALL: &[Kind] = &[Kind::Bind, Kind::Cache, Kind::Tmpfs, Kind::Secret, Kind::Ssh];
const FILES: &[Kind] = &[Kind::Cache, Kind::Secret, Kind::Ssh];
/// An option of `RUN --mount`, for the documentation and for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountOption {
    /// Its names, the usual one first.
    pub names: &'static [&'static str],
    /// The types of mounts that it has a meaning for.
    pub types: [Option<&'static str>; 5],
}

/// Every option of `RUN --mount`, `type` excepted.
pub fn mount_options() -> impl Iterator<Item = MountOption> {
    OPTIONS.iter().map(|(option, names, kinds)| {
        let useless = WITHOUT_EFFECT.iter().find(|(it, _)| it == option).map(|(_, kinds)| kinds);
        let types = [Kind::Bind, Kind::Cache, Kind::Tmpfs, Kind::Secret, Kind::Ssh].map(|kind| {
            let useful = kinds.contains(&kind) && !useless.is_some_and(|it| it.contains(&kind));
            useful.then_some(kind.name())
        });
        MountOption { names, types }
    })
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Bind => "bind",
            Kind::Cache => "cache",
            Kind::Tmpfs => "tmpfs",
            Kind::Secret => "secret",
            Kind::Ssh => "ssh",
        }
    }
}

/// What Docker accepts and gives no meaning.
const WITHOUT_EFFECT: &[(&str, &[Kind])] = &[
    ("id", &[Kind::Bind, Kind::Tmpfs]),
    ("readonly", &[Kind::Secret, Kind::Ssh]),
    ("readwrite", &[Kind::Secret, Kind::Ssh]),
];
const SWITCHES: &[&str] = &["readonly", "readwrite", "required"];

impl Mount {
    /// Finds what is wrong whatever the values: unknown options, a `from` with a variable; and warns
    /// of those that do nothing.
    pub(super) fn check(written: &Word, problems: &mut Vec<Diagnostic>) -> Outcome<()> {
        let all: Vec<(String, Option<String>)> =
            fields(&written.text).iter().map(|it| split(it)).collect();
        let types = all.iter().rev().find(|(name, _)| name == "type");
        let kind = match types.and_then(|(_, value)| value.as_deref()) {
            Some(value) => kind(value, written).ok(),
            None => Some(Kind::Bind),
        };
        for (name, value) in all {
            if name == "type" {
                continue;
            }
            let (option, _) = option_name(&name, written)?;
            let useless = |(it, kinds): &(&str, &[Kind])| {
                *it == option && kind.is_some_and(|kind| kinds.contains(&kind))
            };
            if WITHOUT_EFFECT.iter().any(useless) {
                let message = format!("--mount: `{name}` has no effect for this type of mount");
                problems.push(Diagnostic::warning("useless-option", written.span, message));
            }
            if name == "from" && value.as_deref().is_some_and(|it| it.contains('$')) {
                let message = "from= of a mount cannot have variables";
                let hint = "write `FROM $IMAGE AS name` and from=name";
                return Err(error_hint("invalid-mount", written.span, message, hint));
            }
        }
        Ok(())
    }

    /// `from=` as written.
    pub(super) fn from_of(written: &Word) -> Option<Word> {
        let found = fields(&written.text).into_iter().map(|it| split(&it)).rev();
        let text = found.filter(|(name, _)| name == "from").find_map(|(_, value)| value)?;
        (!text.is_empty()).then_some(Word { text, span: written.span })
    }

    /// Reads all options, each value expanded.
    pub(super) fn parse(written: &Word, scope: &Scope<'_>) -> Outcome<Mount> {
        let mut mount = Mount {
            written: written.clone(),
            kind: Kind::Bind,
            options: BTreeMap::new(),
            from: Mount::from_of(written),
        };
        for field in fields(&written.text) {
            let (name, value) = split(&field);
            let value = match value {
                Some(text) => Some(scope.expand(&Word { text, span: written.span })?),
                None => None,
            };
            if name == "type" {
                mount.kind = kind(value.as_deref().unwrap_or_default(), written)?;
                continue;
            }
            let (option, _) = option_name(&name, written)?;
            let value = match value {
                Some(value) => value,
                None if SWITCHES.contains(&option) => "true".to_owned(),
                None => return Err(mount.invalid(format!("`{name}` has no value"))),
            };
            // The last one of the two counts.
            match option {
                "readonly" => drop(mount.options.remove("readwrite")),
                "readwrite" => drop(mount.options.remove("readonly")),
                _ => {}
            }
            mount.options.insert(option, value);
        }
        for option in mount.options.keys() {
            let (_, kinds) = option_name(option, written)?;
            if !kinds.contains(&mount.kind) {
                let kind = mount.kind.name();
                return Err(mount.invalid(format!("`{option}` has no meaning for type={kind}")));
            }
        }
        Ok(mount)
    }

    /// What it means behind other mounts of a RUN.
    pub(super) fn lower(&self, before: &[RunMount], scope: &mut Scope<'_>) -> Outcome<RunMount> {
        let Mount { written: _, kind, options: _, from: _ } = self;
        match kind {
            Kind::Bind => self.bind(scope),
            Kind::Cache => self.cache(scope),
            Kind::Tmpfs if self.readonly(false)? => {
                Err(self.invalid("a tmpfs is empty at first, so it cannot be read-only".to_owned()))
            }
            Kind::Tmpfs => {
                let size = self.written("size").map(|it| self.size(it)).transpose()?;
                Ok(RunMount { target: self.target(scope)?, kind: MountKind::Tmpfs { size } })
            }
            Kind::Secret => self.secret(scope),
            Kind::Ssh => Ok(RunMount {
                target: match self.get("target") {
                    Some(target) => join(&scope.cwd(), target),
                    None => {
                        let index = before.iter().filter(|it| is_agent(it)).count();
                        format!("/run/buildkit/ssh_agent.{index}")
                    }
                },
                kind: MountKind::Ssh {
                    id: self.get("id").unwrap_or("default").to_owned(),
                    required: self.switch("required")?.unwrap_or(false),
                    mode: self.number("mode", 8)?.unwrap_or(0o600),
                    uid: self.number("uid", 10)?.unwrap_or(0),
                    gid: self.number("gid", 10)?.unwrap_or(0),
                },
            }),
        }
    }

    fn bind(&self, scope: &mut Scope<'_>) -> Outcome<RunMount> {
        let kind = MountKind::Bind {
            from: match &self.from {
                Some(name) => scope.mount_source(name)?,
                None => Source::Context,
            },
            source: clean(self.get("source").unwrap_or_default()),
            readwrite: !self.readonly(true)?,
        };
        Ok(RunMount { target: self.target(scope)?, kind })
    }

    fn cache(&self, scope: &mut Scope<'_>) -> Outcome<RunMount> {
        let target = self.target(scope)?;
        let id = match self.get("id") {
            Some(id) => id.to_owned(),
            None => target.clone(),
        };
        let source = clean(self.get("source").unwrap_or_default());
        let from = match &self.from {
            Some(name) if name.text != "scratch" => Some((scope.mount_source(name)?, source)),
            Some(_) | None if source != "." => {
                return Err(self.invalid("source of a cache needs a from".to_owned()));
            }
            Some(_) | None => None,
        };
        let sharing =
            match self.written("sharing").unwrap_or("shared").to_ascii_lowercase().as_str() {
                "shared" => CacheSharing::Shared,
                "private" => CacheSharing::Private,
                "locked" => CacheSharing::Locked,
                other => {
                    let message = format!("sharing is shared, private or locked, not `{other}`");
                    return Err(self.invalid(message));
                }
            };
        let kind = MountKind::Cache {
            id,
            from,
            sharing,
            mode: self.number("mode", 8)?.unwrap_or(0o755),
            uid: self.number("uid", 10)?.unwrap_or(0),
            gid: self.number("gid", 10)?.unwrap_or(0),
            readonly: self.readonly(false)?,
        };
        Ok(RunMount { target, kind })
    }

    fn secret(&self, scope: &Scope<'_>) -> Outcome<RunMount> {
        let (target, env) = (self.get("target"), self.get("env"));
        if self.get("id").is_some() && self.get("source").is_some() {
            return Err(self.invalid("a secret has an id or a source, not both".to_owned()));
        }
        let id = match (self.get("id").or(self.get("source")), target, env) {
            (Some(id), _, _) => id.to_owned(),
            (None, Some(target), _) => base_name(target).to_owned(),
            (None, None, Some(env)) => env.to_owned(),
            (None, None, None) => {
                return Err(self.invalid("a secret needs an id, a target or an env".to_owned()));
            }
        };
        let target = match (target, env) {
            (Some(target), _) => join(&scope.cwd(), target),
            (None, Some(_)) => String::new(),
            (None, None) => format!("/run/secrets/{}", base_name(&id)),
        };
        let kind = MountKind::Secret {
            id,
            env: env.map(str::to_owned),
            required: self.switch("required")?.unwrap_or(false),
            mode: self.number("mode", 8)?.unwrap_or(0o400),
            uid: self.number("uid", 10)?.unwrap_or(0),
            gid: self.number("gid", 10)?.unwrap_or(0),
        };
        Ok(RunMount { target, kind })
    }

    /// Absolute, and not the root.
    fn target(&self, scope: &Scope<'_>) -> Outcome<String> {
        let target = join(&scope.cwd(), self.get("target").unwrap_or_default());
        if target == "/" {
            let message = match self.get("target") {
                Some(_) => "nothing can be mounted at /",
                None => "the mount has no target",
            };
            return Err(self.invalid(message.to_owned()));
        }
        Ok(target)
    }

    /// A name or path; an empty one is none.
    fn get(&self, option: &str) -> Option<&str> {
        self.written(option).filter(|it| !it.is_empty())
    }

    fn written(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    /// Whichever of `readonly` and `readwrite` is written last, and what holds where neither is.
    fn readonly(&self, default: bool) -> Outcome<bool> {
        let readwrite = self.switch("readwrite")?.map(|it| !it);
        Ok(self.switch("readonly")?.or(readwrite).unwrap_or(default))
    }

    fn switch(&self, option: &str) -> Outcome<Option<bool>> {
        match self.written(option) {
            None => Ok(None),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
            Some(other) => Err(self.invalid(format!("{option} is true or false, not `{other}`"))),
        }
    }

    fn number(&self, option: &str, radix: u32) -> Outcome<Option<u32>> {
        let Some(text) = self.written(option) else { return Ok(None) };
        let number = u32::from_str_radix(text, radix).ok().filter(|_| !text.starts_with('+'));
        match number {
            Some(number) => Ok(Some(number)),
            None if radix == 8 => Err(self.invalid(format!("{option} is octal, not `{text}`"))),
            None => Err(self.invalid(format!("{option} is a number, not `{text}`"))),
        }
    }

    /// Bytes of `64m`, `1g`, `1.5GiB`.
    fn size(&self, text: &str) -> Outcome<u64> {
        let lower = text.to_ascii_lowercase();
        let split = lower.find(|it: char| !it.is_ascii_digit() && it != '.');
        let (number, unit) = lower.split_at(split.unwrap_or(lower.len()));
        let power = match unit.trim().trim_end_matches('b').trim_end_matches('i') {
            "" => Some(0),
            "k" => Some(1),
            "m" => Some(2),
            "g" => Some(3),
            "t" => Some(4),
            _ => None,
        };
        let bytes = number.parse::<f64>().ok().zip(power);
        match bytes.map(|(number, power)| number * 1024_f64.powi(power)) {
            Some(bytes) if bytes < 9e18 => Ok(bytes as u64),
            Some(_) | None => Err(self.invalid(format!("size is a number of bytes, not `{text}`"))),
        }
    }

    fn invalid(&self, message: String) -> Box<Diagnostic> {
        error("invalid-mount", self.written.span, format!("--mount: {message}"))
    }
}

fn kind(text: &str, written: &Word) -> Outcome<Kind> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "bind" => Kind::Bind,
        "cache" => Kind::Cache,
        "tmpfs" => Kind::Tmpfs,
        "secret" => Kind::Secret,
        "ssh" => Kind::Ssh,
        _ => {
            let message = format!("--mount: there is no type `{text}`");
            let hint = match did_you_mean(text, ["bind", "cache", "tmpfs", "secret", "ssh"]) {
                Some(near) => format!("did you mean {near}?"),
                None => "types are bind, cache, tmpfs, secret and ssh".to_owned(),
            };
            return Err(error_hint("invalid-mount", written.span, message, hint));
        }
    })
}

/// The first name of an option and the kinds that know it.
fn option_name(name: &str, written: &Word) -> Outcome<(&'static str, &'static [Kind])> {
    let found = OPTIONS.iter().find(|(_, names, _)| names.contains(&name));
    if let Some((option, _, kinds)) = found {
        return Ok((option, kinds));
    }
    let message = format!("--mount has no option `{name}`");
    let all = OPTIONS.iter().flat_map(|(_, names, _)| names.iter().copied()).chain(["type"]);
    let problem = error("invalid-mount", written.span, message);
    Err(match did_you_mean(name, all) {
        Some(near) => Box::new(problem.hint(format!("did you mean {near}?"))),
        None => problem,
    })
}

/// The option's name in lower case and its value.
fn split(field: &str) -> (String, Option<String>) {
    match field.split_once('=') {
        Some((name, value)) => (name.to_ascii_lowercase(), Some(value.to_owned())),
        None => (field.to_ascii_lowercase(), None),
    }
}

/// Fields parted by commas; a field in double quotes may hold commas.
pub(super) fn fields(text: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(it) = chars.next() {
        match it {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}
