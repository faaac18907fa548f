//! Where the main context is: the forms that it can be written in.

use crate::{failure::Failure, inputs};
use std::path::Path;
use strake_layer::is_archive_file;
use strake_plan::GitSource;

/// A main context.
pub(crate) enum Place<'a> {
    /// One whose files are read where they are.
    Folder(&'a Path),
    /// One that is put into a folder for the build.
    Elsewhere(Elsewhere<'a>),
}

/// Where that is.
pub(crate) enum Elsewhere<'a> {
    /// An archive or a Dockerfile.
    StandardInput,
    /// An archive on this machine.
    Archive(&'a Path),
    /// A commit of a Git repository.
    Repository(GitSource),
    /// An archive or a Dockerfile of a web server.
    Url(&'a str),
}

/// Reads what was written for the main context.
pub(crate) fn place(context: &str) -> Result<Place<'_>, Failure> {
    let path = Path::new(context);
    if context == "-" {
        return Ok(Place::Elsewhere(Elsewhere::StandardInput));
    }
    if path.is_dir() {
        return Ok(Place::Folder(path));
    }
    if path.is_file() {
        if is_archive_file(fs_err::File::open(path)?)? {
            return Ok(Place::Elsewhere(Elsewhere::Archive(path)));
        }
        let message = format!("context `{context}` is a file, and not an archive");
        return Err(Failure::usage(message)
            .hint("give the folder that COPY reads, and name a Dockerfile with -f FILE"));
    }
    if let Some(source) = inputs::repository(context)? {
        return Ok(Place::Elsewhere(Elsewhere::Repository(source)));
    }
    if inputs::is_url(context) {
        return Ok(Place::Elsewhere(Elsewhere::Url(context)));
    }
    let message = match context.split_once("://") {
        Some((scheme, _)) => format!("context `{context}`: strake cannot fetch {scheme}://"),
        None => format!("context `{context}`: there is no such folder"),
    };
    Err(Failure::usage(message).hint("give a folder, an archive, `-`, http(s):// or a Git address"))
}
