//! Dockerfiles as they should be, in which nothing is found.

use std::{fs, path::PathBuf};
use strake_diag::Source;
use strake_lint::{Builder, Outside, Settings, lint};

#[test]
fn nothing_is_found_in_well_made_dockerfiles() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/lint/well-made");
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let source = Source::new(name, fs::read_to_string(&path).unwrap());
        count += 1;
        for builder in [Builder::Strake, Builder::Buildkit] {
            let outside = Outside { builder, ..Outside::default() };
            let report = lint(&source, &outside, &Settings::default()).unwrap();
            for it in report.findings {
                let line = source.position(it.span.start).line;
                wrong.push(format!("{}:{line}: {}: {}", source.name, it.rule.name, it.message));
            }
            assert!(report.problems.iter().all(|it| !it.is_error()), "{}", source.name);
        }
    }
    assert!(count >= 20);
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
