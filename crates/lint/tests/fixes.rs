//! What fuzzing checks of fixes, over what fuzzing kept, the corpus of `cargo xtask lint-corpus` and the
//! Dockerfiles of all pages.

use std::{fs, path::PathBuf};

#[path = "../../../fuzz/src/fixes.rs"]
#[expect(unreachable_pub, reason = "the same file is a library's there")]
mod fixes;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn fixes_keep_what_they_must() {
    let mut texts = Vec::new();
    for entry in fs::read_dir(root().join("crates/lint/rules")).unwrap() {
        let page = fs::read_to_string(entry.unwrap().path()).unwrap();
        let blocks = page.split("```dockerfile ").skip(1);
        texts.extend(
            blocks.map(|it| it.split_once('\n').unwrap().1.split("```").next().unwrap().to_owned()),
        );
    }
    for group in ["lines", "whole"] {
        let text =
            fs::read_to_string(root().join(format!("testdata/lint/corpus/{group}.txt"))).unwrap();
        texts.extend(text.split("\n---\n").map(|it| it.trim_start_matches("each ").to_owned()));
    }
    for folder in ["fuzz/corpus/parse", "fuzz/corpus/plan", "fuzz/corpus/fixes"] {
        for entry in fs::read_dir(root().join(folder)).into_iter().flatten() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            texts.extend(String::from_utf8(bytes));
        }
    }
    assert!(texts.len() > 300);
    texts.iter().for_each(|it| fixes::fixes(it));
}
