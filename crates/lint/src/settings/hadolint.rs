//! `.hadolint.yaml`, so that a project that has one needs nothing else.

use super::{LabelKind, Settings, SettingsError};
use crate::Level;
use yaml_rust2::{Yaml, YamlLoader};

const KNOWN: &[&str] = &[
    "failure-threshold",
    "format",
    "ignored",
    "label-schema",
    "no-color",
    "no-fail",
    "override",
    "strict-labels",
    "disable-ignore-pragma",
    "trustedRegistries",
];

/// Reads the text of a `.hadolint.yaml`. What hadolint has on by itself is on then, too.
pub fn read_hadolint(file: &str, text: &str) -> Result<Settings, SettingsError> {
    let documents = YamlLoader::load_from_str(text)
        .map_err(|why| SettingsError::Syntax { file: file.to_owned(), why: why.to_string() })?;
    let mut settings = Settings::default();
    let Some(document) = documents.first() else { return Ok(settings) };
    if document.is_null() {
        return Ok(settings);
    }
    let wrong = |wanted| SettingsError::WrongValue {
        file: file.to_owned(),
        key: "the document".to_owned(),
        wanted,
    };
    let table = document.as_hash().ok_or_else(|| wrong("a mapping"))?;
    for (key, value) in table {
        set(&mut settings, file, key.as_str().unwrap_or_default(), value)?;
    }
    Ok(settings)
}

fn set(it: &mut Settings, file: &str, key: &str, value: &Yaml) -> Result<(), SettingsError> {
    let wrong =
        |wanted| SettingsError::WrongValue { file: file.to_owned(), key: key.to_owned(), wanted };
    let list = |value: &Yaml| -> Result<Vec<String>, SettingsError> {
        let text = |it: &Yaml| it.as_str().map(str::to_owned);
        match value {
            Yaml::Null => Ok(Vec::new()),
            Yaml::Array(items) => {
                items.iter().map(|it| text(it).ok_or_else(|| wrong("a list of strings"))).collect()
            }
            one => Ok(vec![text(one).ok_or_else(|| wrong("a list of strings"))?]),
        }
    };
    let switch = || value.as_bool().ok_or_else(|| wrong("true or false"));
    match key {
        "ignored" => it.ignore = list(value)?,
        "trustedRegistries" => it.trusted = list(value)?,
        "no-fail" => it.no_fail = switch()?,
        "no-color" => drop(switch()?),
        "strict-labels" => it.strict_labels = switch()?,
        "disable-ignore-pragma" => it.no_comments = switch()?,
        "format" => it.format = value.as_str().map(|it| format!("hadolint-{it}")),
        "failure-threshold" => match value.as_str().unwrap_or_default() {
            "none" => it.no_fail = true,
            "ignore" => {}
            word => it.fail_on = Some(Level::read(word).ok_or_else(|| wrong("a severity"))?),
        },
        "override" => {
            for (level, names) in value.as_hash().ok_or_else(|| wrong("a mapping"))? {
                let level = level.as_str().and_then(Level::read);
                let level = level.ok_or_else(|| wrong("error, warning, info or style"))?;
                it.levels.extend(list(names)?.into_iter().map(|it| (it, level)));
            }
        }
        "label-schema" => {
            for (name, kind) in value.as_hash().ok_or_else(|| wrong("a mapping"))? {
                let kind = kind.as_str().and_then(LabelKind::read);
                let wanted = "text, url, semver, hash, rfc3339, spdx or email for each label";
                let name = name.as_str().unwrap_or_default().to_owned();
                it.labels.insert(name, kind.ok_or_else(|| wrong(wanted))?);
            }
        }
        _ => {
            return Err(SettingsError::UnknownKey {
                file: file.to_owned(),
                key: key.to_owned(),
                known: KNOWN.join(", "),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read_hadolint;
    use crate::Level;

    #[test]
    fn a_whole_file_is_read() {
        let text = "failure-threshold: warning\nignored: [DL3008, SC2086]\noverride:\n  error:\n    - DL3015\ntrustedRegistries:\n  - docker.io\nlabel-schema:\n  author: text\n";
        let settings = read_hadolint(".hadolint.yaml", text).unwrap();
        assert_eq!(settings.ignore, ["DL3008", "SC2086"]);
        assert_eq!(settings.levels, [("DL3015".to_owned(), Level::Error)]);
        assert_eq!(settings.fail_on, Some(Level::Warning));
        let why = read_hadolint("f", "ignore: [DL3008]").unwrap_err().to_string();
        assert!(why.starts_with("f: `ignore` is not a setting"), "{why}");
    }
}
