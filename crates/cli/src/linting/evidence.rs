//! What is known beside a Dockerfile: its context, Git, the store.

use super::args::LintArgs;
use super::discover::Target;
use super::{context, history};
use crate::{environment, failure::Failure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use strake_cache::Store;
use strake_dockerfile::{Dockerfile, Instruction};
use strake_lint::{Builder, ContextFacts, History, Outside};

/// Looks each thing up once.
pub(crate) struct Evidence {
    builder: Builder,
    off: bool,
    store: Option<Store>,
    /// Where the store is or would be.
    folder: Option<PathBuf>,
    contexts: Mutex<BTreeMap<Where, &'static OnceLock<Seen>>>,
    pipelines: OnceLock<Arc<Vec<(String, String)>>>,
}

/// A folder, and the Dockerfile where it has an ignore file of its own.
type Where = (PathBuf, Option<PathBuf>);

#[derive(Clone)]
struct Seen {
    context: Arc<ContextFacts>,
    history: Option<Arc<History>>,
}

impl Evidence {
    /// For the files of one call.
    pub(crate) fn new(args: &LintArgs, builder: Builder) -> Evidence {
        let uid = rustix::process::getuid().as_raw();
        let folder = environment::store(args.store.store.clone(), uid);
        let store = (folder.is_dir() && !args.no_evidence).then(|| Store::open(&folder).ok());
        let evidence = Evidence::with(builder, args.no_evidence, store.flatten());
        Evidence { folder: (!args.no_evidence).then_some(folder), ..evidence }
    }

    /// With what is given.
    pub(crate) fn with(builder: Builder, off: bool, store: Option<Store>) -> Evidence {
        let (contexts, pipelines) = (Mutex::default(), OnceLock::new());
        Evidence { builder, off, store, folder: None, contexts, pipelines }
    }

    /// Where the store is or would be, unless nothing beside the files counts.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Which builder the files are for.
    pub(crate) fn builder(&self) -> Builder {
        self.builder
    }

    /// What is known beside one file.
    pub(crate) fn of(&self, target: &Target, file: &Dockerfile) -> Result<Outside, Failure> {
        let mut outside = Outside { builder: self.builder, ..Outside::default() };
        outside.named = target.contexts.clone();
        if self.off {
            return Ok(outside);
        }
        let folder = match &target.context {
            Some(folder) if folder.is_dir() => Some(folder.clone()),
            Some(folder) => {
                let text = format!("the context {} is no folder", folder.display());
                return Err(Failure::usage(text));
            }
            None if target.text.is_some() => None,
            None => Some(guess(&target.path, file)),
        };
        outside.seconds = self.seconds(file);
        outside.pipelines = self.pipelines.get_or_init(|| Arc::new(pipelines())).clone();
        let Some(folder) = folder else { return Ok(outside) };
        let path = target.text.is_none().then_some(target.path.as_path());
        let seen = self.seen(&folder, path)?;
        outside.context = Some(seen.context);
        outside.history = seen.history;
        outside.root = Some(folder);
        Ok(outside)
    }

    /// A context is read once for all files that have no ignore file of their own.
    fn seen(&self, folder: &Path, dockerfile: Option<&Path>) -> Result<Seen, Failure> {
        let own = dockerfile.filter(|it| {
            let mut name = it.as_os_str().to_owned();
            name.push(".dockerignore");
            Path::new(&name).is_file()
        });
        let key = (folder.to_owned(), own.map(Path::to_owned));
        let cell = {
            let mut contexts = self.contexts.lock().unwrap_or_else(|it| it.into_inner());
            *contexts.entry(key).or_insert_with(|| Box::leak(Box::default()))
        };
        if let Some(seen) = cell.get() {
            return Ok(seen.clone());
        }
        let context = Arc::new(context::look(folder, own)?);
        let seen = cell.get_or_init(|| {
            let history = history::read(folder).map(Arc::new);
            Seen { context, history }
        });
        Ok(seen.clone())
    }

    /// Seconds that steps took when they were last built with the store.
    fn seconds(&self, file: &Dockerfile) -> BTreeMap<String, f64> {
        let mut found = BTreeMap::new();
        let Some(store) = &self.store else { return found };
        let mut stages = 0;
        let mut stage = String::new();
        for statement in &file.statements {
            if let Some(Instruction::From(from)) = &statement.instruction {
                let name = from.name.as_ref().map(|it| it.text.to_ascii_lowercase());
                stage = name.unwrap_or_else(|| format!("stage-{stages}"));
                stages += 1;
            }
            if !matches!(statement.instruction, Some(Instruction::Run(_))) {
                continue;
            }
            let text = statement.text.split_whitespace().collect::<Vec<&str>>().join(" ");
            let slot = format!("{stage} {text}");
            let step = store.last_record(&slot).and_then(|it| store.step(&it.key()));
            if let Some(step) = step {
                found.insert(slot, step.millis as f64 / 1000.0);
            }
        }
        found
    }
}

/// The folder of the Dockerfile, or one above that has more of what COPY names.
pub(crate) fn guess(path: &Path, file: &Dockerfile) -> PathBuf {
    let own = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let here = Path::new(".");
    if own == here || path.is_absolute() {
        return own.to_owned();
    }
    let sources: Vec<String> = file
        .statements
        .iter()
        .filter_map(|it| match &it.instruction {
            Some(Instruction::Copy(copy)) if copy.from.is_none() => Some(&copy.files.sources),
            Some(Instruction::Add(add)) => Some(&add.files.sources),
            Some(_) | None => None,
        })
        .flatten()
        .map(|it| it.text.trim_start_matches('/').to_owned())
        .filter(|it| {
            !it.contains(['*', '$', ':', '?', '[']) && !matches!(it.as_str(), "." | "./" | "")
        })
        .collect();
    let count = |folder: &Path| sources.iter().filter(|it| folder.join(it).exists()).count();
    if count(here) > count(own) { here.to_owned() } else { own.to_owned() }
}

/// Files of this folder that tell how images are built in CI.
fn pipelines() -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = vec![".gitlab-ci.yml".into()];
    if let Ok(entries) = std::fs::read_dir(".github/workflows") {
        paths.extend(entries.flatten().map(|it| it.path()));
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).ok()?;
        Some((path.display().to_string(), text))
    };
    paths.into_iter().filter_map(read).collect()
}
