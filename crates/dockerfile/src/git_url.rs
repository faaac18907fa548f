//! Addresses of Git repositories: sources of ADD, and contexts
//! ([forms](https://docs.docker.com/build/concepts/context/#git-repositories)).
//!
//! `https://host/x.git`, `git://host/x`, `ssh://host/x`, `user@host:x` and `github.com/x`, each with
//! `#reference:folder`, with queries such as `?tag=v1&subdir=a`, or with both.

use crate::lower::clean;
use strake_plan::GitSource;

/// Why an address of a Git repository cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitUrlError {
    /// There is no such query.
    #[error(
        "a Git address has no query `{0}`: write ref, tag, branch, subdir, checksum, keep-git-dir, \
         submodules, mtime or fetch-by-commit"
    )]
    UnknownQuery(String),
    /// Only switches may stand without a value.
    #[error("the query `{0}` has no value")]
    NoValue(String),
    /// One query, two values.
    #[error("the query `{0}` is written twice")]
    Twice(String),
    /// The value means nothing.
    #[error("the query `{name}` is {allowed}, not `{value}`")]
    BadValue {
        /// Name of the query.
        name: String,
        /// What is written.
        value: String,
        /// What could be.
        allowed: &'static str,
    },
    /// Two places name different things.
    #[error("the {what} is `{first}` and `{second}` at once")]
    Conflict {
        /// reference, folder or commit.
        what: &'static str,
        /// Named first.
        first: String,
        /// Named elsewhere.
        second: String,
    },
    /// `fetch-by-commit` fetches nothing but a whole commit.
    #[error("fetch-by-commit needs the whole commit: write checksum=COMMIT with 40 or 64 digits")]
    NoCommit,
}

/// The repository that an address names; nothing where it is not the address of one.
///
/// `github.com/x` counts, as it does for a context. ADD takes it for a path.
pub fn parse_git_url(text: &str) -> Option<Result<GitSource, GitUrlError>> {
    read(text).map(|it| it.map(GitUrl::source))
}

/// An address as written, with what it leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GitUrl {
    pub(crate) remote: String,
    pub(crate) reference: Option<String>,
    pub(crate) subdir: Option<String>,
    pub(crate) checksum: Option<String>,
    pub(crate) keep_git_dir: Option<bool>,
    pub(crate) submodules: Option<bool>,
    pub(crate) commit_mtime: bool,
    pub(crate) fetch_by_commit: bool,
}

impl GitUrl {
    /// With Docker's defaults: no `.git`, all submodules.
    pub(crate) fn source(self) -> GitSource {
        let GitUrl {
            remote,
            reference,
            subdir,
            checksum,
            keep_git_dir,
            submodules,
            commit_mtime,
            fetch_by_commit,
        } = self;
        GitSource {
            remote,
            reference,
            subdir: subdir.map(|it| clean(&it)).filter(|it| it != "."),
            checksum,
            keep_git_dir: keep_git_dir.unwrap_or(false),
            submodules: submodules.unwrap_or(true),
            commit_mtime,
            fetch_by_commit,
        }
    }
}

/// Whether a text is the address of a repository for ADD and COPY, where `github.com/x` is a path.
pub(crate) fn is_git_url(text: &str) -> bool {
    !text.starts_with("github.com/") && split(text).is_some()
}

/// Reads an address; nothing where it is not the address of a repository.
pub(crate) fn read(text: &str) -> Option<Result<GitUrl, GitUrlError>> {
    let parts = split(text)?;
    Some(parts.read())
}

/// An address in its three parts, the last two decoded where it is a URL.
struct Parts {
    remote: String,
    queries: Vec<(String, String)>,
    fragment: String,
}

fn split(text: &str) -> Option<Parts> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (address, queries) = rest.split_once('?').unwrap_or((rest, ""));
    let remote = match address.split_once("://") {
        Some((scheme, rest)) => {
            let path = rest.find('/').map_or("", |at| &rest[at..]);
            match scheme.to_ascii_lowercase().as_str() {
                "git" | "ssh" => address.to_owned(),
                "http" | "https" if path.ends_with(".git") => address.to_owned(),
                _ => return None,
            }
        }
        None if address.starts_with("github.com/") => format!("https://{address}"),
        None if is_scp_style(address) => address.to_owned(),
        None => return None,
    };
    let queries = queries.split('&').filter(|it| !it.is_empty());
    let queries = queries.map(|it| it.split_once('=').unwrap_or((it, "")));
    Some(Parts {
        remote,
        queries: queries.map(|(name, value)| (decode(name, true), decode(value, true))).collect(),
        fragment: decode(fragment, false),
    })
}

/// `user@host:path`. Without a user it could be a file name with a colon.
fn is_scp_style(address: &str) -> bool {
    let Some((user, rest)) = address.split_once('@') else { return false };
    let Some((host, _)) = rest.split_once(':') else { return false };
    let word = |it: &str, extra: &[char]| {
        !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || extra.contains(&it))
    };
    word(user, &['-', '_']) && word(host, &['-', '.'])
}

impl Parts {
    fn read(self) -> Result<GitUrl, GitUrlError> {
        let Parts { remote, queries, fragment } = self;
        let (reference, subdir) = fragment.split_once(':').unwrap_or((&fragment, ""));
        let full = |it: &str| (!it.is_empty()).then(|| it.to_owned());
        let mut url = GitUrl {
            remote,
            reference: full(reference),
            subdir: full(subdir),
            ..GitUrl::default()
        };
        let (mut tag, mut branch) = (None, None);
        for (index, (name, value)) in queries.iter().enumerate() {
            if queries[..index].iter().any(|(it, _)| it == name) {
                return Err(GitUrlError::Twice(name.clone()));
            }
            url.query(name, value, &mut tag, &mut branch)?;
        }
        for (prefix, short) in [("refs/tags/", tag), ("refs/heads/", branch)] {
            if let Some(short) = short {
                let name = match short.starts_with(prefix) {
                    true => short,
                    false => format!("{prefix}{short}"),
                };
                settle("reference", &mut url.reference, name)?;
            }
        }
        if url.fetch_by_commit && !url.checksum.as_deref().is_some_and(is_whole_commit) {
            return Err(GitUrlError::NoCommit);
        }
        if url.reference.is_none() {
            url.reference.clone_from(&url.checksum);
        }
        Ok(url)
    }
}

impl GitUrl {
    fn query(
        &mut self,
        name: &str,
        value: &str,
        tag: &mut Option<String>,
        branch: &mut Option<String>,
    ) -> Result<(), GitUrlError> {
        match name {
            "keep-git-dir" => self.keep_git_dir = Some(switch(name, value)?),
            "submodules" => self.submodules = Some(switch(name, value)?),
            "fetch-by-commit" => self.fetch_by_commit = switch(name, value)?,
            "ref" | "tag" | "branch" | "subdir" | "checksum" | "commit" | "mtime"
                if value.is_empty() =>
            {
                return Err(GitUrlError::NoValue(name.to_owned()));
            }
            "ref" => settle("reference", &mut self.reference, value.to_owned())?,
            "tag" => *tag = Some(value.to_owned()),
            "branch" => *branch = Some(value.to_owned()),
            "subdir" => settle("folder", &mut self.subdir, value.to_owned())?,
            "checksum" | "commit" => {
                let commit = commit(value).ok_or_else(|| GitUrlError::BadValue {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    allowed: "a commit in hexadecimal digits, or its beginning",
                })?;
                settle("commit", &mut self.checksum, commit)?;
            }
            "mtime" => {
                self.commit_mtime = match value {
                    "commit" => true,
                    "checkout" => false,
                    _ => {
                        let (name, value) = (name.to_owned(), value.to_owned());
                        let allowed = "checkout or commit";
                        return Err(GitUrlError::BadValue { name, value, allowed });
                    }
                }
            }
            other => return Err(GitUrlError::UnknownQuery(other.to_owned())),
        }
        Ok(())
    }
}

/// Puts a value where none is, or the same one.
fn settle(
    what: &'static str,
    place: &mut Option<String>,
    second: String,
) -> Result<(), GitUrlError> {
    match place {
        Some(first) if *first != second => {
            Err(GitUrlError::Conflict { what, first: first.clone(), second })
        }
        Some(_) => Ok(()),
        None => {
            *place = Some(second);
            Ok(())
        }
    }
}

fn switch(name: &str, value: &str) -> Result<bool, GitUrlError> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(GitUrlError::BadValue {
            name: name.to_owned(),
            value: value.to_owned(),
            allowed: "true or false",
        }),
    }
}

/// A commit or the beginning of one, in lower case.
pub(crate) fn commit(text: &str) -> Option<String> {
    let sound = (1..=64).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_hexdigit());
    sound.then(|| text.to_ascii_lowercase())
}

fn is_whole_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
}

/// Resolves `%41`; `plus` stands for a space in queries. What is not UTF-8 stays as written.
fn decode(text: &str, query: bool) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let digits = digits.filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()));
        match (first, digits.and_then(|it| u8::from_str_radix(it, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) if query => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
