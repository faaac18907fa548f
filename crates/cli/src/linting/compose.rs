//! The builds of a [compose file](https://github.com/compose-spec/compose-spec): `services.*.build`,
//! with `include`, variables (of `.env` beside the file, and their defaults) and inline Dockerfiles.

use super::discover::Target;
use crate::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use yaml_rust2::{Yaml, YamlLoader};

/// What a build file names, and what it does not tell.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) targets: Vec<Target>,
    /// What was left out, and why.
    pub(super) notes: Vec<String>,
}

impl Named {
    /// Each file once.
    pub(super) fn add(&mut self, target: Target) {
        if !self.targets.contains(&target) {
            self.targets.push(target);
        }
    }
}

/// The Dockerfiles that the services of a compose file, and of those that it includes, are built from.
pub(super) fn targets(path: &Path, text: &str) -> Result<Named, Failure> {
    let mut named = Named::default();
    read(path, text, &mut named, &mut BTreeSet::new())?;
    Ok(named)
}

fn read(
    path: &Path,
    text: &str,
    named: &mut Named,
    seen: &mut BTreeSet<PathBuf>,
) -> Result<(), Failure> {
    if !seen.insert(clean(path)) {
        return Ok(());
    }
    let documents = YamlLoader::load_from_str(text)
        .map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let variables = variables(&folder.join(".env"));
    let Some(document) = documents.first() else { return Ok(()) };
    for (name, service) in document["services"].as_hash().into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if let Err(why) = one(path, folder, name, &service["build"], &variables, named) {
            named.notes.push(format!("{}: service {name}: {why}", path.display()));
        }
    }
    for included in included(document) {
        let other = substitute(&included, &variables).map(|it| clean(&folder.join(it)));
        let text = other.as_ref().map_err(Clone::clone).and_then(|it| {
            std::fs::read_to_string(it).map_err(|why| format!("{}: {why}", it.display()))
        });
        match (other, text) {
            (Ok(other), Ok(text)) => read(&other, &text, named, seen)?,
            (_, Err(why)) | (Err(why), _) => {
                named.notes.push(format!("{}: include: {why}", path.display()));
            }
        }
    }
    Ok(())
}

/// Paths of `include`, and of files that services extend.
fn included(document: &Yaml) -> Vec<String> {
    let mut found = Vec::new();
    for it in document["include"].as_vec().into_iter().flatten() {
        let paths = if it.as_hash().is_some() { &it["path"] } else { it };
        let list = paths.as_vec().map(|it| it.iter().collect()).unwrap_or(vec![paths]);
        found.extend(list.into_iter().filter_map(Yaml::as_str).map(str::to_owned));
    }
    let services = document["services"].as_hash().into_iter().flatten();
    let extended = services.filter_map(|it| it.1["extends"]["file"].as_str());
    found.extend(extended.map(str::to_owned));
    found
}

fn one(
    path: &Path,
    folder: &Path,
    name: &str,
    build: &Yaml,
    variables: &BTreeMap<String, String>,
    named: &mut Named,
) -> Result<(), String> {
    let text = |it: &Yaml, default: &str| substitute(it.as_str().unwrap_or(default), variables);
    let (context, dockerfile) = match build {
        Yaml::String(_) => (text(build, ".")?, "Dockerfile".to_owned()),
        Yaml::Hash(_) => (text(&build["context"], ".")?, text(&build["dockerfile"], "Dockerfile")?),
        _ => return Ok(()),
    };
    if context.contains("://") || context.starts_with("git@") {
        return Err(format!("is built from {context}, which is not looked at"));
    }
    let context = clean(&folder.join(context));
    let others = match &build["additional_contexts"] {
        Yaml::Hash(all) => all.keys().filter_map(Yaml::as_str).map(str::to_owned).collect(),
        Yaml::Array(all) => {
            let name = |it: &Yaml| Some(it.as_str()?.split_once('=')?.0.to_owned());
            all.iter().filter_map(name).collect()
        }
        _ => BTreeSet::new(),
    };
    if build["dockerfile_inline"].as_str().is_some() {
        let inline = text(&build["dockerfile_inline"], "")?;
        let shown = format!("{}:{name}", path.display());
        named.add(Target::inline(path, shown, inline, context, others));
    } else {
        named.add(Target::of(&clean(&context.join(dockerfile)), context, others));
    }
    Ok(())
}

/// `NAME=value` lines.
fn variables(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let pair = |line: &str| {
        let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        Some((name.trim().to_owned(), value.to_owned()))
    };
    text.lines().map(str::trim).filter(|it| !it.starts_with('#')).filter_map(pair).collect()
}

/// `$X`, `${X}`, `${X:-default}` and the like; a variable that nobody sets is the error.
fn substitute(text: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let braced = rest.starts_with('{');
        let inner = rest.strip_prefix('{').unwrap_or(rest);
        let is_end = |it: char| !(it.is_ascii_alphanumeric() || it == '_');
        let (name, behind) = inner.split_at(inner.find(is_end).unwrap_or(inner.len()));
        if name.is_empty() {
            out.push('$');
            continue;
        }
        let (modifier, after) = match braced {
            true => closing(behind).ok_or_else(|| format!("`{text}` has no `}}`"))?,
            false => ("", behind),
        };
        rest = after;
        let value = variables.get(name);
        let filled = value.filter(|it| !it.is_empty());
        let (kind, word) =
            modifier.split_at(modifier.find(|it| !":-+?".contains(it)).unwrap_or(modifier.len()));
        let chosen = match (kind, value, filled) {
            (":-", _, None) | ("-", None, _) | (":+", _, Some(_)) | ("+", Some(_), _) => {
                substitute(word, variables)?
            }
            (":+" | "+", ..) => String::new(),
            (_, Some(value), _) => value.clone(),
            (_, None, _) => return Err(format!("nothing here sets `{name}`")),
        };
        out.push_str(&chosen);
    }
    out.push_str(rest);
    Ok(out)
}

/// What stands in front of the closing brace, and what behind it.
fn closing(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (at, it) in text.char_indices() {
        match it {
            '{' => depth += 1,
            '}' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Without `.`, and `..` taken back where that is possible by name.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir
                if matches!(
                    clean.components().next_back(),
                    Some(std::path::Component::Normal(_))
                ) =>
            {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::{substitute, targets};
    use std::{collections::BTreeMap, fs, path::Path};

    #[test]
    fn builds_of_services() {
        let text = "services:\n  a:\n    build: ./a\n  b:\n    build:\n      context: .\n      dockerfile: b/Dockerfile.dev\n      additional_contexts:\n        - base=docker-image://x\n  c:\n    image: x\n  d:\n    build: https://example.com/x.git\n  e:\n    build: ${NOWHERE}/x\n";
        let found = targets(Path::new("x/compose.yaml"), text).unwrap();
        let names: Vec<&str> = found.targets.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["x/a/Dockerfile", "x/b/Dockerfile.dev"]);
        assert!(found.targets[1].contexts.contains("base"));
        let notes = [
            "x/compose.yaml: service d: is built from https://example.com/x.git, which is not looked at",
            "x/compose.yaml: service e: nothing here sets `NOWHERE`",
        ];
        assert_eq!(found.notes, notes);
    }

    #[test]
    fn included_files_and_variables_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("compose.yaml");
        fs::write(folder.path().join(".env"), "# x\nDIR=\"api\"\nEMPTY=\n").unwrap();
        fs::create_dir(folder.path().join("more")).unwrap();
        let more = "include: [../compose.yaml]\nservices:\n  m:\n    build: ../m\n";
        fs::write(folder.path().join("more/compose.yaml"), more).unwrap();
        let text = "include:\n  - more/compose.yaml\n  - path: [gone.yaml]\nservices:\n  a:\n    build:\n      context: $DIR\n      dockerfile_inline: |\n        FROM a\n        RUN echo $$HOME\n";
        fs::write(&path, text).unwrap();
        let found = targets(&path, text).unwrap();
        assert_eq!(found.targets[0].text.as_deref(), Some("FROM a\nRUN echo $HOME\n"));
        assert_eq!(found.targets[0].context.as_deref(), Some(&*folder.path().join("api")));
        assert!(found.targets[1].path.ends_with("m/Dockerfile"));
        assert!(
            found.notes.len() == 1 && found.notes[0].contains("gone.yaml"),
            "{:?}",
            found.notes
        );
    }

    #[test]
    fn substitution() {
        let variables = BTreeMap::from([("A".into(), "1".into()), ("E".into(), String::new())]);
        for (text, want) in [
            ("$A-${A}-$$A", "1-1-$A"),
            ("${E:-x}${E-x}${N:-${A}}${N-y}", "x1y"),
            ("${A:+p}${E:+p}${N+p}${E+q}", "pq"),
            ("a$", "a$"),
        ] {
            assert_eq!(substitute(text, &variables).unwrap(), want, "{text}");
        }
        assert!(substitute("${N}", &variables).is_err());
        assert!(substitute("${A", &variables).is_err());
    }
}
