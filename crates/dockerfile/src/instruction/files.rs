//! What COPY and ADD have in common: sources, heredocs, a destination, modes.

use super::{Words, Written};
use crate::lex::{Heredoc, Word, is_heredoc, strip_tabs};
use crate::lower::{Scope, clean, destination};
use crate::problem::{Outcome, error_hint};
use strake_diag::Diagnostic;
use strake_plan::{CopySource, HeredocFile};

/// Sources and destination as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Paths, wildcards and, for ADD, URLs.
    pub sources: Vec<Word>,
    /// Files that are written in the Dockerfile itself.
    pub heredocs: Vec<Heredoc>,
    /// Where to.
    pub dest: Word,
}

impl Files {
    pub(super) fn parse(written: &Written, problems: &mut Vec<Diagnostic>) -> Outcome<Files> {
        let Words(mut words) = Words::parse(written, problems)?;
        words = join_heredoc_words(words);
        let dest = match words.pop() {
            Some(dest) if !words.is_empty() => dest,
            Some(_) | None => return Err(written.missing("a source and a destination")),
        };
        if heredoc_of(&dest).is_some() {
            let message = "a heredoc cannot be the destination";
            let hint = "write the destination behind the heredocs: `COPY <<EOF /path`";
            return Err(error_hint("heredoc", dest.span, message, hint));
        }
        let mut files = Files { sources: Vec::new(), heredocs: Vec::new(), dest };
        for word in words {
            match heredoc_of(&word) {
                None => files.sources.push(word),
                Some(begun) => {
                    let body = written.heredocs.iter().find(|it| it.name == begun.name);
                    let content = body.map(|it| it.content.clone()).unwrap_or_default();
                    let content = if begun.strip_tabs { strip_tabs(&content) } else { content };
                    let span = body.map_or(word.span, |it| it.span);
                    files.heredocs.push(Heredoc { content, span, ..begun });
                }
            }
        }
        Ok(files)
    }

    /// The sources as history and progress have them: paths expanded, heredocs by name.
    pub(super) fn lower(&self, scope: &Scope<'_>) -> Outcome<Lowered> {
        let Files { sources, heredocs, dest } = self;
        let mut lowered = Lowered::default();
        for source in sources {
            let path = scope.expand(source)?;
            lowered.words.push(path.clone());
            lowered.paths.push(path);
        }
        for heredoc in heredocs {
            let Heredoc { name, expand, strip_tabs: _, content, span } = heredoc;
            lowered.words.push(format!("<<{name}"));
            let content = match expand {
                true => scope.expand_body(content, *span)?,
                false => content.clone(),
            };
            lowered.files.push(HeredocFile { name: name.clone(), content });
        }
        let dest = scope.expand(dest)?;
        lowered.dest = destination(&scope.cwd(), &dest);
        lowered.words.push(dest);
        Ok(lowered)
    }
}

/// Sources and destination as a plan has them.
#[derive(Default)]
pub(super) struct Lowered {
    pub(super) paths: Vec<String>,
    pub(super) files: Vec<HeredocFile>,
    pub(super) dest: String,
    /// For history: sources, heredocs, and the destination as written.
    pub(super) words: Vec<String>,
}

impl Lowered {
    /// Sources relative to their root; `..` stops there.
    pub(super) fn copy_sources(&self, parents: bool) -> Vec<CopySource> {
        let path = |it: &String| match it.split_once("/./") {
            Some((root, rest)) if parents => format!("{}/./{}", clean(root), clean(rest)),
            Some(_) | None => clean(it),
        };
        let paths = self.paths.iter().map(|it| CopySource::Path(path(it)));
        paths.chain(self.files.iter().cloned().map(CopySource::Heredoc)).collect()
    }
}

/// History as BuildKit writes it.
pub(super) fn history(
    keyword: &str,
    parents: bool,
    chown: Option<&str>,
    chmod: Option<&str>,
    words: &[String],
) -> String {
    let mut parts = vec![keyword.to_owned()];
    parts.extend(parents.then(|| "--parents".to_owned()));
    parts.extend(chown.map(|it| format!("--chown={it}")));
    parts.extend(chmod.map(|it| format!("--chmod={it}")));
    parts.extend(words.iter().cloned());
    format!("{} # buildkit", parts.join(" "))
}

/// `--chown` and the like: expanded, and absent where empty.
pub(super) fn optional(scope: &Scope<'_>, word: Option<&Word>) -> Outcome<Option<String>> {
    match word {
        None => Ok(None),
        Some(word) => Ok(Some(scope.expand(word)?).filter(|it| !it.is_empty())),
    }
}

/// `--chmod`: an octal number up to 07777, or symbols as chmod(1) has them.
pub(super) fn mode(scope: &Scope<'_>, word: Option<&Word>) -> Outcome<Option<String>> {
    let Some(word) = word else { return Ok(None) };
    let Some(mode) = optional(scope, Some(word))? else { return Ok(None) };
    let octal = mode.bytes().all(|it| it.is_ascii_digit());
    let sound = match octal {
        true => u32::from_str_radix(&mode, 8).is_ok_and(|it| it <= 0o7777),
        false => mode.split(',').all(is_symbolic),
    };
    if sound {
        return Ok(Some(mode));
    }
    let message = format!("`{mode}` is not a mode");
    let hint = "write an octal number from 0 to 07777, or symbols such as u=rwX,go=rX";
    Err(error_hint("invalid-mode", word.span, message, hint))
}

fn is_symbolic(clause: &str) -> bool {
    let mut rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix(['+', '-', '=']) else { return false };
        rest = match after.strip_prefix(['u', 'g', 'o']) {
            Some(copied) => copied,
            None => after.trim_start_matches(['r', 'w', 'x', 'X', 's', 't']),
        };
    }
    true
}

fn heredoc_of(word: &Word) -> Option<Heredoc> {
    is_heredoc(&word.text).ok().flatten()
}

/// `<< EOF` is one word.
fn join_heredoc_words(words: Vec<Word>) -> Vec<Word> {
    let mut joined: Vec<Word> = Vec::new();
    for word in words {
        match joined.last_mut() {
            Some(last) if last.text == "<<" || last.text == "<<-" => {
                last.text.push_str(&word.text);
                last.span = last.span.to(word.span);
            }
            Some(_) | None => joined.push(word),
        }
    }
    joined
}
