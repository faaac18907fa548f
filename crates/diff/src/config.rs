//! Config and history.

use crate::Difference;
use serde_json::{Map, Value};
use strake_oci::{History, ImageConfig};

/// What differs from build to build, or is compared elsewhere.
const APART: &[&str] = &["created", "history", "rootfs", "moby.buildkit.buildinfo.v1"];

pub(crate) fn compare(left: &ImageConfig, right: &ImageConfig) -> Vec<Difference> {
    let mut found = Vec::new();
    values(&comparable(left), &comparable(right), "config", &mut found);
    let length = left.history.len().max(right.history.len());
    for at in 0..length {
        let entries = [left, right].map(|it| it.history.get(at));
        let comments = entries.map(|it| it.and_then(|it| it.comment.as_deref()).unwrap_or(""));
        let remark = comments[0] != comments[1] && entries.iter().all(Option::is_some);
        let [one, two] = entries.map(|it| it.map(|it| line(it, remark)));
        if one != two {
            found.push(Difference {
                at: format!("history[{at}]"),
                fact: "",
                left: one,
                right: two,
            });
        }
    }
    found
}

/// The config without what does not count. Empty values are the same as absent ones, as Docker's
/// own reading has it.
fn comparable(config: &ImageConfig) -> Value {
    let mut value = serde_json::to_value(config).expect("maps have string keys");
    let Some(object) = value.as_object_mut() else { return value };
    object.retain(|key, _| !APART.contains(&key.as_str()));
    if let Some(inner) = object.get_mut("config").and_then(Value::as_object_mut) {
        inner.retain(|_, value| !is_empty(value));
    }
    value
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn line(entry: &History, remark: bool) -> String {
    let History { created: _, author, created_by, comment, empty_layer, extra: _ } = entry;
    let mut text = created_by.clone().unwrap_or_default();
    let mut note = |name: &str, value: &str| text.push_str(&format!(" ({name} {value})"));
    if let Some(author) = author.as_deref().filter(|it| !it.is_empty()) {
        note("author", author);
    }
    if let Some(comment) = comment.as_deref().filter(|it| remark && !it.is_empty()) {
        note("comment", comment);
    }
    if *empty_layer {
        note("empty", "layer");
    }
    text.escape_default().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

fn values(left: &Value, right: &Value, at: &str, found: &mut Vec<Difference>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => objects(left, right, at, found),
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (number, (left, right)) in left.iter().zip(right).enumerate() {
                values(left, right, &format!("{at}[{number}]"), found);
            }
        }
        _ if left == right => {}
        _ => found.push(Difference {
            at: at.to_owned(),
            fact: "",
            left: Some(left.to_string()),
            right: Some(right.to_string()),
        }),
    }
}

fn objects(
    left: &Map<String, Value>,
    right: &Map<String, Value>,
    at: &str,
    found: &mut Vec<Difference>,
) {
    let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let at = format!("{at}.{key}");
        match (left.get(key), right.get(key)) {
            (Some(left), Some(right)) => values(left, right, &at, found),
            (left, right) => found.push(Difference {
                at,
                fact: "",
                left: left.map(ToString::to_string),
                right: right.map(ToString::to_string),
            }),
        }
    }
}
