//! The identity of a step: a record that a person can read, and its hash.

use crate::op::{
    CacheSharing, CopyOp, CopySource, DeviceRequest, GitSource, HeredocFile, HttpSource, MountKind,
    Network, Op, RunMount, RunOp, Security, Source, Unpack, WorkdirOp,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use strake_oci::{DiffId, Digest, Platform};

/// Version of the key rules. Counted up when the meaning of a key, or of what a step makes, changes.
const VERSION: &str = "1";

/// The hash of a [`KeyRecord`]: equal keys, equal results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepKey(pub Digest);

/// The identity of one layer's content: names, modes, owners, links, xattrs, contents and mtimes,
/// save that a time within the step's own run window counts as "now".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentId(pub Digest);

/// The identity of a whole root: of the layers below a step, by content and in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RootId(pub Digest);

impl RootId {
    /// The empty root.
    pub fn scratch() -> RootId {
        RootId(Digest::of(b"strake root"))
    }

    /// The root with one layer more.
    #[must_use]
    pub fn with(self, layer: ContentId) -> RootId {
        let mut bytes = self.0.as_bytes().to_vec();
        bytes.extend_from_slice(layer.0.as_bytes());
        RootId(Digest::of(&bytes))
    }
}

impl ContentId {
    /// The identity of a layer that was not made here: its bytes are all that is known.
    pub fn of_base(diff_id: DiffId) -> ContentId {
        ContentId(diff_id.0)
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

/// Everything that a step's result depends on, by name, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Name and value, e.g. `run.argv`, `run.env.PATH`, `copy.source.src/app.ts`.
    pub fields: Vec<(String, String)>,
}

impl KeyRecord {
    fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.fields.push((name.into(), value.into()));
    }

    /// The hash. Each name and value is prefixed with its length.
    pub fn key(&self) -> StepKey {
        let mut bytes = Vec::new();
        for part in self.fields.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        StepKey(Digest::of(&bytes))
    }
}

/// The key of `op` on top of `below`.
///
/// `sources` are the contents that the op reads besides the root: name and content digest, as the
/// engine has looked them up (a COPY's selection, the source of a bind mount, a file to fetch).
///
/// | input | in the key | why |
/// |---|---|---|
/// | content below | yes, save for `--link` | a RUN sees it; a COPY follows its links and names |
/// | argv, ENV, ARG, cwd, user | RUN only | nothing else sees them |
/// | LABEL, CMD, EXPOSE, ... | no | they change no file |
/// | proxies, secrets' values, cache mounts' contents | no | they must not change the result |
/// | sources' mtimes and paths on this machine | no | two checkouts must agree |
pub fn step_key(
    op: &Op,
    below: RootId,
    platform: &Platform,
    sources: &[(String, String)],
) -> KeyRecord {
    let mut record = KeyRecord::default();
    record.push("version", VERSION);
    match op {
        Op::Run(run) => {
            record.push("below", below.0.to_string());
            record.push("platform", platform.to_string());
            run_fields(run, &mut record);
        }
        Op::Copy(copy) => {
            if !copy.link {
                record.push("below", below.0.to_string());
            }
            copy_fields(copy, &mut record);
        }
        Op::Workdir(WorkdirOp { path, user }) => {
            record.push("below", below.0.to_string());
            record.push("workdir.path", path);
            record.push("workdir.user", user);
        }
        Op::Config => record.push("config", ""),
    }
    for (name, digest) in sources {
        record.push(format!("source.{name}"), digest);
    }
    record
}

fn run_fields(run: &RunOp, record: &mut KeyRecord) {
    let RunOp { argv, files, env, proxies: _, cwd, user, mounts, network, security, devices } = run;
    for word in argv {
        record.push("run.argv", word);
    }
    for file in files {
        heredoc_fields("run.file", file, record);
    }
    for (name, value) in env {
        record.push(format!("run.env.{name}"), value);
    }
    record.push("run.cwd", cwd);
    record.push("run.user", user);
    record.push(
        "run.network",
        match network {
            Network::Default => "default",
            Network::None => "none",
            Network::Host => "host",
        },
    );
    if let Security::Insecure = security {
        record.push("run.security", "insecure");
    }
    for DeviceRequest { name, required: _ } in devices {
        record.push("run.device", name);
    }
    for RunMount { target, kind } in mounts {
        record.push("run.mount", format!("{} {target}", mount_text(kind)));
    }
}

/// All of a mount but what must not change the result: a secret's value, a cache's content.
fn mount_text(kind: &MountKind) -> String {
    match kind {
        MountKind::Bind { from: _, source, readwrite } => format!("bind {source} rw={readwrite}"),
        MountKind::Cache { id, from, sharing, mode, uid, gid, readonly } => {
            let sharing = match sharing {
                CacheSharing::Shared => "shared",
                CacheSharing::Private => "private",
                CacheSharing::Locked => "locked",
            };
            let from = from.as_ref().map_or("", |(_, path)| path);
            format!("cache {id} {from} {sharing} {mode:o} {uid}:{gid} ro={readonly}")
        }
        MountKind::Tmpfs { size } => format!("tmpfs {}", size.unwrap_or(0)),
        MountKind::Secret { id, env, required: _, mode, uid, gid } => {
            format!("secret {id} {} {mode:o} {uid}:{gid}", env.as_deref().unwrap_or(""))
        }
        MountKind::Ssh { id, required: _, mode, uid, gid } => {
            format!("ssh {id} {mode:o} {uid}:{gid}")
        }
    }
}

fn heredoc_fields(name: &str, file: &HeredocFile, record: &mut KeyRecord) {
    let HeredocFile { name: file_name, content } = file;
    record.push(format!("{name}.{file_name}"), content);
}

fn copy_fields(copy: &CopyOp, record: &mut KeyRecord) {
    let CopyOp { from, sources, dest, chown, chmod, link, parents, excludes, unpack } = copy;
    // Contents are in `sources` of step_key; owners count only where they are kept.
    record.push("copy.kept-owners", matches!(from, Source::Stage(_)).to_string());
    for source in sources {
        match source {
            CopySource::Path(path) => record.push("copy.path", path),
            CopySource::Heredoc(file) => heredoc_fields("copy.file", file, record),
            CopySource::Http(source) => remote_fields(source, record),
            CopySource::Git(source) => git_fields(source, record),
        }
    }
    record.push("copy.dest", dest);
    record.push("copy.chown", chown.as_deref().unwrap_or(""));
    record.push("copy.chmod", chmod.as_deref().unwrap_or(""));
    record.push("copy.link", link.to_string());
    record.push("copy.parents", parents.to_string());
    for pattern in excludes {
        record.push("copy.exclude", pattern);
    }
    let unpack = match unpack {
        Unpack::Never => "false",
        Unpack::Local => "true",
        Unpack::All => "all",
    };
    record.push("copy.unpack", unpack);
}

/// What of a remote source decides the result besides its content, which is in `sources` of
/// [`step_key`]: the name that a fetched file gets.
fn remote_fields(source: &HttpSource, record: &mut KeyRecord) {
    let HttpSource { url, checksum: _ } = source;
    record.push("copy.url", url);
}

fn git_fields(source: &GitSource, record: &mut KeyRecord) {
    let GitSource {
        remote,
        reference,
        subdir,
        checksum: _,
        keep_git_dir,
        submodules,
        commit_mtime,
        fetch_by_commit: _,
    } = source;
    record.push("copy.git", remote);
    record.push("copy.git.reference", reference.as_deref().unwrap_or(""));
    record.push("copy.git.subdir", subdir.as_deref().unwrap_or(""));
    record.push("copy.git.keep-git-dir", keep_git_dir.to_string());
    record.push("copy.git.submodules", submodules.to_string());
    record.push("copy.git.commit-mtime", commit_mtime.to_string());
}

#[cfg(test)]
mod tests {
    use super::{KeyRecord, RootId, step_key};
    use crate::{Op, WorkdirOp};
    use strake_oci::Platform;

    #[test]
    fn parts_cannot_run_into_each_other() {
        let record = |fields: &[(&str, &str)]| KeyRecord {
            fields: fields.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        };
        assert_ne!(record(&[("a", "bc")]).key(), record(&[("ab", "c")]).key());
        assert_ne!(record(&[("a", "")]).key(), record(&[("", "a")]).key());
    }

    #[test]
    fn workdir_stands_on_what_is_below() {
        let op = |path: &str| Op::Workdir(WorkdirOp { path: path.to_owned(), user: String::new() });
        let key = |op: &Op, below| step_key(op, below, &Platform::host(), &[]).key();
        let (low, high) =
            (RootId::scratch(), RootId::scratch().with(super::ContentId(RootId::scratch().0)));
        assert_eq!(key(&op("/a"), low), key(&op("/a"), low));
        assert_ne!(key(&op("/a"), low), key(&op("/b"), low));
        assert_ne!(key(&op("/a"), low), key(&op("/a"), high));
    }
}
