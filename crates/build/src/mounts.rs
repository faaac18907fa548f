//! `RUN --mount`: from the plan's words to what the sandbox mounts.

use crate::{StepError, engine::Engine, materialise::form, op::copy::Prepared};
use std::path::{Path, PathBuf};
use strake_cache::CacheMount;
use strake_layer::{Compression, PackOptions, Tree};
use strake_plan::{CopyOp, CopySource, MountKind, RunMount, RunOp, Source, Unpack};
use strake_sandbox::{Mount, MountSource};

/// The mounts of one RUN, and what must live as long as it runs.
pub(crate) struct Mounted {
    pub(crate) mounts: Vec<Mount>,
    /// Secrets that are variables.
    pub(crate) env: Vec<(String, Vec<u8>)>,
    /// Locks of cache mounts.
    _caches: Vec<CacheMount>,
}

/// The name under which a bind mount's files stand in their own little layer.
const BOUND: &str = "bound";

/// Contents of `/etc/passwd` and `/etc/group` in a root.
pub(crate) fn user_files(tree: &Tree) -> (&[u8], &[u8]) {
    let file = |path: &[u8]| tree.file(path).unwrap_or_default();
    (file(b"etc/passwd"), file(b"etc/group"))
}

/// What the bind and cache mounts of `op` read, as copies.
pub(crate) fn bind_copies(op: &RunOp) -> Vec<CopyOp> {
    op.mounts
        .iter()
        .filter_map(|it| match &it.kind {
            MountKind::Bind { from, source, readwrite: _ } => Some(as_copy(from, source)),
            MountKind::Cache { from: Some((from, source)), .. } => Some(as_copy(from, source)),
            _ => None,
        })
        .collect()
}

fn as_copy(from: &Source, source: &str) -> CopyOp {
    CopyOp {
        from: from.clone(),
        sources: vec![CopySource::Path(source.to_owned())],
        dest: format!("/{BOUND}"),
        chown: None,
        chmod: None,
        link: true,
        parents: false,
        excludes: Vec::new(),
        unpack: Unpack::Never,
    }
}

pub(crate) fn prepare(engine: &Engine<'_>, op: &RunOp, dir: &Path) -> Result<Mounted, StepError> {
    let mut mounted = Mounted { mounts: Vec::new(), env: Vec::new(), _caches: Vec::new() };
    for (number, mount) in op.mounts.iter().enumerate() {
        one(engine, mount, &dir.join(format!("mount{number}")), &mut mounted)?;
    }
    if !op.files.is_empty() {
        for file in &op.files {
            mounted.mounts.push(Mount {
                target: PathBuf::from(format!("/dev/pipes/{}", file.name)),
                source: MountSource::SecretFile {
                    content: file.content.clone().into_bytes(),
                    mode: 0o755,
                    uid: 0,
                    gid: 0,
                },
            });
        }
    }
    Ok(mounted)
}

fn one(
    engine: &Engine<'_>,
    mount: &RunMount,
    dir: &Path,
    mounted: &mut Mounted,
) -> Result<(), StepError> {
    let RunMount { target, kind } = mount;
    let source = match kind {
        MountKind::Bind { from, source, readwrite } => {
            let path = bound(engine, from, source, dir)?;
            if *readwrite {
                MountSource::BindOverlay { lower: path }
            } else {
                MountSource::Bind { path, readonly: true }
            }
        }
        MountKind::Cache { .. } => cache(engine, kind, dir, mounted)?,
        MountKind::Tmpfs { size } => MountSource::Tmpfs { size: *size, mode: 0o1777 },
        MountKind::Secret { id, env, required, mode, uid, gid } => {
            let Some(content) = engine.bench.secrets.get(id) else {
                if *required {
                    return Err(StepError::SecretMissing { id: id.clone() });
                }
                return Ok(());
            };
            mounted.env.extend(env.iter().map(|it| (it.clone(), content.clone())));
            if target.is_empty() {
                return Ok(());
            }
            MountSource::SecretFile { content: content.clone(), mode: *mode, uid: *uid, gid: *gid }
        }
        MountKind::Ssh { id, .. } => {
            return Err(StepError::Unsupported {
                what: format!("RUN --mount=type=ssh (id {id})"),
                instead: "give a deploy key with --mount=type=secret, or fetch before the build",
            });
        }
    };
    mounted.mounts.push(Mount { target: PathBuf::from(target), source });
    Ok(())
}

/// Opens a cache mount; a new one starts from its source, or empty with the owner asked for.
fn cache(
    engine: &Engine<'_>,
    kind: &MountKind,
    dir: &Path,
    mounted: &mut Mounted,
) -> Result<MountSource, StepError> {
    let MountKind::Cache { id, from, sharing, mode, uid, gid, readonly } = kind else {
        unreachable!("called for cache mounts");
    };
    let mount = engine.bench.store.cache_mount(id, *sharing)?;
    let path = mount.path.clone();
    if mount.is_new {
        if let Some((from, source)) = from {
            let seed = bound(engine, from, source, dir)?;
            strake_rootfs::copy_tree(&seed, &path)?;
        } else {
            own(&path, *mode, *uid, *gid, engine)?;
        }
    }
    mounted._caches.push(mount);
    Ok(MountSource::Bind { path, readonly: *readonly })
}

fn own(path: &Path, mode: u32, uid: u32, gid: u32, engine: &Engine<'_>) -> Result<(), StepError> {
    use std::os::unix::fs::PermissionsExt;
    if (uid, gid) != (0, 0) {
        strake_rootfs::set_owner(path, uid, gid, &engine.bench.privilege)?;
    }
    Ok(fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
}

/// A folder or file that holds what `source` names in `from`: a layer of its own, kept in the store.
fn bound(
    engine: &Engine<'_>,
    from: &Source,
    source: &str,
    dir: &Path,
) -> Result<PathBuf, StepError> {
    let copy = as_copy(from, source);
    let now = (engine.bench.clock)();
    let made = Prepared::new(engine, &copy)?.onto(engine, &Tree::stack(&[]), &[], now)?;
    fs_err::create_dir_all(dir)?;
    let options = PackOptions { compression: Compression::None, threads: engine.bench.threads };
    let packed = strake_layer::pack(&made.changes, &options, dir)?;
    let store = &engine.bench.store;
    let (form, name) = form(&engine.bench.privilege);
    if let Some(found) = store.snapshot(name, &packed.diff_id) {
        return Ok(found.join(BOUND));
    }
    let root = dir.join("bound-root");
    fs_err::create_dir(&root)?;
    let blob = fs_err::File::open(&packed.file)?;
    strake_layer::unpack(blob, None, Some(packed.diff_id), &root, form)?;
    fs_err::remove_file(&packed.file)?;
    Ok(store.insert_snapshot(name, &packed.diff_id, &root)?.join(BOUND))
}
