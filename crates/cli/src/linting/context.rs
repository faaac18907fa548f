//! Looks at a build context: what is there, and what its ignore file says.

use crate::failure::Failure;
use std::path::{Path, PathBuf};
use strake_lint::{ContextFacts, IgnoreFile, Ignoring};

/// More files than these are not looked at.
const MOST: usize = 200_000;

/// Everything in a folder, and the ignore file that counts for a Dockerfile.
pub(crate) fn look(folder: &Path, dockerfile: Option<&Path>) -> Result<ContextFacts, Failure> {
    let (ignore, shadowed) = ignore_file(folder, dockerfile);
    let wrong = |it: strake_context::ContextError| Failure::new(crate::failure::chain(&it));
    let ignoring = ignore.as_ref().map(Ignoring::new).transpose().map_err(wrong)?;
    let exceptions = ignore.iter().any(|it| it.patterns.iter().any(|(_, it)| it.starts_with('!')));
    let mut files = Vec::new();
    let mut open = vec![(folder.to_owned(), String::new())];
    while let Some((path, prefix)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&path) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let relative =
                if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            let Ok(meta) = entry.metadata() else { continue };
            let (folder, size) = (meta.is_dir(), if meta.is_file() { meta.len() } else { 0 });
            let secret = meta.is_file() && is_secret(&entry.path(), &name, size);
            if folder {
                let ignored = ignoring.as_ref().is_some_and(|it| it.of(&relative).0);
                if !ignored || exceptions {
                    open.push((entry.path(), relative.clone()));
                }
            }
            files.push((relative, size, folder, secret));
        }
        if files.len() > MOST {
            break;
        }
    }
    let cut = files.len() > MOST;
    files.sort();
    let mut facts = ContextFacts::new(files, ignore).map_err(wrong)?;
    facts.shadowed = shadowed;
    facts.cut = cut;
    Ok(facts)
}

/// The ignore file that counts, and another that therefore does not.
fn ignore_file(folder: &Path, dockerfile: Option<&Path>) -> (Option<IgnoreFile>, Option<String>) {
    let dockerfile = dockerfile.map_or_else(|| folder.join("Dockerfile"), Path::to_owned);
    let candidates = strake_context::ignore_file(&dockerfile, folder);
    let there: Vec<PathBuf> = candidates.into_iter().filter(|it| it.is_file()).collect();
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).ok()?;
        let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
        let shown = path.strip_prefix(".").unwrap_or(path).display().to_string();
        Some(IgnoreFile::new(&shown, &name, &String::from_utf8_lossy(&bytes)))
    };
    let shadowed = there.get(1).map(|it| it.strip_prefix(".").unwrap_or(it).display().to_string());
    (there.first().and_then(read), shadowed)
}

/// Names of files that usually hold secrets.
fn is_secret(path: &Path, name: &str, size: u64) -> bool {
    let lower = name.to_ascii_lowercase();
    let example =
        ["example", "sample", "template", "dist", "test"].iter().any(|it| lower.contains(it));
    if example || lower.ends_with(".pub") || size == 0 || size > 1 << 20 {
        return false;
    }
    let keys =
        ["id_rsa", "id_ed25519", "id_ecdsa", "id_dsa", ".netrc", ".pgpass", ".git-credentials"];
    if keys.contains(&lower.as_str()) || lower.ends_with(".p12") || lower.ends_with(".pfx") {
        return true;
    }
    let says = |words: &[&str]| {
        std::fs::read(path).is_ok_and(|it| {
            let text = String::from_utf8_lossy(&it);
            words.iter().any(|it| text.contains(it))
        })
    };
    match lower.as_str() {
        ".npmrc" | ".yarnrc.yml" => says(&["_authToken=", "_password=", "npmAuthToken:"]),
        ".pypirc" => says(&["password"]),
        "credentials" | "credentials.json" | "service-account.json" => {
            says(&["aws_secret_access_key", "private_key", "client_secret"])
        }
        _ if lower == ".env" || lower.starts_with(".env.") => true,
        _ if lower.ends_with(".pem") || lower.ends_with(".key") => says(&["PRIVATE KEY"]),
        _ => false,
    }
}
