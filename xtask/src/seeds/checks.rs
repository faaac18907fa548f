//! What is checked of one case.

use crate::{
    seeds::{
        Options,
        build::{Builder, Built, Request},
        case::Case,
        lab::Lab,
        table::Table,
    },
    shell::root,
};
use fs_err as fs;
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// Differences that two builds by one builder have, too.
const NOISE: &[(&str, &str)] = &[
    ("/root/.npm/_logs", "npm names each log for the time"),
    ("/root/.npm/_cacache/index-v5", "npm's cache index holds times"),
    ("/app/node_modules/.modules.yaml", "pnpm writes when it pruned"),
];

/// A case with its places in the work folder.
struct Trial<'a> {
    case: &'a Case,
    builder: &'a Builder,
    lab: &'a Lab,
    /// A copy of the case's folder, for both builders and all users.
    context: PathBuf,
    folder: PathBuf,
    /// The name that is pushed.
    name: String,
}

/// Runs every check of `case`; only what ends the whole matrix is an error.
pub(crate) fn run(
    case: &Case,
    builder: &Builder,
    lab: &Lab,
    options: Options<'_>,
    table: &mut Table,
) -> Result<(), String> {
    let folder = lab.work.join(&case.name);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let context = folder.join("context");
    lab.program("cp", &["-a", &text(&case.folder), &text(&context)])?;
    let name = format!("{}/seed/{}:1", lab.registry, case.name);
    let trial = Trial { case, builder, lab, context, folder, name };
    let mut add = |check, result| table.add(&case.name, check, result);
    if options.reference
        && let Some(file) = &case.refused
    {
        add("as text", trial.refused(file));
    }
    if !add("builds", trial.builds()) {
        return Ok(());
    }
    add("cached", trial.cached());
    add("metadata", trial.metadata());
    if options.reference {
        add("= Docker", trial.like_docker());
    }
    if options.user {
        add("= user", trial.like_user());
    }
    add("source", trial.source());
    for (check, result) in trial.runs() {
        add(check, result);
    }
    Ok(())
}

impl Trial<'_> {
    /// The document's text ends alike under both builders: it builds, or the same process fails.
    fn refused(&self, file: &str) -> Result<(), String> {
        let dockerfile = self.context.join(file);
        let theirs = self.reference(&dockerfile, &self.folder.join("refused.tar"));
        let ours = self.build(&dockerfile, &[], "refused-store", false)?;
        let Err(theirs) = theirs else {
            return if ours.good {
                Ok(())
            } else {
                Err(format!("Docker builds it:\n{}", ours.said))
            };
        };
        let theirs = process(&theirs).ok_or_else(|| format!("of Docker itself:\n{theirs}"))?;
        match process(&ours.said) {
            Some(process) if !ours.good && process == theirs => Ok(()),
            _ => Err(format!("Docker says: {theirs}\nstrake:\n{}", ours.said)),
        }
    }

    /// Into an empty store, and to the registry.
    fn builds(&self) -> Result<(), String> {
        let built = self.build(&self.dockerfile(), &self.push(), "store", false)?;
        let fresh = built.good && built.steps.iter().any(|it| !it.cached);
        if fresh { Ok(()) } else { Err(built.said) }
    }

    /// The same again: nothing is done, and nothing sent.
    fn cached(&self) -> Result<(), String> {
        let before = self.lab.uploads()?;
        let built = self.build(&self.dockerfile(), &self.push(), "store", false)?;
        let done = rebuilt(&built);
        if !built.good || !done.is_empty() {
            return Err(format!("done again: {done:?}\n{}", built.said));
        }
        match self.lab.uploads()? - before {
            0 => Ok(()),
            count => Err(format!("{count} requests changed the registry")),
        }
    }

    /// A LABEL and an EXPOSE above the last stage's first step repeat no RUN and no COPY.
    fn metadata(&self) -> Result<(), String> {
        let text = fs::read_to_string(self.dockerfile()).map_err(|error| error.to_string())?;
        let mut lines: Vec<&str> = text.lines().collect();
        let last = lines.iter().rposition(|it| it.starts_with("FROM ")).ok_or("no FROM")?;
        lines.splice(last + 1..=last, ["LABEL seed.changed=\"yes\"", "EXPOSE 8125"]);
        let changed = self.folder.join("Dockerfile.metadata");
        fs::write(&changed, lines.join("\n") + "\n").map_err(|error| error.to_string())?;
        let built = self.build(&changed, &[], "store", false)?;
        let done = rebuilt(&built);
        if built.good && done.is_empty() {
            return Ok(());
        }
        Err(format!("done again: {done:?}\n{}", built.said))
    }

    /// What was pushed is what Docker's builder makes, but for [`NOISE`].
    fn like_docker(&self) -> Result<(), String> {
        let theirs = self.folder.join("docker.tar");
        self.reference(&self.dockerfile(), &theirs)?;
        self.alike(&self.pushed()?, &text(&theirs))
    }

    /// An ordinary user's image is root's, but for [`NOISE`].
    fn like_user(&self) -> Result<(), String> {
        let name = format!("{}/user/{}:1", self.lab.registry, self.case.name);
        let push = ["--push".to_owned(), "-t".to_owned(), name.clone()];
        let built = self.build(&self.dockerfile(), &push, "user-store", true)?;
        if !built.good {
            return Err(built.said);
        }
        let ours = self.fetched(&name, "user")?;
        self.alike(&self.pushed()?, &ours)
    }

    /// A changed source file: `COPY . .` and what follows in its stage are done, nothing before.
    fn source(&self) -> Result<(), String> {
        let file = self.context.join(&self.case.source);
        let mut source = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        source.push_str("// changed\n");
        fs::write(&file, source).map_err(|error| error.to_string())?;
        let built = self.build(&self.dockerfile(), &[], "store", false)?;
        let copies = |text: &str| text.starts_with("COPY ") && text.ends_with(" . .");
        let copy = built.steps.iter().find(|it| copies(&it.text)).ok_or("no `COPY . .`")?;
        let bad: Vec<&str> = built
            .steps
            .iter()
            .filter(|it| it.stage == copy.stage && !it.text.starts_with("FROM "))
            .filter(|it| it.cached != (it.number < copy.number))
            .map(|it| it.text.as_str())
            .collect();
        let again = rebuilt(&built).into_iter().find(|it| {
            ["npm ci", "npm install", "pnpm install"].iter().any(|tool| it.contains(tool))
        });
        if built.good && bad.is_empty() && again.is_none() {
            return Ok(());
        }
        Err(format!("not as they should: {bad:?} {again:?}\n{}", built.said))
    }

    /// A real Docker pulls and runs it: it answers, is healthy, and is who USER says.
    fn runs(&self) -> Vec<(&'static str, Result<(), String>)> {
        let container = format!("seed-{}", self.case.name);
        let mut found = Vec::new();
        match &self.case.health {
            None => found.push(("runs", self.pull().and_then(|()| self.prints()))),
            Some((port, path)) => {
                let run = ["run", "-d", "--network", "host", "--name", &container, &self.name];
                let started = self
                    .pull()
                    .and_then(|()| self.lab.docker(&run))
                    .and_then(|_| answers(*port, path));
                let running = started.is_ok();
                found.push(("runs", started));
                if running && self.case.healthcheck {
                    found.push(("healthy", self.healthy(&container)));
                }
                if running {
                    let uid = self.lab.docker(&["exec", &container, "id", "-u"]);
                    found.push(("user", self.is_user(uid)));
                }
                let _ = self.lab.docker(&["rm", "-f", &container]);
                return found;
            }
        }
        found.push((
            "user",
            self.is_user(self.lab.docker(&[
                "run",
                "--rm",
                "--network",
                "host",
                &self.name,
                "id",
                "-u",
            ])),
        ));
        found
    }

    fn pull(&self) -> Result<(), String> {
        self.lab.docker(&["pull", "-q", &self.name]).map(|_| ())
    }

    fn prints(&self) -> Result<(), String> {
        let (command, wanted) = self.case.prints.as_ref().ok_or("neither a port nor a command")?;
        let mut args = vec!["run", "--rm", "--network", "host", &self.name];
        args.extend(command.iter().map(String::as_str));
        let said = self.lab.docker(&args)?;
        if said.trim() == wanted { Ok(()) } else { Err(format!("it prints {said:?}")) }
    }

    fn healthy(&self, container: &str) -> Result<(), String> {
        let health = "{{.State.Health.Status}} {{json .State.Health.Log}}";
        until(Duration::from_secs(100), || {
            let said = self.lab.docker(&["inspect", "-f", health, container])?;
            if said.starts_with("healthy ") { Ok(()) } else { Err(said) }
        })
    }

    fn is_user(&self, said: Result<String, String>) -> Result<(), String> {
        let said = said?;
        if said.trim() == self.case.uid.to_string() {
            return Ok(());
        }
        Err(format!("it runs as {}, not as {}", said.trim(), self.case.uid))
    }

    fn build(
        &self,
        dockerfile: &Path,
        output: &[String],
        store: &str,
        as_user: bool,
    ) -> Result<Built, String> {
        let store = self.folder.join(store);
        let context = &self.context;
        let request = Request { dockerfile, context, store: &store, output, as_user };
        self.builder.build(self.case, self.lab, &request)
    }

    fn reference(&self, dockerfile: &Path, image: &Path) -> Result<(), String> {
        let mut args = vec!["-f".to_owned(), text(dockerfile)];
        for arg in &self.case.build_args {
            args.extend(["--build-arg".to_owned(), arg.clone()]);
        }
        args.push(text(&self.context));
        self.lab.reference_build(&args, image)
    }

    fn dockerfile(&self) -> PathBuf {
        self.context.join(&self.case.dockerfile)
    }

    fn push(&self) -> [String; 3] {
        ["--push".to_owned(), "-t".to_owned(), self.name.clone()]
    }

    fn pushed(&self) -> Result<String, String> {
        self.fetched(&self.name, "pushed")
    }

    /// What the registry has under `name`, as a layout.
    fn fetched(&self, name: &str, folder: &str) -> Result<String, String> {
        let layout = text(&self.folder.join(folder));
        if !Path::new(&layout).exists() {
            let (from, to) = (format!("docker://{name}"), format!("oci:{layout}"));
            self.lab.program("skopeo", &["copy", "-q", "--src-tls-verify=false", &from, &to])?;
        }
        Ok(layout)
    }

    fn alike(&self, one: &str, two: &str) -> Result<(), String> {
        let script = text(&root().join("testdata/lab/imagediff.py"));
        let mut args = Vec::new();
        for (prefix, _) in NOISE {
            args.extend(["--ignore", prefix]);
        }
        args.extend([one, two]);
        self.lab.program(&script, &args).map(|_| ())
    }
}

/// The steps that were not found in the cache.
fn rebuilt(built: &Built) -> Vec<&str> {
    let steps = built.steps.iter();
    steps
        .filter(|it| !it.cached && !it.text.starts_with("FROM "))
        .map(|it| it.text.as_str())
        .collect()
}

/// `process ".." did not complete successfully: exit code: N`, as both builders say it.
fn process(said: &str) -> Option<&str> {
    let start = said.find("process \"")?;
    let end = start + said[start..].find("exit code: ")?;
    let line = said[end..].find('\n').map_or(said.len(), |it| end + it);
    Some(said[start..line].trim_end())
}

/// Waits for an answer of 200 from this machine.
fn answers(port: u16, path: &str) -> Result<(), String> {
    until(Duration::from_secs(30), || {
        let asked = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        match asked {
            Ok(answer) if answer.split(' ').nth(1) == Some("200") => Ok(()),
            Ok(answer) => Err(answer),
            Err(error) => Err(error.to_string()),
        }
    })
}

/// Asks once a second until it is so.
fn until(limit: Duration, ask: impl Fn() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    loop {
        match ask() {
            Err(why) if start.elapsed() >= limit || why == "interrupted" => return Err(why),
            Err(_) => sleep(Duration::from_secs(1)),
            Ok(()) => return Ok(()),
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
