//! What ADD fetches: the folders of the cases, by HTTP.

use crate::shell::root;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

/// A server of this machine; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Web {
    child: Child,
    /// Its end is the server's.
    input: Option<ChildStdin>,
    port: u16,
}

impl Web {
    /// Serves what is below `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Web, String> {
        let mut child = Command::new("python3")
            .arg(root().join("testdata/lab/web.py"))
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("web.py: {error}"))?;
        let mut line = String::new();
        let output = child.stdout.take().ok_or("web.py has no output")?;
        BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
        let port = line.trim().parse().map_err(|_| format!("web.py says `{line}`"))?;
        let input = child.stdin.take();
        Ok(Web { child, input, port })
    }

    /// Where the folder of a case is.
    pub(crate) fn url(&self, case: &str) -> String {
        format!("http://127.0.0.1:{}/{case}", self.port)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
