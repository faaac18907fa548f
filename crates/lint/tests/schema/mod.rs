//! As much of [JSON Schema](https://json-schema.org/draft-07) as the schema of SARIF uses; a keyword
//! that is not known here fails the test.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::{Map, Value};
use std::path::Path;
use std::process::Command;

/// The schema in the package that an optional feature of xtask names. Nothing of it is compiled.
pub(crate) fn of_sarif() -> Value {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version=1", "--all-features", "--manifest-path"]);
    let output = command.arg(workspace).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|it| it["name"] == "serde-sarif").unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let text = std::fs::read(manifest.with_file_name("src/schema.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// What does not fit, each with its place.
pub(crate) fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Check { root: schema, found: &mut found }.all(schema, value, "");
    found
}

struct Check<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Check<'_> {
    fn all(&mut self, schema: &Value, value: &Value, at: &str) {
        if let Some(place) = schema.get("$ref") {
            let place = place.as_str().unwrap().strip_prefix('#').unwrap();
            return self.all(self.root.pointer(place).unwrap(), value, at);
        }
        for (keyword, wanted) in schema.as_object().unwrap() {
            self.one(keyword, wanted, schema, value, at);
        }
    }

    fn one(&mut self, keyword: &str, wanted: &Value, schema: &Value, value: &Value, at: &str) {
        let mut wrong = |why: String| self.found.push(format!("{at}: {why}"));
        match keyword {
            "$schema" | "$id" | "title" | "description" | "default" | "definitions" => {}
            "type" => {
                if !is(wanted.as_str().unwrap(), value) {
                    wrong(format!("{value} is no {wanted}"));
                }
            }
            "enum" => {
                if !wanted.as_array().unwrap().contains(value) {
                    wrong(format!("{value} is none of {wanted}"));
                }
            }
            "required" => {
                let Some(object) = value.as_object() else { return };
                for name in wanted.as_array().unwrap().iter().filter_map(Value::as_str) {
                    if !object.contains_key(name) {
                        wrong(format!("`{name}` is missing"));
                    }
                }
            }
            "minimum" | "maximum" | "minItems" | "uniqueItems" | "format" => {
                if let Some(why) = bound(keyword, wanted, value) {
                    wrong(why);
                }
            }
            "properties" | "additionalProperties" => {
                self.object(keyword, wanted, schema, value, at)
            }
            "items" => {
                for (index, it) in value.as_array().into_iter().flatten().enumerate() {
                    self.all(wanted, it, &format!("{at}/{index}"));
                }
            }
            "anyOf" | "oneOf" => self.some(keyword, wanted, value, at),
            other => panic!("{at}: nobody checks `{other}` of {value}"),
        }
    }

    fn object(&mut self, keyword: &str, wanted: &Value, schema: &Value, value: &Value, at: &str) {
        let Some(object) = value.as_object() else { return };
        let empty = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        for (name, it) in object {
            let at = format!("{at}/{name}");
            match (keyword, known.get(name)) {
                ("properties", Some(schema)) => self.all(schema, it, &at),
                ("additionalProperties", None) if wanted == false => {
                    let parent = at.rsplit_once('/').unwrap().0;
                    self.found.push(format!("{parent}: `{name}` is not known"));
                }
                ("additionalProperties", None) if wanted.is_object() => self.all(wanted, it, &at),
                _ => {}
            }
        }
    }

    fn some(&mut self, keyword: &str, wanted: &Value, value: &Value, at: &str) {
        let fits = |it: &&Value| {
            let mut found = Vec::new();
            Check { root: self.root, found: &mut found }.all(it, value, at);
            found.is_empty()
        };
        let count = wanted.as_array().unwrap().iter().filter(fits).count();
        if count == 0 || keyword == "oneOf" && count > 1 {
            self.found.push(format!("{at}: fits none of {keyword}, or too many"));
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("nobody checks the type {other}"),
    }
}

/// Why a value is out of bounds.
fn bound(keyword: &str, wanted: &Value, value: &Value) -> Option<String> {
    let number = |it: &Value| it.as_f64();
    let items = value.as_array().map(Vec::as_slice);
    match keyword {
        "minimum" => {
            (number(value)? < number(wanted)?).then(|| format!("{value} is below {wanted}"))
        }
        "maximum" => {
            (number(value)? > number(wanted)?).then(|| format!("{value} is above {wanted}"))
        }
        "minItems" => {
            ((items?.len() as u64) < wanted.as_u64()?).then(|| format!("fewer than {wanted} items"))
        }
        "uniqueItems" => {
            let items = items?;
            let twice = items.iter().enumerate().any(|(at, it)| items[..at].contains(it));
            (wanted == true && twice).then(|| "an item twice".to_owned())
        }
        _ => {
            let text = value.as_str()?;
            let odd = b"<>\"{}|\\^`";
            let plain = text.bytes().all(|it| it.is_ascii_graphic() && !odd.contains(&it));
            let fits = match wanted.as_str()? {
                "uri" => plain && text.contains(':'),
                "uri-reference" => plain,
                other => panic!("nobody checks the format {other}"),
            };
            (!fits).then(|| format!("{value} is no {wanted}"))
        }
    }
}
