//! `strake lint` and `strake rules`.

use crate::failure::Failure;
use crate::linting::args::{LintArgs, RulesArgs};
use crate::{linting, say};
use serde_json::{Value, json};
use std::process::ExitCode;
use strake_lint::{Rule, rules};

pub(crate) fn run(args: &LintArgs) -> Result<ExitCode, Failure> {
    // A failure is not a finding.
    linting::run(args).map_err(|it| Failure { code: 2, ..it })
}

pub(crate) fn list(args: &RulesArgs) -> Result<(), Failure> {
    let RulesArgs { rule, format } = args;
    if let Some(name) = rule {
        let found = strake_lint::rules_of(name);
        if found.is_empty() {
            let near = strake_lint::near_rule(name);
            let near = near.map_or(String::new(), |it| format!("; did you mean `{it}`?"));
            return Err(Failure::usage(format!("there is no rule `{name}`{near}"))
                .hint("`strake rules` lists them all"));
        }
        let pages: Vec<&str> = found.iter().map(|it| it.doc.trim_end()).collect();
        say::data(&pages.join("\n\n"));
        return Ok(());
    }
    match format.as_str() {
        "json" => {
            let all: Vec<Value> = rules::ALL.iter().map(|it| object(it)).collect();
            say::data(&format!("{:#}", Value::from(all)));
        }
        "markdown" => say::data(rules::table().trim_end()),
        _ => {
            for rule in rules::ALL.iter() {
                let on = if rule.on { "" } else { " (off)" };
                let also = rule.aliases.join(", ");
                let line = format!("{:<28} {:<8} {also}{on}", rule.name, rule.level.word());
                say::data(line.trim_end());
            }
        }
    }
    Ok(())
}

fn object(rule: &Rule) -> Value {
    json!({
        "name": rule.name,
        "aliases": rule.aliases,
        "group": rule.group.word(),
        "level": rule.level.word(),
        "on": rule.on,
        "since": rule.since,
        "fix": rule.fix.word(),
        "summary": rule.summary(),
    })
}
