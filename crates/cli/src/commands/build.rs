//! `strake build`.

use crate::{
    ahead::Ahead,
    args::BuildArgs,
    bases::Bases,
    build_arguments, clock,
    commands::call::{self, Ask, Call},
    contexts::{self, Wanted},
    destinations, environment,
    failure::{Failure, chain, disk_hint},
    fetching::Fetching,
    inputs::{self, Named},
    output::Output,
    place::{Place, place},
    planning::{self, Asked},
    prepared::Built,
    progress::{self, Notes, Reader},
    publish::{self, Published, Publisher},
    registries, run_options, say,
    signals::{Signals, cancelled},
};
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, atomic::AtomicBool},
};
use strake_build::{BuildError, Event, StepError, VertexId, Workbench};
use strake_cache::Store;
use strake_context::StatIndex;
use strake_diag::{Diagnostic, Source};
use strake_dockerfile::{Dockerfile, Request};
use strake_layer::Compression;
use strake_oci::{Digest, Platform, Reference};
use strake_plan::{Network, Plan};
use strake_registry::Client;
use strake_sandbox::{Backend, EnterOptions, Privilege};

/// What is done with a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is built.
    Build,
    /// What would be built is told.
    Preview,
}

pub(crate) fn run(args: BuildArgs, mode: Mode) -> Result<(), Failure> {
    let signals = Signals::new()?;
    let result = build(args, mode, &signals);
    // What was under way when the signal came fails in many ways; there was one cause.
    match signals.received() {
        Some(signal) if result.is_err() => Err(cancelled(signal)),
        _ => result,
    }
}

fn build(args: BuildArgs, mode: Mode, signals: &Signals) -> Result<(), Failure> {
    args.docker.check()?;
    let call = call::read(args.call.as_deref(), args.check)?;
    let outputs = outputs(&args, matches!(mode, Mode::Build) && call.is_none())?;
    let names = names(&args.tags)?;
    let build_args = inputs::build_args(&args.build_args)?;
    let asked = Asked::new(&args.platform, &args.annotations, &build_args, &outputs)?;
    let named = inputs::named_contexts(&args.build_contexts)?;
    let secrets = inputs::secrets(&args.secrets)?;
    let (privilege, store) = enter_and_open(&args)?;
    let notes = Notes::default();
    let client = client(&args, &store, &notes)?;
    let run = run_options::read(&args.run, &args.network, &build_args)?;
    let fetching = Fetching::new(&secrets, &run, &store, &privilege)?;
    watch(signals, &client, &fetching, &store);

    let source =
        contexts::gather(&Wanted::read(&args, &named, &build_args)?, &store, &fetching.remote)?;
    let (file, problems) = strake_dockerfile::parse(&source.text);
    let mut requests = requests(&args, &asked, &file, &named, &build_args)?;
    let from = (&store, &fetching.remote);
    let source_date_epoch = planning::source_date_epoch(&mut requests, &file, &source, from)?;
    let bases = Bases { store: &store, client: &client, named: &named, pull: args.pull };
    let checked = Checked::new(&source, &args, &build_args);
    if checked.is_answered(call, (&file, &problems), &requests, &bases)? {
        return Ok(());
    }
    let plans = planning::plans(&file, requests, &bases, &source.text)?;

    let stat_index = source.is_local.then(|| stat_index(&store, &args.context));
    let bench = Workbench {
        store,
        context: Some(source.main.with_index(loaded(stat_index.as_deref()))),
        named: source.named,
        client,
        remote: fetching.remote.clone(),
        privilege,
        no_overlay: args.no_overlay,
        overlay: std::sync::OnceLock::new(),
        secrets,
        no_cache: args.no_cache,
        no_cache_filter: args.no_cache_filter.clone(),
        compression: compression(&outputs),
        threads: threads(args.threads),
        clock: clock::now,
        source_date_epoch: source_date_epoch.map(i64::from),
        resolv_conf: std::fs::read("/etc/resolv.conf").unwrap_or_default(),
        extra_hosts: inputs::extra_hosts(&args.add_hosts)?,
        shm_size: args.shm_size.as_deref().map(|it| inputs::size("--shm-size", it)).transpose()?,
        run,
        host_env: Vec::new(),
        made: Mutex::default(),
        kept: Mutex::default(),
        cancel: signals.cancel.clone(),
        failed: AtomicBool::new(false),
    };
    if let Mode::Preview = mode {
        return super::plan::tell(&plans, &bench);
    }
    let reader = progress::reader(args.progress.as_deref(), args.quiet, args.verbose, &notes)?;
    let built = run_and_publish(reader, &asked, &plans, &bench, &outputs, &names, &source.text);
    save_stat_index(&bench, stat_index.as_deref());
    report(&args, &names, &outputs, &built?, &bench.store)
}

/// What is asked of the Dockerfile for each platform.
fn requests(
    args: &BuildArgs,
    asked: &Asked,
    file: &Dockerfile,
    named: &BTreeMap<String, Named>,
    build_args: &[(String, String)],
) -> Result<Vec<Request>, Failure> {
    let of = |it: &Platform| request(args, asked, it, named, build_args);
    let mut requests = asked.platforms.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    warn(file, &requests[0], build_args);
    if let Place::Folder(folder) = place(&args.context)? {
        let labels = crate::git_labels::of(folder, args.file.as_deref())?;
        requests.iter_mut().for_each(|it| it.labels.extend(labels.iter().cloned()));
    }
    Ok(requests)
}

/// The stat index of a file, or none.
fn loaded(path: Option<&Path>) -> StatIndex {
    path.map_or_else(StatIndex::none, StatIndex::load)
}

/// The context's folder, where it is one on this machine.
fn local<'a>(source: &contexts::Contexts, args: &'a BuildArgs) -> Option<&'a Path> {
    source.is_local.then(|| Path::new(&args.context))
}

/// Where the store is follows from who calls, which is not to be seen any more inside.
fn enter_and_open(args: &BuildArgs) -> Result<(Privilege, Store), Failure> {
    let uid = rustix::process::getuid().as_raw();
    let privilege = enter(args.sandbox.as_deref(), args.single_id)?;
    Ok((privilege, Store::open(&environment::store(args.store.store.clone(), uid))?))
}

/// The client of registries, whose retries are told with `-v`.
fn client(args: &BuildArgs, store: &Store, notes: &Notes) -> Result<Client, Failure> {
    registries::pushing(&args.registry, &args.ecr, Some(store), args.verbose.then_some(notes))
}

/// From now on a signal ends what is under way.
fn watch(signals: &Signals, client: &Client, fetching: &Fetching, store: &Store) {
    let (client, remote) = (client.clone(), fetching.remote.clone());
    let stop = move || {
        client.cancel();
        remote.cancel();
    };
    signals.watch(stop, store.leftovers());
}

/// As many as there are cores, unless it is said; also for what works side by side elsewhere.
fn threads(asked: Option<NonZeroUsize>) -> usize {
    let Some(asked) = asked else {
        return std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    };
    // Only the first build of a process can say it, and there is but one.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(asked.get()).build_global();
    asked.get()
}

/// Tells what `--call` asks, and builds nothing.
fn answer(
    call: Call,
    file: &Dockerfile,
    requests: Vec<Request>,
    bases: &Bases<'_>,
    checked: &Checked<'_>,
) -> Result<(), Failure> {
    let source = checked.source;
    let failed = |it: Vec<Diagnostic>| planning::rendered(&it, source);
    match call.ask {
        Ask::Check => {
            let unresolved = requests[0].clone();
            let requests = planning::resolve(file, requests, bases, source);
            let request = requests.as_ref().map_or(&unresolved, |it| &it[0]);
            let told = call::tell_checks(call, &checks(request, checked)?);
            return requests.and(told);
        }
        Ask::Targets => {
            let targets = strake_dockerfile::targets(file).map_err(failed)?;
            call::tell_targets(call, &targets, source);
        }
        Ask::Outline => {
            let requests = planning::resolve(file, requests, bases, source)?;
            let outline = strake_dockerfile::outline(file, &requests[0]).map_err(failed)?;
            call::tell_outline(call, &outline, source);
        }
    }
    Ok(())
}

/// What is checked, and what it is checked with.
struct Checked<'a> {
    source: &'a Source,
    folder: Option<&'a Path>,
    build_args: &'a [(String, String)],
}

impl<'a> Checked<'a> {
    fn new(
        source: &'a contexts::Contexts,
        args: &'a BuildArgs,
        build_args: &'a [(String, String)],
    ) -> Checked<'a> {
        Checked { source: &source.text, folder: local(source, args), build_args }
    }

    /// Shows what the parser said, and what else is found where that ends it; answers `--call`, or
    /// fails where checks are errors.
    fn is_answered(
        &self,
        call: Option<Call>,
        (file, problems): (&Dockerfile, &[Diagnostic]),
        requests: &[Request],
        bases: &Bases<'_>,
    ) -> Result<bool, Failure> {
        if let Some(call) = call.filter(|it| matches!(it.ask, Ask::Check))
            && problems.iter().any(Diagnostic::is_error)
        {
            let _ = call::tell_checks(call, &checks(&requests[0], self)?);
        }
        planning::show_problems(problems, self.source)?;
        match call {
            Some(call) => answer(call, file, requests.to_vec(), bases, self)?,
            None if self.are_errors(file) => call::violations(&checks(&requests[0], self)?)?,
            None => {}
        }
        Ok(call.is_some())
    }

    /// What the build argument says in the place of `# check=`.
    fn option(&self) -> Option<String> {
        let is = |it: &&(String, String)| it.0 == build_arguments::DOCKERFILE_CHECK;
        self.build_args.iter().rfind(is).map(|it| it.1.clone())
    }

    /// `error=true`: what the checks find fails the build.
    fn are_errors(&self, file: &Dockerfile) -> bool {
        let written = || file.directives.iter().find(|it| it.name == "check");
        let option = self.option().or_else(|| written().map(|it| it.value.clone()));
        let error = |it: &str| it.trim().to_ascii_lowercase().starts_with("error=true");
        option.is_some_and(|it| it.split(';').any(error))
    }
}

/// What BuildKit's checks find, with what is known of base images and of the context.
fn checks(request: &Request, checked: &Checked<'_>) -> Result<strake_lint::Report, Failure> {
    let Checked { source, folder, build_args: _ } = checked;
    let mut outside = strake_lint::Outside {
        builder: strake_lint::Builder::Buildkit,
        ..strake_lint::Outside::default()
    };
    for ((name, wanted), image) in &request.images {
        let config = &image.config.value;
        outside.platforms.insert(name.clone(), (wanted.to_string(), config.platform().to_string()));
        let names = config.config.env.iter().filter_map(|it| it.split('=').next());
        outside.base_env.extend(names.map(str::to_owned));
    }
    let dockerfile = Path::new(&source.name);
    outside.context = folder
        .filter(|it| it.is_dir())
        .map(|it| crate::linting::context::look(it, Some(dockerfile)))
        .transpose()?
        .map(std::sync::Arc::new);
    let settings = strake_lint::Settings {
        select: vec!["buildkit".to_owned()],
        ignore: vec!["InvalidDefinitionDescription".to_owned()],
        check: checked.option(),
        ..strake_lint::Settings::default()
    };
    strake_lint::lint(source, &outside, &settings).map_err(Failure::usage)
}

/// Runs the plans and gives the images to their outputs, shown as `--progress` says.
fn run_and_publish(
    reader: Reader,
    asked: &Asked,
    plans: &[Plan],
    bench: &Workbench,
    outputs: &[Output],
    names: &[Reference],
    source: &Source,
) -> Result<Published, Failure> {
    let journal = super::explain::Journal::default();
    let emit = |event| {
        journal.note(&event);
        reader.event(event);
    };
    let ahead = VertexId(publish::vertex(plans).0 + 1);
    let ahead = Ahead::new(outputs, names, bench, &emit, ahead);
    let run = std::thread::scope(|scope| {
        let emit = |event| match event {
            Event::Layer { layer } => ahead.take(scope, *layer),
            event => emit(event),
        };
        let run = match plans {
            [only] if !asked.index => strake_build::run(only, bench, &emit).map(|it| vec![it]),
            several => strake_build::run_all(several, bench, &emit),
        };
        if run.is_err() {
            ahead.stop();
        }
        run
    });
    ahead.finish();
    let built =
        run.map_err(|error| explain(&error, source, bench.store.root())).and_then(|images| {
            let vertex = publish::vertex(plans);
            let Asked { platforms, is_given: _, index, annotations } = asked;
            let built = Built { images: &images, platforms, index: *index, annotations };
            Publisher { built, names, bench, emit: &emit, vertex }.publish(outputs)
        });
    reader.finish();
    journal.keep(bench);
    built
}

/// Makes this process root in its own namespaces, as far as the machine lets it.
pub(crate) fn enter(sandbox: Option<&str>, single_id: bool) -> Result<Privilege, Failure> {
    let path = environment::get(environment::PATH);
    let backend = match sandbox {
        Some("namespaces") => Some(Backend::Namespaces),
        Some("chroot") => Some(Backend::Chroot),
        Some("emulated") => Some(Backend::Emulated),
        _ => None,
    };
    Ok(strake_sandbox::enter(&EnterOptions { path, single_id, backend })?)
}

/// Where the image goes. What will be written has to be possible.
fn outputs(args: &BuildArgs, will_write: bool) -> Result<Vec<Output>, Failure> {
    let outputs = Output::choose(&args.outputs, args.push, args.load, !args.tags.is_empty())?;
    if will_write {
        destinations::check(args, &outputs)?;
    }
    Ok(outputs)
}

fn names(tags: &[String]) -> Result<Vec<Reference>, Failure> {
    tags.iter()
        .map(|it| {
            let wrong = |error| {
                Failure::usage(format!("-t {it}: {error}"))
                    .hint("write e.g. registry.example/team/app:1, in lower case but for the tag")
            };
            let mut name: Reference = it.parse().map_err(wrong)?;
            if name.digest.is_some() {
                return Err(Failure::usage(format!("-t {it}: a name to give has no digest"))
                    .hint("write NAME:TAG"));
            }
            name.tag.get_or_insert_with(|| "latest".to_owned());
            Ok(name)
        })
        .collect()
}

/// Where what is known of the context's files is kept between builds.
fn stat_index(store: &Store, context: &str) -> PathBuf {
    let path = std::path::absolute(context).unwrap_or_else(|_| PathBuf::from(context));
    let name = Digest::of(path.as_os_str().as_encoded_bytes());
    store.root().join("contexts").join(name.short())
}

/// Not to be able to keep the index costs time in the next build and nothing else.
fn save_stat_index(bench: &Workbench, path: Option<&Path>) {
    let (Some(context), Some(path)) = (&bench.context, path) else { return };
    let folder = path.parent().unwrap_or(Path::new("."));
    if fs_err::create_dir_all(folder).is_ok()
        && let Err(error) = context.index().save(path)
    {
        say::note(&format!("warning: {}", chain(&error)));
    }
}

fn request(
    args: &BuildArgs,
    asked: &Asked,
    platform: &Platform,
    named: &BTreeMap<String, Named>,
    build_args: &[(String, String)],
) -> Result<Request, Failure> {
    let mut request = Request::new(platform.clone(), Platform::host());
    request.platform_is_given = asked.is_given;
    let pair = |(name, value): &(String, String)| (name.clone(), Some(value.clone()));
    request.build_args = build_args.iter().map(pair).collect();
    request.target.clone_from(&args.target);
    request.labels = inputs::labels(&args.labels)?;
    request.network = match args.network.as_str() {
        "default" => Network::Default,
        "none" => Network::None,
        "host" => Network::Host,
        other => {
            return Err(Failure::usage(format!("--network {other}: no such network"))
                .hint("default, none or host"));
        }
    };
    for (name, what) in named {
        let context = match what {
            Named::Folder(_) | Named::Repository(_) | Named::File(_) => {
                strake_dockerfile::NamedContext::Local
            }
            Named::Image(image) if image == "scratch" => strake_dockerfile::NamedContext::Scratch,
            Named::Image(_) | Named::Layout(..) => {
                strake_dockerfile::NamedContext::Image(name.clone())
            }
        };
        request.named.insert(name.clone(), context);
    }
    Ok(request)
}

/// Says which build arguments and variables do nothing.
fn warn(file: &Dockerfile, request: &Request, build_args: &[(String, String)]) {
    let unused = strake_dockerfile::unused_build_args(file, request);
    if !unused.is_empty() {
        say::note(&format!("warning: no ARG of the Dockerfile takes {}", unused.join(", ")));
    }
    for line in build_arguments::without_effect(build_args) {
        say::note(&format!("warning: {line}"));
    }
}

/// A failed step with its place in the Dockerfile and the last of its output.
fn explain(error: &BuildError, source: &Source, store: &Path) -> Failure {
    let (span, error) = match error {
        BuildError::Cancelled => return Failure::new(error),
        BuildError::Step { span, error, .. } => (*span, error),
    };
    let mut told = Diagnostic::error("build", span, chain(error.as_ref()));
    if let Some(hint) = error.hint().or_else(|| disk_hint(error.as_ref(), Some(store))) {
        told = told.hint(hint);
    }
    let failure = planning::rendered(&[told], source);
    match error.as_ref() {
        StepError::Exit { tail, .. } if !tail.is_empty() => {
            let tail = String::from_utf8_lossy(tail);
            let message = format!("{}\n\nlast output:\n{}", failure.message.trim_end(), tail);
            Failure { message, ..failure }
        }
        _ => failure,
    }
}

/// What new layers are packed with first: outputs that want another compression pack them anew.
fn compression(outputs: &[Output]) -> Compression {
    let wanted = outputs.iter().find_map(Output::compression);
    wanted.unwrap_or(Compression::Gzip(Compression::DEFAULT_GZIP))
}

fn report(
    args: &BuildArgs,
    names: &[Reference],
    outputs: &[Output],
    published: &Published,
    store: &Store,
) -> Result<(), Failure> {
    let id = published.id();
    if let Some(file) = &args.iidfile {
        fs_err::write(file, id.to_string())?;
    }
    if let Some(file) = &args.metadata_file {
        let text = metadata(names, published);
        fs_err::write(file, format!("{text:#}\n"))?;
    }
    if args.quiet {
        // An archive in the same pipe is not to end in a digest.
        let say = if outputs.iter().any(Output::is_stdout) { say::note } else { say::data };
        say(&id.to_string());
        return Ok(());
    }
    say::note(&format!("image {}", published.descriptor.digest));
    for name in names {
        say::note(&format!("name  {}", name.familiar()));
    }
    if outputs.is_empty() {
        say::note("no output was asked for: the result is only cached (see -t, -o and --push)");
    } else if outputs.iter().all(Output::is_store) {
        say::note(&format!("in the store at {}", store.root().display()));
    }
    Ok(())
}

fn metadata(names: &[Reference], published: &Published) -> serde_json::Value {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut text = serde_json::json!({
        "containerimage.descriptor": published.descriptor,
        "containerimage.digest": published.descriptor.digest,
    });
    if let Some(config) = &published.config {
        text["containerimage.config.digest"] = config.to_string().into();
    }
    if !names.is_empty() {
        text["image.name"] = names.join(",").into();
    }
    text
}
