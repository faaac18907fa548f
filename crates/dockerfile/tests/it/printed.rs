//! A Dockerfile that is written out again says the same.

use crate::support::{blocks, pages, testdata};
use strake_diag::{Diagnostic, Source};
use strake_dockerfile::{parse, to_dockerfile, to_json, to_text};

#[test]
fn what_is_printed_reads_the_same() {
    let mut seen = 0;
    for path in pages(&testdata("instructions")).iter().chain(&pages(&testdata("parse"))) {
        let page = std::fs::read_to_string(path).expect("a sound page");
        for block in blocks(&page).iter().filter(|it| it.info == "dockerfile") {
            let (file, problems) = parse(&Source::new("f", block.text.clone()));
            to_text(&file);
            assert!(to_json(&file, &problems).is_object());
            if problems.iter().any(Diagnostic::is_error) {
                continue;
            }
            seen += 1;
            let printed = to_dockerfile(&file);
            let (again, _) = parse(&Source::new("f", printed.clone()));
            assert_eq!(essence(&file), essence(&again), "{}:\n{printed}", path.display());
            assert_eq!(to_dockerfile(&again), printed);
        }
    }
    assert!(seen > 100);
}

/// All but places and comments.
fn essence(file: &strake_dockerfile::Dockerfile) -> String {
    let mut json = to_json(file, &[]);
    json["comments"].take();
    strip(&mut json);
    json.to_string()
}

fn strip(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for place in ["line", "end_line", "column", "comments"] {
                fields.remove(place);
            }
            fields.iter_mut().for_each(|(_, it)| strip(it));
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
