//! `SUPPORT.md`: which flags there are, since when, and which cases use them. `UPDATE=1 cargo test`
//! writes it anew.

use crate::support::{blocks, pages, testdata};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use strake_diag::Source;
use strake_dockerfile::{Arity, Instruction, Statement, instruction, parse};

/// Where a flag is used: pages of `testdata/instructions`, folders of `testdata/build`.
#[derive(Default)]
struct Uses {
    pages: BTreeSet<String>,
    builds: BTreeSet<String>,
}

/// By instruction and flag, or `RUN` and `mount type=T,OPTION`.
type Used = BTreeMap<(String, String), Uses>;

#[test]
fn every_flag_has_a_case_and_the_table_is_true() {
    let used = used();
    let is_used = |key: &(String, String)| {
        used.get(key).is_some_and(|it| !it.pages.is_empty() && !it.builds.is_empty())
    };
    let mut lost = Vec::new();
    for keyword in instruction::KEYWORDS {
        for flag in Instruction::flags(keyword) {
            if !is_used(&((*keyword).to_owned(), flag.name.to_owned())) {
                lost.push(format!("{keyword} --{}", flag.name));
            }
        }
    }
    for option in instruction::mount_options() {
        for kind in option.types.into_iter().flatten() {
            if !is_used(&mount_key(kind, option.names[0])) {
                lost.push(format!("RUN --mount=type={kind},{}", option.names[0]));
            }
        }
    }
    assert!(lost.is_empty(), "no page or no build uses {}", lost.join(", "));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("SUPPORT.md");
    let (fresh, written) = (table(&used), std::fs::read_to_string(&path).unwrap_or_default());
    if fresh != written {
        if crate::cases::option_env_update() {
            std::fs::write(&path, fresh).expect("the table can be written");
            return;
        }
        panic!("SUPPORT.md is not true any more: run UPDATE=1 cargo test -p strake-dockerfile");
    }
}

fn table(used: &Used) -> String {
    let mut out = String::from(
        "# What of the Dockerfile language is there\n\n\
         Written by a test from the tables of flags and from the cases; do not edit it by hand.\n\
         *Since* is the version of Docker's Dockerfile syntax that brought the flag. *Planned by* names \
         pages of\n`testdata/instructions`, *built by* folders of `testdata/build`, three at most.\n\n\
         Every flag that is read is carried out: there is none that is accepted and does nothing.\n\n\
         ## Instructions and their flags\n\n\
         | Instruction | Flag | Since | | Planned by | Built by |\n|---|---|---|---|---|---|\n",
    );
    for keyword in instruction::KEYWORDS {
        let flags = Instruction::flags(keyword);
        if flags.is_empty() {
            let _ = writeln!(out, "| {keyword} | | 1.0 | | {} |", cells(used, keyword, ""));
        }
        for flag in flags {
            let form = match flag.arity {
                Arity::Switch => "[=BOOL]",
                Arity::Once => "=..",
                Arity::Repeated => "=.. ..",
            };
            let (name, since, doc) = (flag.name, flag.since, flag.doc);
            let cells = cells(used, keyword, name);
            let _ = writeln!(out, "| {keyword} | `--{name}{form}` | {since} | {doc} | {cells} |");
        }
    }
    out.push_str(
        "\n## Options of RUN --mount\n\n\
         | Type | Option | Planned by | Built by |\n|---|---|---|---|\n",
    );
    for (at, kind) in ["bind", "cache", "tmpfs", "secret", "ssh"].into_iter().enumerate() {
        for option in instruction::mount_options().filter(|it| it.types[at].is_some()) {
            let names: Vec<String> = option.names.iter().map(|it| format!("`{it}`")).collect();
            let (keyword, key) = mount_key(kind, option.names[0]);
            let cells = cells(used, &keyword, &key);
            let _ = writeln!(out, "| {kind} | {} | {cells} |", names.join(", "));
        }
    }
    out
}

fn cells(used: &Used, keyword: &str, flag: &str) -> String {
    let none = Uses::default();
    let uses = used.get(&(keyword.to_owned(), flag.to_owned())).unwrap_or(&none);
    let some = |it: &BTreeSet<String>| {
        let first: Vec<&str> = it.iter().take(3).map(String::as_str).collect();
        let more = if it.len() > 3 { ", .." } else { "" };
        format!("{}{more}", first.join(", "))
    };
    format!("{} | {}", some(&uses.pages), some(&uses.builds))
}

fn mount_key(kind: &str, option: &str) -> (String, String) {
    ("RUN".to_owned(), format!("mount type={kind},{option}"))
}

fn used() -> Used {
    let mut used = Used::new();
    let root = testdata("instructions");
    for path in pages(&root) {
        let name = path.strip_prefix(&root).expect("it is below").with_extension("");
        let page = std::fs::read_to_string(&path).expect("a sound page");
        for block in blocks(&page).iter().filter(|it| it.info == "dockerfile") {
            note(&block.text, &mut used, |it| it.pages.insert(name.display().to_string()));
        }
    }
    let builds = testdata("build");
    for entry in std::fs::read_dir(&builds).into_iter().flatten() {
        let folder = entry.expect("the folder can be read");
        let name = folder.file_name().to_string_lossy().into_owned();
        if let Ok(text) = std::fs::read_to_string(folder.path().join("Dockerfile")) {
            note(&text, &mut used, |it| it.builds.insert(name.clone()));
        }
    }
    used
}

/// Notes what a Dockerfile uses.
fn note(text: &str, used: &mut Used, mut put: impl FnMut(&mut Uses) -> bool) {
    for it in parse(&Source::new("case", text)).0.statements {
        for (keyword, flag) in uses(&it) {
            put(used.entry((keyword, flag)).or_default());
        }
    }
}

/// The flags of a statement, those behind ONBUILD included, and the statement itself.
fn uses(it: &Statement) -> Vec<(String, String)> {
    let keyword = it.keyword.text.to_ascii_uppercase();
    let mut found = vec![(keyword.clone(), String::new())];
    let mut flags: Vec<_> = it.flags.iter().map(|flag| (keyword.clone(), flag)).collect();
    if let strake_dockerfile::Arguments::Nested { keyword, flags: inner, .. } = &it.arguments {
        flags.extend(inner.iter().map(|flag| (keyword.text.to_ascii_uppercase(), flag)));
    }
    for (keyword, flag) in flags {
        found.push((keyword.clone(), flag.name.clone()));
        let Some(value) = flag.value.as_ref().filter(|_| keyword == "RUN" && flag.name == "mount")
        else {
            continue;
        };
        let fields: Vec<(&str, &str)> =
            value.text.split(',').map(|it| it.split_once('=').unwrap_or((it, ""))).collect();
        let kind = fields.iter().rev().find(|(name, _)| *name == "type").map_or("bind", |it| it.1);
        for (name, _) in &fields {
            let option = instruction::mount_options().find(|it| it.names.contains(name));
            found.extend(option.map(|it| mount_key(kind, it.names[0])));
        }
    }
    found
}
