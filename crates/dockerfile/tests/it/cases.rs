//! Every page below `testdata/instructions` and `testdata/parse`: a Dockerfile, and its plan or
//! its errors. `UPDATE=1 cargo test` writes what came out into the pages.

use crate::support::{Block, Setup, blocks, pages, show, show_problems, testdata};
use std::collections::BTreeSet;
use std::path::Path;
use strake_diag::{Diagnostic, Source};
use strake_dockerfile::{Instruction, instruction::KEYWORDS, parse};

#[test]
fn instructions() {
    check_all("instructions");
}

#[test]
fn parsing() {
    check_all("parse");
}

fn check_all(folder: &str) {
    let mut wrong = Vec::new();
    let all = pages(&testdata(folder));
    assert!(!all.is_empty());
    for path in all {
        if let Err(why) = check(&path) {
            wrong.push(format!("{}:\n{why}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A page holds any number of cases: an optional `setup` block, a `dockerfile` block, and a `plan`
/// or an `errors` block.
fn check(path: &Path) -> Result<(), String> {
    let page = std::fs::read_to_string(path).map_err(|why| why.to_string())?;
    let blocks = blocks(&page);
    let (mut setup, mut text, mut count) = (String::new(), None, 0);
    let mut fresh = page.clone();
    for Block { info, text: block } in &blocks {
        match info.as_str() {
            "setup" => setup.clone_from(block),
            "dockerfile" => text = Some(block.clone()),
            "plan" | "errors" => {
                let text = text.take().ok_or("an answer without a Dockerfile")?;
                let (kind, got) = answer(&setup, &text);
                setup.clear();
                count += 1;
                if (kind, got.as_str()) != (info.as_str(), block.as_str()) {
                    fresh = fresh.replacen(
                        &format!("```{info}\n{block}```"),
                        &format!("```{kind}\n{got}```"),
                        1,
                    );
                }
            }
            other => return Err(format!("unknown block `{other}`")),
        }
    }
    if count == 0 || text.is_some() {
        return Err("a Dockerfile without an answer".to_owned());
    }
    if fresh != page {
        if option_env_update() {
            return std::fs::write(path, fresh).map_err(|why| why.to_string());
        }
        return Err(format!("got\n{fresh}"));
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the switch that rewrites the pages")]
pub(crate) fn option_env_update() -> bool {
    std::env::var("UPDATE").is_ok()
}

fn answer(setup: &str, text: &str) -> (&'static str, String) {
    let (_, warnings) = parse(&Source::new("Dockerfile", text));
    let (source, result) = Setup::new(setup).plan(text);
    match result {
        Ok(plan) => ("plan", show_problems(&warnings, &source) + &show(&plan)),
        Err(problems) => ("errors", show_problems(&problems, &source)),
    }
}

#[test]
fn every_flag_is_used_by_a_case() {
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for path in pages(&testdata("instructions")) {
        let page = std::fs::read_to_string(&path).expect("a sound page");
        for block in blocks(&page).iter().filter(|it| it.info == "dockerfile") {
            for it in parse(&Source::new("page", &*block.text)).0.statements {
                let keyword = it.keyword.text.to_ascii_uppercase();
                used.extend(it.flags.into_iter().map(|flag| (keyword.clone(), flag.name)));
            }
        }
    }
    for keyword in KEYWORDS {
        for flag in Instruction::flags(keyword) {
            let key = ((*keyword).to_owned(), flag.name.to_owned());
            assert!(used.contains(&key), "no case uses {keyword} --{}", flag.name);
            assert!(!flag.doc.is_empty() && !flag.since.is_empty());
        }
        let folder = testdata("instructions").join(keyword.to_ascii_lowercase());
        assert!(folder.is_dir(), "{keyword} has no cases");
    }
}

/// Mutated Dockerfiles: nothing panics, and every span lies within the text.
#[test]
fn mutations_never_panic() {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for path in pages(&testdata("instructions")).iter().chain(&pages(&testdata("parse"))) {
        let found = blocks(&std::fs::read_to_string(path).expect("a sound page"));
        seeds.extend(
            found.into_iter().filter(|it| it.info == "dockerfile").map(|it| it.text.into_bytes()),
        );
    }
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below.max(1) as u64).expect("a sound page")
    };
    let spice =
        ["\\", "\n", "<<", "${", "}", "\"", "'", "[", "--", "=", "\t", "é", "#", " ", "\r\n", "`"];
    for round in 0..3000 {
        let mut bytes = seeds[next(seeds.len())].clone();
        for _ in 0..=next(4) {
            let at = next(bytes.len() + 1);
            match next(3) {
                0 => drop(bytes.drain(at..(at + next(6)).min(bytes.len()))),
                1 => drop(bytes.splice(at..at, spice[next(spice.len())].bytes())),
                _ => {
                    let other = &seeds[next(seeds.len())];
                    let from = next(other.len());
                    let piece = other[from..(from + next(30)).min(other.len())].to_vec();
                    drop(bytes.splice(at..at, piece));
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (file, problems) = parse(&Source::new("f", text.clone()));
        let inside = |it: &strake_diag::Span| it.start <= it.end && it.end as usize <= text.len();
        assert!(problems.iter().all(|it| inside(&it.span)), "round {round}: {text:?}");
        for it in &file.statements {
            assert!(inside(&it.span) && inside(&it.extent) && inside(&it.keyword.span), "{text:?}");
            let written = file.source.slice(it.keyword.span);
            assert!(written == it.keyword.text || written.contains('\n'), "{text:?}");
        }
        let (source, result) = Setup::new("").plan(&text);
        if let Err(problems) = result {
            assert!(problems.iter().any(Diagnostic::is_error));
            assert!(problems.iter().all(|it| inside(&it.span)), "round {round}: {text:?}");
            strake_diag::render_all(&problems, &source, strake_diag::Colour::Never);
        }
    }
}
