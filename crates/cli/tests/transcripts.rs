//! What a person types and what the terminal answers, file by file: every `testdata/cli/*.md` is one
//! transcript. `STRAKE_UPDATE=1` writes the answers anew, to be read before they are kept.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fs_err as fs;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Parts of a page: fenced blocks, and the text between them.
enum Part {
    Text(String),
    /// The words after the fence, and what it holds.
    Block(String, String),
}

#[test]
fn transcripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/cli");
    let mut pages: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
    pages.sort();
    assert!(!pages.is_empty());
    let update = std::env::var_os("STRAKE_UPDATE").is_some();
    let mut wrong = Vec::new();
    for page in pages {
        let written = fs::read_to_string(&page).unwrap();
        let played = play(&written);
        if played == written {
            continue;
        }
        if update {
            fs::write(&page, played).unwrap();
        } else {
            wrong.push(format!("{}\n{}", page.display(), difference(&written, &played)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The page with the answers that strake gives now.
fn play(page: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut played = String::new();
    for part in parts(page) {
        match part {
            Part::Text(text) => played.push_str(&text),
            Part::Block(info, body) => {
                let body = match info.split_once(' ') {
                    Some(("file", name)) => {
                        let path = dir.path().join(name);
                        fs::create_dir_all(path.parent().unwrap()).unwrap();
                        fs::write(path, &body).unwrap();
                        body
                    }
                    _ if info == "console" => console(dir.path(), &body),
                    _ => panic!("a block is `file NAME` or `console`, not `{info}`"),
                };
                played.push_str(&format!("```{info}\n{body}```\n"));
            }
        }
    }
    played
}

fn parts(page: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut block: Option<(String, String)> = None;
    for line in page.split_inclusive('\n') {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(info)) => block = Some((info.trim().to_owned(), String::new())),
            (None, None) => parts.push(Part::Text(line.to_owned())),
            (Some(_), Some(_)) => {
                let (info, body) = block.take().unwrap();
                parts.push(Part::Block(info, body));
            }
            (Some((_, body)), None) => body.push_str(line),
        }
    }
    assert!(block.is_none(), "a block is not closed");
    parts
}

/// Runs each line that begins with `$ ` and puts below it what came: standard output, standard error,
/// and the exit code where it is not 0.
fn console(dir: &Path, body: &str) -> String {
    let mut answer = String::new();
    for line in body.lines().filter(|it| it.starts_with("$ ")) {
        let output = Command::new("/bin/sh")
            .args(["-c", &line[2..]])
            .current_dir(dir)
            .env_clear()
            .env("PATH", path())
            .env("HOME", dir)
            .env("STRAKE_STORE", dir.join(".store"))
            .output()
            .unwrap();
        answer.push_str(line);
        answer.push('\n');
        for bytes in [&output.stdout, &output.stderr] {
            let text = steady(&String::from_utf8_lossy(bytes), dir);
            answer.push_str(&text);
            if !text.is_empty() && !text.ends_with('\n') {
                answer.push('\n');
            }
        }
        match output.status.code() {
            Some(0) => {}
            Some(code) => answer.push_str(&format!("(exit code {code})\n")),
            None => answer.push_str(&format!("({})\n", output.status)),
        }
    }
    answer
}

/// The tested program comes first on the path.
fn path() -> std::ffi::OsString {
    let strake = Path::new(env!("CARGO_BIN_EXE_strake")).parent().unwrap().to_owned();
    let others = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let all = std::iter::once(strake).chain(others.map(PathBuf::from));
    std::env::join_paths(all).unwrap()
}

/// The text without what differs from run to run: the folder, durations, digests and sizes of layers
/// with new times in them (of three digits, as small as they are here).
fn steady(text: &str, dir: &Path) -> String {
    let text = text.replace(dir.to_str().unwrap(), "DIR");
    let mut steady = String::new();
    for line in text.split_inclusive('\n') {
        let mut words = line.split(' ').peekable();
        let mut shown = Vec::new();
        while let Some(word) = words.next() {
            let bare = word.trim_end();
            let end = &word[bare.len()..];
            let is_size = words.peek().is_some_and(|it| it.trim_end().trim_end_matches(';') == "B");
            shown.push(if is_size && bare.len() == 3 && is_number(bare) {
                "NNN".to_owned()
            } else if bare.strip_suffix('s').is_some_and(|it| it.contains('.') && is_number(it)) {
                format!("0.0s{end}")
            } else {
                digests(word)
            });
        }
        steady.push_str(&shown.join(" "));
    }
    steady
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_digit() || it == b'.')
}

fn digests(word: &str) -> String {
    let mut parts = word.split("sha256:");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|it: char| it.is_ascii_hexdigit());
        clean.push_str("sha256:DIGEST");
        clean.push_str(rest);
    }
    clean
}

/// The lines that are not the same, the written one before the played one.
fn difference(written: &str, played: &str) -> String {
    let (mut written, mut played) = (written.lines(), played.lines());
    let mut lines = Vec::new();
    loop {
        match (written.next(), played.next()) {
            (None, None) => return lines.join("\n"),
            (old, new) if old == new => {}
            (old, new) => {
                lines.extend(old.map(|it| format!("-{it}")));
                lines.extend(new.map(|it| format!("+{it}")));
            }
        }
    }
}
