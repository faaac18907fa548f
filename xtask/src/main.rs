//! Development tasks: `cargo xtask demo` and `cargo xtask test`, the two commands of the README,
//! and `cargo xtask seeds`, the whole of a matrix that `test` takes a part of.

mod demo;
mod packages;
mod seeds;
mod shell;
mod test;
#[cfg(test)]
mod tidy;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["demo"] => demo::run(),
        ["test"] => test::run(),
        ["seeds", options @ ..] => seeds::run(options),
        _ => Err("usage: cargo xtask demo|test|seeds".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(&format!("xtask: {error}"));
            ExitCode::FAILURE
        }
    }
}
