//! The corpora of fuzzing, through what must hold for every input: see `fuzz/README.md`.

#[path = "../../../fuzz/src/language.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets call it from another crate")]
mod language;

use std::path::Path;

#[test]
fn what_fuzzing_kept() {
    for (target, check) in [
        ("parse", language::parses as fn(&str)),
        ("print", language::prints),
        ("expand", language::expands),
        ("plan", language::plans),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).expect("the corpus is there") {
            let path = entry.expect("the corpus can be read").path();
            let bytes = std::fs::read(&path).expect("the corpus can be read");
            if let Ok(text) = std::str::from_utf8(&bytes) {
                check(text);
                seen += 1;
            }
        }
        assert!(seen > 5, "{target}");
    }
}
