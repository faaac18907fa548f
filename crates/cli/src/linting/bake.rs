//! The targets of a bake file, as far as they are written out: HCL blocks and JSON.

use super::compose::clean;
use super::discover::Target;
use std::path::Path;

/// The Dockerfiles that the targets of a bake file are built from. Expressions are not evaluated.
pub(super) fn targets(path: &Path, text: &str) -> Vec<Target> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut found = Vec::new();
    let blocks =
        if path.extension().is_some_and(|it| it == "json") { json(text) } else { hcl(text) };
    for (context, dockerfile) in blocks {
        if context.contains("://") || context.contains("${") || dockerfile.contains("${") {
            continue;
        }
        let context = folder.join(context);
        found.push(Target::file(&clean(&context.join(dockerfile)), Some(context)));
    }
    found
}

fn json(text: &str) -> Vec<(String, String)> {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return Vec::new() };
    let targets = value.get("target").and_then(|it| it.as_object());
    let text = |it: &serde_json::Value, name: &str, default: &str| {
        it.get(name).and_then(|it| it.as_str()).unwrap_or(default).to_owned()
    };
    let one =
        |it: &serde_json::Value| (text(it, "context", "."), text(it, "dockerfile", "Dockerfile"));
    targets.into_iter().flatten().map(|(_, it)| one(it)).collect()
}

/// `target "x" { context = ".." dockerfile = ".." }`, line by line.
fn hcl(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String, bool)> = None;
    let mut depth = 0_i32;
    for line in
        text.lines().map(str::trim).filter(|it| !it.starts_with('#') && !it.starts_with("//"))
    {
        if depth == 0 && line.starts_with("target") && line.contains('{') {
            open = Some((".".to_owned(), "Dockerfile".to_owned(), false));
        }
        if depth == 1
            && let Some((context, dockerfile, said)) = &mut open
            && let Some((name, value)) = line.split_once('=')
        {
            let value = value.trim().trim_matches('"').to_owned();
            match name.trim() {
                "context" => (*context, *said) = (value, true),
                "dockerfile" => (*dockerfile, *said) = (value, true),
                _ => {}
            }
        }
        let count = |it: char| i32::try_from(line.matches(it).count()).unwrap_or(0);
        depth += count('{') - count('}');
        if depth <= 0 {
            depth = 0;
            found.extend(open.take().filter(|it| it.2).map(|it| (it.0, it.1)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::hcl;

    #[test]
    fn blocks_of_hcl() {
        let text = "target \"a\" {\n  context = \"./a\"\n  args = {\n    context = \"no\"\n  }\n}\ngroup \"x\" {\n}\ntarget \"b\" {\n  dockerfile = \"b.Dockerfile\"\n}\n";
        let want = [("./a", "Dockerfile"), (".", "b.Dockerfile")];
        let want: Vec<(String, String)> = want.map(|(a, b)| (a.into(), b.into())).to_vec();
        assert_eq!(hcl(text), want);
    }
}
