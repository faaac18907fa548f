//! What SARIF 2.1.0 requires of the properties that are written.

use serde_json::Value;
use strake_diag::{Colour, Source};
use strake_lint::format::{Format, write};
use strake_lint::{Outside, Settings, lint};

#[test]
fn what_is_written_has_what_sarif_requires() {
    let text = "from alpine as Build\nRUN sudo apt-get install git | cat\nCMD ä b\nEXPOSE 80/TCP\n";
    let settings = Settings { select: vec!["all".to_owned()], ..Settings::default() };
    let source = Source::new("a b/Dockerfile", text);
    let report = lint(&source, &Outside::default(), &settings).unwrap();
    let broken = lint(&Source::new("x", "COPPY"), &Outside::default(), &settings).unwrap();
    let found = report.findings.len();
    assert!(found > 4, "{found}");
    let written = write(&[report, broken], Format::Sarif, Colour::Never);
    let log: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "strake");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(results.len() > found, "the error of the second file is among them");
    for it in results {
        assert!(rules.iter().any(|rule| rule["id"] == it["ruleId"]));
        assert!(["error", "warning", "note"].contains(&it["level"].as_str().unwrap()));
        assert!(!it["message"]["text"].as_str().unwrap().is_empty());
        let place = &it["locations"][0]["physicalLocation"];
        assert!(!place["artifactLocation"]["uri"].as_str().unwrap().contains(' '));
        for field in ["startLine", "startColumn", "endLine", "endColumn"] {
            assert!(place["region"][field].as_u64().unwrap() >= 1, "{it}");
        }
        for fix in it["fixes"].as_array().into_iter().flatten() {
            let change = &fix["artifactChanges"][0];
            assert!(!change["replacements"].as_array().unwrap().is_empty());
        }
    }
}
