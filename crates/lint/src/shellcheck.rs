//! What [ShellCheck](https://www.shellcheck.net) is given to read, and what it remarks. It is run by
//! the caller: here is only text.

use crate::{Facts, Level, Outside, Settings};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use strake_diag::Source;
use strake_dockerfile::Instruction;
use strake_dockerfile::instruction::Command;

/// The script of one RUN, as a file for ShellCheck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellScript {
    /// The number of the statement.
    pub statement: usize,
    /// The shell, directives, variables of the Dockerfile, and the script.
    pub text: String,
    /// Lines of the text in front of the script.
    pub above: usize,
}

/// One comment of ShellCheck's. Lines and columns count from 1 within [`ShellScript::text`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Remark {
    /// The number behind `SC`.
    pub code: u32,
    /// As it says.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// Where it begins.
    pub line: usize,
    /// In characters.
    pub column: usize,
    /// Where it ends.
    #[serde(rename = "endLine")]
    pub end_line: usize,
    /// In characters.
    #[serde(rename = "endColumn")]
    pub end_column: usize,
}

/// What is said of scripts that are not files: sources are not there, and the first line is ours.
const NOT_HERE: &[u32] = &[1090, 1091, 1128, 2187];

/// The scripts of a Dockerfile that ShellCheck can read: the shell forms of RUN whose shell it knows.
/// `rc` is the text of a `.shellcheckrc`.
pub fn scripts(source: &Source, rc: &str) -> Vec<ShellScript> {
    let (file, problems) = strake_dockerfile::parse(source);
    let (outside, settings) = (Outside::default(), Settings::default());
    let facts = Facts::unread(&file, &problems, &outside, &settings);
    facts.runs().filter_map(|step| script(&facts, step, rc)).collect()
}

fn script(facts: &Facts<'_>, step: &crate::Step<'_>, rc: &str) -> Option<ShellScript> {
    let Some(Instruction::Run(run)) = step.instruction else { return None };
    if !matches!(run.command, Command::Shell(_)) || step.script.text.trim().is_empty() {
        return None;
    }
    let body = &step.script.text;
    let own = body.strip_prefix("#!").and_then(|it| it.lines().next());
    let own = own.and_then(|it| it.split(['/', ' ']).rfind(|it| it.ends_with("sh")));
    let shell = match own.unwrap_or(step.shell_name()) {
        it @ ("sh" | "bash" | "dash" | "ksh") => it,
        "ash" => "dash",
        "busybox" => "sh",
        _ => return None,
    };
    let stops = step.shell.iter().skip(1).any(|it| it.starts_with('-') && it.contains('e'));
    let mut text = format!("#!/bin/{shell}{}\n", if stops { " -e" } else { "" });
    for line in rc.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#')) {
        if !line.starts_with("external-sources") {
            let _ = writeln!(text, "# shellcheck {line}");
        }
    }
    let inside = |it: strake_diag::Span| {
        let extent = step.statement.extent;
        extent.start <= it.start && it.end <= extent.end
    };
    let above = step.statement.above.iter().map(|it| &it.text);
    let within = facts.file.comments.iter().filter(|it| inside(it.span)).map(|it| &it.text);
    for comment in above.chain(within).filter(|it| it.starts_with("shellcheck ")) {
        let _ = writeln!(text, "# {comment}");
    }
    for name in variables(facts, step.index) {
        let _ = writeln!(text, "export {name}=1");
    }
    let above = text.lines().count();
    text.push_str(body);
    text.push('\n');
    Some(ShellScript { statement: step.index, text, above })
}

/// ENV and ARG that a RUN sees.
fn variables<'a>(facts: &'a Facts<'_>, statement: usize) -> BTreeSet<&'a str> {
    let is_name = |it: &&str| {
        !it.starts_with(|it: char| it.is_ascii_digit())
            && it.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
    };
    let names: BTreeSet<&str> = facts.vars.iter().map(|it| it.name.as_str()).collect();
    let seen = |it: &&str| facts.var(it, statement).is_some();
    names.into_iter().filter(is_name).filter(seen).collect()
}

impl Remark {
    /// With lines of the script itself; nothing where it is of no use for a Dockerfile.
    #[must_use]
    pub fn below(mut self, above: usize) -> Option<Remark> {
        let line = self.line.checked_sub(above).filter(|it| *it > 0)?;
        if NOT_HERE.contains(&self.code) {
            return None;
        }
        self.end_line = self.end_line.saturating_sub(above).max(line);
        self.line = line;
        Some(self)
    }

    /// As it is written in comments and settings.
    pub fn name(&self) -> String {
        format!("SC{:04}", self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::scripts;
    use strake_diag::Source;

    #[test]
    fn scripts_know_shell_variables_and_directives() {
        let text = "ARG G=1\nFROM a AS x\nENV dir=/a 9=x\n# shellcheck disable=SC2086\nRUN ls $dir && \\\n  # why\n  ls\nSHELL [\"/bin/bash\", \"-euo\", \"pipefail\", \"-c\"]\nRUN <<EOF\nls\nEOF\nSHELL [\"pwsh\", \"-c\"]\nRUN ls\nFROM x\nRUN [\"ls\"]\nRUN <<-EOF\n\t#!/usr/bin/env python3\n\tls\nEOF\n";
        let found = scripts(&Source::new("Dockerfile", text), "# mine\nenable=all\n");
        let texts: Vec<&str> = found.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "#!/bin/sh\n# shellcheck enable=all\n# shellcheck disable=SC2086\nexport dir=1\nls $dir &&   ls\n",
                "#!/bin/bash -e\n# shellcheck enable=all\nexport dir=1\nls\n\n",
            ]
        );
        assert_eq!((found[0].statement, found[0].above), (3, 4));
    }
}
