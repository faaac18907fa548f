//! What a project says about rules: `strake.toml`, `.hadolint.yaml`, and what was typed.

mod hadolint;
mod project;

pub use hadolint::read_hadolint;
pub use project::read_project;

use crate::{Builder, Level, Rule, rules};
use std::collections::BTreeMap;

/// What a label's value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// Anything but nothing.
    Text,
    /// An address.
    Url,
    /// A semantic version.
    Semver,
    /// A commit.
    Hash,
    /// A time of RFC 3339.
    Rfc3339,
    /// A licence expression of SPDX.
    Spdx,
    /// A mail address.
    Email,
}

impl LabelKind {
    /// The kind of a word, as hadolint's configuration writes it.
    pub fn read(word: &str) -> Option<LabelKind> {
        Some(match word.to_ascii_lowercase().as_str() {
            "text" | "raw" | "rawtext" | "" => LabelKind::Text,
            "url" => LabelKind::Url,
            "semver" => LabelKind::Semver,
            "hash" | "githash" => LabelKind::Hash,
            "rfc3339" => LabelKind::Rfc3339,
            "spdx" => LabelKind::Spdx,
            "email" => LabelKind::Email,
            _ => return None,
        })
    }
}

/// Which rules run, how bad they are, and their options.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// If not empty: what runs instead of what is on by itself.
    pub select: Vec<String>,
    /// What runs besides.
    pub extend: Vec<String>,
    /// What does not run.
    pub ignore: Vec<String>,
    /// Levels by name or alias.
    pub levels: Vec<(String, Level)>,
    /// The mildest level that fails.
    pub fail_on: Option<Level>,
    /// Comments that ignore are not heeded.
    pub no_comments: bool,
    /// Registries that images may come from; empty is any.
    pub trusted: Vec<String>,
    /// Labels by name.
    pub labels: BTreeMap<String, LabelKind>,
    /// No other labels than those.
    pub strict_labels: bool,
    /// Bytes that a context may have.
    pub context_budget: Option<u64>,
    /// Which builder the files are for.
    pub builder: Option<Builder>,
    /// Output format.
    pub format: Option<String>,
    /// Never fail.
    pub no_fail: bool,
    /// Whether ShellCheck is asked.
    pub shellcheck: Option<Shellcheck>,
    /// In the place of `# check=`: what BUILDKIT_DOCKERFILE_CHECK says.
    pub check: Option<String>,
}

/// Whether ShellCheck is asked about scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shellcheck {
    /// Where it is there.
    #[default]
    Auto,
    /// Not at all.
    Never,
    /// It must be there.
    Always,
}

impl Shellcheck {
    /// The word that people write.
    pub fn read(word: &str) -> Option<Shellcheck> {
        Some(match word {
            "auto" => Shellcheck::Auto,
            "never" => Shellcheck::Never,
            "always" => Shellcheck::Always,
            _ => return None,
        })
    }
}

/// A setting that cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is not of its language.
    #[error("{file}: {why}")]
    Syntax {
        /// The file.
        file: String,
        /// What its parser says.
        why: String,
    },
    /// A key that nobody reads.
    #[error("{file}: `{key}` is not a setting; known are {known}")]
    UnknownKey {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// Those that are read.
        known: String,
    },
    /// A value of another kind.
    #[error("{file}: `{key}` must be {wanted}")]
    WrongValue {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// A rule that nobody knows.
    #[error("there is no rule `{name}`{}", did_you_mean(.near.as_deref()))]
    UnknownRule {
        /// As written.
        name: String,
        /// A rule or alias of nearly this name.
        near: Option<&'static str>,
    },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map_or(String::new(), |it| format!("; did you mean `{it}`?"))
}

/// The rule or alias whose name is nearest to one that nobody knows, if it is near at all.
pub fn near_rule(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let far = |it: &str| rules::distance(&it.to_ascii_lowercase(), &lower);
    let names = rules::ALL.iter().flat_map(|it| it.aliases.iter().copied().chain([it.name]));
    names.filter(|it| far(it) <= 1 + name.len() / 6).min_by_key(|it| far(it))
}

/// The rules that a name means: a rule, an alias, a group, `DL`, `buildkit`, `all`, or the beginning
/// of a code such as `DL30`.
pub fn rules_of(name: &str) -> Vec<&'static Rule> {
    let lower = name.to_ascii_lowercase();
    let code = lower.starts_with("dl") && lower[2..].bytes().all(|it| it.is_ascii_digit());
    rules::ALL
        .iter()
        .filter(|it| match lower.as_str() {
            "all" => true,
            "default" => it.on,
            "buildkit" | "docker" => it.buildkit().is_some(),
            "hadolint" => it.hadolint().is_some(),
            _ => {
                it.is_called(name)
                    || it.name == "shellcheck" && is_shellcheck(name)
                    || it.group.word() == lower
                    || code
                        && it.aliases.iter().any(|it| it.to_ascii_lowercase().starts_with(&lower))
            }
        })
        .copied()
        .collect()
}

impl Settings {
    /// Puts what is `above` (typed, or nearer) over this.
    #[must_use]
    pub fn under(self, above: Settings) -> Settings {
        let Settings {
            select,
            extend,
            ignore,
            levels,
            fail_on,
            no_comments,
            trusted,
            labels,
            strict_labels,
            context_budget,
            builder,
            format,
            no_fail,
            shellcheck,
            check,
        } = above;
        let join =
            |below: Vec<String>, above: Vec<String>| below.into_iter().chain(above).collect();
        Settings {
            select: if select.is_empty() { self.select } else { select },
            extend: join(self.extend, extend),
            ignore: join(self.ignore, ignore),
            levels: self.levels.into_iter().chain(levels).collect(),
            fail_on: fail_on.or(self.fail_on),
            no_comments: no_comments || self.no_comments,
            trusted: join(self.trusted, trusted),
            labels: self.labels.into_iter().chain(labels).collect(),
            strict_labels: strict_labels || self.strict_labels,
            context_budget: context_budget.or(self.context_budget),
            builder: builder.or(self.builder),
            format: format.or(self.format),
            no_fail: no_fail || self.no_fail,
            shellcheck: shellcheck.or(self.shellcheck),
            check: check.or(self.check),
        }
    }

    /// The rules that run, each with its level.
    pub fn active(&self) -> Result<Vec<(&'static Rule, Level)>, SettingsError> {
        let named = |names: &[String]| -> Result<Vec<&'static str>, SettingsError> {
            let mut found = Vec::new();
            for name in names {
                let rules = rules_of(name);
                if rules.is_empty() {
                    return Err(SettingsError::UnknownRule {
                        name: name.clone(),
                        near: near_rule(name),
                    });
                }
                found.extend(rules.iter().map(|it| it.name));
            }
            Ok(found)
        };
        // Single codes are left out of what the rule finds.
        let ignored: Vec<String> =
            self.ignore.iter().filter(|it| !is_shellcheck(it) || *it == "SC").cloned().collect();
        let (select, extend, ignore) =
            (named(&self.select)?, named(&self.extend)?, named(&ignored)?);
        let mut active = Vec::new();
        for rule in rules::ALL.iter() {
            let on = if self.select.is_empty() { rule.on } else { select.contains(&rule.name) };
            if (on || extend.contains(&rule.name)) && !ignore.contains(&rule.name) {
                active.push((*rule, rule.level));
            }
        }
        for (name, level) in &self.levels {
            let rules = rules_of(name);
            if rules.is_empty() {
                return Err(SettingsError::UnknownRule {
                    name: name.clone(),
                    near: near_rule(name),
                });
            }
            for (rule, old) in &mut active {
                if rules.iter().any(|it| it.name == rule.name) {
                    *old = *level;
                }
            }
        }
        Ok(active)
    }

    /// The level that the settings give a code of ShellCheck.
    pub(crate) fn level_of(&self, code: &str) -> Option<Level> {
        let means = |name: &str| match is_shellcheck(name) {
            true => code.starts_with(name),
            false => rules_of(name).iter().any(|it| it.name == "shellcheck"),
        };
        self.levels.iter().rev().find(|it| means(&it.0)).map(|it| it.1)
    }

    /// Whether a code of ShellCheck is to be told.
    pub(crate) fn wants(&self, code: &str) -> bool {
        let named = |it: &&String| is_shellcheck(it);
        let (codes, others): (Vec<&String>, Vec<&String>) = self.select.iter().partition(named);
        let of_rule = |it: &&String| rules_of(it).iter().any(|it| it.name == "shellcheck");
        let all = self.select.is_empty() || others.iter().any(of_rule);
        let selected = all
            || codes.iter().any(|it| code.starts_with(it.as_str()))
            || self.extend.iter().any(|it| code.starts_with(it.as_str()) || of_rule(&it));
        selected && !self.ignore.iter().filter(named).any(|it| code.starts_with(it.as_str()))
    }
}

/// A code of ShellCheck, or the beginning of one.
pub fn is_shellcheck(name: &str) -> bool {
    name.strip_prefix("SC").is_some_and(|it| it.bytes().all(|it| it.is_ascii_digit()))
}
