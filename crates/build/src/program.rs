//! Why the program of a RUN could not be started, as far as its root tells.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, ErrorKind, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};
use strake_layer::{Kind, Tree};

/// The program of a RUN could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The shell form, and no shell.
    #[error("exec \"{shell}\": no such file: the image has no shell there")]
    NoShell {
        /// The first word of SHELL.
        shell: String,
    },
    /// A name that no folder of PATH has.
    #[error("exec \"{program}\": executable file not found in $PATH")]
    NotInPath {
        /// As written.
        program: String,
        /// PATH.
        path: String,
    },
    /// A path where nothing is.
    #[error("exec \"{program}\": no such file or directory")]
    NoFile {
        /// As written.
        program: String,
    },
    /// A file whose interpreter or loader is not there.
    #[error("exec \"{program}\": its interpreter {interpreter} is not in the image")]
    NoInterpreter {
        /// As written.
        program: String,
        /// What its first line or its header names.
        interpreter: String,
    },
    /// No leave to execute it.
    #[error("exec \"{program}\": permission denied")]
    Denied {
        /// As written.
        program: String,
        /// USER, where it is not root.
        user: String,
    },
    /// A file that the kernel cannot execute.
    #[error("exec \"{program}\": exec format error")]
    Format {
        /// As written.
        program: String,
    },
    /// Anything else.
    #[error("exec \"{program}\": {cause}")]
    Other {
        /// As written.
        program: String,
        /// Why.
        cause: io::Error,
    },
}

/// What is known of a program that did not start.
pub(crate) struct Attempt<'a> {
    pub(crate) program: &'a str,
    pub(crate) user: &'a str,
    /// PATH of the RUN.
    pub(crate) path: &'a str,
    pub(crate) cwd: &'a str,
    /// Whether the program is the shell of the shell form.
    pub(crate) is_shell: bool,
    pub(crate) tree: &'a Tree,
    /// The layers' folders, topmost first.
    pub(crate) lowers: &'a [PathBuf],
}

impl ProgramError {
    pub(crate) fn of(attempt: &Attempt<'_>, cause: io::Error) -> ProgramError {
        let program = attempt.program.to_owned();
        match cause.kind() {
            ErrorKind::NotFound if !program.contains('/') => {
                ProgramError::NotInPath { program, path: attempt.path.to_owned() }
            }
            ErrorKind::NotFound => missing(attempt, program),
            ErrorKind::PermissionDenied => {
                ProgramError::Denied { program, user: attempt.user.to_owned() }
            }
            _ if cause.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
                ProgramError::Format { program }
            }
            _ => ProgramError::Other { program, cause },
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            ProgramError::NoShell { .. } => {
                "write RUN [\"program\", \"argument\"], do the work in a stage that has a shell and \
                 COPY --from it, or name the shell with SHELL"
                    .to_owned()
            }
            ProgramError::NotInPath { path, .. } => format!("PATH is {path}"),
            ProgramError::NoFile { .. } => return None,
            ProgramError::NoInterpreter { .. } => {
                "install it in this stage, or use a base image that has it".to_owned()
            }
            ProgramError::Denied { program, user } if user.is_empty() => {
                format!("make it executable: COPY --chmod=755, or RUN chmod +x {program}")
            }
            ProgramError::Denied { program, user } => {
                format!("it is not executable, or not for USER {user}: see `ls -l {program}`")
            }
            ProgramError::Format { .. } => {
                "it is neither a program for this processor nor a script whose first line begins \
                 with #!"
                    .to_owned()
            }
            ProgramError::Other { .. } => return None,
        })
    }
}

fn missing(attempt: &Attempt<'_>, program: String) -> ProgramError {
    let path = Path::new(attempt.cwd).join(&program);
    let found = attempt.tree.resolve(path.as_os_str().as_bytes()).ok();
    let node = found.and_then(|it| attempt.tree.get(&it));
    if let Some(node) = node
        && let Kind::File { .. } = node.entry.kind
        && let Some(interpreter) = interpreter(&node.entry.path, attempt.lowers)
    {
        return ProgramError::NoInterpreter { program, interpreter };
    }
    if attempt.is_shell {
        return ProgramError::NoShell { shell: program };
    }
    ProgramError::NoFile { program }
}

fn interpreter(path: &[u8], lowers: &[PathBuf]) -> Option<String> {
    let path = Path::new(OsStr::from_bytes(path));
    let file = lowers.iter().find_map(|it| File::open(it.join(path)).ok())?;
    let mut head = Vec::new();
    file.take(4096).read_to_end(&mut head).ok()?;
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|it| *it == b'\n').next()?;
        // A carriage return is part of the name, which is why such scripts do not run.
        let name = line.split(|it| matches!(it, b' ' | b'\t')).find(|it| !it.is_empty())?;
        return Some(format!("`{}`", name.escape_ascii()));
    }
    loader(&head).map(|it| it.escape_ascii().to_string())
}

/// PT_INTERP of a 64-bit little-endian executable.
pub(crate) fn loader(head: &[u8]) -> Option<&[u8]> {
    let number = |at: usize, length: usize| {
        let bytes = head.get(at..at + length)?;
        usize::try_from(bytes.iter().rev().fold(0_u64, |sum, it| sum << 8 | u64::from(*it))).ok()
    };
    head.starts_with(b"\x7fELF\x02\x01").then_some(())?;
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let header = (0..count)
        .map(|it| table.saturating_add(it * size))
        .find(|at| number(*at, 4) == Some(3))?;
    let (from, length) = (number(header + 8, 8)?, number(header + 32, 8)?);
    head.get(from..from.checked_add(length)?)?.split(|it| *it == 0).next()
}
