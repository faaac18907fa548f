//! Labels, as the settings ask for them.

use crate::Facts;
use crate::facts::Step;
use crate::rule::{FixKind, Rule, Sink};
use crate::settings::LabelKind;
use strake_dockerfile::Instruction;
use strake_dockerfile::instruction::Pair;

pub(super) static RULES: &[&Rule] = &[
    &KEY, &MISSING, &SUPERFLUOUS, &EMPTY, &URL, &TIME, &LICENCE, &HASH, &VERSION, &EMAIL,
];

rule!(KEY = "invalid-label-key", ["DL3048"], Label, Style, on, FixKind::None, key);
rule!(MISSING = "label-missing", ["DL3049"], Label, Info, on, FixKind::None, missing);
rule!(SUPERFLUOUS = "label-superfluous", ["DL3050"], Label, Info, on, FixKind::None, superfluous);
rule!(EMPTY = "label-empty", ["DL3051"], Label, Warning, on, FixKind::None, empty);
rule!(URL = "label-no-url", ["DL3052"], Label, Warning, on, FixKind::None, url);
rule!(TIME = "label-no-time", ["DL3053"], Label, Warning, on, FixKind::None, time);
rule!(LICENCE = "label-no-licence", ["DL3054"], Label, Warning, on, FixKind::None, licence);
rule!(HASH = "label-no-commit", ["DL3055"], Label, Warning, on, FixKind::None, hash);
rule!(VERSION = "label-no-version", ["DL3056"], Label, Warning, on, FixKind::None, version);
rule!(EMAIL = "label-no-email", ["DL3058"], Label, Warning, on, FixKind::None, email);

fn pairs<'a>(facts: &'a Facts<'_>) -> Vec<(&'a Step<'a>, &'a Pair)> {
    let mut found = Vec::new();
    for step in &facts.steps {
        if let Some(Instruction::Label(label)) = step.instruction {
            found.extend(label.pairs.iter().map(|it| (step, it)));
        }
    }
    found
}

fn bare(text: &str) -> &str {
    text.trim_matches(['"', '\''])
}

fn key(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let reserved = ["com.docker.", "io.docker.", "org.dockerproject."];
    for (_, pair) in pairs(facts) {
        let key = bare(&pair.name.text);
        let ends = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
        let inner = |it: char| ends(it) || matches!(it, '.' | '-' | '_' | '/');
        let shape = key.starts_with(|it: char| it.is_ascii_lowercase())
            && key.ends_with(ends)
            && key.chars().all(inner)
            && !key.contains("..")
            && !key.contains("--");
        if key.contains('$') {
            continue;
        }
        if reserved.iter().any(|it| key.starts_with(it)) {
            out.at(pair.name.span, format!("`{key}` is in a namespace of Docker's own"));
        } else if !shape {
            let hint = "use lower-case letters, digits, single dots and dashes";
            out.at(pair.name.span, format!("`{key}` is not a good label key")).hint(hint);
        }
    }
}

fn missing(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for stage in &facts.stages {
        let shipped = stage.index + 1 == facts.stages.len() || facts.stages.len() == 1;
        if !shipped {
            continue;
        }
        let mut at = Some(stage.index);
        let mut has: Vec<&str> = Vec::new();
        while let Some(below) = at {
            for step in facts.steps_of(below) {
                if let Some(Instruction::Label(label)) = step.instruction {
                    has.extend(label.pairs.iter().map(|it| bare(&it.name.text)));
                }
            }
            at = match &facts.stages[below].base {
                crate::Base::Stage(next) => Some(*next),
                crate::Base::Scratch | crate::Base::Image(_) => None,
            };
        }
        for name in facts.settings.labels.keys().filter(|it| !has.contains(&it.as_str())) {
            let span = facts.file.statements[stage.statement].span;
            out.at(span, format!("the label `{name}` is missing"));
        }
    }
}

fn superfluous(facts: &Facts<'_>, out: &mut Sink<'_>) {
    if !facts.settings.strict_labels {
        return;
    }
    for (_, pair) in pairs(facts) {
        let name = bare(&pair.name.text);
        if !facts.settings.labels.contains_key(name) {
            out.at(pair.name.span, format!("nobody asks for the label `{name}`"));
        }
    }
}

/// Reports labels of a kind whose values are not of it.
fn kind(
    facts: &Facts<'_>,
    out: &mut Sink<'_>,
    wanted: LabelKind,
    is: impl Fn(&str) -> bool,
    what: &str,
) {
    for (_, pair) in pairs(facts) {
        let name = bare(&pair.name.text);
        if facts.settings.labels.get(name) != Some(&wanted) {
            continue;
        }
        let value = bare(&pair.value.text);
        if !value.contains('$') && !is(value) {
            out.at(pair.value.span, format!("the label `{name}` is not {what}"));
        }
    }
}

fn empty(facts: &Facts<'_>, out: &mut Sink<'_>) {
    for (_, pair) in pairs(facts) {
        let name = bare(&pair.name.text);
        if facts.settings.labels.contains_key(name) && bare(&pair.value.text).is_empty() {
            out.at(pair.name.span.to(pair.value.span), format!("the label `{name}` is empty"));
        }
    }
}

fn url(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let is = |it: &str| {
        it.split_once("://").is_some_and(|(scheme, rest)| {
            !scheme.is_empty() && !rest.is_empty() && !it.contains(char::is_whitespace)
        })
    };
    kind(facts, out, LabelKind::Url, is, "a URL");
}

fn time(facts: &Facts<'_>, out: &mut Sink<'_>) {
    kind(facts, out, LabelKind::Rfc3339, is_time, "a time of RFC 3339");
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = "0000-00-00T00:00:00".bytes();
    let fits = |(want, it): (u8, &u8)| match want {
        b'0' => it.is_ascii_digit(),
        b'T' => matches!(it, b'T' | b't' | b' '),
        other => other == *it,
    };
    if bytes.len() < 20 || !shape.zip(bytes).all(fits) {
        return false;
    }
    let number = |at: usize| text[at..at + 2].parse::<u32>().unwrap_or(99);
    let ranges = number(5) <= 12 && number(8) <= 31 && number(11) < 24 && number(14) < 60;
    let rest = text[19..].trim_start_matches(|it: char| it == '.' || it.is_ascii_digit());
    let offset = rest.len() == 6
        && rest.starts_with(['+', '-'])
        && rest[1..3].bytes().chain(rest[4..].bytes()).all(|it| it.is_ascii_digit())
        && &rest[3..4] == ":";
    ranges && (rest.eq_ignore_ascii_case("z") || offset)
}

/// Licences that images usually have ([SPDX](https://spdx.org/licenses/)).
const LICENCES: &[&str] = &[
    "0BSD", "AFL-3.0", "AGPL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-1.1", "Apache-2.0",
    "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSD-4-Clause", "BSL-1.0",
    "BUSL-1.1", "CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0", "CDDL-1.0", "CDDL-1.1", "CECILL-2.1",
    "ECL-2.0", "EPL-1.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2", "GPL-1.0", "GPL-2.0", "GPL-2.0+",
    "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0", "GPL-3.0+", "GPL-3.0-only", "GPL-3.0-or-later",
    "ISC", "LGPL-2.0", "LGPL-2.1", "LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0",
    "LGPL-3.0-only", "LGPL-3.0-or-later", "LPPL-1.3c", "MIT", "MIT-0", "MPL-1.1", "MPL-2.0",
    "MS-PL", "MulanPSL-2.0", "NCSA", "OFL-1.1", "OSL-3.0", "OpenSSL", "PHP-3.01", "PostgreSQL",
    "PSF-2.0", "Python-2.0", "Ruby", "SSPL-1.0", "Unicode-3.0", "Unlicense", "UPL-1.0", "Vim",
    "W3C", "WTFPL", "Zlib", "ZPL-2.1", "curl",
];

fn licence(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let is = |text: &str| {
        let words = text.split(|it: char| it.is_whitespace() || it == '(' || it == ')');
        let mut licences = 0;
        for word in words.filter(|it| !it.is_empty()) {
            if matches!(word, "AND" | "OR" | "WITH") {
                continue;
            }
            let exception = word.ends_with("-exception") || word.contains("-exception-");
            if !LICENCES.contains(&word) && !word.starts_with("LicenseRef-") && !exception {
                return false;
            }
            licences += 1;
        }
        licences > 0
    };
    kind(facts, out, LabelKind::Spdx, is, "a licence expression of SPDX");
}

fn hash(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let is = |it: &str| {
        it.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')) && matches!(it.len(), 7 | 40 | 64)
    };
    kind(facts, out, LabelKind::Hash, is, "a commit");
}

fn version(facts: &Facts<'_>, out: &mut Sink<'_>) {
    kind(facts, out, LabelKind::Semver, is_version, "a semantic version");
}

fn is_version(text: &str) -> bool {
    let text = text.split('+').next().unwrap_or_default();
    let (core, pre) = text.split_once('-').map_or((text, None), |(a, b)| (a, Some(b)));
    let number = |it: &str| {
        !it.is_empty()
            && it.bytes().all(|it| it.is_ascii_digit())
            && (it == "0" || !it.starts_with('0'))
    };
    let parts: Vec<&str> = core.split('.').collect();
    let word = |it: &str| {
        !it.is_empty() && it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
    };
    parts.len() == 3
        && parts.iter().all(|it| number(it))
        && pre.is_none_or(|it| it.split('.').all(word))
}

fn email(facts: &Facts<'_>, out: &mut Sink<'_>) {
    let is = |it: &str| {
        it.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && host.contains('.') && !host.contains('@') && !host.ends_with('.')
        }) && !it.contains(char::is_whitespace)
    };
    kind(facts, out, LabelKind::Email, is, "a mail address");
}

#[cfg(test)]
mod tests {
    use super::{is_time, is_version};

    #[test]
    fn times_and_versions() {
        for (text, want) in [
            ("2024-01-02T03:04:05Z", true),
            ("2024-01-02T03:04:05.123+01:00", true),
            ("2024-01-02", false),
            ("2024-13-02T03:04:05Z", false),
            ("2024-01-02T03:04:05", false),
        ] {
            assert_eq!(is_time(text), want, "{text}");
        }
        for (text, want) in
            [("1.2.3", true), ("1.2.3-rc.1+b", true), ("1.2", false), ("v1.2.3", false), ("01.2.3", false)]
        {
            assert_eq!(is_version(text), want, "{text}");
        }
    }
}
