//! One statement with what holds at its place.

use super::{Base, Facts, Mount, Script, vars};
use strake_diag::Span;
use strake_dockerfile::instruction::{Command, Files, Run};
use strake_dockerfile::{Heredoc, Instruction, Statement, Word};

/// A statement and its surroundings.
#[derive(Debug)]
pub struct Step<'a> {
    /// The number of the statement.
    pub index: usize,
    /// In which stage.
    pub stage: Option<usize>,
    /// As written.
    pub statement: &'a Statement,
    /// What it means; for ONBUILD what it triggers.
    pub instruction: Option<&'a Instruction>,
    /// Behind ONBUILD.
    pub onbuild: bool,
    /// SHELL as of here.
    pub shell: Vec<String>,
    /// SHELL was written, or a comment names another shell.
    pub shell_is_set: bool,
    /// WORKDIR as of here, as far as the file says.
    pub cwd: Option<String>,
    /// USER as of here, as far as the file says.
    pub user: Option<String>,
    /// What a RUN runs.
    pub script: Script,
    /// The mounts of a RUN.
    pub mounts: Vec<Mount>,
}

/// COPY or ADD.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    /// It is an ADD.
    pub add: bool,
    /// Sources and destination.
    pub files: &'a Files,
    /// `--from`.
    pub from: Option<&'a Word>,
    /// `--chown`.
    pub chown: Option<&'a Word>,
    /// `--chmod`.
    pub chmod: Option<&'a Word>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`.
    pub excludes: &'a [Word],
}

impl Step<'_> {
    /// Where the statement stands.
    pub fn span(&self) -> Span {
        self.statement.span
    }

    /// It is a RUN.
    pub fn run(&self) -> Option<&Run> {
        match self.instruction {
            Some(Instruction::Run(run)) => Some(run),
            Some(_) | None => None,
        }
    }

    /// It copies files.
    pub fn transfer(&self) -> Option<Transfer<'_>> {
        match self.instruction {
            Some(Instruction::Copy(it)) => Some(Transfer {
                add: false,
                files: &it.files,
                from: it.from.as_ref(),
                chown: it.chown.as_ref(),
                chmod: it.chmod.as_ref(),
                link: it.link,
                excludes: &it.excludes,
            }),
            Some(Instruction::Add(it)) => Some(Transfer {
                add: true,
                files: &it.files,
                from: None,
                chown: it.chown.as_ref(),
                chmod: it.chmod.as_ref(),
                link: it.link,
                excludes: &it.excludes,
            }),
            Some(_) | None => None,
        }
    }

    /// COPY or ADD from the build context.
    pub fn from_context(&self) -> Option<Transfer<'_>> {
        self.transfer().filter(|it| it.from.is_none() && !self.onbuild)
    }

    /// The program of SHELL.
    pub fn shell_name(&self) -> &str {
        let first = self.shell.first().map_or("/bin/sh", String::as_str);
        let name = first.rsplit(['/', '\\']).next().unwrap_or(first);
        name.strip_suffix(".exe").unwrap_or(name)
    }

    /// The shell is one whose scripts are read.
    pub fn is_posix(&self) -> bool {
        matches!(self.shell_name(), "sh" | "bash" | "dash" | "ash" | "ksh" | "zsh" | "busybox")
    }

    /// Whether a directory is a cache mount of this RUN.
    pub fn caches(&self, folder: &str) -> bool {
        self.mounts.iter().any(|it| it.caches(folder))
    }

    /// Whether a directory is a cache or tmpfs mount of this RUN.
    pub fn mounts_over(&self, folder: &str) -> bool {
        self.mounts.iter().any(|it| {
            it.caches(folder)
                || it.kind == "tmpfs"
                    && Mount { kind: "cache".to_owned(), ..it.clone() }.caches(folder)
        })
    }
}

/// What goes from one step to the next.
#[derive(Clone, Default)]
struct State {
    shell: Option<Vec<String>>,
    cwd: Option<String>,
    user: Option<String>,
}

/// Makes a script of its text and the places of its parts.
type Reader = fn(String, Vec<(usize, usize)>) -> Script;

/// All steps of a file.
pub(super) fn all<'a>(facts: &Facts<'a>, read: Reader) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    let mut ends: Vec<State> = Vec::new();
    let mut state = State::default();
    let named = shell_comment(facts);
    for (index, statement) in facts.file.statements.iter().enumerate() {
        let stage = facts.stage_of(index);
        if let Some(at) = stage.filter(|it| facts.stages[*it].statement == index) {
            if at > 0 {
                ends.push(std::mem::take(&mut state));
            }
            state = match facts.base(at) {
                Base::Stage(below) => ends.get(below).cloned().unwrap_or_default(),
                Base::Scratch | Base::Image(_) => State::default(),
            };
        }
        let (instruction, onbuild) = match &statement.instruction {
            Some(Instruction::Onbuild(it)) => (it.instruction.as_deref(), true),
            Some(it) => (Some(it), false),
            None => (None, false),
        };
        if let Some(instruction) = instruction.filter(|_| !onbuild) {
            follow(&mut state, instruction, facts, index);
        }
        let shell_is_set = state.shell.is_some() || named.is_some();
        let default = || named.clone().unwrap_or_else(|| words(&["/bin/sh", "-c"]));
        let mut step = Step {
            index,
            stage,
            statement,
            instruction,
            onbuild,
            shell: state.shell.clone().unwrap_or_else(default),
            shell_is_set,
            cwd: state.cwd.clone(),
            user: state.user.clone(),
            script: Script::default(),
            mounts: Vec::new(),
        };
        if let Some(Instruction::Run(run)) = instruction {
            if let Some(shell) = fed(run).filter(|it| !it.is_empty()) {
                step.shell = shell;
            }
            step.mounts = run.mounts.iter().map(Mount::read).collect();
            step.script = script(&step, run, facts, read);
        }
        steps.push(step);
    }
    steps
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|it| (*it).to_owned()).collect()
}

/// `# hadolint shell=powershell`.
fn shell_comment(facts: &Facts<'_>) -> Option<Vec<String>> {
    let named = facts.file.comments.iter().find_map(|it| {
        let rest = it.text.strip_prefix("hadolint")?.trim_start().strip_prefix("shell")?;
        rest.trim_start().strip_prefix('=').map(|it| it.trim().to_owned())
    })?;
    Some(vec![named])
}

fn follow(state: &mut State, instruction: &Instruction, facts: &Facts<'_>, index: usize) {
    match instruction {
        Instruction::Shell(it) => state.shell = Some(it.words.clone()),
        Instruction::User(it) => state.user = Some(facts.expand(&it.user.text, index)),
        Instruction::Workdir(it) => {
            let path = facts.expand(&it.path.text, index);
            state.cwd = match (path.starts_with('/'), &state.cwd) {
                (true, _) => Some(path),
                (false, Some(cwd)) => Some(format!("{}/{path}", cwd.trim_end_matches('/'))),
                (false, None) => None,
            };
        }
        _ => {}
    }
}

fn script(step: &Step<'_>, run: &Run, facts: &Facts<'_>, read: Reader) -> Script {
    match &run.command {
        Command::Exec { words, span } => match words.as_slice() {
            [shell, flag, body]
                if ["sh", "bash", "dash", "ash"].iter().any(|it| shell.ends_with(it))
                    && flag.starts_with('-')
                    && flag.ends_with('c') =>
            {
                let mut script = read(body.clone(), Vec::new());
                for command in &mut script.commands {
                    command.span = *span;
                    command.name_span = *span;
                    command.args.iter_mut().for_each(|it| it.span = *span);
                }
                script
            }
            words => Script::of_words(words, *span),
        },
        Command::Shell(_) if !step.is_posix() => Script::default(),
        Command::Shell(line) => {
            let (text, places) = text(step.statement, line, &run.heredocs, facts);
            match text {
                Some(text) => read(text, places),
                None => Script::default(),
            }
        }
    }
}

/// The words of the shell that a RUN feeds its only heredoc to, as `RUN bash -e <<EOF`; none where it is
/// the one of SHELL.
fn fed(run: &Run) -> Option<Vec<String>> {
    match &run.command {
        Command::Shell(line) => reader(line, &run.heredocs),
        Command::Exec { .. } => None,
    }
}

fn reader(line: &Word, heredocs: &[Heredoc]) -> Option<Vec<String>> {
    let (redirects, words): (Vec<&str>, Vec<&str>) =
        line.text.split_whitespace().partition(|it| it.starts_with("<<"));
    let is_shell = |it: &str| {
        let name = it.rsplit('/').next().unwrap_or(it);
        matches!(name, "sh" | "bash" | "dash" | "ash" | "ksh" | "zsh")
    };
    let option =
        |it: &[&str]| it[1].starts_with('-') || it[0].starts_with('-') && it[0].ends_with('o');
    let reads = words.first().is_none_or(|it| is_shell(it)) && words.windows(2).all(option);
    let alone = heredocs.len() == 1 && redirects.len() == 1 && reads;
    alone.then(|| words.into_iter().map(str::to_owned).collect())
}

/// The script, and where its parts stand; nothing where the body is for another program.
fn text(
    statement: &Statement,
    line: &Word,
    heredocs: &[Heredoc],
    facts: &Facts<'_>,
) -> (Option<String>, Vec<(usize, usize)>) {
    let source = &facts.file.source.text;
    if let Some(first) = heredocs.first()
        && reader(line, heredocs).is_some()
    {
        let shebang = first.content.trim_start().strip_prefix("#!");
        let program = shebang.and_then(|it| it.lines().next());
        if program.is_some_and(|it| !it.trim_end().ends_with("sh")) {
            return (None, Vec::new());
        }
        return (Some(first.content.clone()), vec![(0, first.span.start as usize)]);
    }
    let start = statement.offset_of(line.span.start).unwrap_or_default();
    let mut places = statement.pieces(start..start + line.text.len());
    let mut text = line.text.clone();
    for heredoc in heredocs {
        text.push('\n');
        places.push((text.len(), heredoc.span.start as usize));
        let whole = &source[heredoc.span.start as usize..heredoc.span.end as usize];
        text.push_str(whole);
    }
    (Some(text), places)
}

impl Facts<'_> {
    /// Names of variables that a word uses.
    pub(crate) fn uses(&self, word: &str) -> Vec<vars::Use> {
        vars::uses(word, self.file.escape)
    }
}
