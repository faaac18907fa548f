//! Flags of `docker build` and `docker buildx build` that have nothing to do here, and flags of other
//! builders: what is said of each.
//!
//! The rule: a flag that can change neither the image nor what a RUN may do is taken, with a warning
//! where it is without effect; every other one is refused with what to do instead.

use crate::{cache_flags, failure::Failure, output, say};
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::ffi::OsString;

/// A flag, and what is answered to its values. None is in `--help`.
struct Flag {
    name: &'static str,
    /// Whether it stands for `true` without a value.
    is_switch: bool,
    answer: Answer,
}

enum Answer {
    /// An error, with what to do instead.
    Refused(&'static str),
    /// Nothing has to be done for it.
    Done,
    /// A warning that says why it has no effect.
    Idle(&'static str),
    /// An answer, unless the switch has this value.
    Unless(bool, &'static Answer),
    /// What this says.
    Asked(fn(flag: &str, value: &str) -> Result<(), Failure>),
}

use Answer::{Asked, Done, Idle, Refused, Unless};

const LIMIT: &str = "give --memory, --cpu-quota or --cpuset-cpus, or limit the container that strake \
                     runs in";
const ONE_STAGE: &str = "end the Dockerfile with `FROM scratch` and `COPY --from=STAGE / /`";
const INSECURE: &str = "what needs all capabilities is written RUN --security=insecure, and \
                        allowed with --allow security.insecure";

const FLAGS: &[Flag] = &[
    value("attest", Asked(attest)),
    value("builder", Idle("strake itself is the builder")),
    value("cache-from", Asked(cache_flags::check)),
    value("cache-to", Asked(cache_flags::check)),
    value("cgroup-parent", Refused("start strake itself in that cgroup")),
    switch("compress", Unless(false, &Idle("no context is sent"))),
    switch("disable-content-trust", Unless(true, &Refused("pin base images by digest"))),
    switch("force-rm", Done),
    value("isolation", Asked(isolation)),
    value("policy", Refused("pin base images by digest")),
    switch("provenance", Asked(attestation)),
    value("resource", Refused(LIMIT)),
    switch("rm", Unless(true, &Idle("a build leaves no containers behind"))),
    switch("sbom", Asked(attestation)),
    value("security-opt", Refused(INSECURE)),
    switch("squash", Unless(false, &Refused(ONE_STAGE))),
];

const fn value(name: &'static str, answer: Answer) -> Flag {
    Flag { name, is_switch: false, answer }
}

const fn switch(name: &'static str, answer: Answer) -> Flag {
    Flag { name, is_switch: true, answer }
}

/// The flags that were given, in the order of the table, with their values.
#[derive(Debug)]
pub(crate) struct DockerFlags(Vec<(&'static str, Vec<String>)>);

impl DockerFlags {
    /// Refuses what is not there, and warns of what has no effect.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for (name, values) in &self.0 {
            let flag = FLAGS.iter().find(|it| it.name == *name).expect("it is from the table");
            for value in values {
                respond(flag, value)?;
            }
        }
        Ok(())
    }
}

fn respond(flag: &Flag, value: &str) -> Result<(), Failure> {
    let mut shown = format!("--{}", flag.name);
    let mut answer = &flag.answer;
    if let Unless(fine, otherwise) = answer {
        let on = output::boolean(&shown, value).map_err(|(what, _)| Failure::usage(what))?;
        if on == *fine {
            return Ok(());
        }
        if !on {
            shown.push_str("=false");
        }
        answer = otherwise;
    }
    match answer {
        Done | Unless(..) => Ok(()),
        Idle(why) => {
            say::note(&format!("warning: {shown} has no effect: {why}"));
            Ok(())
        }
        Refused(instead) => Err(Failure::usage(format!("{shown} is not supported")).hint(instead)),
        Asked(ask) => ask(&shown, value),
    }
}

const ATTEST: &str = "attest to the image after the push, e.g. with `cosign attest`";

/// `--provenance` and `--sbom` may be switched off, since there are none.
fn attestation(flag: &str, value: &str) -> Result<(), Failure> {
    let is_off = |it: &str| matches!(output::boolean("", it), Ok(false));
    if is_off(value) || value.split(',').any(|it| it == "disabled=true") {
        return Ok(());
    }
    Err(Failure::usage(format!("{flag}={value}: attestations are not made"))
        .hint(format!("leave it out or give {flag}=false; {ATTEST}")))
}

fn attest(flag: &str, value: &str) -> Result<(), Failure> {
    if value.split(',').any(|it| it == "disabled=true") {
        return Ok(());
    }
    Err(Failure::usage(format!("{flag} {value}: attestations are not made"))
        .hint(format!("leave it out; {ATTEST}")))
}

/// A choice on Windows only.
fn isolation(flag: &str, value: &str) -> Result<(), Failure> {
    match value {
        "" | "default" => Ok(()),
        other => Err(Failure::usage(format!("{flag} {other} is not there on Linux"))
            .hint("leave it out: `strake doctor` says how a RUN is isolated")),
    }
}

impl Args for DockerFlags {
    fn augment_args(command: Command) -> Command {
        command.args(FLAGS.iter().map(|it| {
            let arg = Arg::new(it.name).long(it.name).hide(true);
            let arg = arg.action(ArgAction::Append);
            if it.is_switch {
                arg.num_args(0..=1).default_missing_value("true").require_equals(true)
            } else {
                arg.num_args(1)
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        DockerFlags::augment_args(command)
    }
}

impl FromArgMatches for DockerFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<DockerFlags, clap::Error> {
        let given = |it: &Flag| {
            let values = matches.get_many::<String>(it.name)?;
            Some((it.name, values.cloned().collect()))
        };
        Ok(DockerFlags(FLAGS.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = DockerFlags::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Flags of other builders, and of other commands of Docker: what does the same here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("--build-arg-file", "give --build-arg NAME=VALUE for each"),
    ("--cache", "steps are cached anyway; --no-cache builds all of them anew"),
    ("--cache-dir", "--store DIR is where steps are kept"),
    ("--cache-repo", "keep the folder of --store between builds"),
    ("--cache-ttl", "`strake prune --older-than AGE` removes what was not used for so long"),
    ("--cleanup", "leave it out: nothing is left behind"),
    ("--context", "the context is the last word: `strake build DIR`"),
    ("--customPlatform", "use --platform OS/ARCH"),
    ("--custom-platform", "use --platform OS/ARCH"),
    ("--destination", "use -t NAME:TAG --push"),
    ("--detach", "run strake itself in the background"),
    ("--digest-file", "use --iidfile FILE, or --metadata-file FILE for the manifest's digest too"),
    ("--dockerfile", "use -f FILE"),
    ("--format", "use -o type=docker,dest=FILE or -o type=oci,dest=FILE"),
    ("--git", "write the address of the repository as context: `strake build URL#BRANCH`"),
    ("--image-name-with-digest-file", "use --metadata-file FILE"),
    ("--insecure", "use --plain-http HOST or --insecure-registry HOST"),
    ("--insecure-pull", "use --plain-http HOST or --insecure-registry HOST"),
    ("--layers", "leave it out: each step is a layer and is cached"),
    ("--manifest", "give several values to --platform: the image is an index then"),
    ("--no-push", "leave --push out"),
    ("--oci-layout-path", "use -o type=oci,tar=false,dest=DIR"),
    ("--opt", "use --build-arg, --target and --platform"),
    ("--frontend", "leave it out: strake reads Dockerfiles"),
    ("--local", "the context is the last word; name others with --build-context NAME=DIR"),
    ("--reproducible", "give -o ..,rewrite-timestamp=true and SOURCE_DATE_EPOCH"),
    ("--root", "use --store DIR"),
    ("--single-snapshot", ONE_STAGE),
    ("--skip-tls-verify", "use --insecure-registry HOST"),
    ("--skip-tls-verify-pull", "use --insecure-registry HOST"),
    ("--skip-unused-stages", "leave it out: stages that nobody needs are not built"),
    ("--snapshot-mode", "leave it out: every change of a file is seen"),
    ("--snapshotMode", "leave it out: every change of a file is seen"),
    ("--stdin", "give `-` as context"),
    ("--storage-driver", "leave it out: `strake doctor` says what is used"),
    ("--tar-path", "use -o type=docker,dest=FILE"),
    ("--tarPath", "use -o type=docker,dest=FILE"),
    ("--tls-verify", "use --insecure-registry HOST"),
    ("--use-new-run", "leave it out"),
    ("--verbosity", "use --progress plain or quiet, and -v"),
    ("--volume", "use RUN --mount=type=bind or a --build-context"),
];

/// What is said where the context is missing, and of an unknown flag that another builder has.
pub(crate) fn elsewhere(error: &clap::Error) -> Option<Failure> {
    if error.kind() == ErrorKind::MissingRequiredArgument {
        let what = "there is no context";
        return Some(
            Failure::usage(what).hint("give the folder that COPY reads: `strake build .`"),
        );
    }
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = flag.split('=').next().unwrap_or(flag);
    let (name, instead) = ELSEWHERE.iter().find(|it| it.0 == name)?;
    Some(Failure::usage(format!("there is no {name}")).hint(instead))
}

/// `docker buildx build ..`, `docker image build ..`: the same words behind `strake`.
pub(crate) fn without_docker_words(words: Vec<OsString>) -> Vec<OsString> {
    let is = |at: usize, word: &str| words.get(at).is_some_and(|it| it == word);
    if (is(1, "buildx") || is(1, "image") || is(1, "builder")) && is(2, "build") {
        let mut words = words;
        words.remove(1);
        return words;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::ELSEWHERE;
    use crate::args::Cli;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    /// The flags of `docker buildx build` and of `docker build`, hidden ones too.
    const DOCKER: &str = "add-host allow annotation attest build-arg build-context builder \
        cache-from cache-to call cgroup-parent check compress cpu-period cpu-quota cpu-shares \
        cpuset-cpus cpuset-mems debug disable-content-trust file force-rm iidfile isolation label \
        load memory memory-swap metadata-file network no-cache no-cache-filter output platform \
        policy progress provenance pull push quiet resource rm sbom secret security-opt shm-size \
        squash ssh tag target ulimit";

    #[test]
    fn every_flag_of_docker_is_known() {
        let cli = Cli::command();
        let build = cli.find_subcommand("build").unwrap();
        let known: BTreeSet<_> = build
            .get_arguments()
            .flat_map(|it| {
                it.get_long().into_iter().chain(it.get_all_aliases().unwrap_or_default())
            })
            .collect();
        for flag in DOCKER.split_whitespace() {
            assert!(known.contains(flag), "--{flag}");
        }
        for (flag, _) in ELSEWHERE {
            let name = flag.strip_prefix("--").unwrap();
            assert!(!known.contains(name), "{flag} is a flag of strake");
        }
    }
}
