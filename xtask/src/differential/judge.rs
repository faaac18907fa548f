//! Builds a case with both builders and compares.

use crate::{
    differential::{
        case::Case,
        history,
        reference::{Reference, finished, output, said},
        text,
        web::Web,
    },
    shell::root,
};
use fs_err as fs;
use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The ordinary user's number; it has no entry in any file, and so a single id.
const USER: u32 = 23456;

/// What cases are judged with.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) work: &'a Path,
    pub(crate) strake: &'a Path,
    pub(crate) reference: &'a Reference,
    /// Where ADD finds the folders of the cases.
    pub(crate) web: &'a Web,
    pub(crate) user: bool,
}

/// What a case was held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// What the reference builder makes of the same Dockerfile.
    Compared,
    /// What the case says, for the reference is too old or something else.
    ByHand,
}

/// Where a case is built.
pub(crate) struct Place {
    /// The files.
    dir: PathBuf,
    context: PathBuf,
    /// Images.
    pub(crate) out: PathBuf,
    /// The same files for ADD.
    url: String,
}

impl Judge<'_> {
    /// How the case was found to be as it must be; else what is wrong.
    pub(crate) fn judge(&self, case: &Case) -> Result<Found, String> {
        let place = self.lay_out(case)?;
        let ours = place.out.join("ours.tar");
        let built = self.build(case, &place, &ours, false)?;
        let first = case.platforms.first().map(String::as_str);
        let reference = self.reference_build(case, &place, first)?;
        if let Some(wanted) = &case.error {
            return failures(wanted, case.line, &built, &reference);
        }
        if let Some(wanted) = &case.stricter {
            return stricter(wanted, case.line, &built, &reference);
        }
        if !built.status.success() {
            let theirs = if reference.status.success() { "builds it" } else { "fails, too" };
            return Err(format!("strake failed, Docker {theirs}:\n{}", said(&built)));
        }
        history::ends(&history::of(&ours, first)?, &case.history)?;
        match &case.refused {
            Some(wanted) if reference.status.success() || !said(&reference).contains(wanted) => {
                return Err(format!(
                    "Docker did not refuse with `{wanted}`:\n{}",
                    said(&reference)
                ));
            }
            Some(_) => {}
            None if !reference.status.success() => {
                return Err(format!("Docker failed:\n{}", said(&reference)));
            }
            None => {
                self.compare_with_reference(case, &place, &ours, first)?;
                for platform in case.platforms.iter().skip(1) {
                    let reference = self.reference_build(case, &place, Some(platform))?;
                    if !reference.status.success() {
                        return Err(format!("Docker failed:\n{}", said(&reference)));
                    }
                    self.compare_with_reference(case, &place, &ours, Some(platform))?;
                }
                if case.subset {
                    self.load(case, &place)?;
                }
            }
        }
        if self.user && case.not_as_user.is_none() {
            self.compare_with_user(case, &place, &ours)?;
        }
        let place = [&place.out, &place.dir];
        place.into_iter().try_for_each(fs::remove_dir_all).map_err(|error| error.to_string())?;
        let by_hand = case.rewritten || case.refused.is_some() || !case.history.is_empty();
        Ok(if by_hand { Found::ByHand } else { Found::Compared })
    }

    fn lay_out(&self, case: &Case) -> Result<Place, String> {
        let dir = self.work.join("cases").join(&case.name);
        let out = self.work.join("images").join(&case.name);
        fs::create_dir_all(&out).map_err(|error| error.to_string())?;
        fs::create_dir_all(self.work.join("cases")).map_err(|error| error.to_string())?;
        finished(Command::new("cp").arg("-a").arg(&case.folder).arg(&dir))?;
        // A checkout's umask has no say.
        finished(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(&dir))?;
        let setup = dir.join("setup.sh");
        if setup.is_file() {
            finished(Command::new("sh").args(["-eu", "setup.sh"]).current_dir(&dir))?;
        }
        for name in ["setup.sh", "case.json"] {
            let _ = fs::remove_file(dir.join(name));
        }
        if case.rewritten {
            fs::rename(dir.join("Dockerfile.reference"), out.join("Dockerfile"))
                .map_err(|error| error.to_string())?;
        }
        let context = dir.join("context");
        let context = if context.is_dir() { context } else { dir.clone() };
        Ok(Place { url: self.web.url(&case.name), dir, context, out })
    }

    /// Builds with strake; that it fails is not an error here.
    fn build(&self, case: &Case, place: &Place, to: &Path, user: bool) -> Result<Output, String> {
        let output = format!("type=oci,dest={},compression=uncompressed", to.display());
        self.build_to(case, place, &output, user)
    }

    pub(crate) fn build_to(
        &self,
        case: &Case,
        place: &Place,
        to: &str,
        user: bool,
    ) -> Result<Output, String> {
        let store = self.work.join(if user { "store-of-user" } else { "store" });
        fs::create_dir_all(&store).map_err(|error| error.to_string())?;
        let mut command = match user {
            false => Command::new(self.strake),
            true => {
                for folder in [&store, &place.out] {
                    chown(folder, Some(USER), Some(USER)).map_err(|error| error.to_string())?;
                }
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={USER}"), &format!("--regid={USER}")]);
                command.args(["--clear-groups", "--inh-caps=-all"]).arg(self.strake);
                command.env("HOME", &store);
                command
            }
        };
        command.args(["build", "--progress", "plain", "--store"]).arg(&store);
        command.args(["-o", to]);
        if !case.platforms.is_empty() {
            command.args(["--platform", &case.platforms.join(",")]);
        }
        for base in self.reference.bases.iter().filter(|it| !case.names_a_stage(it)) {
            command.args(["--build-context", base]);
        }
        for image in &case.images {
            command.args(["--build-context", &format!("{image}={}", self.toolbox()?)]);
        }
        command.args(arguments(&[&case.flags, &case.ours], place, case));
        output(command.arg(context(case, place)))
    }

    fn toolbox(&self) -> Result<&str, String> {
        let mut bases = self.reference.bases.iter();
        let found = bases.find_map(|it| it.strip_prefix("toolbox:latest="));
        found.ok_or_else(|| "there is no toolbox".to_owned())
    }

    fn reference_build(
        &self,
        case: &Case,
        place: &Place,
        platform: Option<&str>,
    ) -> Result<Output, String> {
        for image in &case.images {
            let args = ["tag", "toolbox:latest", image].map(str::to_owned);
            self.reference.docker(self.work, &args)?;
        }
        let mut args: Vec<String> =
            ["build", "--network", "host", "-t", &tag(case)].map(str::to_owned).to_vec();
        args.extend(arguments(&[&case.flags, &case.theirs], place, case));
        args.extend(platform.into_iter().flat_map(|it| ["--platform".to_owned(), it.to_owned()]));
        if case.rewritten {
            args.extend(["-f".to_owned(), text(&place.out.join("Dockerfile"))]);
        }
        args.push(context(case, place));
        self.reference.docker(self.work, &args)
    }

    fn compare_with_reference(
        &self,
        case: &Case,
        place: &Place,
        ours: &Path,
        platform: Option<&str>,
    ) -> Result<(), String> {
        let saved = self.reference.docker(self.work, &["save".to_owned(), tag(case)])?;
        if !saved.status.success() {
            return Err(format!("docker save failed:\n{}", said(&saved)));
        }
        let theirs = place.out.join("theirs.tar");
        fs::write(&theirs, saved.stdout).map_err(|error| error.to_string())?;
        let mut ignore =
            history::exposes(&history::of(ours, platform)?, &history::of(&theirs, platform)?);
        ignore.extend(case.ignore.iter().cloned());
        if case.rewritten || !case.history.is_empty() {
            ignore.push("history".to_owned());
        }
        if case.rewritten {
            ignore.push("layers".to_owned());
        }
        let mut diff = Command::new(self.strake);
        let mut oracle = Command::new("python3");
        oracle.arg(root().join("testdata/lab/imagediff.py"));
        diff.arg("diff");
        for program in [&mut diff, &mut oracle] {
            program.args(platform.into_iter().flat_map(|it| ["--platform", it]));
        }
        for place in ignore {
            diff.arg("--ignore").arg(&place);
            oracle.arg("--ignore").arg(place.replace('[', " ").replace(']', ":"));
        }
        alike("strake diff", diff.arg(ours).arg(&theirs))?;
        alike("imagediff.py", oracle.arg(ours).arg(&theirs))
    }

    fn compare_with_user(&self, case: &Case, place: &Place, ours: &Path) -> Result<(), String> {
        let theirs = place.out.join("user.tar");
        let built = self.build(case, place, &theirs, true)?;
        if !built.status.success() {
            return Err(format!("strake failed as an ordinary user:\n{}", said(&built)));
        }
        let mut diff = Command::new(self.strake);
        diff.args(["diff", "--layers"]);
        for place in &case.ignore {
            diff.args(["--ignore", place]);
        }
        alike("root's image and an ordinary user's", diff.arg(ours).arg(&theirs))
    }
}

pub(crate) fn tag(case: &Case) -> String {
    format!("differential:{}", case.name)
}

fn filled(text: &str, place: &Place) -> String {
    text.replace("{dir}", &self::text(&place.dir)).replace("{http}", &place.url)
}

fn context(case: &Case, place: &Place) -> String {
    match &case.context {
        Some(elsewhere) => filled(elsewhere, place),
        None => text(&place.context),
    }
}

fn arguments(lists: &[&Vec<String>], place: &Place, case: &Case) -> Vec<String> {
    let words = lists.iter().copied().flatten();
    let mut args: Vec<String> = words.map(|it| filled(it, place)).collect();
    let named = args.iter().any(|it| it == "-f" || it == "--file");
    if !named && place.context != place.dir && case.context.is_none() {
        args.extend(["-f".to_owned(), text(&place.dir.join("Dockerfile"))]);
    }
    args
}

/// Both builds must have failed, strake's with these words.
fn failures(wanted: &str, line: u64, ours: &Output, theirs: &Output) -> Result<Found, String> {
    if theirs.status.success() {
        return Err("Docker builds it".to_owned());
    }
    if ours.status.success() {
        return Err(format!("strake builds it; Docker says:\n{}", said(theirs)));
    }
    says(wanted, line, ours).map(|()| Found::Compared)
}

/// Strake must have failed with these words, and Docker not.
fn stricter(wanted: &str, line: u64, ours: &Output, theirs: &Output) -> Result<Found, String> {
    if !theirs.status.success() {
        return Err(format!("Docker fails, too: this is an `error`:\n{}", said(theirs)));
    }
    if ours.status.success() {
        return Err("strake builds it".to_owned());
    }
    says(wanted, line, ours).map(|()| Found::ByHand)
}

fn says(wanted: &str, line: u64, ours: &Output) -> Result<(), String> {
    let said = said(ours);
    let shown = said.lines().filter_map(|it| it.trim_start().strip_prefix("--> "));
    let shown: Vec<u64> =
        shown.filter_map(|it| it.rsplit(':').nth(1).and_then(|it| it.parse().ok())).collect();
    if !said.contains(wanted) {
        return Err(format!("strake does not say `{wanted}` but:\n{said}"));
    }
    match shown.contains(&line) || (line == 0 && shown.is_empty()) {
        true => Ok(()),
        false => Err(format!("strake shows lines {shown:?}, not {line}:\n{said}")),
    }
}

fn alike(what: &str, command: &mut Command) -> Result<(), String> {
    let output = output(command)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{what}: (ours | theirs)\n{}", said(&output))),
    }
}
