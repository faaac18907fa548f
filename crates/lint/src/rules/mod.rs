//! Every rule, by family; one page a rule stands in `rules/NAME.md`.

use crate::Rule;
use std::sync::LazyLock;

/// One rule: name, aliases, group, level, `on` or `off`, fix, check. The page is `rules/NAME.md`.
macro_rules! rule {
    ($CONST:ident = $name:literal, [$($alias:literal),*], $group:ident, $level:ident, $on:ident,
     $fix:expr, $check:expr) => {
        pub(super) static $CONST: crate::Rule = crate::Rule {
            name: $name,
            aliases: &[$($alias),*],
            group: crate::Group::$group,
            level: crate::Level::$level,
            on: crate::rules::is_on(stringify!($on)),
            since: "0.1.0",
            fix: $fix,
            doc: include_str!(concat!("../../rules/", $name, ".md")),
            check: $check,
        };
    };
}

macro_rules! families {
    ($($module:ident,)*) => {
        $(mod $module;)*
        /// Every rule, by name.
        pub static ALL: LazyLock<Vec<&'static Rule>> = LazyLock::new(|| {
            let mut all: Vec<&'static Rule> = Vec::new();
            $(all.extend($module::RULES);)*
            all.sort_by_key(|it| it.name);
            all
        });
    };
}

families! {
    context,
    layers,
    mounts,
    order,
    pipelines,
    sources,
    labels,
    packages,
    shell,
    shellcheck,
    stages,
    syntax,
    transfer,
    users,
    variables,
}

pub(crate) use packages::pip_install as pip_args;
pub(crate) use variables::distance;

/// Lines that an ignore file of this context should have.
pub fn suggested_ignores(
    context: &crate::ContextFacts,
    facts: Option<&crate::Facts<'_>>,
) -> Vec<String> {
    context::suggested(context, facts)
}

const fn is_on(word: &str) -> bool {
    matches!(word.as_bytes(), b"on")
}

/// The rule of this name or alias.
pub fn find(name: &str) -> Option<&'static Rule> {
    ALL.iter().find(|it| it.is_called(name)).copied()
}

/// All rules as a table of Markdown: the text of RULES.md.
pub fn table() -> String {
    let mut text = "# Rules of `strake lint`\n\n\
        Every page is the rule's documentation and its test. A rule that is not on runs with `--select` or\n\
        `--extend-select`. Fixes: *safe* leaves the plan what it is (`--fix`), *unsafe* may change the image\n\
        (`--fix --unsafe-fixes`), *shown* is for a person to look at. *Tested* are the findings of a page's bad\n\
        examples and the instructions of its good ones; `testdata/lint` has more.\n\n\
        | rule | also | group | level | on | fix | since | tested |\n|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for rule in ALL.iter() {
        let (found, spared) = rule.tested();
        text.push_str(&format!(
            "| [{name}](rules/{name}.md) | {} | {} | {} | {} | {} | {} | {found} + {spared} |\n",
            rule.aliases.join(", "),
            rule.group.word(),
            rule.level.word(),
            if rule.on { "yes" } else { "" },
            rule.fix.word(),
            rule.since,
            name = rule.name,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::{collections::BTreeSet, fs};

    #[test]
    fn every_page_is_of_a_rule() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
        let pages: BTreeSet<String> = fs::read_dir(dir)
            .unwrap()
            .map(|it| it.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let listed: BTreeSet<String> = ALL.iter().map(|it| it.name.to_owned()).collect();
        assert_eq!(pages, listed);
    }

    #[test]
    fn names_are_unique_and_pages_begin_with_them() {
        let mut taken = BTreeSet::new();
        for rule in ALL.iter() {
            assert!(taken.insert(rule.name), "`{}` is taken twice", rule.name);
            assert!(rule.doc.starts_with(&format!("# {}\n", rule.name)), "{}", rule.name);
            assert!(rule.aliases.iter().all(|it| it.to_ascii_lowercase() != rule.name));
        }
    }
}
