//! How a [`crate::RunSpec`] travels to the process that sets the sandbox up, and its report back.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::{Owner, RunSpec};

/// What the sandbox answers, one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The process ended with this code.
    Exited { code: i32, owners: Vec<Owner> },
    /// The process was ended by this signal.
    Signaled { signal: i32, owners: Vec<Owner> },
    /// The process never started because the program could not be executed.
    NotExecutable { program: String, errno: i32 },
    /// The working directory is missing in the root.
    NoCwd { errno: i32 },
    /// The sandbox could not be set up.
    Failed(Failure),
    /// PID 1 of the sandbox was killed from outside.
    InitKilled,
}

/// A step of the set-up that failed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) step: String,
    pub(crate) errno: i32,
}

/// Names the step that an error comes from.
pub(crate) trait Step<T> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> Step<T> for Result<T, rustix::io::Errno> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|errno| Failure { step: step(), errno: errno.raw_os_error() })
    }
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            step: step(),
            errno: error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error()),
        })
    }
}

/// Sends a spec, its length first.
pub(crate) fn send_spec(spec: &RunSpec, mut to: impl Write) -> io::Result<()> {
    let text = serde_json::to_vec(spec)?;
    to.write_all(&(text.len() as u64).to_le_bytes())?;
    to.write_all(&text)
}

/// Receives a spec and leaves the stream open.
pub(crate) fn receive_spec(mut from: impl Read) -> io::Result<RunSpec> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?;
    let mut text = vec![0; length];
    from.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Sends a report as one line.
pub(crate) fn send_report(report: &Report, mut to: impl Write) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Reads the first report of `bytes`, if there is one.
pub(crate) fn first_report(bytes: &[u8]) -> Option<Report> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice(line).ok()
}

/// Paths as bytes: serde's own form refuses names that are not UTF-8.
pub(crate) mod path {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        OsString::deserialize(from).map(PathBuf::from)
    }
}

/// Lists of paths, see [`path`].
pub(crate) mod paths {
    use std::ffi::{OsStr, OsString};
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
        paths.iter().map(|path| path.as_os_str()).collect::<Vec<&OsStr>>().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<OsString>::deserialize(from)?.into_iter().map(PathBuf::from).collect())
    }
}
