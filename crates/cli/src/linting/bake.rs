//! The targets of a [bake file](https://docs.docker.com/build/bake/reference/): HCL and JSON, with
//! variables' defaults, `inherits` and `matrix`. What needs a call or an operator is named in a note.

use super::compose::{Named, clean};
use super::discover::Target;
use super::hcl::{Block, Body, Expr, Part, Scope, evaluate, parse, resolve, template};
use crate::failure::Failure;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Targets that one matrix may make.
const MOST: usize = 500;

/// The Dockerfiles that the targets of a bake file are built from.
pub(super) fn targets(path: &Path, text: &str) -> Result<Named, Failure> {
    let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let body = if path.extension().is_some_and(|it| it == "json") {
        json(&serde_json::from_str(text).map_err(|it| wrong(it.to_string()))?)
    } else {
        parse(text).map_err(wrong)?
    };
    let blocks = |kind: &'static str| body.blocks.iter().filter(move |it| it.kind == kind);
    let default = |it: &Block| Some((it.label.clone(), it.body.attributes.get("default")?.clone()));
    let scope: Scope = blocks("variable").filter_map(default).collect();
    let mut all: BTreeMap<&str, BTreeMap<String, Expr>> = BTreeMap::new();
    for block in blocks("target") {
        let mut attributes = block.body.attributes.clone();
        for inner in &block.body.blocks {
            let items = inner.body.attributes.clone().into_iter().collect();
            attributes.insert(inner.kind.clone(), Expr::Map(items));
        }
        all.entry(&block.label).or_default().extend(attributes);
    }
    let mut named = Named::default();
    for name in all.keys() {
        let attributes = inherited(name, &all, &scope, &mut BTreeSet::new());
        for scope in matrix(&attributes, &scope) {
            if let Err(what) = target(path, name, &attributes, &scope, &mut named) {
                named.notes.push(format!(
                    "{}: target {name}: `{what}` is not evaluated, so its Dockerfile is not looked for",
                    path.display()
                ));
            }
        }
    }
    Ok(named)
}

/// The attributes of a target and of those that it inherits.
fn inherited(
    name: &str,
    all: &BTreeMap<&str, BTreeMap<String, Expr>>,
    scope: &Scope,
    seen: &mut BTreeSet<String>,
) -> BTreeMap<String, Expr> {
    let Some(own) = all.get(name).filter(|_| seen.insert(name.to_owned())) else {
        return BTreeMap::new();
    };
    let mut attributes = BTreeMap::new();
    if let Some(Expr::List(parents)) = own.get("inherits") {
        for parent in parents.iter().filter_map(|it| evaluate(it, scope).ok()) {
            let mut above = inherited(&parent, all, scope, seen);
            above.remove("matrix");
            attributes.extend(above);
        }
    }
    attributes.extend(own.clone());
    attributes
}

/// A scope for each combination of the matrix.
fn matrix(attributes: &BTreeMap<String, Expr>, scope: &Scope) -> Vec<Scope> {
    let mut scopes = vec![scope.clone()];
    let Some(Expr::Map(axes)) = attributes.get("matrix") else { return scopes };
    for (name, values) in axes {
        let Ok(Expr::List(values)) = resolve(values, scope, 0) else { continue };
        let with = |scope: &Scope| -> Vec<Scope> {
            let one = |value: &Expr| {
                let mut scope = scope.clone();
                scope.insert(name.clone(), value.clone());
                scope
            };
            values.iter().map(one).collect()
        };
        scopes = scopes.iter().flat_map(with).take(MOST).collect();
    }
    scopes
}

fn target(
    path: &Path,
    name: &str,
    attributes: &BTreeMap<String, Expr>,
    scope: &Scope,
    named: &mut Named,
) -> Result<(), String> {
    let text = |key: &str, default: &str| match attributes.get(key) {
        Some(it) => evaluate(it, scope),
        None => Ok(default.to_owned()),
    };
    let context = text("context", ".")?;
    if context.contains("://") || context.starts_with("git@") || context.starts_with("target:") {
        let note = format!("{}: target {name} is built from {context}", path.display());
        named.notes.push(format!("{note}, which is not looked at"));
        return Ok(());
    }
    let context = clean(&path.parent().unwrap_or(Path::new("")).join(context));
    let others = match attributes.get("contexts") {
        Some(Expr::Map(items)) => items.iter().map(|it| it.0.clone()).collect(),
        Some(_) | None => BTreeSet::new(),
    };
    if attributes.contains_key("dockerfile-inline") {
        let inline = text("dockerfile-inline", "")?;
        let shown = format!("{}:{name}", path.display());
        named.add(Target::inline(path, shown, inline, context, others));
        return Ok(());
    }
    let dockerfile = text("dockerfile", "Dockerfile")?;
    named.add(Target::of(&clean(&context.join(dockerfile)), context, others));
    Ok(())
}

/// The same of JSON: `{"variable": {"x": {"default": ..}}, "target": {"x": {..}}}`.
fn json(value: &Value) -> Body {
    let mut body = Body::default();
    for kind in ["variable", "target"] {
        for (label, inner) in value[kind].as_object().into_iter().flatten() {
            let attributes = inner.as_object().into_iter().flatten();
            let attributes = attributes.map(|(key, it)| (key.clone(), expr(it))).collect();
            let (kind, label) = (kind.to_owned(), label.clone());
            body.blocks.push(Block { kind, label, body: Body { attributes, ..Body::default() } });
        }
    }
    body
}

fn expr(value: &Value) -> Expr {
    match value {
        Value::String(text) => template(text),
        Value::Array(items) => Expr::List(items.iter().map(expr).collect()),
        Value::Object(items) => {
            Expr::Map(items.iter().map(|(key, it)| (key.clone(), expr(it))).collect())
        }
        other => Expr::Text(vec![Part::Plain(other.to_string())]),
    }
}

#[cfg(test)]
mod tests {
    use super::targets;
    use std::path::Path;

    const HCL: &str = r#"
variable "DIR" { default = "services" }
variable "TAG" {
  default = "latest" # a comment
}
function "tagged" {
  params = [name]
  result = ["registry.example/${name}:${TAG}"]
}
group "default" { targets = ["api", "web"] }
target "_base" {
  dockerfile = "docker/Dockerfile.${TAG}"
  args = { A = "1", B = TAG }
  contexts = {
    base = "docker-image://debian:12"
  }
}
target "api" {
  inherits = ["_base"]
  context  = "${DIR}/api"
  tags     = concat(tagged("api"), ["x"])
}
target "web" {
  name = "web-${variant}"
  matrix = {
    variant = ["slim", "full"]
  }
  context = "web"
  dockerfile = "${variant}.Dockerfile"
}
target "called" { context = lower("X") }
target "remote" { context = "https://example.com/x.git" }
target "inline" {
  dockerfile-inline = <<-EOT
    FROM scratch
    COPY a /a
  EOT
}
"#;

    #[test]
    fn variables_that_are_made_of_each_other_have_no_value() {
        let text = "variable \"A\" { default = \"${B}\" }\nvariable \"B\" { default = \"x${A}\" }
            target \"t\" { context = A }\n";
        let found = targets(Path::new("docker-bake.hcl"), text).unwrap();
        assert_eq!((found.targets.len(), found.notes.len()), (0, 1), "{:?}", found.notes);
    }

    #[test]
    fn variables_inheritance_matrix_and_inline() {
        let found = targets(Path::new("x/docker-bake.hcl"), HCL).unwrap();
        let names: Vec<&str> = found.targets.iter().map(|it| it.name.as_str()).collect();
        let want = [
            "x/docker/Dockerfile.latest",
            "x/services/api/docker/Dockerfile.latest",
            "x/docker-bake.hcl:inline",
            "x/web/slim.Dockerfile",
            "x/web/full.Dockerfile",
        ];
        assert_eq!(names, want);
        assert_eq!(found.targets[2].text.as_deref(), Some("FROM scratch\nCOPY a /a\n"));
        assert!(found.targets[1].contexts.contains("base"));
        let want = [
            "x/docker-bake.hcl: target called: `lower(\"X\")` is not evaluated, so its Dockerfile is not looked for",
            "x/docker-bake.hcl: target remote is built from https://example.com/x.git, which is not looked at",
        ];
        assert_eq!(found.notes, want);
    }

    #[test]
    fn json_and_what_is_no_hcl() {
        let text =
            r#"{"variable": {"D": {"default": "a"}}, "target": {"x": {"context": "./${D}"}}}"#;
        let found = targets(Path::new("docker-bake.json"), text).unwrap();
        assert_eq!(found.targets[0].name, "a/Dockerfile");
        for text in ["target \"x\" {", "target \"x", "a b", "x = [", "}", "x = { a"] {
            assert!(targets(Path::new("docker-bake.hcl"), text).is_err(), "{text}");
        }
    }
}
