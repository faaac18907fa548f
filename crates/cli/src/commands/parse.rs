//! `strake parse`: a Dockerfile as strake reads it.

use crate::{
    args::{ParseArgs, ParseFormat},
    failure::Failure,
    say,
};
use std::{io::Read, path::Path};
use strake_diag::{Colour, Diagnostic, Source};

pub(crate) fn run(args: &ParseArgs) -> Result<(), Failure> {
    let source = read(&args.file)?;
    let (file, problems) = strake_dockerfile::parse(&source);
    let text = match args.format {
        ParseFormat::Text => strake_dockerfile::to_text(&file),
        ParseFormat::Json => format!("{:#}", strake_dockerfile::to_json(&file, &problems)),
        ParseFormat::Dockerfile => strake_dockerfile::to_dockerfile(&file),
    };
    if !text.is_empty() {
        say::data(text.trim_end_matches('\n'));
    }
    let told = strake_diag::render_all(&problems, &source, Colour::Never);
    if problems.iter().any(Diagnostic::is_error) {
        return Err(Failure::new(told));
    }
    if !told.is_empty() {
        say::note(told.trim_end());
    }
    Ok(())
}

/// The file's text; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Source, Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        bytes
    } else {
        std::fs::read(path).map_err(|error| {
            Failure::new(format!("failed to read Dockerfile {}: {error}", path.display()))
                .hint("name a Dockerfile, or `-` for standard input")
        })?
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(format!("{}: not UTF-8 at byte {at}", path.display()))
            .hint("save the Dockerfile as UTF-8")
    })?;
    Ok(Source::new(path.display().to_string(), text))
}
