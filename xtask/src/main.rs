//! Development tasks: `cargo xtask demo` and `cargo xtask test`, the two commands of the README,
//! `cargo xtask seeds`, `differential` and `faults`, the whole of matrices that `test` takes a part
//! of, `cargo xtask bench`, the comparison with other tools, `cargo xtask counts`, the instructions of
//! inner pieces, `cargo xtask ecr`, pushes to Amazon ECR without Amazon, and `cargo xtask lint-corpus`,
//! the comparison with hadolint, `cargo xtask lint-projects`, planted mistakes before and after fixes.

mod bench;
mod counts;
mod cuts;
mod demo;
mod differential;
mod ecr;
mod faults;
mod http;
mod ladder;
mod lint_corpus;
mod lint_projects;
mod noise;
mod packages;
#[expect(dead_code, reason = "the tests of two crates use the rest")]
mod proxy;
mod registry;
mod scratch;
mod seeds;
mod shell;
mod test;
#[cfg(test)]
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask demo|test|bench|counts|seeds|differential|faults|ladder|ecr|cuts|scratch|lint-corpus|lint-projects";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["demo"] => demo::run(),
        ["test"] => test::run(),
        ["differential", options @ ..] => differential::run(options),
        ["cuts", options @ ..] => cuts::run(options),
        ["ecr"] => ecr::run(),
        ["scratch", options @ ..] => scratch::run(options),
        ["ladder", options @ ..] => ladder::run(options),
        ["faults"] => faults::run(),
        ["lint-corpus", options @ ..] => lint_corpus::run(options),
        ["lint-projects", options @ ..] => lint_projects::run(options),
        ["bench", options @ ..] => bench::run(options),
        ["counts", options @ ..] => counts::run(options),
        ["seeds", options @ ..] => seeds::run(options),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(&format!("xtask: {error}"));
            ExitCode::FAILURE
        }
    }
}
