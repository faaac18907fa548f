//! `ADD [flags] source .. dest` ([reference](https://docs.docker.com/reference/dockerfile/#add)).

use super::files::{Files, Lowered, history, mode, optional};
use super::Written;
use crate::flag::{self, Arity, Flag};
use crate::git_url::{self, GitUrl};
use crate::lex::Word;
use crate::lower::{Made, Scope};
use crate::problem::{Outcome, error, error_hint};
use strake_diag::Diagnostic;
use strake_oci::Digest;
use strake_plan::{CopyOp, CopySource, GitSource, HttpSource, Op, Source, Unpack};

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
    /// `--keep-git-dir`, where written.
    pub keep_git_dir: Option<bool>,
}

pub(super) const FLAGS: &[Flag<Add>] = &[
    Flag {
        name: "chown",
        arity: Arity::Once,
        since: "1.0",
        doc: "Owner and group of what is added.",
        set: |it, value| {
            it.chown = Some(value);
            Ok(())
        },
    },
    Flag {
        name: "chmod",
        arity: Arity::Once,
        since: "1.2",
        doc: "Mode of what is added, octal or symbolic.",
        set: |it, value| {
            it.chmod = Some(value);
            Ok(())
        },
    },
    Flag {
        name: "link",
        arity: Arity::Switch,
        since: "1.4",
        doc: "Add into a layer that does not depend on what is below.",
        set: |it, value| {
            it.link = value.text == "true";
            Ok(())
        },
    },
    Flag {
        name: "checksum",
        arity: Arity::Once,
        since: "1.6",
        doc: "Digest that a fetched file must have, or commit that a repository must be at.",
        set: |it, value| {
            it.checksum = Some(value);
            Ok(())
        },
    },
    Flag {
        name: "unpack",
        arity: Arity::Switch,
        since: "1.17",
        doc: "Whether archives are unpacked; local ones are by default.",
        set: |it, value| {
            it.unpack = Some(value.text == "true");
            Ok(())
        },
    },
    Flag {
        name: "exclude",
        arity: Arity::Repeated,
        since: "1.19",
        doc: "A pattern of what is not added.",
        set: |it, value| {
            it.excludes.push(value);
            Ok(())
        },
    },
    Flag {
        name: "keep-git-dir",
        arity: Arity::Switch,
        since: "1.1",
        doc: "Keep .git of a Git repository.",
        set: |it, value| {
            it.keep_git_dir = Some(value.text == "true");
            Ok(())
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
        let Add { files, chown, chmod, link, checksum, unpack, excludes, keep_git_dir } = self;
        let lowered = files.lower(scope)?;
        let (chown, chmod) = (optional(scope, chown.as_ref())?, mode(scope, chmod.as_ref())?);
        let created_by = history("ADD", false, chown.as_deref(), chmod.as_deref(), &lowered.words);
        let checksum = match (checksum, optional(scope, checksum.as_ref())?) {
            (Some(word), Some(text)) => Some(Word { text, span: word.span }),
            (_, None) | (None, _) => None,
        };
        let sources = self.sources(&lowered, checksum.as_ref(), *keep_git_dir)?;
        let op = CopyOp {
            from: Source::Context,
            sources,
            dest: lowered.dest,
            chown,
            // BuildKit makes no layer of its own where modes change.
            link: *link && chmod.is_none(),
            chmod,
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

    /// Paths of the context, URLs, repositories and heredocs.
    fn sources(
        &self,
        lowered: &Lowered,
        checksum: Option<&Word>,
        keep_git_dir: Option<bool>,
    ) -> Outcome<Vec<CopySource>> {
        if let Some(word) = checksum
            && !(lowered.files.is_empty()
                && matches!(lowered.paths.as_slice(), [one] if is_remote(one)))
        {
            let message = "--checksum needs one source that is a URL or a Git repository";
            return Err(error("invalid-flag", word.span, message));
        }
        let mut sources = lowered.copy_sources(false);
        for ((path, word), source) in lowered.paths.iter().zip(&self.files.sources).zip(&mut sources)
        {
            if git_url::is_git_url(path) {
                let written = Word { text: path.clone(), span: word.span };
                *source = CopySource::Git(repository(&written, checksum, keep_git_dir)?);
            } else if is_remote(path) {
                let checksum = checksum.map(digest).transpose()?;
                *source = CopySource::Http(HttpSource { url: path.clone(), checksum });
            }
        }
        Ok(sources)
    }
}

/// A repository with what the flags say of it.
fn repository(
    written: &Word,
    checksum: Option<&Word>,
    keep_git_dir: Option<bool>,
) -> Outcome<GitSource> {
    let invalid = |why: String| error("invalid-git-url", written.span, why);
    let Some(read) = git_url::read(&written.text) else {
        return Err(invalid(format!("`{}` is not the address of a repository", written.text)));
    };
    let mut url: GitUrl = read.map_err(|why| invalid(why.to_string()))?;
    match (keep_git_dir, url.keep_git_dir) {
        (Some(flag), Some(query)) if flag != query => {
            let why = format!("--keep-git-dir is {flag} and the query keep-git-dir is {query}");
            return Err(invalid(why));
        }
        (flag, query) => url.keep_git_dir = flag.or(query),
    }
    if let Some(word) = checksum {
        let Some(commit) = git_url::commit(&word.text) else {
            let message = format!("--checksum: `{}` is not a commit", word.text);
            let hint = "for a Git repository it is a commit in hexadecimal digits, or its beginning";
            return Err(error_hint("invalid-flag", word.span, message, hint));
        };
        match &url.checksum {
            Some(query) if *query != commit => {
                let why = format!("--checksum is {commit} and the query checksum is {query}");
                return Err(invalid(why));
            }
            Some(_) | None => url.checksum = Some(commit),
        }
    }
    Ok(url.source())
}

fn digest(word: &Word) -> Outcome<Digest> {
    let parsed = word.text.parse::<Digest>();
    parsed.map_err(|why| error("invalid-flag", word.span, format!("--checksum: {why}")))
}

/// Whether a source is not of the context: http, https or Git.
pub(super) fn is_remote(path: &str) -> bool {
    path.starts_with("http://") || path.starts_with("https://") || git_url::is_git_url(path)
}
