//! One JSON object a line, in the form of BuildKit's solve status, for programs that read buildx's
//! `--progress rawjson`.

use super::{Setting, Show};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};
use strake_build::{Event, VertexId};
use strake_oci::Digest;

pub(super) fn new(setting: Setting) -> Box<dyn Show> {
    let Setting { out, verbose: _, colour: _, began, terminal: _ } = setting;
    Box::new(RawJson { out, began, steps: BTreeMap::new() })
}

struct RawJson {
    out: Box<dyn Write + Send>,
    began: i64,
    steps: BTreeMap<VertexId, Step>,
}

struct Step {
    digest: String,
    name: String,
    started: String,
    cached: bool,
}

impl Show for RawJson {
    fn event(&mut self, at: Duration, event: Event) -> io::Result<()> {
        let time = self.time(at);
        let line = match event {
            Event::Started { vertex, name } => {
                let digest = Digest::of(format!("{} {name}", vertex.0).as_bytes()).to_string();
                let step = Step { digest, name, started: time, cached: false };
                let line = step.vertex(json!({}));
                self.steps.insert(vertex, step);
                line
            }
            Event::Cached { vertex } => match self.steps.get_mut(&vertex) {
                Some(step) => {
                    step.cached = true;
                    step.vertex(json!({}))
                }
                None => return Ok(()),
            },
            // BuildKit has no word for it.
            Event::Missed { vertex: _, reason: _ } => return Ok(()),
            Event::Output { vertex, stderr, bytes } => json!({"logs": [{
                "vertex": self.digest(vertex),
                "stream": if stderr { 2 } else { 1 },
                "data": STANDARD.encode(bytes),
                "timestamp": time,
            }]}),
            Event::Progress { vertex, id, current, total, what } => json!({"statuses": [{
                "id": format!("{what} {id}"),
                "vertex": self.digest(vertex),
                "name": what,
                "current": current,
                "total": total.unwrap_or(0),
                "timestamp": time,
            }]}),
            Event::Done { vertex } => match self.steps.get(&vertex) {
                Some(step) => step.vertex(json!({"completed": time})),
                None => return Ok(()),
            },
            Event::Failed { vertex, error } => match self.steps.get(&vertex) {
                Some(step) => step.vertex(json!({"completed": time, "error": error})),
                None => return Ok(()),
            },
            Event::Layer { .. } => return Ok(()),
            Event::Warning { text } => {
                json!({"warnings": [{"level": 1, "short": STANDARD.encode(text)}]})
            }
        };
        writeln!(self.out, "{line}")
    }

    fn tick(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _: Duration) -> io::Result<()> {
        self.out.flush()
    }
}

impl RawJson {
    fn time(&self, at: Duration) -> String {
        let seconds = i64::try_from(at.as_secs()).unwrap_or(0);
        rfc3339(self.began.saturating_add(seconds), at.subsec_nanos())
    }

    fn digest(&self, vertex: VertexId) -> &str {
        self.steps.get(&vertex).map_or("", |it| &it.digest)
    }
}

impl Step {
    fn vertex(&self, more: Value) -> Value {
        let mut vertex = json!({
            "digest": self.digest,
            "name": self.name,
            "started": self.started,
        });
        if self.cached {
            vertex["cached"] = true.into();
        }
        if let Value::Object(more) = more {
            for (key, value) in more {
                vertex[key] = value;
            }
        }
        json!({"vertexes": [vertex]})
    }
}

/// A time in UTC with all its digits.
fn rfc3339(seconds: i64, nanos: u32) -> String {
    let whole = strake_build::rfc3339(seconds);
    format!("{}.{nanos:09}Z", whole.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::{new, rfc3339};
    use crate::progress::testkit::{Script, cached, done, failed, output, started};
    use serde_json::Value;

    #[test]
    fn one_object_a_line() {
        let mut script = Script::new(new);
        script.at(0, started(1, "a"));
        script.at(1, cached(1));
        script.at(1500, done(1));
        script.at(1500, started(2, "b"));
        script.at(1600, output(2, "hello"));
        script.at(1700, failed(2, "exit code 1"));
        let text = script.finish(2000);
        let lines: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[2]["vertexes"][0]["cached"], true);
        assert_eq!(lines[2]["vertexes"][0]["completed"], "1970-01-01T00:00:01.500000000Z");
        assert_eq!(lines[4]["logs"][0]["data"], "aGVsbG8=");
        assert_eq!(lines[4]["logs"][0]["vertex"], lines[3]["vertexes"][0]["digest"]);
        assert_eq!(lines[5]["vertexes"][0]["error"], "exit code 1");
    }

    #[test]
    fn dates() {
        for (seconds, want) in [
            (951_782_400, "2000-02-29T00:00:00.000000007Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000000007Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000007Z"),
        ] {
            assert_eq!(rfc3339(seconds, 7), want);
        }
    }
}
