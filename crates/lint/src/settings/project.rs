//! `[lint]` of `strake.toml`.

use super::{LabelKind, Settings, SettingsError, Shellcheck};
use crate::{Builder, Level};
use toml::{Table, Value};

const KNOWN: &[&str] = &[
    "select",
    "extend-select",
    "ignore",
    "fail-on",
    "severity",
    "target-builder",
    "trusted-registries",
    "context-budget",
    "labels",
    "strict-labels",
    "disable-ignore-comments",
    "format",
    "shellcheck",
];

/// Reads the text of a `strake.toml`; tables other than `[lint]` belong to others.
pub fn read_project(file: &str, text: &str) -> Result<Settings, SettingsError> {
    let table: Table = text.parse().map_err(|why: toml::de::Error| SettingsError::Syntax {
        file: file.to_owned(),
        why: why.to_string().trim_end().to_owned(),
    })?;
    let mut settings = Settings::default();
    let Some(lint) = table.get("lint") else { return Ok(settings) };
    let Some(lint) = lint.as_table() else { return Err(wrong(file, "lint", "a table")) };
    for (key, value) in lint {
        set(&mut settings, file, key, value)?;
    }
    Ok(settings)
}

fn wrong(file: &str, key: &str, wanted: &'static str) -> SettingsError {
    SettingsError::WrongValue { file: file.to_owned(), key: key.to_owned(), wanted }
}

fn set(it: &mut Settings, file: &str, key: &str, value: &Value) -> Result<(), SettingsError> {
    let wrong = |wanted| wrong(file, key, wanted);
    let list = || -> Result<Vec<String>, SettingsError> {
        let items = value.as_array().ok_or_else(|| wrong("a list of strings"))?;
        let text = |it: &Value| it.as_str().map(str::to_owned);
        items.iter().map(|it| text(it).ok_or_else(|| wrong("a list of strings"))).collect()
    };
    let text = || value.as_str().ok_or_else(|| wrong("a string"));
    let switch = || value.as_bool().ok_or_else(|| wrong("true or false"));
    match key {
        "select" => it.select = list()?,
        "extend-select" => it.extend = list()?,
        "ignore" => it.ignore = list()?,
        "trusted-registries" => it.trusted = list()?,
        "strict-labels" => it.strict_labels = switch()?,
        "disable-ignore-comments" => it.no_comments = switch()?,
        "format" => it.format = Some(text()?.to_owned()),
        "shellcheck" => {
            let wanted = "auto, never or always";
            it.shellcheck = Some(Shellcheck::read(text()?).ok_or_else(|| wrong(wanted))?);
        }
        "fail-on" => match text()? {
            "never" => it.no_fail = true,
            word => it.fail_on = Some(Level::read(word).ok_or_else(|| wrong(LEVELS))?),
        },
        "target-builder" => {
            let wanted = "strake, buildkit, kaniko or buildah";
            it.builder = Some(Builder::read(text()?).ok_or_else(|| wrong(wanted))?);
        }
        "context-budget" => {
            it.context_budget = Some(bytes(value).ok_or_else(|| wrong("a size such as \"50MB\""))?);
        }
        "severity" => {
            for (name, level) in value.as_table().ok_or_else(|| wrong("a table"))? {
                let level = level.as_str().and_then(Level::read).ok_or_else(|| wrong(LEVELS))?;
                it.levels.push((name.clone(), level));
            }
        }
        "labels" => {
            for (name, kind) in value.as_table().ok_or_else(|| wrong("a table"))? {
                let kind = kind.as_str().and_then(LabelKind::read);
                let wanted = "text, url, semver, hash, rfc3339, spdx or email for each label";
                it.labels.insert(name.clone(), kind.ok_or_else(|| wrong(wanted))?);
            }
        }
        _ => {
            return Err(SettingsError::UnknownKey {
                file: file.to_owned(),
                key: format!("lint.{key}"),
                known: KNOWN.join(", "),
            });
        }
    }
    Ok(())
}

const LEVELS: &str = "error, warning, info or style";

fn bytes(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_integer() {
        return u64::try_from(number).ok();
    }
    size(value.as_str()?)
}

/// `50MB`, `1.5g`, `800k`, `12345`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim().trim_end_matches("ib").trim_end_matches('b') {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        _ => return None,
    };
    Some((number * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::{read_project, size};

    #[test]
    fn settings_are_read_and_unknown_ones_refused() {
        let text = "[lint]\nselect = [\"DL\"]\ncontext-budget = \"50MB\"\n[lint.severity]\nDL3008 = \"error\"\n[build]\nx = 1\n";
        let settings = read_project("strake.toml", text).unwrap();
        assert_eq!(
            (settings.select, settings.context_budget),
            (vec!["DL".into()], Some(50_000_000))
        );
        for (text, want) in [
            ("[lint]\nselct = []", "strake.toml: `lint.selct` is not a setting"),
            ("[lint]\nselect = 1", "strake.toml: `select` must be a list of strings"),
            ("[lint]\nfail-on = \"bad\"", "strake.toml: `fail-on` must be error, warning, info or"),
            ("[lint", "strake.toml: TOML parse error"),
        ] {
            let why = read_project("strake.toml", text).unwrap_err().to_string();
            assert!(why.starts_with(want), "{why}");
        }
        assert_eq!(size("1.5 GiB"), Some(1_500_000_000));
    }
}
