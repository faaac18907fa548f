//! The corpus of fuzzing, through what must hold for every ignore file: see `fuzz/README.md`.

#[path = "../../../fuzz/src/ignore.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets call it from another crate")]
mod ignore;

use std::path::Path;

#[test]
fn what_fuzzing_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/ignore");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let bytes = std::fs::read(entry.expect("it can be read").path()).expect("it can be read");
        if let Ok(text) = std::str::from_utf8(&bytes) {
            ignore::agrees(text);
            seen += 1;
        }
    }
    assert!(seen > 5);
}
