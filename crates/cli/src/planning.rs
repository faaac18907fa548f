//! From a Dockerfile and what was asked for to a plan for each platform.

use crate::{
    annotations::Annotations,
    bases::Bases,
    build_arguments,
    contexts::Contexts,
    epoch,
    epoch_stage::{self, Elsewhere},
    failure::Failure,
    output::{Kind, Output},
    platforms, say,
};
use std::collections::BTreeSet;
use strake_cache::Store;
use strake_diag::{Colour, Diagnostic, Source};
use strake_dockerfile::{Dockerfile, Request, Wanted};
use strake_oci::Platform;
use strake_plan::{BaseImage, Plan};
use strake_remote::Remote;

/// What is to be built for which platforms.
pub(crate) struct Asked {
    pub(crate) platforms: Vec<Platform>,
    /// Whether they were asked for.
    pub(crate) is_given: bool,
    /// Whether an index stands above the manifests.
    pub(crate) index: bool,
    /// `--annotation`.
    pub(crate) annotations: Annotations,
}

impl Asked {
    /// Reads `--platform` and `--annotation`, and checks that all outputs can take the result.
    pub(crate) fn new(
        platforms: &[String],
        annotations: &[String],
        build_args: &[(String, String)],
        outputs: &[Output],
    ) -> Result<Asked, Failure> {
        build_arguments::check_syntax(build_args)?;
        let (platforms, is_given) = platforms::of_flag(platforms)?;
        let index = platforms.len() > 1 || build_arguments::multi_platform(build_args)?;
        let annotations = Annotations::of_flags(annotations)?;
        let mut kept = false;
        for output in outputs {
            fits(output, &platforms, index)?;
            if !matches!(output.kind, Kind::Tar(_) | Kind::Local(_)) {
                annotations.and(&output.annotations).check(&platforms, index)?;
                kept = true;
            }
        }
        if !kept && !annotations.is_empty() {
            say::note("warning: --annotation has no effect: no output is an image");
        }
        Ok(Asked { platforms, is_given, index, annotations })
    }
}

fn fits(output: &Output, platforms: &[Platform], index: bool) -> Result<(), Failure> {
    if index && matches!(output.kind, Kind::Docker(_)) {
        return Err(Failure::usage(
            "-o type=docker: `docker load` takes one platform, not an index",
        )
        .hint("use type=oci, push the image, or build one platform at a time"));
    }
    if platforms.len() > 1 && output.split == Some(false) {
        return Err(Failure::usage(
            "-o platform-split=false: files of several platforms in one folder",
        )
        .hint("leave it out, or build one platform at a time"));
    }
    Ok(())
}

/// The time that the build gives instead of the clock's: a build argument, the environment (which is
/// an argument then), or a global ARG.
pub(crate) fn source_date_epoch(
    requests: &mut [Request],
    file: &Dockerfile,
    contexts: &Contexts,
    (store, remote): (&Store, &Remote),
) -> Result<Option<u32>, Failure> {
    let elsewhere = &Elsewhere { file, text: &contexts.text, store, remote };
    let first = &requests[0];
    let given = first.build_args.iter().rev().find(|it| it.0 == epoch::NAME);
    let value = given.and_then(|it| it.1.clone());
    let value = value.or_else(|| strake_dockerfile::global_arg(file, first, epoch::NAME));
    let value = value.unwrap_or_default();
    let time_of = |name: &str| match contexts.time_of(name) {
        None => epoch_stage::time(name, first, elsewhere),
        known => Ok(known),
    };
    let epoch = epoch::resolve(&value, &time_of)?;
    // Where a name was given, the ARG is the time.
    if let Some(seconds) = epoch.map(|it| it.to_string()).filter(|it| *it != value) {
        let argument = (epoch::NAME.to_owned(), Some(seconds));
        requests.iter_mut().for_each(|it| it.build_args.push(argument.clone()));
    }
    Ok(epoch)
}

/// Plans for each request.
pub(crate) fn plans(
    file: &Dockerfile,
    requests: Vec<Request>,
    bases: &Bases<'_>,
    source: &Source,
) -> Result<Vec<Plan>, Failure> {
    let requests = resolve(file, requests, bases, source)?;
    let plan = |it: &Request| strake_dockerfile::plan(file, it).map_err(|it| rendered(&it, source));
    requests.iter().map(plan).collect()
}

/// Base images that planning asks for are looked up side by side, each once, until it asks no more.
pub(crate) fn resolve(
    file: &Dockerfile,
    mut requests: Vec<Request>,
    bases: &Bases<'_>,
    source: &Source,
) -> Result<Vec<Request>, Failure> {
    loop {
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut seen = BTreeSet::new();
        for request in &requests {
            let missing =
                strake_dockerfile::missing(file, request).map_err(|it| rendered(&it, source))?;
            let new = |it: &Wanted| seen.insert((it.name.clone(), it.platform.clone()));
            wanted.extend(missing.into_iter().filter(new));
        }
        if wanted.is_empty() {
            return Ok(requests);
        }
        let found = std::thread::scope(|scope| {
            let threads: Vec<_> =
                wanted.iter().map(|it| scope.spawn(move || bases.find(it))).collect();
            threads.into_iter().map(|it| it.join()).collect::<Vec<_>>()
        });
        for (wanted, found) in wanted.into_iter().zip(found) {
            let found = found.expect("looking up a base does not panic");
            let image = found.map_err(|failure| unresolved(&wanted, failure, source))?;
            warn_of_platform(&wanted, &image);
            note_image(&mut requests, &wanted, &image);
        }
    }
}

/// What is built may not run, and Docker says so too.
fn warn_of_platform(wanted: &Wanted, image: &BaseImage) {
    let (is, Wanted { platform, name, .. }) = (image.config.value.platform(), wanted);
    let unknown = is.os.is_empty() || is.architecture.is_empty();
    if !unknown && (&is.os, &is.architecture) != (&platform.os, &platform.architecture) {
        say::note(&format!("warning: {name} is an image for {is}, where {platform} was expected"));
    }
}

fn note_image(requests: &mut [Request], wanted: &Wanted, image: &BaseImage) {
    for request in requests {
        let key = (wanted.name.clone(), wanted.platform.clone());
        request.images.insert(key, image.clone());
    }
}

fn unresolved(wanted: &Wanted, failure: Failure, source: &Source) -> Failure {
    let message = format!("failed to resolve {}: {}", wanted.name, failure.message);
    let mut told = Diagnostic::error("base-image", wanted.span, message);
    if let Some(near) = &wanted.near_stage {
        told = told.hint(format!("there is a stage of nearly this name: {near}"));
    } else if let Some(hint) = failure.hint {
        told = told.hint(hint);
    }
    rendered(&[told], source)
}

/// Errors end the build; warnings are shown.
pub(crate) fn show_problems(problems: &[Diagnostic], source: &Source) -> Result<(), Failure> {
    if problems.iter().any(Diagnostic::is_error) {
        return Err(rendered(problems, source));
    }
    for problem in problems {
        say::note(strake_diag::render(problem, source, Colour::Never).trim_end());
    }
    Ok(())
}

/// Problems with their places in the Dockerfile.
pub(crate) fn rendered(problems: &[Diagnostic], source: &Source) -> Failure {
    let text = strake_diag::render_all(problems, source, Colour::Never);
    Failure::new(text)
}
