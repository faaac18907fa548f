//! `COPY [flags] source .. dest` ([reference](https://docs.docker.com/reference/dockerfile/#copy)).

use super::files::{Files, history, mode, optional};
use super::Written;
use crate::flag::{self, Arity, Flag};
use crate::lex::Word;
use crate::lower::{Made, Scope};
use crate::problem::{Outcome, error_hint};
use strake_diag::Diagnostic;
use strake_plan::{Unpack, CopyOp, Op, Source};

/// COPY.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// What and where to.
    pub files: Files,
    /// `--from`.
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub excludes: Vec<Word>,
}

pub(super) const FLAGS: &[Flag<Copy>] = &[
    Flag {
        name: "from",
        arity: Arity::Once,
        since: "1.0",
        doc: "A stage by name or number, a named context or an image to copy from.",
        set: |it, value| {
            it.from = Some(value).filter(|it| !it.text.is_empty());
            Ok(())
        },
    },
    Flag {
        name: "chown",
        arity: Arity::Once,
        since: "1.0",
        doc: "Owner and group of what is copied.",
        set: |it, value| {
            it.chown = Some(value);
            Ok(())
        },
    },
    Flag {
        name: "chmod",
        arity: Arity::Once,
        since: "1.2",
        doc: "Mode of what is copied, octal or symbolic.",
        set: |it, value| {
            it.chmod = Some(value);
            Ok(())
        },
    },
    Flag {
        name: "link",
        arity: Arity::Switch,
        since: "1.4",
        doc: "Copy into a layer that does not depend on what is below.",
        set: |it, value| {
            it.link = value.text == "true";
            Ok(())
        },
    },
    Flag {
        name: "parents",
        arity: Arity::Switch,
        since: "1.20",
        doc: "Keep the directories in front of each source.",
        set: |it, value| {
            it.parents = value.text == "true";
            Ok(())
        },
    },
    Flag {
        name: "exclude",
        arity: Arity::Repeated,
        since: "1.19",
        doc: "A pattern of what is not copied.",
        set: |it, value| {
            it.excludes.push(value);
            Ok(())
        },
    },
];

impl Copy {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Copy> {
        let mut copy = Copy { files: Files::parse(written, problems)?, ..Copy::default() };
        flag::apply(FLAGS, &mut copy, &written.flags, "COPY", problems);
        Ok(copy)
    }

    pub(super) fn lower(&self, scope: &mut Scope<'_>) -> Outcome<Option<Made>> {
        let Copy { files, from, chown, chmod, link, parents, excludes } = self;
        let lowered = files.lower(scope)?;
        for (path, word) in lowered.paths.iter().zip(&files.sources) {
            if super::add::is_remote(path) {
                let message = format!("COPY cannot fetch `{path}`");
                return Err(error_hint("remote-source", word.span, message, "use ADD"));
            }
        }
        let (chown, chmod) = (optional(scope, chown.as_ref())?, mode(scope, chmod.as_ref())?);
        let created_by =
            history("COPY", *parents, chown.as_deref(), chmod.as_deref(), &lowered.words);
        let op = CopyOp {
            from: match from {
                Some(name) => scope.copy_source(name)?,
                None => Source::Context,
            },
            sources: lowered.copy_sources(*parents),
            dest: lowered.dest,
            chown,
            // BuildKit makes no layer of its own where modes change.
            link: *link && chmod.is_none(),
            chmod,
            parents: *parents,
            excludes: excludes.iter().map(|it| scope.expand(it)).collect::<Outcome<_>>()?,
            unpack: Unpack::Never,
        };
        Ok(Some(Made { op: Op::Copy(Box::new(op)), created_by }))
    }
}
