//! How a [`crate::RunSpec`] travels to the process that sets the sandbox up, and its report back.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
    /// The run was ended because it makes a device, see [`RunSpec::has_devices`].
    MakesDevice,
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

/// A text of the system: a string where it is UTF-8, which nearly all are, and else its bytes. As
/// serde has them, numbers in any case, they take most of the time that a spec takes.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text<'a> {
    #[serde(borrow)]
    Utf8(Cow<'a, str>),
    Bytes(Vec<u8>),
}

impl Text<'_> {
    fn of(text: &OsStr) -> Text<'_> {
        text.to_str()
            .map_or_else(|| Text::Bytes(text.as_bytes().to_vec()), |it| Text::Utf8(it.into()))
    }

    fn into_os(self) -> OsString {
        match self {
            Self::Utf8(text) => text.into_owned().into(),
            Self::Bytes(bytes) => OsString::from_vec(bytes),
        }
    }
}

/// A path.
pub(crate) mod path {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        Text::of(path.as_os_str()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Text::deserialize(from).map(|it| it.into_os().into())
    }
}

/// A list of paths, or of texts.
pub(crate) mod texts {
    use super::*;

    pub(crate) fn serialize<S: Serializer, T: AsRef<OsStr>>(
        texts: &[T],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(texts.iter().map(|it| Text::of(it.as_ref())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: From<OsString>>(
        from: D,
    ) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<Text<'_>>::deserialize(from)?;
        Ok(texts.into_iter().map(|it| it.into_os().into()).collect())
    }
}

/// Names and values of variables.
pub(crate) mod pairs {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        pairs: &[(OsString, OsString)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(pairs.iter().map(|(one, two)| (Text::of(one), Text::of(two))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(OsString, OsString)>, D::Error> {
        let pairs = Vec::<(Text<'_>, Text<'_>)>::deserialize(from)?;
        Ok(pairs.into_iter().map(|(one, two)| (one.into_os(), two.into_os())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_whatever_they_hold() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct All {
            #[serde(with = "path")]
            path: PathBuf,
            #[serde(with = "texts")]
            texts: Vec<OsString>,
            #[serde(with = "pairs")]
            pairs: Vec<(OsString, OsString)>,
        }
        let odd = || OsString::from_vec(b"caf\xe9 \"\\\n".to_vec());
        let all = All {
            path: odd().into(),
            texts: vec!["".into(), "é\"\\\n\u{1}".into(), odd()],
            pairs: vec![("A".into(), odd()), (odd(), "[1]".into())],
        };
        let text = serde_json::to_vec(&all).unwrap();
        assert_eq!(serde_json::from_slice::<All>(&text).unwrap(), all);
    }
}
