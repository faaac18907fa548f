//! Files that a build is to write: what is wrong with them is said before it begins.

use crate::{args::BuildArgs, failure::Failure, output::Output};
use std::path::Path;

/// Every file can be made where it is wanted. An old `--iidfile` goes, as in Docker: after a failure
/// nobody is to take it for the new one.
pub(crate) fn check(args: &BuildArgs, outputs: &[Output]) -> Result<(), Failure> {
    let flags = [("--iidfile", &args.iidfile), ("--metadata-file", &args.metadata_file)];
    let flags = flags.into_iter().filter_map(|(flag, file)| Some((flag, file.as_deref()?)));
    for (flag, file) in flags.chain(outputs.iter().filter_map(|it| Some(("-o", it.file()?)))) {
        can_be_made(flag, file)?;
    }
    match args.iidfile.as_deref().filter(|it| it.is_file()) {
        Some(old) => Ok(fs_err::remove_file(old)?),
        None => Ok(()),
    }
}

fn can_be_made(flag: &str, file: &Path) -> Result<(), Failure> {
    let wrong = |what: String| Failure::usage(format!("{flag} {}: {what}", file.display()));
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|it| !it.is_dir()) {
        let what = format!("there is no folder {}", folder.display());
        return Err(wrong(what).hint("make it first"));
    }
    if file.is_dir() {
        return Err(wrong("it is a folder".to_owned()).hint("name a file in it"));
    }
    Ok(())
}
