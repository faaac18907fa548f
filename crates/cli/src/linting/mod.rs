//! `strake lint` and what belongs to it: finding files, evidence, writing back.

pub(crate) mod args;
mod bake;
mod baseline;
mod compose;
pub(crate) mod context;
mod difference;
mod discover;
pub(crate) mod evidence;
mod hcl;
mod history;
pub(crate) mod lsp;
pub(crate) mod settings;
mod shellcheck;

use crate::{environment, failure::Failure, say};
use args::LintArgs;
use discover::Target;
use evidence::Evidence;
use rayon::prelude::*;
use shellcheck::{Checker, Remarks};
use std::{io::IsTerminal as _, io::Read as _, path::Path, process::ExitCode};
use strake_diag::{Colour, Source};
use strake_lint::format::{Format, write};
use strake_lint::{Builder, Finding, Fixed, Level, Outside, Report, Safety, Settings};

/// Runs `strake lint`.
pub(crate) fn run(args: &LintArgs) -> Result<ExitCode, Failure> {
    let settings = settings::gather(args)?;
    let format = format(&settings)?;
    let targets = discover::find(args)?;
    let builder = match &args.target_builder {
        Some(name) => Builder::read(name).ok_or_else(|| {
            Failure::usage(format!("--target-builder {name} is not known"))
                .hint("use strake, buildkit, kaniko or buildah")
        })?,
        None => settings.builder.unwrap_or_default(),
    };
    let evidence = Evidence::new(args, builder);
    let checker = Checker::find(&settings, evidence.folder())?;
    let sources = targets.par_iter().map(|it| Ok((it, source(it)?)));
    let sources = sources.collect::<Result<Vec<(&Target, Source)>, Failure>>()?;
    let remarks = match &checker {
        Some(checker) if !args.fix && !args.diff => checker.remarks(&sources)?,
        Some(_) | None => vec![Remarks::new(); sources.len()],
    };
    let one = |((target, source), remarks): (&(&Target, Source), Remarks)| {
        lint_one(target, source, remarks, args, &settings, &evidence)
    };
    let linted = sources.par_iter().zip(remarks).map(one);
    let mut reports = linted.collect::<Result<Vec<Report>, Failure>>()?;
    if let Some(checker) = &checker
        && args.fix
    {
        remark(checker, &targets, &mut reports, &settings, &evidence)?;
    }
    if let Some(path) = &args.write_baseline {
        fs_err::write(path, baseline::write(&reports))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(path) = &args.baseline {
        baseline::leave_out(&mut reports, &fs_err::read_to_string(path)?)?;
    }
    if args.cost {
        for report in &mut reports {
            report
                .findings
                .sort_by(|a, b| b.weekly.unwrap_or(0.0).total_cmp(&a.weekly.unwrap_or(0.0)));
        }
    }
    if !args.diff {
        let text = write(&reports, format, colour());
        if !text.is_empty() {
            say::data(text.trim_end_matches('\n'));
        }
        if format == Format::Human {
            summary(&reports);
        }
    }
    let fail_on = settings.fail_on.unwrap_or(Level::Warning);
    let bad = |it: &Report| {
        it.problems.iter().any(strake_diag::Diagnostic::is_error)
            || it.findings.iter().any(|it| it.level >= fail_on)
    };
    let fails = !settings.no_fail && reports.iter().any(bad);
    Ok(ExitCode::from(u8::from(fails)))
}

fn format(settings: &Settings) -> Result<Format, Failure> {
    let name = settings.format.as_deref().unwrap_or("human");
    Format::read(name).ok_or_else(|| {
        let names: Vec<&str> = strake_lint::format::FORMATS.iter().map(|it| it.0).collect();
        Failure::usage(format!("--format {name} is not known"))
            .hint(format!("use {}", names.join(", ")))
    })
}

fn colour() -> Colour {
    let plain = environment::get(environment::NO_COLOR).is_some();
    if plain || !std::io::stdout().is_terminal() { Colour::Never } else { Colour::Always }
}

/// Lints one file, and mends it where that is asked.
fn lint_one(
    target: &Target,
    source: &Source,
    remarks: Remarks,
    args: &LintArgs,
    settings: &Settings,
    evidence: &Evidence,
) -> Result<Report, Failure> {
    let parsed = strake_dockerfile::parse(source);
    let mut outside = evidence.of(target, &parsed.0)?;
    outside.remarks = remarks;
    if !args.fix && !args.diff {
        return strake_lint::lint_parsed(parsed, &outside, settings).map_err(wrong);
    }
    let safety = if args.unsafe_fixes { Safety::Unsafe } else { Safety::Safe };
    let fixed = strake_lint::fix_file(source, &outside, settings, safety).map_err(wrong)?;
    write_back(target, args, source, &fixed, outside.root.as_deref())?;
    Ok(fixed.report)
}

fn wrong(why: strake_lint::SettingsError) -> Failure {
    Failure::usage(why).hint("see `strake rules`")
}

fn source(target: &Target) -> Result<Source, Failure> {
    match &target.text {
        Some(text) => Ok(Source::new(target.name.clone(), text.clone())),
        None => read(&target.path, &target.name),
    }
}

/// Adds to reports on mended files what ShellCheck remarks on them as they are now.
fn remark(
    checker: &Checker,
    targets: &[Target],
    reports: &mut [Report],
    settings: &Settings,
    evidence: &Evidence,
) -> Result<(), Failure> {
    let sources: Vec<(&Target, Source)> =
        targets.iter().zip(&*reports).map(|(it, report)| (it, report.source.clone())).collect();
    for (remarks, report) in checker.remarks(&sources)?.into_iter().zip(reports) {
        let outside = Outside { builder: evidence.builder(), remarks, ..Outside::default() };
        let again = strake_lint::lint(&report.source, &outside, settings).map_err(wrong)?;
        report.findings.extend(again.findings.into_iter().filter(|it| it.code.is_some()));
        report.findings.sort_by(|a, b| (a.span, a.name()).cmp(&(b.span, b.name())));
    }
    Ok(())
}

fn write_back(
    target: &Target,
    args: &LintArgs,
    source: &Source,
    fixed: &Fixed,
    root: Option<&Path>,
) -> Result<(), Failure> {
    if args.diff {
        let text = difference::unified(&source.name, &source.text, &fixed.text);
        if !text.is_empty() {
            say::data(text.trim_end_matches('\n'));
        }
        for (name, text) in &fixed.files {
            let old = root.and_then(|it| std::fs::read_to_string(it.join(name)).ok());
            let text = difference::unified(name, &old.unwrap_or_default(), text);
            say::data(text.trim_end_matches('\n'));
        }
        return Ok(());
    }
    if target.text.is_some() {
        say::data(fixed.text.trim_end_matches('\n'));
    } else if fixed.text != source.text {
        fs_err::write(&target.path, &fixed.text)?;
    }
    for (name, text) in &fixed.files {
        if let Some(root) = root {
            fs_err::write(root.join(name), text)?;
        }
    }
    if fixed.count > 0 {
        let what = if fixed.count == 1 { "fix" } else { "fixes" };
        say::note(&format!("{}: {} {what}", source.name, fixed.count));
    }
    Ok(())
}

fn read(path: &Path, name: &str) -> Result<Source, Failure> {
    let bytes = fs_err::read(path).map_err(|error| {
        Failure::usage(error).hint("name a Dockerfile, a folder, or `-` for standard input")
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::usage(format!("{name}: not UTF-8 at byte {at}"))
            .hint("save the Dockerfile as UTF-8")
    })?;
    Ok(Source::new(name, text))
}

/// All of standard input.
pub(crate) fn stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn summary(reports: &[Report]) {
    let all: Vec<&Finding> = reports.iter().flat_map(|it| &it.findings).collect();
    let safe = |it: &&&Finding| it.fix.as_ref().is_some_and(|it| it.safety == Safety::Safe);
    let risky = |it: &&&Finding| it.fix.as_ref().is_some_and(|it| it.safety == Safety::Unsafe);
    let files = if reports.len() == 1 { "file" } else { "files" };
    let mut text = format!("{} findings in {} {files}", all.len(), reports.len());
    let (safe, risky) = (all.iter().filter(safe).count(), all.iter().filter(risky).count());
    if safe + risky > 0 {
        text.push_str(&format!("; --fix mends {safe}, --fix --unsafe-fixes {risky} more"));
    }
    say::note(&text);
}
