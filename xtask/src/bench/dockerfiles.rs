//! Dockerfiles of the sizes that projects have, the same in every run: the texts of `testdata/lint/speed`
//! with other choices each time.

use super::trees::Numbers;
use crate::shell::root;
use fs_err as fs;
use std::path::Path;

/// Writes so many into a folder; their names in it.
pub(super) fn write(folder: &Path, count: usize) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut texts = Vec::new();
    for entry in fs::read_dir(root().join("testdata/lint/speed")).map_err(failed)? {
        texts.push(entry.map_err(failed)?.path());
    }
    texts.sort();
    let texts: Vec<String> =
        texts.iter().map(fs::read_to_string).collect::<Result<_, _>>().map_err(failed)?;
    fs::create_dir_all(folder).map_err(failed)?;
    let mut numbers = Numbers(1);
    let mut names = Vec::new();
    for at in 0..count {
        let name = format!("{at:03}.Dockerfile");
        let text = choose(&texts[at % texts.len()], &mut numbers)?;
        fs::write(folder.join(&name), text).map_err(failed)?;
        names.push(name);
    }
    Ok(names)
}

/// One of `a`, `b` and `c` for each `«a¦b¦c»`.
fn choose(text: &str, numbers: &mut Numbers) -> Result<String, String> {
    let mut parts = text.split('«');
    let mut chosen = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (choices, rest) = part.split_once('»').ok_or("a choice has no end")?;
        let choices: Vec<&str> = choices.split('¦').collect();
        chosen.push_str(choices[numbers.next(choices.len())]);
        chosen.push_str(rest);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::{Numbers, choose};

    #[test]
    fn choices_are_taken_in_their_places() {
        let text = choose("a «b¦b» c «»d\n", &mut Numbers(1)).unwrap();
        assert_eq!(text, "a b c d\n");
        assert!(choose("a «b", &mut Numbers(1)).is_err());
    }
}
