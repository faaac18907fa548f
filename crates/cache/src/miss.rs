//! Why a step was not found.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};
use strake_plan::KeyRecord;

/// Sources that a sentence names before it counts the rest.
const NAMED: usize = 3;

/// Why a step has to be done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissReason {
    /// This place was never built with this store.
    NeverBuilt,
    /// What it depends on is not what it was. Never empty.
    Changed(Vec<FieldChange>),
    /// Nothing changed, but the result is not in the store any more.
    Evicted,
}

/// A field of a key that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// As in the record: `run.env.GIT_SHA`, `source.src/app.ts`.
    pub name: String,
    /// The former value; `None` for a field that is new. Values of one name are joined by blanks.
    pub old: Option<String>,
    /// The value now; `None` for a field that is gone.
    pub new: Option<String>,
}

/// Compares the record of the last build of a place with the one that was not found.
pub fn explain(old: Option<&KeyRecord>, new: &KeyRecord) -> MissReason {
    let Some(old) = old else { return MissReason::NeverBuilt };
    let (old_fields, new_fields) = (by_name(old), by_name(new));
    let mut changes = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (name, _) in new.fields.iter().chain(&old.fields) {
        if !seen.insert(name) {
            continue;
        }
        let (was, is) = (old_fields.get(name.as_str()), new_fields.get(name.as_str()));
        if was != is {
            changes.push(FieldChange {
                name: name.clone(),
                old: was.map(|it| it.join(" ")),
                new: is.map(|it| it.join(" ")),
            });
        }
    }
    if changes.is_empty() { MissReason::Evicted } else { MissReason::Changed(changes) }
}

fn by_name(record: &KeyRecord) -> BTreeMap<&str, Vec<&str>> {
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in &record.fields {
        fields.entry(name).or_default().push(value);
    }
    fields
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissReason::NeverBuilt => f.write_str("never built here"),
            MissReason::Evicted => f.write_str("its result is no longer in the store"),
            MissReason::Changed(changes) => f.write_str(&sentence(changes)),
        }
    }
}

/// What a person did first: the step itself and its files, then what stands below.
fn sentence(changes: &[FieldChange]) -> String {
    let mut parts = Vec::new();
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut below = false;
    for change in changes {
        match change.name.as_str() {
            "below" => below = true,
            "version" => parts.push("strake's rules for keys changed".to_owned()),
            "platform" => parts.push(format!("platform {}", values(change))),
            name => match name.strip_prefix("source.") {
                Some(file) => files.entry(verb(change)).or_default().push(file),
                None => parts.push(described(name, change)),
            },
        }
    }
    for (verb, names) in files {
        let mut text = names[..names.len().min(NAMED)].join(", ");
        if names.len() > NAMED {
            let _ = write!(text, " and {} more", names.len() - NAMED);
        }
        parts.push(format!("{text} {verb}"));
    }
    if below {
        parts.push("what is below changed".to_owned());
    }
    parts.join("; ")
}

fn verb(change: &FieldChange) -> &'static str {
    match (&change.old, &change.new) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    }
}

fn described(name: &str, change: &FieldChange) -> String {
    if let Some(variable) = name.strip_prefix("run.env.") {
        return format!("{variable} {}", values(change));
    }
    match name {
        "run.argv" => "the command changed".to_owned(),
        "run.cwd" => format!("WORKDIR {}", values(change)),
        "run.user" | "workdir.user" => format!("USER {}", values(change)),
        "copy.path" => format!("sources {}", values(change)),
        _ if name.starts_with("run.file.") || name.starts_with("copy.file.") => {
            let heredoc = name.splitn(3, '.').nth(2).unwrap_or(name);
            format!("heredoc {heredoc} {}", verb(change))
        }
        _ => {
            // `copy.chown` is what a person wrote as `--chown`.
            let field = name.split_once('.').map_or(name, |(_, field)| field);
            format!("{field} {}", values(change))
        }
    }
}

fn values(change: &FieldChange) -> String {
    let show = |value: &str| {
        let mut text: String = value.chars().take(40).collect();
        if text.len() < value.len() {
            text.push('…');
        }
        if text.is_empty() || text.contains(char::is_whitespace) {
            text = format!("{text:?}");
        }
        text
    };
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => format!("{} -> {}", show(old), show(new)),
        (None, Some(new)) => format!("set to {}", show(new)),
        (_, None) => "removed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{MissReason, explain};
    use strake_plan::KeyRecord;

    fn record(fields: &[(&str, &str)]) -> KeyRecord {
        KeyRecord { fields: fields.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect() }
    }

    #[test]
    fn sentences() {
        let old = record(&[
            ("version", "1"),
            ("below", "sha256:aa"),
            ("run.argv", "sh"),
            ("run.argv", "-c"),
            ("run.env.GIT_SHA", "1a2b"),
            ("run.env.OLD", "x"),
            ("source.src/app.ts", "sha256:1"),
        ]);
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("run.env.GIT_SHA", "9f0c")], "GIT_SHA 1a2b -> 9f0c"),
            (&[("run.env.GIT_SHA", "")], "GIT_SHA 1a2b -> \"\""),
            (&[("source.src/app.ts", "sha256:2")], "src/app.ts changed"),
            (&[("below", "sha256:bb")], "what is below changed"),
            (
                &[("below", "sha256:bb"), ("run.env.GIT_SHA", "2")],
                "GIT_SHA 1a2b -> 2; what is below changed",
            ),
            (&[("version", "2")], "strake's rules for keys changed"),
        ];
        for (edits, expected) in cases {
            let mut new = old.clone();
            for (name, value) in edits {
                for field in new.fields.iter_mut().filter(|it| it.0 == *name) {
                    field.1 = (*value).to_owned();
                }
            }
            assert_eq!(explain(Some(&old), &new).to_string(), expected);
        }
    }

    #[test]
    fn fields_that_come_and_go() {
        let old = record(&[("run.env.A", "1"), ("source.a", "x")]);
        let new = record(&[
            ("run.env.B", "2"),
            ("source.b", "x"),
            ("source.c", "x"),
            ("source.d", "x"),
            ("source.e", "x"),
        ]);
        let text = explain(Some(&old), &new).to_string();
        assert_eq!(text, "B set to 2; A removed; b, c, d and 1 more added; a removed");
    }

    #[test]
    fn repeated_fields_keep_their_order() {
        let one = record(&[("run.argv", "a"), ("run.argv", "b")]);
        let two = record(&[("run.argv", "b"), ("run.argv", "a")]);
        assert_eq!(explain(Some(&one), &two).to_string(), "the command changed");
    }

    #[test]
    fn nothing_to_compare_and_nothing_changed() {
        let one = record(&[("below", "x")]);
        assert_eq!(explain(None, &one), MissReason::NeverBuilt);
        assert_eq!(explain(Some(&one), &one), MissReason::Evicted);
    }
}
