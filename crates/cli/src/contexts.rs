//! The build context, named contexts and the Dockerfile, wherever they come from: a folder, standard
//! input, a web server, a Git repository.
//!
//! What is not a folder of the caller's is put into one in the store that goes with the build. There
//! ignore files do not apply, as in BuildKit: they say what a client sends.

use crate::{
    args::BuildArgs,
    build_arguments, epoch,
    failure::{Failure, chain},
    inputs::{self, Named},
    place::{Elsewhere, Place, place},
    say,
};
use std::{
    collections::BTreeMap,
    fs::Permissions,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};
use strake_cache::{Store, TempDir};
use strake_context::{Context, ContextError, ignore_file};
use strake_diag::Source;
use strake_layer::is_archive_file;
use strake_plan::{GitSource, HttpSource};
use strake_remote::{HttpFile, Remote, RemoteError};

/// No Dockerfile is larger.
const DOCKERFILE_LIMIT: u64 = 16 << 20;

/// What a build reads, at hand.
pub(crate) struct Contexts {
    /// The Dockerfile.
    pub(crate) text: Source,
    /// The main context.
    pub(crate) main: Context,
    /// Whether the main context is a folder of the caller's, of which things can be known next time.
    pub(crate) is_local: bool,
    /// The named ones that are folders now.
    pub(crate) named: BTreeMap<String, Context>,
    /// Times by name; that of the main context is called `context`. Folders have none.
    times: BTreeMap<String, Option<i64>>,
    /// Folders that go when the build ends.
    _folders: Vec<TempDir>,
}

/// What is written on the command line.
pub(crate) struct Wanted<'a> {
    /// The main context.
    context: &'a str,
    /// `-f`.
    file: Option<&'a Path>,
    /// `--build-context`.
    named: &'a BTreeMap<String, Named>,
    /// Whether `.git` of the main context stays.
    keep_git_dir: bool,
    /// Whether files of repositories have the time of the commit.
    commit_mtime: bool,
}

impl<'a> Wanted<'a> {
    pub(crate) fn read(
        args: &'a BuildArgs,
        named: &'a BTreeMap<String, Named>,
        build_args: &[(String, String)],
    ) -> Result<Wanted<'a>, Failure> {
        Ok(Wanted {
            context: &args.context,
            file: args.file.as_deref(),
            named,
            keep_git_dir: build_arguments::keep_git_dir(build_args)?,
            commit_mtime: build_arguments::last(build_args, epoch::NAME)
                .is_some_and(|it| !it.is_empty()),
        })
    }
}

/// Where what is not local is put.
struct Gathering<'a> {
    store: &'a Store,
    remote: &'a Remote,
    times: BTreeMap<String, i64>,
    folders: Vec<TempDir>,
}

/// A main context and, where that is all it consists of, its Dockerfile.
struct Main {
    context: Context,
    dockerfile: Option<Source>,
}

impl Contexts {
    /// When the files of a context were last changed: the commit's time, what the server says, or the
    /// newest entry of an archive. `None`: there is no such context; no time: it is a folder.
    pub(crate) fn time_of(&self, name: &str) -> Option<Option<i64>> {
        self.times.get(name).copied()
    }
}

/// Gets the Dockerfile and all contexts.
pub(crate) fn gather(
    wanted: &Wanted<'_>,
    store: &Store,
    remote: &Remote,
) -> Result<Contexts, Failure> {
    let Wanted { context, file, named, keep_git_dir: _, commit_mtime } = *wanted;
    let mut gathering = Gathering { store, remote, times: BTreeMap::new(), folders: Vec::new() };
    if context == "-" && file == Some(Path::new("-")) {
        let message = "standard input cannot be both the context and the Dockerfile";
        return Err(Failure::usage(message).hint("write the one or the other to a file"));
    }
    let (text, main, is_local) = match place(context)? {
        Place::Folder(folder) => {
            let (text, path) = gathering.local_dockerfile(folder, file)?;
            (text, open(folder, path.as_deref())?, true)
        }
        Place::Elsewhere(elsewhere) => {
            let Main { context, dockerfile } = gathering.main(elsewhere, wanted)?;
            let text = match dockerfile {
                None => gathering.dockerfile(&context, file)?,
                Some(text) if file.is_none() => text,
                Some(text) => {
                    let message = format!("-f is given, and {} is a Dockerfile too", text.name);
                    return Err(Failure::usage(message).hint("leave out -f, or give an archive"));
                }
            };
            (text, context, false)
        }
    };
    let mut folders = BTreeMap::new();
    for (name, what) in named {
        folders.extend(gathering.named(name, what, commit_mtime)?.map(|it| (name.clone(), it)));
    }
    let Gathering { store: _, remote: _, times: known, folders: kept } = gathering;
    let names = named.keys().map(String::as_str).chain(["context"]);
    let times = names.map(|it| (it.to_owned(), known.get(it).copied())).collect();
    Ok(Contexts { text, main, is_local, named: folders, times, _folders: kept })
}

impl Gathering<'_> {
    fn folder(&mut self) -> Result<PathBuf, Failure> {
        let made = self.store.temp_dir("context")?;
        let folder = made.path().to_owned();
        self.folders.push(made);
        Ok(folder)
    }

    fn main(&mut self, place: Elsewhere<'_>, wanted: &Wanted<'_>) -> Result<Main, Failure> {
        match place {
            Elsewhere::Repository(mut source) => {
                source.keep_git_dir |= wanted.keep_git_dir;
                let context = self.repository("context", source, wanted.commit_mtime)?;
                Ok(Main { context, dockerfile: None })
            }
            Elsewhere::Archive(file) => self.file(file, wanted.context, None),
            Elsewhere::Url(url) => {
                let file = self.fetch(url)?;
                self.times.extend((file.mtime != 0).then(|| ("context".to_owned(), file.mtime)));
                self.file(&file.path, url, Some(&file))
            }
            Elsewhere::StandardInput => {
                let file = self.folder()?.join("stdin");
                let mut written = fs_err::File::create_new(&file)?;
                if std::io::copy(&mut std::io::stdin().lock(), &mut written)? == 0 {
                    return Err(Failure::new("standard input is empty")
                        .hint("pipe a Dockerfile or an archive into strake"));
                }
                self.file(&file, "standard input", None)
            }
        }
    }

    /// A context out of one file: an archive, or a Dockerfile alone.
    fn file(
        &mut self,
        file: &Path,
        name: &str,
        fetched: Option<&HttpFile>,
    ) -> Result<Main, Failure> {
        let folder = self.folder()?;
        if is_archive_file(fs_err::File::open(file)?)? {
            let archive = fs_err::File::open(file)?;
            let unpacked = strake_remote::unpack(archive, name, &folder)?;
            self.times.entry("context".to_owned()).or_insert(unpacked.newest);
            let context = open_as_is(&folder)?.with_owners(unpacked.owners);
            return Ok(Main { context, dockerfile: None });
        }
        let text = source(name, &limited(file, name)?)?;
        if let Some(file) = fetched {
            put(file, &folder)?;
        }
        let context = open_as_is(&folder)?;
        Ok(Main { context, dockerfile: Some(text) })
    }

    fn named(
        &mut self,
        name: &str,
        what: &Named,
        commit_mtime: bool,
    ) -> Result<Option<Context>, Failure> {
        Ok(match what {
            Named::Image(_) | Named::Layout(..) => None,
            Named::Folder(folder) => Some(open(folder, None)?),
            Named::Repository(source) => {
                Some(self.repository(name, source.clone(), commit_mtime)?)
            }
            Named::File(url) => {
                let file = self.fetch(url)?;
                self.times.extend((file.mtime != 0).then(|| (name.to_owned(), file.mtime)));
                let folder = self.folder()?;
                put(&file, &folder)?;
                Some(open_as_is(&folder)?)
            }
        })
    }

    fn repository(
        &mut self,
        name: &str,
        mut source: GitSource,
        commit_mtime: bool,
    ) -> Result<Context, Failure> {
        source.commit_mtime |= commit_mtime;
        let commit = self.remote.commit(self.store, &source)?;
        let folder = self.folder()?.join("checkout");
        let checkout = self.remote.checkout(self.store, &source, &commit, &folder)?;
        self.times.insert(name.to_owned(), checkout.time);
        open_as_is(&checkout.folder)
    }

    fn fetch(&self, url: &str) -> Result<HttpFile, Failure> {
        Ok(self.remote.http(self.store, &HttpSource { url: url.to_owned(), checksum: None })?)
    }

    /// The Dockerfile of a context that is a folder of the caller's, and where it is.
    fn local_dockerfile(
        &self,
        folder: &Path,
        file: Option<&Path>,
    ) -> Result<(Source, Option<PathBuf>), Failure> {
        let path = match file {
            Some(file) => file.to_owned(),
            None => {
                let (upper, lower) = (folder.join("Dockerfile"), folder.join("dockerfile"));
                if !upper.exists() && lower.exists() { lower } else { upper }
            }
        };
        if let Some(text) = self.elsewhere(&path)? {
            return Ok((text, None));
        }
        let bytes = std::fs::read(&path).map_err(|error| {
            let message = format!("failed to read Dockerfile {}: {error}", path.display());
            Failure::new(message)
                .hint("name it with -f FILE, or give the folder that holds it as CONTEXT")
        })?;
        let name = path.display().to_string();
        if bytes.len() as u64 > DOCKERFILE_LIMIT {
            return Err(too_large(&name));
        }
        Ok((source(&name, &bytes)?, Some(path)))
    }

    /// The Dockerfile of a context that is not the caller's: in it, unless the path is absolute.
    fn dockerfile(&self, context: &Context, file: Option<&Path>) -> Result<Source, Failure> {
        if let Some(file) = file {
            if let Some(text) = self.elsewhere(file)? {
                return Ok(text);
            }
            if file.is_absolute() {
                return Ok(self.local_dockerfile(Path::new("/"), Some(file))?.0);
            }
        }
        let written = file.unwrap_or(Path::new("Dockerfile")).to_string_lossy().into_owned();
        let lower = (written == "Dockerfile").then(|| "dockerfile".to_owned());
        for name in [Some(written.clone()), lower].into_iter().flatten() {
            let real = context.resolve(name.as_bytes()).map_err(|it| Failure::new(chain(&it)))?;
            let path = context.file(&real);
            if path.symlink_metadata().is_ok_and(|it| it.is_file()) {
                return source(&name, &limited(&path, &name)?);
            }
        }
        Err(Failure::new(format!("the context has no Dockerfile `{written}`"))
            .hint("name it with -f FILE, relative to the context"))
    }

    /// A Dockerfile from standard input or a web server.
    fn elsewhere(&self, file: &Path) -> Result<Option<Source>, Failure> {
        if file == Path::new("-") {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            return source("-", &bytes).map(Some);
        }
        match file.to_str().filter(|it| inputs::is_url(it)) {
            None => Ok(None),
            Some(url) => source(url, &limited(&self.fetch(url)?.path, url)?).map(Some),
        }
    }
}

/// A fetched file as all that a context holds: BuildKit calls it `context`.
fn put(file: &HttpFile, folder: &Path) -> Result<(), Failure> {
    let copy = folder.join("context");
    fs_err::copy(&file.path, &copy)?;
    fs_err::set_permissions(&copy, Permissions::from_mode(0o600))?;
    let since_1970 = Duration::from_secs(u64::try_from(file.mtime).unwrap_or(0));
    let opened = fs_err::File::options().write(true).open(&copy)?;
    Ok(opened.set_modified(UNIX_EPOCH + since_1970)?)
}

fn too_large(name: &str) -> Failure {
    Failure::new(format!("{name} is larger than the 16 MiB that a Dockerfile may have"))
        .hint("copy large texts from files of the context")
}

/// A file that is meant to be a Dockerfile.
fn limited(file: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    if fs_err::metadata(file)?.len() > DOCKERFILE_LIMIT {
        let message = format!("{name} is neither an archive nor a Dockerfile: it is too large");
        return Err(Failure::new(message)
            .hint("a context is a tar archive, plain or compressed with gzip, bzip2, xz or zstd"));
    }
    Ok(fs_err::read(file)?)
}

fn source(name: &str, bytes: &[u8]) -> Result<Source, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Failure::new(format!("{name}: not UTF-8 at byte {at}")).hint("save the Dockerfile as UTF-8")
    })?;
    Ok(Source::new(name.to_owned(), text.to_owned()))
}

/// A folder with its ignore rules: `<Dockerfile>.dockerignore` wins over `.dockerignore`.
fn open(folder: &Path, dockerfile: Option<&Path>) -> Result<Context, Failure> {
    let candidates = match dockerfile {
        Some(file) => Vec::from(ignore_file(file, folder)),
        None => vec![folder.join(".dockerignore")],
    };
    for file in candidates {
        if let Some(rules) = read_rules(&file)? {
            return Context::open(folder, Some(&rules)).map_err(|error| {
                let place = match &error {
                    ContextError::BadPattern { .. } => format!("{}: ", file.display()),
                    _ => String::new(),
                };
                Failure::new(place + &chain(&error))
            });
        }
    }
    Context::open(folder, None).map_err(|error| Failure::new(chain(&error)))
}

/// The text of an ignore file, where there is one. Links are followed within its folder, as in Docker,
/// which sends no other files along.
fn read_rules(file: &Path) -> Result<Option<String>, Failure> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return Ok(None) };
    let Ok(facts) = file.symlink_metadata() else { return Ok(None) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let failed = |error| Failure::new(chain(&error));
    let inside = Context::open(folder, None).map_err(failed)?;
    let real = inside.file(&inside.resolve(name.as_bytes()).map_err(failed)?);
    if real.symlink_metadata().is_ok_and(|it| it.is_file()) {
        return Ok(Some(String::from_utf8_lossy(&fs_err::read(real)?).into_owned()));
    }
    if facts.is_symlink() {
        say::note(&format!(
            "warning: {} leads to no file below its folder and has no effect, as in Docker",
            file.display()
        ));
    }
    Ok(None)
}

/// A folder that was fetched, with all that is in it.
fn open_as_is(folder: &Path) -> Result<Context, Failure> {
    if folder.join(".dockerignore").symlink_metadata().is_ok() {
        say::note(
            "warning: the .dockerignore of a context that is not a folder has no effect, as in \
             Docker",
        );
    }
    Context::open(folder, None).map_err(|error| Failure::new(chain(&error)))
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Failure {
        Failure::new(chain(&error)).maybe_hint(error.hint())
    }
}
