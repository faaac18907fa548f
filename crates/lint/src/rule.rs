//! The shape of a rule, and of what it finds.

use crate::Facts;
use strake_diag::{Edit, Label, Span};

/// How bad a finding is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A matter of taste.
    Style,
    /// Worth knowing.
    Info,
    /// Probably not meant.
    Warning,
    /// Wrong.
    Error,
}

impl Level {
    /// Every level, the mildest first.
    pub const ALL: [Level; 4] = [Level::Style, Level::Info, Level::Warning, Level::Error];

    /// The word that people read and write.
    pub fn word(self) -> &'static str {
        match self {
            Level::Style => "style",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }

    /// The level of a word.
    pub fn read(word: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|it| it.word().eq_ignore_ascii_case(word))
    }
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What the language asks for: BuildKit's checks, and what hadolint says of instructions.
    Language,
    /// Shell commands and package managers.
    Shell,
    /// Layers and the cache.
    Cache,
    /// The build context.
    Context,
    /// Secrets, users, where images come from.
    Security,
    /// Labels.
    Label,
}

impl Group {
    /// The word that `--select` takes.
    pub fn word(self) -> &'static str {
        match self {
            Group::Language => "language",
            Group::Shell => "shell",
            Group::Cache => "cache",
            Group::Context => "context",
            Group::Security => "security",
            Group::Label => "label",
        }
    }
}

/// What a fix may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Safety {
    /// The plan stays what it is.
    Safe,
    /// The image may change.
    Unsafe,
    /// Shown only; a person has to look at it.
    DisplayOnly,
}

/// Whether a rule can put right what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixKind {
    /// Never.
    None,
    /// With fixes of this safety, not always.
    Sometimes(Safety),
    /// With fixes of this safety.
    Always(Safety),
}

impl FixKind {
    /// One word, empty for none.
    pub fn word(self) -> &'static str {
        match self {
            FixKind::None => "",
            FixKind::Sometimes(it) | FixKind::Always(it) => match it {
                Safety::Safe => "safe",
                Safety::Unsafe => "unsafe",
                Safety::DisplayOnly => "shown",
            },
        }
    }
}

/// A set of edits that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What it does, as a command.
    pub message: String,
    /// What it may do.
    pub safety: Safety,
    /// In order and without overlap.
    pub edits: Vec<Edit>,
    /// Files beside the Dockerfile that it writes: name in the context, and text.
    pub files: Vec<(String, String)>,
}

impl Fix {
    /// Leaves the plan what it is.
    pub fn safe(message: impl Into<String>, edits: Vec<Edit>) -> Fix {
        Fix { message: message.into(), safety: Safety::Safe, edits, files: Vec::new() }
    }

    /// May change the image.
    pub fn risky(message: impl Into<String>, edits: Vec<Edit>) -> Fix {
        Fix { message: message.into(), safety: Safety::Unsafe, edits, files: Vec::new() }
    }

    /// A suggestion.
    pub fn shown(message: impl Into<String>, edits: Vec<Edit>) -> Fix {
        Fix { message: message.into(), safety: Safety::DisplayOnly, edits, files: Vec::new() }
    }
}

/// One edit.
pub fn edit(span: Span, text: impl Into<String>) -> Edit {
    Edit { span, text: text.into() }
}

/// Something that a rule found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Whose it is.
    pub rule: &'static Rule,
    /// As the settings have it.
    pub level: Level,
    /// Where.
    pub span: Span,
    /// A lower-case fragment.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Evidence: sizes, churn, seconds.
    pub evidence: Vec<String>,
    /// Other places.
    pub labels: Vec<Label>,
    /// How to put it right.
    pub fix: Option<Fix>,
    /// Seconds of rebuilding a week, where they can be told.
    pub weekly: Option<f64>,
    /// In which file; nothing for the Dockerfile itself.
    pub file: Option<String>,
    /// Whose it is within the rule: a code of ShellCheck.
    pub code: Option<String>,
}

impl Finding {
    /// The code, or the rule's name.
    pub fn name(&self) -> &str {
        self.code.as_deref().unwrap_or(self.rule.name)
    }

    /// With what to do.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Finding {
        self.hint = Some(hint.into());
        self
    }

    /// With another place.
    pub fn label(&mut self, span: Span, message: impl Into<String>) -> &mut Finding {
        self.labels.push(Label { span, message: message.into() });
        self
    }

    /// With a fix.
    pub fn fix(&mut self, fix: Fix) -> &mut Finding {
        self.fix = Some(fix);
        self
    }

    /// With what was measured.
    pub fn evidence(&mut self, evidence: impl Into<String>) -> &mut Finding {
        self.evidence.push(evidence.into());
        self
    }
}

/// A rule: everything about it.
pub struct Rule {
    /// Names the bad thing; the page's file name.
    pub name: &'static str,
    /// Names of the same check elsewhere: BuildKit's and hadolint's.
    pub aliases: &'static [&'static str],
    /// What it is about.
    pub group: Group,
    /// How bad, unless the settings say otherwise.
    pub level: Level,
    /// Whether it runs unless it is asked for.
    pub on: bool,
    /// The version that brought it.
    pub since: &'static str,
    /// What it can put right.
    pub fix: FixKind,
    /// The page; its blocks are the tests.
    pub doc: &'static str,
    /// Looks for it.
    pub check: fn(&Facts<'_>, &mut Sink<'_>),
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Rule {
    /// Whether `name` is this rule's name or one of its aliases.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
            || self.aliases.iter().any(|it| it.eq_ignore_ascii_case(name))
    }

    /// hadolint's code, if it has one.
    pub fn hadolint(&self) -> Option<&'static str> {
        let digit = |it: &&&str| it.starts_with("DL") && it.as_bytes()[2].is_ascii_digit();
        self.aliases.iter().find(digit).copied()
    }

    /// BuildKit's name, if it has one.
    pub fn buildkit(&self) -> Option<&'static str> {
        let letters = |it: &&&str| !it.bytes().any(|it| it.is_ascii_digit());
        self.aliases.iter().find(letters).copied()
    }

    /// How much the page tests: findings of its bad examples, and instructions of its good ones.
    pub fn tested(&self) -> (usize, usize) {
        let blocks = |info: &'static str| {
            let all = self.doc.split(info).skip(1);
            all.filter_map(|it| it.split("```").next()).flat_map(str::lines)
        };
        let findings = blocks("```text findings\n").filter(|it| !it.starts_with(' '));
        let is_instruction = |it: &&str| {
            let word = it.split(' ').next().unwrap_or_default();
            word.len() > 1 && word.bytes().all(|it| it.is_ascii_uppercase())
        };
        (findings.count(), blocks("```dockerfile good\n").filter(is_instruction).count())
    }

    /// The first paragraph of the page.
    pub fn summary(&self) -> &'static str {
        let body = self.doc.split_once("\n\n").map_or(self.doc, |(_, body)| body);
        body.split("\n\n").next().unwrap_or(body).trim()
    }
}

/// Where a rule puts what it finds.
pub struct Sink<'a> {
    rule: &'static Rule,
    found: &'a mut Vec<Finding>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(rule: &'static Rule, found: &'a mut Vec<Finding>) -> Sink<'a> {
        Sink { rule, found }
    }

    /// Something at a place.
    pub fn at(&mut self, span: Span, message: impl Into<String>) -> &mut Finding {
        let before = self.found.len();
        self.found.push(Finding {
            rule: self.rule,
            level: self.rule.level,
            span,
            message: message.into(),
            hint: None,
            evidence: Vec::new(),
            labels: Vec::new(),
            fix: None,
            weekly: None,
            file: None,
            code: None,
        });
        &mut self.found[before]
    }
}
