//! SARIF 2.1.0: its published schema, which the package serde-sarif carries, and what the schema
//! cannot say.

mod schema;

use serde_json::Value;
use strake_diag::{Colour, Source};
use strake_lint::format::{Format, write};
use strake_lint::{Level, Outside, Remark, Settings, lint};

#[test]
fn what_is_written_has_what_sarif_requires() {
    let text = "from alpine as Build\nRUN sudo apt-get install git | cat\nCMD ä b\nEXPOSE 80/TCP\n";
    let settings = Settings { select: vec!["all".to_owned()], ..Settings::default() };
    let source = Source::new("a b/Dockerfile", text);
    let mut outside = Outside::default();
    let message = "Double quote to prevent globbing".to_owned();
    let (line, column) = (1, 6);
    let remark = Remark {
        code: 2086,
        level: Level::Info,
        message,
        line,
        column,
        end_line: 1,
        end_column: 9,
    };
    outside.remarks.insert(1, vec![remark]);
    let report = lint(&source, &outside, &settings).unwrap();
    let broken = lint(&Source::new("x", "COPPY"), &Outside::default(), &settings).unwrap();
    let found = report.findings.len();
    assert!(found > 4, "{found}");
    let written = write(&[report, broken], Format::Sarif, Colour::Never);
    let log: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(schema::problems(&schema::of_sarif(), &log), [""; 0]);
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

#[test]
fn the_schema_finds_what_is_wrong() {
    let schema = schema::of_sarif();
    let log = |run: Value| serde_json::json!({ "version": "2.1.0", "runs": [run] });
    let tool = serde_json::json!({ "driver": { "name": "strake" } });
    assert_eq!(schema::problems(&schema, &log(serde_json::json!({ "tool": tool }))), [""; 0]);
    for (run, want) in [
        (serde_json::json!({}), "/runs/0: `tool` is missing"),
        (serde_json::json!({ "tool": tool, "x": 1 }), "/runs/0: `x` is not known"),
        (serde_json::json!({ "tool": { "driver": {} } }), "/runs/0/tool/driver: `name` is missing"),
        (
            serde_json::json!({ "tool": tool, "results": [{ "message": { "text": "x" }, "level": "bad" }] }),
            "/runs/0/results/0/level: \"bad\" is none of",
        ),
        (
            serde_json::json!({ "tool": tool, "results": [{ "message": {} }] }),
            "/runs/0/results/0/message: fits none of anyOf",
        ),
    ] {
        let found = schema::problems(&schema, &log(run));
        assert!(found.len() == 1 && found[0].starts_with(want), "{found:?}");
    }
}
