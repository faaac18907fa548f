//! The builds of a compose file: `services.*.build`.

use super::discover::Target;
use crate::failure::Failure;
use std::path::Path;
use yaml_rust2::{Yaml, YamlLoader};

/// The Dockerfiles that the services of a compose file are built from. What has variables is not
/// followed.
pub(super) fn targets(path: &Path, text: &str) -> Result<Vec<Target>, Failure> {
    let documents = YamlLoader::load_from_str(text)
        .map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut found = Vec::new();
    let services = documents.first().map(|it| &it["services"]).and_then(Yaml::as_hash);
    for (name, service) in services.into_iter().flatten() {
        let build = &service["build"];
        let (context, dockerfile) = match build {
            Yaml::String(context) => (context.as_str(), "Dockerfile"),
            Yaml::Hash(_) => (
                build["context"].as_str().unwrap_or("."),
                build["dockerfile"].as_str().unwrap_or("Dockerfile"),
            ),
            _ => continue,
        };
        if context.contains("://") || context.contains('$') || dockerfile.contains('$') {
            continue;
        }
        let context = folder.join(context);
        if let Some(inline) = build["dockerfile_inline"].as_str() {
            let name = name.as_str().unwrap_or_default();
            found.push(Target {
                path: path.to_owned(),
                name: format!("{}:{name}", path.display()),
                text: Some(inline.to_owned()),
                context: Some(context),
            });
            continue;
        }
        found.push(Target::file(&clean(&context.join(dockerfile)), Some(context)));
    }
    Ok(found)
}

/// Without `.` in the middle.
pub(super) fn clean(path: &Path) -> std::path::PathBuf {
    path.components().filter(|it| *it != std::path::Component::CurDir).collect()
}

#[cfg(test)]
mod tests {
    use super::targets;
    use std::path::Path;

    #[test]
    fn builds_of_services() {
        let text = "services:\n  a:\n    build: ./a\n  b:\n    build:\n      context: .\n      dockerfile: b/Dockerfile.dev\n  c:\n    image: x\n  d:\n    build: https://example.com/x.git\n";
        let found = targets(Path::new("x/compose.yaml"), text).unwrap();
        let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["x/a/Dockerfile", "x/b/Dockerfile.dev"]);
    }
}
