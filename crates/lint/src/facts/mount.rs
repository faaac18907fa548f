//! A mount of a RUN, as fields.

use std::collections::BTreeMap;
use strake_diag::Span;
use strake_dockerfile::Word;

/// `--mount=type=..`, options by their usual names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `bind` where nothing is said.
    pub kind: String,
    /// Options by name.
    pub fields: BTreeMap<String, String>,
    /// The value of the flag.
    pub span: Span,
}

impl Mount {
    /// Reads what stands behind `--mount=`.
    pub(crate) fn read(word: &Word) -> Mount {
        let mut mount = Mount { kind: "bind".to_owned(), fields: BTreeMap::new(), span: word.span };
        for field in word.text.split(',') {
            let (name, value) = field.split_once('=').unwrap_or((field, "true"));
            let name = match name.to_ascii_lowercase().as_str() {
                "dst" | "destination" => "target".to_owned(),
                "src" => "source".to_owned(),
                "ro" => "readonly".to_owned(),
                "rw" => "readwrite".to_owned(),
                other => other.to_owned(),
            };
            if name == "type" {
                mount.kind = value.trim_matches('"').to_owned();
            } else {
                mount.fields.insert(name, value.trim_matches('"').to_owned());
            }
        }
        mount
    }

    /// An option.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The target without a slash at its end.
    pub fn target(&self) -> &str {
        let target = self.get("target").unwrap_or_default();
        if target.len() > 1 { target.trim_end_matches('/') } else { target }
    }

    /// A cache mount on this directory or one above it.
    pub fn caches(&self, folder: &str) -> bool {
        let target = self.target();
        let under = |it: &str| it.strip_prefix(target).is_some_and(|it| it.starts_with('/'));
        self.kind == "cache" && !target.is_empty() && (folder == target || under(folder))
    }
}
