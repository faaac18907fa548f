//! `--format`: the part of Go's templates that people use to pick a value from a document.

use serde_json::Value;

/// Text with values in it.
#[derive(Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Value(Call),
    /// The parts for each element.
    Range(Call, Vec<Part>),
}

#[derive(Debug)]
enum Call {
    /// `.A.B`, or `.` for all.
    Field(Vec<String>),
    Json(Box<Call>),
    Len(Box<Call>),
    Index(Box<Call>, String),
    Join(Box<Call>, String),
}

/// Reads a template; what Go has beyond the functions here is an error.
pub(crate) fn parse(text: &str) -> Result<Template, String> {
    // A shell's single quotes leave these as they are written; docker reads them so, too.
    let text = text.replace("\\n", "\n").replace("\\t", "\t");
    let mut rest = text.as_str();
    let parts = parts(&mut rest, false)?;
    Ok(Template(parts))
}

fn parts(rest: &mut &str, nested: bool) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    while let Some((text, after)) = rest.split_once("{{") {
        parts.push(Part::Text(text.to_owned()));
        let (action, after) =
            after.split_once("}}").ok_or("the template has a {{ without }}".to_owned())?;
        *rest = after;
        let words = words(action)?;
        match words.first().map(String::as_str) {
            Some("end") if nested => return Ok(parts),
            Some("range") => {
                let over = call(&words[1..])?;
                parts.push(Part::Range(over, self::parts(rest, true)?));
            }
            _ => parts.push(Part::Value(call(&words)?)),
        }
    }
    if nested {
        return Err("the template has a {{range}} without {{end}}".to_owned());
    }
    parts.push(Part::Text((*rest).to_owned()));
    *rest = "";
    Ok(parts)
}

/// Words and quoted texts; the latter keep their first quote.
fn words(action: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = action.trim().trim_start_matches("- ").trim_end_matches(" -").trim();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix(['"', '`']) {
            let quote = if rest.starts_with('"') { '"' } else { '`' };
            let (text, after) = quoted
                .split_once(quote)
                .ok_or_else(|| format!("`{{{{{action}}}}}` has a quote without its end"))?;
            words.push(format!("\"{text}"));
            rest = after.trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            rest = rest[end..].trim_start();
        }
    }
    Ok(words)
}

fn call(words: &[String]) -> Result<Call, String> {
    let unknown = || {
        let action = words.join(" ").replace('"', "");
        format!(
            "`{{{{{action}}}}}` is not understood: there are .Field, json, len, index, join and \
             range"
        )
    };
    let boxed = |word: &String| field(word).map(Box::new).ok_or_else(unknown);
    let text = |word: &String| word.strip_prefix('"').unwrap_or(word).to_owned();
    let named: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(match named.as_slice() {
        [_] => field(&words[0]).ok_or_else(unknown)?,
        ["json", _] => Call::Json(boxed(&words[1])?),
        ["len", _] => Call::Len(boxed(&words[1])?),
        ["index", _, _] => Call::Index(boxed(&words[1])?, text(&words[2])),
        ["join", _, _] => Call::Join(boxed(&words[1])?, text(&words[2])),
        _ => return Err(unknown()),
    })
}

fn field(word: &str) -> Option<Call> {
    let path = word.strip_prefix('.')?;
    let names: Vec<String> = path.split('.').map(str::to_owned).collect();
    match names.as_slice() {
        [only] if only.is_empty() => Some(Call::Field(Vec::new())),
        names if names.iter().any(String::is_empty) => None,
        _ => Some(Call::Field(names)),
    }
}

impl Template {
    /// The text with the values of `document`.
    pub(crate) fn fill(&self, document: &Value) -> Result<String, String> {
        let mut text = String::new();
        fill(&self.0, document, &mut text)?;
        Ok(text)
    }
}

fn fill(parts: &[Part], document: &Value, text: &mut String) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Text(it) => text.push_str(it),
            Part::Value(call) => text.push_str(&plain(&call.of(document)?)),
            Part::Range(over, parts) => match over.of(document)? {
                Value::Array(all) => all.iter().try_for_each(|it| fill(parts, it, text))?,
                Value::Object(all) => all.values().try_for_each(|it| fill(parts, it, text))?,
                Value::Null => {}
                _ => return Err("range goes over a list, and this is none".to_owned()),
            },
        }
    }
    Ok(())
}

impl Call {
    fn of(&self, document: &Value) -> Result<Value, String> {
        Ok(match self {
            Call::Field(names) => find(document, names)?,
            Call::Json(call) => Value::String(call.of(document)?.to_string()),
            Call::Len(call) => match call.of(document)? {
                Value::Array(all) => all.len().into(),
                Value::Object(all) => all.len().into(),
                Value::String(text) => text.len().into(),
                _ => 0.into(),
            },
            Call::Index(call, key) => match call.of(document)? {
                Value::Array(all) => {
                    key.parse().ok().and_then(|at: usize| all.get(at).cloned()).unwrap_or_default()
                }
                other => other.get(key).cloned().unwrap_or_default(),
            },
            Call::Join(call, between) => match call.of(document)? {
                Value::Array(all) => {
                    Value::String(all.iter().map(plain).collect::<Vec<_>>().join(between))
                }
                _ => Value::Null,
            },
        })
    }
}

/// A value by its path. A field that the document could have and does not is empty; one at the top
/// that it never has is an error.
fn find(document: &Value, names: &[String]) -> Result<Value, String> {
    let mut value = document;
    for (depth, name) in names.iter().enumerate() {
        match value.get(name) {
            Some(next) => value = next,
            None if depth == 0 && document.get("Digest").is_some() && !KNOWN.contains(&&**name) => {
                let there: Vec<&str> =
                    document.as_object().into_iter().flatten().map(|it| it.0.as_str()).collect();
                return Err(format!("there is no .{name}; there are {}", there.join(", ")));
            }
            None => return Ok(Value::Null),
        }
    }
    Ok(value.clone())
}

/// Fields that not every image has.
const KNOWN: &[&str] = &[
    "Annotations",
    "Author",
    "Config",
    "Created",
    "Env",
    "History",
    "Labels",
    "Manifests",
    "Platforms",
    "Variant",
];

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use serde_json::json;

    #[test]
    fn values() {
        let document = json!({
            "Digest": "sha256:0",
            "Size": 5,
            "Config": { "Env": ["A=1", "B=2"], "Labels": { "a.b": "c" } },
        });
        for (template, want) in [
            ("{{.Digest}}", "sha256:0"),
            ("a{{ .Size }}b", "a5b"),
            ("{{json .Config.Env}}", r#"["A=1","B=2"]"#),
            ("{{range .Config.Env}}{{.}}\\n{{end}}", "A=1\nB=2\n"),
            (r#"{{index .Config.Labels "a.b"}}"#, "c"),
            ("{{index .Config.Env 1}}", "B=2"),
            (r#"{{join .Config.Env ", "}}"#, "A=1, B=2"),
            ("{{len .Config.Env}}", "2"),
            ("{{.Variant}}", ""),
            ("{{.Config.User}}", ""),
            ("plain", "plain"),
        ] {
            assert_eq!(parse(template).unwrap().fill(&document).unwrap(), want, "{template}");
        }
        let error = parse("{{.Digset}}").unwrap().fill(&document).unwrap_err();
        assert!(error.contains(".Digset") && error.contains("Digest, Size"), "{error}");
    }

    #[test]
    fn refused() {
        for template in [
            "{{",
            "{{}}",
            "{{printf .A}}",
            "{{.A | json}}",
            "{{range .A}}",
            "{{end}}",
            "{{..A}}",
            "{{json \"x}}",
            "{{if .A}}{{end}}",
        ] {
            assert!(parse(template).is_err(), "{template}");
        }
    }
}
