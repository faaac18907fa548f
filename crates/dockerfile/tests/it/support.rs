//! Case pages: fenced blocks in Markdown, a compact text of plans, stand-in base images.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use strake_diag::{Diagnostic, Source};
use strake_dockerfile::{NamedContext, Request, missing, parse, plan};
use strake_oci::{Config, Digest, ImageConfig, Manifest, Platform, Raw, Reference};
use strake_oci::{Descriptor, media_type};
use strake_plan::{
    Base, BaseImage, CopyOp, CopySource, DeviceRequest, GitSource, MountKind, Network, Op, Origin,
    Plan, RunMount, RunOp, Security, Source as From, Unpack,
};

/// One fenced block: its word behind the fence, its text.
pub(crate) struct Block {
    pub(crate) info: String,
    pub(crate) text: String,
}

/// The fenced blocks of a page.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut open): (Vec<Block>, Option<(String, Block)>) = (Vec::new(), None);
    for line in page.split_inclusive('\n') {
        let bare = line.trim_end();
        match &mut open {
            None if bare.starts_with("```") => {
                let ticks: String = bare.chars().take_while(|it| *it == '`').collect();
                let info = bare[ticks.len()..].trim().to_owned();
                open = Some((ticks, Block { info, text: String::new() }));
            }
            None => {}
            Some((ticks, _)) if bare == ticks => {
                blocks.extend(open.take().map(|(_, block)| block));
            }
            Some((_, block)) => block.text.push_str(line),
        }
    }
    blocks
}

/// The folder of case pages.
pub(crate) fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(folder)
}

/// All pages below `folder`, sorted.
pub(crate) fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A request from lines such as `arg A=1`, `target x`, `context n=dir`, `platform linux/arm64`,
/// `label a=b`, `network host`, `image NAME {config as JSON}`.
pub(crate) struct Setup {
    pub(crate) request: Request,
    pub(crate) images: BTreeMap<String, Config>,
}

impl Setup {
    pub(crate) fn new(text: &str) -> Setup {
        let amd64: Platform = "linux/amd64".parse().expect("a sound page");
        let mut setup =
            Setup { request: Request::new(amd64.clone(), amd64), images: BTreeMap::new() };
        for line in text.lines().filter(|it| !it.trim().is_empty()) {
            setup.line(line);
        }
        setup
    }

    fn line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').expect("a word and its value");
        let request = &mut self.request;
        match word {
            "arg" => request.build_args.push(match rest.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (rest.to_owned(), None),
            }),
            "target" => request.target = Some(rest.to_owned()),
            "platform" => request.platform = rest.parse().expect("a sound page"),
            "build-platform" => request.build_platform = rest.parse().expect("a sound page"),
            "label" => {
                let (name, value) = rest.split_once('=').expect("a sound page");
                request.labels.push((name.to_owned(), value.to_owned()));
            }
            "network" => {
                request.network = if rest == "host" { Network::Host } else { Network::None };
            }
            "context" => {
                let (name, value) = rest.rsplit_once('=').expect("a sound page");
                let context = match value {
                    "dir" => NamedContext::Local,
                    "scratch" => NamedContext::Scratch,
                    image => NamedContext::Image(image.to_owned()),
                };
                request.named.insert(name.to_owned(), context);
            }
            "image" => {
                let (name, config) = rest.split_once(' ').expect("a sound page");
                self.images
                    .insert(name.to_owned(), serde_json::from_str(config).expect("a sound page"));
            }
            other => panic!("unknown setup word {other}"),
        }
    }

    /// Plans a Dockerfile; what is missing is a base with only a PATH, unless the setup says
    /// otherwise.
    pub(crate) fn plan(&mut self, text: &str) -> (Source, Result<Plan, Vec<Diagnostic>>) {
        let (file, problems) = parse(&Source::new("Dockerfile", text));
        let source = file.source.clone();
        if problems.iter().any(Diagnostic::is_error) {
            assert!(plan(&file, &self.request).is_err());
            return (source, Err(problems));
        }
        loop {
            let wanted = match missing(&file, &self.request) {
                Ok(wanted) => wanted,
                Err(problems) => return (source, Err(problems)),
            };
            if wanted.is_empty() {
                return (source, plan(&file, &self.request));
            }
            for it in wanted {
                let config = self.images.get(&it.name).cloned().unwrap_or_else(|| Config {
                    env: vec!["PATH=/bin".to_owned()],
                    ..Config::default()
                });
                let image = base(&it.reference, &it.platform, config);
                self.request.images.insert((it.name, it.platform), image);
            }
        }
    }
}

fn base(name: &str, platform: &Platform, config: Config) -> BaseImage {
    let config = Raw::write(ImageConfig { config, ..ImageConfig::scratch(platform) });
    let blob = Descriptor::new(media_type::OCI_CONFIG, Digest::of(b"c"), 1);
    let manifest = Manifest {
        schema_version: 2,
        media_type: None,
        config: blob,
        layers: Vec::new(),
        annotations: BTreeMap::new(),
    };
    BaseImage {
        written: name.to_owned(),
        origin: match name.parse::<Reference>() {
            Ok(reference) => Origin::Registry(reference),
            Err(_) => Origin::Layout(PathBuf::from(name)),
        },
        manifest: Raw::write(manifest),
        config,
    }
}

/// A plan as text: one line a step, and the config of the target where it is not the base's.
pub(crate) fn show(plan: &Plan) -> String {
    let mut out = String::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        let base = match &stage.base {
            Base::Scratch => "scratch".to_owned(),
            Base::Stage(id) => format!("stage {}", id.0),
            Base::Image(image) => format!("image {}", image.written),
        };
        let target = if plan.target.0 == index { " (target)" } else { "" };
        let platform = match stage.platform.to_string().as_str() {
            "linux/amd64" => String::new(),
            other => format!(" {other}"),
        };
        let _ = writeln!(out, "{index} {} on {base}{platform}{target}", stage.name);
        for step in &stage.steps {
            let _ = writeln!(out, "  | {}", step.created_by.replace('\n', "\\n"));
            show_op(&step.op, &mut out);
        }
        if plan.target.0 == index {
            if let Some(author) = &stage.author {
                let _ = writeln!(out, "  author {author}");
            }
            let _ =
                writeln!(out, "  {}", serde_json::to_string(&stage.config).expect("a sound page"));
        }
    }
    out
}

fn show_op(op: &Op, out: &mut String) {
    match op {
        Op::Config => {}
        Op::Workdir(it) => {
            let _ = writeln!(out, "    workdir {} user={:?}", it.path, it.user);
        }
        Op::Copy(it) => show_copy(it, out),
        Op::Run(it) => show_run(it, out),
    }
}

fn show_copy(it: &CopyOp, out: &mut String) {
    let sources: Vec<String> = it
        .sources
        .iter()
        .map(|it| match it {
            CopySource::Path(path) => path.clone(),
            CopySource::Heredoc(file) => format!("<<{}{:?}", file.name, file.content),
            CopySource::Http(http) => match http.checksum {
                Some(digest) => format!("{} checksum={digest}", http.url),
                None => http.url.clone(),
            },
            CopySource::Git(git) => show_git(git),
        })
        .collect();
    let mut flags = String::new();
    it.chown.iter().for_each(|it| flags.push_str(&format!(" chown={it}")));
    it.chmod.iter().for_each(|it| flags.push_str(&format!(" chmod={it}")));
    for (on, word) in [(it.link, "link"), (it.parents, "parents")] {
        flags.push_str(&if on { format!(" {word}") } else { String::new() });
    }
    flags.push_str(match it.unpack {
        Unpack::Never => "",
        Unpack::Local => " unpack",
        Unpack::All => " unpack=all",
    });
    it.excludes.iter().for_each(|it| flags.push_str(&format!(" exclude={it}")));
    let _ = writeln!(
        out,
        "    copy {} [{}] -> {}{flags}",
        show_source(&it.from),
        sources.join(", "),
        it.dest
    );
}

fn show_run(it: &RunOp, out: &mut String) {
    let env: Vec<String> = it
        .env
        .iter()
        .filter(|(name, _)| name != "PATH")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut words = format!("    run {:?} cwd={} env={env:?}", it.argv, it.cwd);
    if !it.user.is_empty() {
        words.push_str(&format!(" user={}", it.user));
    }
    if it.network != Network::Default {
        words.push_str(&format!(" network={:?}", it.network));
    }
    if it.security == Security::Insecure {
        words.push_str(" insecure");
    }
    for DeviceRequest { name, required } in &it.devices {
        words.push_str(&format!(" device={name}{}", if *required { "!" } else { "" }));
    }
    let _ = writeln!(out, "{words}");
    for file in &it.files {
        let _ = writeln!(out, "      file {} {:?}", file.name, file.content);
    }
    for (name, value) in &it.proxies {
        let _ = writeln!(out, "      proxy {name}={value}");
    }
    it.mounts.iter().for_each(|it| show_mount(it, out));
}

/// A repository: its address and what is not the default.
pub(crate) fn show_git(git: &GitSource) -> String {
    let GitSource {
        remote,
        reference,
        subdir,
        checksum,
        keep_git_dir,
        submodules,
        commit_mtime,
        fetch_by_commit,
    } = git;
    let mut out = format!("git {remote}");
    for (name, value) in [("at", reference), ("folder", subdir), ("commit", checksum)] {
        value.iter().for_each(|it| out.push_str(&format!(" {name}={it}")));
    }
    for (on, word) in [
        (*keep_git_dir, " keep-git-dir"),
        (!*submodules, " no-submodules"),
        (*commit_mtime, " commit-mtime"),
        (*fetch_by_commit, " fetch-by-commit"),
    ] {
        out.push_str(if on { word } else { "" });
    }
    out
}

fn show_mount(mount: &RunMount, out: &mut String) {
    let text = match &mount.kind {
        MountKind::Bind { from, source, readwrite } => {
            format!("bind {} {source} rw={readwrite}", show_source(from))
        }
        MountKind::Cache { id, from, sharing, mode, uid, gid, readonly } => {
            let from = match from {
                Some((from, path)) => format!(" from {} {path}", show_source(from)),
                None => String::new(),
            };
            format!("cache {id}{from} {sharing:?} {mode:o} {uid}:{gid} ro={readonly}")
        }
        MountKind::Tmpfs { size } => format!("tmpfs {size:?}"),
        MountKind::Secret { id, env, required, mode, uid, gid } => {
            format!("secret {id} env={env:?} required={required} {mode:o} {uid}:{gid}")
        }
        MountKind::Ssh { id, required, mode, uid, gid } => {
            format!("ssh {id} required={required} {mode:o} {uid}:{gid}")
        }
    };
    let _ = writeln!(out, "      mount {:?} {text}", mount.target);
}

fn show_source(source: &From) -> String {
    match source {
        From::Context => "context".to_owned(),
        From::Named(name) => format!("named {name}"),
        From::Stage(id) => format!("stage {}", id.0),
    }
}

/// `line:column severity rule: message`, and the hint behind two spaces.
pub(crate) fn show_problems(problems: &[Diagnostic], source: &Source) -> String {
    let mut out = String::new();
    for it in problems {
        let at = source.position(it.span.start);
        let severity = if it.is_error() { "" } else { "warning " };
        let _ = writeln!(out, "{}:{} {severity}{}: {}", at.line, at.column, it.rule, it.message);
        if let Some(hint) = &it.hint {
            let _ = writeln!(out, "  hint: {hint}");
        }
    }
    out
}
