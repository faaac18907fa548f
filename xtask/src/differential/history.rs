//! What stands in an image's history.

use crate::differential::reference::finished;
use serde_json::Value;
use std::{collections::BTreeSet, path::Path, process::Command};

/// What made each entry, of an image in an OCI archive; Docker saves those, too. Of several platforms
/// this one.
pub(crate) fn of(image: &Path, platform: Option<&str>) -> Result<Vec<String>, String> {
    let read = |name: &str| {
        let mut tar = Command::new("tar");
        let text = finished(tar.arg("-xOf").arg(image).arg(name))?;
        serde_json::from_str::<Value>(&text).map_err(|error| format!("{name}: {error}"))
    };
    let blob = |value: &Value| value.as_str().map(|it| format!("blobs/{}", it.replace(':', "/")));
    let follow = |value: &Value| read(&blob(&value["digest"]).ok_or("no digest")?);
    let mut document = follow(&read("index.json")?["manifests"][0])?;
    if let Some(all) = document["manifests"].as_array() {
        let wanted = all.iter().find(|it| platform == Some(&platform_of(it)));
        document = follow(wanted.ok_or("no such platform in the index")?)?;
    }
    let config = follow(&document["config"])?;
    let entries = config["history"].as_array().into_iter().flatten();
    Ok(entries.map(|it| it["created_by"].as_str().unwrap_or_default().to_owned()).collect())
}

fn platform_of(descriptor: &Value) -> String {
    let parts = ["os", "architecture", "variant"].map(|it| descriptor["platform"][it].as_str());
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// Whether the history ends as a case says that it must.
pub(crate) fn ends(all: &[String], wanted: &[String]) -> Result<(), String> {
    let ending = &all[all.len().saturating_sub(wanted.len())..];
    match ending == wanted {
        true => Ok(()),
        false => Err(format!("the history ends with\n{}", ending.join("\n"))),
    }
}

/// The places where only the form of EXPOSE differs: the reference writes `map[80/tcp:{}]`, as
/// BuildKit did before it wrote `[80/tcp]`.
pub(crate) fn exposes(ours: &[String], theirs: &[String]) -> Vec<String> {
    let pairs = ours.iter().zip(theirs).enumerate();
    let alike = pairs.filter(|(_, (ours, theirs))| {
        let ours = ours.strip_prefix("EXPOSE [").and_then(|it| it.strip_suffix(']'));
        let theirs = theirs.strip_prefix("EXPOSE map[").and_then(|it| it.strip_suffix(']'));
        let set = |text: &str| -> BTreeSet<String> {
            text.split_whitespace().map(|it| it.trim_end_matches(":{}").to_owned()).collect()
        };
        ours.is_some() && ours.map(set) == theirs.map(set)
    });
    alike.map(|(at, _)| format!("history[{at}]")).collect()
}

#[cfg(test)]
mod tests {
    use super::exposes;

    #[test]
    fn two_forms_of_the_same_ports_are_alike() {
        let ours = ["EXPOSE [81/tcp 80/tcp]", "EXPOSE [1/tcp]", "USER a"].map(str::to_owned);
        let theirs = ["EXPOSE map[80/tcp:{} 81/tcp:{}]", "EXPOSE map[2/tcp:{}]", "USER b"]
            .map(str::to_owned);
        assert_eq!(exposes(&ours, &theirs), ["history[0]"]);
    }
}
