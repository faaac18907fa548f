//! The corpora of fuzzing, through what must hold for what registries send: see `fuzz/README.md`.

#[path = "../../../fuzz/src/registry.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets call it from another crate")]
mod registry;

use std::path::Path;

fn each(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        check(&std::fs::read(entry.expect("it can be read").path()).expect("it can be read"));
        seen += 1;
    }
    assert!(seen > 5);
}

fn text(check: impl Fn(&str)) -> impl Fn(&[u8]) {
    move |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            check(text);
        }
    }
}

#[test]
fn what_fuzzing_kept() {
    each("www_authenticate", registry::www_authenticate);
    each("link", text(registry::link));
    each("reference", text(registry::reference));
    each("document", text(registry::document));
}
