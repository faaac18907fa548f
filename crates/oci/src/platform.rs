//! Platforms: `os/architecture[/variant]`.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What an image runs on. See the OCI image specification, *image-index.md*, "platform".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// GOARCH, e.g. `amd64`.
    pub architecture: String,
    /// GOOS, e.g. `linux`.
    pub os: String,
    /// OS version; only Windows uses it.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// CPU variant, e.g. `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// The text is not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a platform: expected os/architecture[/variant], e.g. linux/arm64")]
pub struct InvalidPlatform {
    /// What was read.
    pub text: String,
}

impl Platform {
    /// The platform that this binary was built for.
    pub fn host() -> Platform {
        let (architecture, variant) = normal(std::env::consts::ARCH, None);
        Platform { architecture, os: "linux".to_owned(), os_version: None, variant }
    }

    /// The same with one name for one thing: `aarch64` with variant `v8` is `arm64`.
    #[must_use]
    pub fn normalised(self) -> Platform {
        let (architecture, variant) = normal(&self.architecture, self.variant.as_deref());
        Platform { architecture, variant, ..self }
    }

    /// Whether an image made for `self` runs where `wanted` is asked for (variants as containerd
    /// normalises them: `arm64` is `arm64/v8`, `arm` is `arm/v7`).
    pub fn satisfies(&self, wanted: &Platform) -> bool {
        let canonical = |it: &Platform| {
            let (architecture, variant) = normal(&it.architecture, it.variant.as_deref());
            (it.os.clone(), architecture, variant)
        };
        canonical(self) == canonical(wanted)
    }
}

/// Operating systems that stand for themselves on this machine's processor, as in containerd.
const SYSTEMS: [&str; 4] = ["linux", "windows", "darwin", "freebsd"];

/// Processors that stand for themselves under Linux, as in containerd.
const PROCESSORS: [&str; 12] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64", "ppc64le", "riscv64",
    "s390x", "wasm",
];

fn is_known(architecture: &str) -> bool {
    PROCESSORS.contains(&normal(architecture, None).0.as_str())
}

/// Go's architecture name and variant for what a person may write.
fn normal(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", it) => ("amd64", it.filter(|it| *it != "v1")),
        ("aarch64" | "arm64", it) => {
            ("arm64", it.filter(|it| !["v8", "8", "8.0", "v8.0"].contains(it)))
        }
        ("i386" | "i686" | "x86" | "386", _) => ("386", None),
        ("armhf", _) | ("arm", None | Some("7" | "v7")) => ("arm", Some("v7")),
        ("armel", _) | ("arm", Some("6" | "v6")) => ("arm", Some("v6")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("arm", Some("8")) => ("arm", Some("v8")),
        ("powerpc64le", it) => ("ppc64le", it),
        (other, it) => (other, it),
    };
    (architecture.to_owned(), variant.map(str::to_owned))
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|it| write!(f, "/{it}"))
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Platform, InvalidPlatform> {
        let invalid = || InvalidPlatform { text: text.to_owned() };
        let parts: Vec<String> = text.trim().split('/').map(str::to_ascii_lowercase).collect();
        let word = |it: &String| {
            !it.is_empty()
                && it.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-.".contains(&it))
        };
        if !parts.iter().all(word) {
            return Err(invalid());
        }
        let host = Platform::host();
        let (os, architecture, variant) = match parts.as_slice() {
            [os] if SYSTEMS.contains(&os.as_str()) => (os, &host.architecture, None),
            [architecture] if is_known(architecture) => (&host.os, architecture, None),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.as_str())),
            _ => return Err(invalid()),
        };
        let (architecture, variant) = normal(architecture, variant);
        Ok(Platform { architecture, os: os.clone(), os_version: None, variant })
    }
}

#[cfg(test)]
mod tests {
    use super::Platform;

    #[test]
    fn text_is_normalised() {
        for (text, want) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("arm64", "linux/arm64"),
            ("aarch64", "linux/arm64"),
            ("armhf", "linux/arm/v7"),
            ("armel", "linux/arm/v6"),
            ("s390x", "linux/s390x"),
            ("linux", &Platform::host().to_string()),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), want);
        }
        for wrong in ["", "pdp11", "a/b/c/d", "linux/", "li nux/amd64"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong}");
        }
    }
}
