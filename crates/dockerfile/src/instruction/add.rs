//! `ADD [flags] source .. dest` ([reference](https://docs.docker.com/reference/dockerfile/#add)).

use super::files::{Files, Lowered, history, mode, optional};
use super::Written;
use crate::flag::{self, Arity, Flag, Set};
use crate::lex::Word;
use crate::lower::{Made, Scope};
use crate::problem::{Outcome, error, error_hint};
use strake_diag::{Diagnostic, Span};
use strake_oci::Digest;
use strake_plan::{CopyOp, CopySource, HttpSource, Op, Source, Unpack};

/// ADD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Add {
    /// What and where to.
    pub files: Files,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--unpack`, where written.
    pub unpack: Option<bool>,
    /// `--exclude`.
    pub excludes: Vec<Word>,
}

pub(super) const FLAGS: &[Flag<Add>] = &[
    Flag {
        name: "chown",
        arity: Arity::Once,
        since: "1.0",
        doc: "Owner and group of what is added.",
        set: Set::To(|it, value| {
            it.chown = Some(value);
            Ok(())
        }),
    },
    Flag {
        name: "chmod",
        arity: Arity::Once,
        since: "1.2",
        doc: "Mode of what is added, octal or symbolic.",
        set: Set::To(|it, value| {
            it.chmod = Some(value);
            Ok(())
        }),
    },
    Flag {
        name: "link",
        arity: Arity::Switch,
        since: "1.4",
        doc: "Add into a layer that does not depend on what is below.",
        set: Set::To(|it, value| {
            it.link = value.text == "true";
            Ok(())
        }),
    },
    Flag {
        name: "checksum",
        arity: Arity::Once,
        since: "1.6",
        doc: "Digest that a fetched file must have.",
        set: Set::To(|it, value| {
            it.checksum = Some(value);
            Ok(())
        }),
    },
    Flag {
        name: "unpack",
        arity: Arity::Switch,
        since: "1.17",
        doc: "Whether archives are unpacked; local ones are by default.",
        set: Set::To(|it, value| {
            it.unpack = Some(value.text == "true");
            Ok(())
        }),
    },
    Flag {
        name: "exclude",
        arity: Arity::Repeated,
        since: "1.19",
        doc: "A pattern of what is not added.",
        set: Set::To(|it, value| {
            it.excludes.push(value);
            Ok(())
        }),
    },
    Flag {
        name: "keep-git-dir",
        arity: Arity::Switch,
        since: "1.1",
        doc: "Keep .git of a Git repository.",
        set: Set::Unsupported {
            instead: "clone the repository in front of the build and COPY it",
        },
    },
];

impl Add {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Add> {
        let mut add = Add { files: Files::parse(written, problems)?, ..Add::default() };
        flag::apply(FLAGS, &mut add, &written.flags, "ADD", problems);
        Ok(add)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Add { files, chown, chmod, link, checksum, unpack, excludes } = self;
        let lowered = files.lower(scope)?;
        let (chown, chmod) = (optional(scope, chown.as_ref())?, mode(scope, chmod.as_ref())?);
        let created_by = history("ADD", false, chown.as_deref(), chmod.as_deref(), &lowered.words);
        let checksum = match checksum {
            Some(word) => checked_digest(scope, word)?.map(|it| (it, word.span)),
            None => None,
        };
        let sources = self.sources(&lowered, checksum)?;
        let op = CopyOp {
            from: Source::Context,
            sources,
            dest: lowered.dest,
            chown,
            chmod,
            link: *link,
            parents: false,
            excludes: excludes.iter().map(|it| scope.expand(it)).collect::<Outcome<_>>()?,
            unpack: match unpack {
                None => Unpack::Local,
                Some(true) => Unpack::All,
                Some(false) => Unpack::Never,
            },
        };
        Ok(Some(Made { op: Op::Copy(Box::new(op)), created_by }))
    }

    /// Paths of the context, URLs and heredocs.
    fn sources(
        &self,
        lowered: &Lowered,
        checksum: Option<(Digest, Span)>,
    ) -> Outcome<Vec<CopySource>> {
        if let Some((_, span)) = checksum
            && !matches!(lowered.paths.as_slice(), [one] if is_remote(one))
        {
            let message = "--checksum needs one source that is a URL";
            return Err(error("invalid-flag", span, message));
        }
        let mut sources = lowered.copy_sources(false);
        for ((path, word), source) in lowered.paths.iter().zip(&self.files.sources).zip(&mut sources)
        {
            if is_git(path) {
                let message = "ADD of a Git repository is not supported yet";
                let hint = "clone it in front of the build and COPY it";
                return Err(error_hint("unsupported", word.span, message, hint));
            }
            if is_remote(path) {
                let checksum = checksum.map(|it| it.0);
                *source = CopySource::Http(HttpSource { url: path.clone(), checksum });
            }
        }
        Ok(sources)
    }
}

fn checked_digest(scope: &Scope<'_>, word: &Word) -> Outcome<Option<Digest>> {
    let Some(text) = optional(scope, Some(word))? else { return Ok(None) };
    match text.parse::<Digest>() {
        Ok(digest) => Ok(Some(digest)),
        Err(why) => Err(error("invalid-flag", word.span, format!("--checksum: {why}"))),
    }
}

/// Whether a source is not of the context: http, https or Git.
pub(super) fn is_remote(path: &str) -> bool {
    path.starts_with("http://") || path.starts_with("https://") || is_git(path)
}

fn is_git(path: &str) -> bool {
    let scheme = ["git://", "ssh://", "git@"].iter().any(|it| path.starts_with(it));
    let http = path.starts_with("http://") || path.starts_with("https://");
    let address = path.split(['#', '?']).next().unwrap_or(path);
    scheme || http && address.ends_with(".git")
}
