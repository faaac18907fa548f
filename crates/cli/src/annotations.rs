//! `--annotation` and the `annotation` keys of `-o`: notes on manifests, indexes and their descriptors.
//!
//! [Annotations](https://docs.docker.com/build/metadata/annotations/) of Docker's manual.

use crate::failure::Failure;
use std::collections::BTreeMap;
use strake_oci::Platform;

/// What an annotation is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The manifest of a platform.
    Manifest,
    /// The descriptor that points at it.
    ManifestDescriptor,
    /// The index.
    Index,
    /// The descriptor that points at it, in a layout.
    IndexDescriptor,
}

const LEVELS: [(&str, Level); 4] = [
    ("manifest", Level::Manifest),
    ("manifest-descriptor", Level::ManifestDescriptor),
    ("index", Level::Index),
    ("index-descriptor", Level::IndexDescriptor),
];

/// One annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Annotation {
    level: Level,
    /// Of one platform only.
    platform: Option<Platform>,
    key: String,
    value: String,
}

/// All that were asked for. Of two with one key the later counts, and one for a platform before one
/// for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Annotations(Vec<Annotation>);

impl Annotations {
    /// `--annotation [TYPE[PLATFORM],..:]KEY=VALUE`.
    pub(crate) fn of_flags(written: &[String]) -> Result<Annotations, Failure> {
        let mut all = Annotations::default();
        for text in written {
            let wrong = |what: String| Failure::usage(format!("--annotation {text}: {what}"));
            let Some((key, value)) = text.split_once('=') else {
                return Err(wrong("there is no `=`".to_owned()).hint("write KEY=VALUE"));
            };
            let (levels, key) = match key.split_once(':') {
                Some((levels, key)) => (levels, key),
                None => ("manifest", key),
            };
            for level in levels.split(',') {
                all.add(level, key, value).map_err(|(what, hint)| wrong(what).hint(hint))?;
            }
        }
        Ok(all)
    }

    /// A key of `-o`, `annotation[-TYPE][PLATFORM].KEY`.
    pub(crate) fn add_key(
        &mut self,
        written: &str,
        value: &str,
    ) -> Result<(), (String, &'static str)> {
        let rest = written.strip_prefix("annotation").unwrap_or(written);
        let Some((level, key)) = rest.split_once('.') else {
            return Err((format!("`{written}` names no annotation"), "write annotation.KEY=VALUE"));
        };
        // A dot may stand in no platform, so the first one ends the type.
        let level = match level.strip_prefix('-') {
            Some(level) => level.to_owned(),
            None => format!("manifest{level}"),
        };
        self.add(&level, key, value)
    }

    fn add(&mut self, level: &str, key: &str, value: &str) -> Result<(), (String, &'static str)> {
        let (name, platform) = match level.strip_suffix(']').and_then(|it| it.split_once('[')) {
            Some((name, platform)) => (name, Some(platform)),
            None => (level, None),
        };
        let Some((_, level)) = LEVELS.iter().find(|it| it.0 == name) else {
            let hint = "types are manifest, manifest-descriptor, index and index-descriptor";
            return Err((format!("`{name}` is no type of annotation"), hint));
        };
        let platform = match platform {
            None => None,
            Some(_) if matches!(level, Level::Index | Level::IndexDescriptor) => {
                let hint = "leave the platform out";
                return Err((format!("`{name}` is for all platforms"), hint));
            }
            Some(text) => match text.parse() {
                Ok(platform) => Some(platform),
                Err(_) => return Err((format!("`{text}` is not a platform"), "e.g. linux/arm64")),
            },
        };
        if key.is_empty() {
            return Err(("the annotation has no name".to_owned(), "write KEY=VALUE"));
        }
        let (key, value) = (key.to_owned(), value.to_owned());
        self.0.push(Annotation { level: *level, platform, key, value });
        Ok(())
    }

    /// These, and `others` over them.
    pub(crate) fn and(&self, others: &Annotations) -> Annotations {
        Annotations(self.0.iter().chain(&others.0).cloned().collect())
    }

    /// Those of one level, for a platform.
    pub(crate) fn of(&self, level: Level, platform: &Platform) -> BTreeMap<String, String> {
        let mut found = self.general(level);
        let special = self.0.iter().filter(|it| it.level == level);
        let special = special.filter(|it| it.platform.as_ref() == Some(platform));
        found.extend(special.map(|it| (it.key.clone(), it.value.clone())));
        found
    }

    /// Those of one level that are for no platform in particular.
    pub(crate) fn general(&self, level: Level) -> BTreeMap<String, String> {
        let all = self.0.iter().filter(|it| it.level == level && it.platform.is_none());
        all.map(|it| (it.key.clone(), it.value.clone())).collect()
    }

    /// Whether there are some that Docker's media types have no place for.
    pub(crate) fn need_oci(&self) -> bool {
        self.0.iter().any(|it| it.level != Level::Manifest)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each has a place in an image for `platforms`, which has an index or not.
    pub(crate) fn check(&self, platforms: &[Platform], index: bool) -> Result<(), Failure> {
        for Annotation { level, platform, key, value: _ } in &self.0 {
            if let Some(platform) = platform.as_ref().filter(|it| !platforms.contains(it)) {
                return Err(Failure::usage(format!(
                    "annotation {key}: the image is not built for {platform}"
                ))
                .hint("add the platform to --platform"));
            }
            if !index && matches!(level, Level::Index | Level::IndexDescriptor) {
                return Err(Failure::usage(format!(
                    "annotation {key}: an image for a single platform has no index"
                ))
                .hint("put it on the manifest, or give --build-arg BUILDKIT_MULTI_PLATFORM=1"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Annotations, Level};
    use strake_oci::Platform;

    fn flags(written: &[&str]) -> Annotations {
        Annotations::of_flags(&written.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
            .unwrap()
    }

    #[test]
    fn levels_and_platforms() {
        let arm: Platform = "linux/arm64".parse().unwrap();
        let amd: Platform = "linux/amd64".parse().unwrap();
        let all = flags(&[
            "a=1",
            "manifest:b=2",
            "manifest[linux/arm64],index:a=3",
            "manifest-descriptor:d=x=y",
            "index-descriptor:e=",
        ]);
        let text = |level, platform| format!("{:?}", all.of(level, platform));
        assert_eq!(text(Level::Manifest, &amd), r#"{"a": "1", "b": "2"}"#);
        assert_eq!(text(Level::Manifest, &arm), r#"{"a": "3", "b": "2"}"#);
        assert_eq!(text(Level::ManifestDescriptor, &arm), r#"{"d": "x=y"}"#);
        assert_eq!(text(Level::Index, &arm), r#"{"a": "3"}"#);
        assert_eq!(text(Level::IndexDescriptor, &arm), r#"{"e": ""}"#);
        assert!(all.check(std::slice::from_ref(&arm), true).is_ok());
        assert!(all.check(&[amd], true).unwrap_err().message.contains("linux/arm64"));
        assert!(all.check(&[arm], false).unwrap_err().message.contains("no index"));
        assert!(all.need_oci() && !flags(&["a=b"]).need_oci());
    }

    #[test]
    fn keys_of_an_output() {
        let mut found = Annotations::default();
        found.add_key("annotation.org.a", "1").unwrap();
        found.add_key("annotation-index.b", "2").unwrap();
        found.add_key("annotation[linux/amd64].c", "3").unwrap();
        found.add_key("annotation-manifest-descriptor[linux/amd64].d", "4").unwrap();
        let same = flags(&[
            "org.a=1",
            "index:b=2",
            "manifest[linux/amd64]:c=3",
            "manifest-descriptor[linux/amd64]:d=4",
        ]);
        assert_eq!(found, same);
        for wrong in
            ["annotation", "annotation-x.a", "annotation.", "annotation-index[linux/amd64].a"]
        {
            assert!(found.add_key(wrong, "v").is_err(), "{wrong}");
        }
        for wrong in ["a", "x:a=b", "index[linux/arm64]:a=b", "manifest[pdp11]:a=b", "=b"] {
            assert!(Annotations::of_flags(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
