//! Cache mounts of a RUN: which folder each one is, opened before the RUN starts.
//!
//! As in BuildKit a cache is known by its id and by what it began as: mounts of one id with other
//! owners, modes or sources are other caches.

use crate::{StepError, engine::Engine, mounts, op::copy::Prepared};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use strake_cache::CacheMount;
use strake_oci::Digest;
use strake_plan::{CacheSharing, MountKind, RunOp, Source};

/// The caches of one RUN by their names in the store, held until this is dropped.
pub(crate) struct Caches(BTreeMap<String, CacheMount>);

impl Caches {
    /// The folder of a cache mount.
    pub(crate) fn path(&self, engine: &Engine<'_>, kind: &MountKind) -> Result<PathBuf, StepError> {
        let name = name(engine, kind)?;
        Ok(self.0.get(&name).expect("all were opened").path.clone())
    }
}

/// Opens all caches of a RUN, by name: two RUNs that want the same two never wait for each other.
/// What two mounts of one RUN name is opened once.
pub(crate) fn open(engine: &Engine<'_>, op: &RunOp, dir: &Path) -> Result<Caches, StepError> {
    let mut wanted: BTreeMap<String, (CacheSharing, &MountKind)> = BTreeMap::new();
    for mount in &op.mounts {
        if let MountKind::Cache { sharing, .. } = &mount.kind {
            let entry = wanted.entry(name(engine, &mount.kind)?);
            let known = entry.or_insert((*sharing, &mount.kind));
            if strictness(*sharing) > strictness(known.0) {
                known.0 = *sharing;
            }
        }
    }
    let mut open = BTreeMap::new();
    for (number, (name, (sharing, kind))) in wanted.into_iter().enumerate() {
        let dir = dir.join(format!("cache{number}"));
        let mount = open_one(engine, &name, sharing, kind, &dir)?;
        open.insert(name, mount);
    }
    Ok(Caches(open))
}

fn strictness(sharing: CacheSharing) -> u8 {
    match sharing {
        CacheSharing::Shared => 0,
        CacheSharing::Private => 1,
        CacheSharing::Locked => 2,
    }
}

/// A new cache starts from its source, or empty with the owner asked for.
fn open_one(
    engine: &Engine<'_>,
    name: &str,
    sharing: CacheSharing,
    kind: &MountKind,
    dir: &Path,
) -> Result<CacheMount, StepError> {
    let store = &engine.bench.store;
    // Nobody sees a cache that is half filled.
    let _filled = store.lock(&format!("fill cache {name}"))?;
    let mount = store.cache_mount(name, sharing)?;
    if mount.is_new
        && let Err(error) = fill(engine, kind, &mount.path, dir)
    {
        // So that the next one fills it.
        fs_err::remove_dir_all(&mount.path)?;
        return Err(error);
    }
    Ok(mount)
}

fn fill(engine: &Engine<'_>, kind: &MountKind, path: &Path, dir: &Path) -> Result<(), StepError> {
    if let Some((from, source)) = seed(kind) {
        let source = mounts::bound(engine, from, source, dir)?;
        return Ok(strake_rootfs::copy_tree(&source, path)?);
    }
    let (mode, uid, gid) = access(kind);
    if (uid, gid) != (0, 0) {
        strake_rootfs::set_owner(path, uid, gid, &engine.bench.privilege)?;
    }
    Ok(strake_rootfs::set_mode(path, mode, &engine.bench.privilege)?)
}

/// What a cache starts from. As in BuildKit, the whole of `from` counts only where no owner or mode
/// is asked for, and these count only where no `source` is.
pub(crate) fn seed(kind: &MountKind) -> Option<(&Source, &str)> {
    let MountKind::Cache { from: Some((from, source)), .. } = kind else { return None };
    (source != "." || access(kind) == STANDARD).then_some((from, source))
}

const STANDARD: (u32, u32, u32) = (0o755, 0, 0);

fn access(kind: &MountKind) -> (u32, u32, u32) {
    let MountKind::Cache { mode, uid, gid, .. } = kind else { return STANDARD };
    (*mode, *uid, *gid)
}

/// The name in the store: the id, and what a cache of that id may begin as besides empty.
fn name(engine: &Engine<'_>, kind: &MountKind) -> Result<String, StepError> {
    let MountKind::Cache { id, from: _, sharing: _, mode, uid, gid, readonly: _ } = kind else {
        unreachable!("called for cache mounts");
    };
    let namespace = &engine.bench.run.cache_namespace;
    let mut name = if namespace.is_empty() { id.clone() } else { format!("{namespace}/{id}") };
    if let Some((from, source)) = seed(kind) {
        let records = Prepared::new(engine, &mounts::as_copy(from, source))?.records();
        let text: String =
            records.iter().map(|(name, digest)| format!("{name}\0{digest}\0")).collect();
        name.push_str(&format!(" from {}", Digest::of(text.as_bytes()).short()));
    } else if access(kind) != STANDARD {
        name.push_str(&format!(" {mode:04o} {uid}:{gid}"));
    }
    Ok(name)
}
