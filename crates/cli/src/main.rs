//! The strake command: flags, commands, progress, errors to messages and exit codes.
//!
//! Invariant: no logic of building. This crate reads the environment, looks at the clock and
//! prints; the others do none of these.

mod ahead;
mod annotations;
mod args;
mod args_registry;
mod bases;
mod build_arguments;
mod cache_flags;
mod clock;
mod commands;
mod contexts;
mod destinations;
mod docker_flags;
mod environment;
mod epoch;
mod epoch_stage;
mod failure;
mod fetching;
mod git_labels;
mod images;
mod inputs;
mod linting;
mod names;
mod origin;
mod output;
mod place;
mod planning;
mod platforms;
mod prepared;
mod progress;
mod proxies;
mod publish;
mod registries;
mod registry_config;
mod run_options;
mod say;
mod signals;
mod template;
mod transfer;
mod units;
mod uploads;

use args::{Cli, Command};
use clap::Parser;
use commands::build::Mode;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A RUN's first process is this program again: see strake-sandbox.
    strake_sandbox::maybe_init();
    let words = docker_flags::without_docker_words(std::env::args_os().collect());
    let is_build = words.get(1).is_some_and(|it| it == "build");
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => match docker_flags::elsewhere(&error).filter(|_| is_build) {
            Some(known) => return fail(&known),
            None => return say::usage(&error),
        },
    };
    let result = match cli.command {
        Command::Build(args) => {
            commands::build::run(*args, Mode::Build).map(|()| ExitCode::SUCCESS)
        }
        Command::Diff(args) => commands::diff::run(args),
        Command::Push(args) => commands::push::run(args).map(|()| ExitCode::SUCCESS),
        Command::Pull(args) => commands::pull::run(args).map(|()| ExitCode::SUCCESS),
        Command::Copy(args) => commands::copy::run(args).map(|()| ExitCode::SUCCESS),
        Command::Tag(args) => commands::tag::run(args).map(|()| ExitCode::SUCCESS),
        Command::Inspect(args) => commands::inspect::run(args).map(|()| ExitCode::SUCCESS),
        Command::Login(args) => commands::login::run(args).map(|()| ExitCode::SUCCESS),
        Command::Logout(args) => commands::logout::run(args).map(|()| ExitCode::SUCCESS),
        Command::Du(args) => commands::du::run(args).map(|()| ExitCode::SUCCESS),
        Command::Prune(args) => commands::prune::run(args).map(|()| ExitCode::SUCCESS),
        Command::Doctor(args) => commands::doctor::run(args).map(|()| ExitCode::SUCCESS),
        Command::Plan(args) => {
            commands::build::run(*args, Mode::Preview).map(|()| ExitCode::SUCCESS)
        }
        Command::Explain(args) => commands::explain::run(&args),
        Command::Context(args) => commands::context::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Lsp => linting::lsp::run().map(|()| ExitCode::SUCCESS),
        Command::Lint(args) => commands::lint::run(&args),
        Command::Rules(args) => commands::lint::list(&args).map(|()| ExitCode::SUCCESS),
        Command::Parse(args) => commands::parse::run(&args).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    say::failure(failure);
    ExitCode::from(failure.code)
}
