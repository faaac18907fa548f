//! The language server, spoken to as an editor does; SARIF as other programs read it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

struct Session {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Session {
    fn begin() -> Session {
        let mut child = Command::new(env!("CARGO_BIN_EXE_strake"))
            .arg("lsp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Session { child, out }
    }

    fn say(&mut self, message: &Value) {
        let text = message.to_string();
        let input = self.child.stdin.as_mut().unwrap();
        write!(input, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        input.flush().unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.out.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some((_, value)) => length = value.parse().unwrap(),
                None => break,
            }
        }
        let mut bytes = vec![0; length];
        self.out.read_exact(&mut bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }
}

#[test]
fn an_editor_gets_findings_fixes_and_pages() {
    let mut session = Session::begin();
    let uri = "file:///nowhere/Dockerfile";
    session.say(&json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {} }));
    let answer = session.hear();
    assert_eq!(answer["id"], 1);
    assert_eq!(answer["result"]["capabilities"]["hoverProvider"], true);
    session.say(&json!({ "jsonrpc": "2.0", "method": "initialized", "params": {} }));

    let text = "FROM alpine:3.20 as ünï\nRUN apk add git\n";
    let document = json!({ "uri": uri, "languageId": "dockerfile", "version": 1, "text": text });
    session.say(&json!({
        "jsonrpc": "2.0", "method": "textDocument/didOpen", "params": { "textDocument": document },
    }));
    let told = session.hear();
    assert_eq!(told["method"], "textDocument/publishDiagnostics");
    let found = told["params"]["diagnostics"].as_array().unwrap();
    let codes: Vec<&str> = found.iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert!(
        codes.contains(&"from-as-casing") || codes.contains(&"invalid-stage-name"),
        "{codes:?}"
    );

    let text = "FROM alpine:3.20 as base\nRUN apk add git\n";
    session.say(&json!({
        "jsonrpc": "2.0", "method": "textDocument/didChange",
        "params": { "textDocument": { "uri": uri, "version": 2 }, "contentChanges": [{ "text": text }] },
    }));
    let told = session.hear();
    let found = told["params"]["diagnostics"].as_array().unwrap();
    let codes: Vec<&str> = found.iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["from-as-casing", "apk-cache-kept"]);
    assert_eq!(found[0]["range"]["start"], json!({ "line": 0, "character": 17 }));

    let range =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 5 } });
    session.say(&json!({
        "jsonrpc": "2.0", "id": 2, "method": "textDocument/codeAction",
        "params": { "textDocument": { "uri": uri }, "range": range, "context": {} },
    }));
    let actions = session.hear();
    let action = &actions["result"][0];
    assert_eq!(action["title"], "write `AS`");
    assert_eq!(action["isPreferred"], true);
    assert_eq!(action["edit"]["changes"][uri][0]["newText"], "AS");

    session.say(&json!({
        "jsonrpc": "2.0", "id": 3, "method": "textDocument/hover",
        "params": { "textDocument": { "uri": uri }, "position": { "line": 1, "character": 6 } },
    }));
    let page = session.hear();
    let page = page["result"]["contents"]["value"].as_str().unwrap();
    assert!(page.starts_with("# apk-cache-kept"), "{page}");

    session.say(&json!({ "jsonrpc": "2.0", "id": 4, "method": "no/such", "params": {} }));
    assert_eq!(session.hear()["error"]["code"], -32601);
    session.say(&json!({ "jsonrpc": "2.0", "id": 5, "method": "shutdown" }));
    assert_eq!(session.hear()["id"], 5);
    session.say(&json!({ "jsonrpc": "2.0", "method": "exit" }));
    assert!(session.child.wait().unwrap().success());
}
