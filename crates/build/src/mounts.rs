//! `RUN --mount`: from the plan's words to what the sandbox mounts.

use crate::{
    StepError,
    caches::{self, Caches},
    engine::Engine,
    materialise::{self, form},
    op::copy::Prepared,
    ssh::{Access, Forward},
};
use std::path::{Path, PathBuf};
use strake_layer::{Compression, Kind, PackOptions, Tree};
use strake_plan::{
    CopyOp, CopySource, HeredocFile, MountKind, RunMount, RunOp, Source, StageId, Unpack,
};
use strake_sandbox::{BindLimits, Mount, MountSource};

/// The mounts of one RUN, and what must live as long as it runs.
pub(crate) struct Mounted {
    pub(crate) mounts: Vec<Mount>,
    /// Secrets that are variables.
    pub(crate) env: Vec<(String, Vec<u8>)>,
    /// Locks of cache mounts.
    _caches: Caches,
    /// What answers for agents.
    _agents: Vec<Forward>,
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
            MountKind::Cache { .. } => {
                caches::seed(&it.kind).map(|(from, source)| as_copy(from, source))
            }
            _ => None,
        })
        .collect()
}

pub(crate) fn as_copy(from: &Source, source: &str) -> CopyOp {
    CopyOp {
        from: from.clone(),
        sources: vec![CopySource::Path(literal(source))],
        dest: format!("/{BOUND}"),
        chown: None,
        chmod: None,
        link: true,
        parents: false,
        excludes: Vec::new(),
        unpack: Unpack::Never,
    }
}

/// The source of a mount has no wildcards: what would be one stands in brackets.
fn literal(source: &str) -> String {
    let mut pattern = String::new();
    for it in source.chars() {
        match it {
            '*' | '?' | '[' => pattern.extend(['[', it, ']']),
            other => pattern.push(other),
        }
    }
    pattern
}

/// Prepares all mounts, in the order in which they are mounted: by target, so that one can lie in
/// another however they are written; then secrets and agents, as they are written.
pub(crate) fn prepare(engine: &Engine<'_>, op: &RunOp, dir: &Path) -> Result<Mounted, StepError> {
    let mut mounts: Vec<(usize, &RunMount)> = op.mounts.iter().enumerate().collect();
    mounts.sort_by_key(|(_, it)| match &it.kind {
        MountKind::Bind { .. } | MountKind::Cache { .. } | MountKind::Tmpfs { .. } => {
            (0, it.target.as_str())
        }
        MountKind::Secret { .. } => (1, ""),
        MountKind::Ssh { .. } => (2, ""),
    });
    let mut mounted = Mounted {
        mounts: Vec::new(),
        env: Vec::new(),
        _caches: caches::open(engine, op, dir)?,
        _agents: Vec::new(),
    };
    for (number, mount) in mounts {
        one(engine, mount, &dir.join(format!("mount{number}")), &mut mounted)?;
    }
    for HeredocFile { name, content } in &op.files {
        mounted.mounts.push(Mount {
            target: PathBuf::from(format!("/dev/pipes/{name}")),
            source: MountSource::SecretFile {
                content: content.clone().into_bytes(),
                mode: 0o755,
                uid: 0,
                gid: 0,
            },
        });
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
    let limits = BindLimits::default();
    let source = match kind {
        MountKind::Bind { from: Source::Stage(id), source, readwrite }
            if engine.bench.overlay() =>
        {
            of_stage(engine, *id, source, *readwrite)?
        }
        MountKind::Bind { from, source, readwrite } => {
            let path = bound(engine, from, source, dir)?;
            if *readwrite {
                MountSource::BindOverlay { lower: path }
            } else {
                MountSource::Bind { path, readonly: true, limits }
            }
        }
        MountKind::Cache { readonly, .. } => {
            let path = mounted._caches.path(engine, kind)?;
            MountSource::Bind { path, readonly: *readonly, limits }
        }
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
        MountKind::Ssh { id, required, mode, uid, gid } => {
            let Some(agent) = engine.bench.run.ssh.get(id) else {
                if *required {
                    return Err(StepError::SshMissing { id: id.clone() });
                }
                return Ok(());
            };
            let access = Access { mode: *mode, uid: *uid, gid: *gid };
            let forward = Forward::start(agent, dir, &access, &engine.bench.privilege)?;
            let path = forward.path().to_owned();
            mounted._agents.push(forward);
            MountSource::Bind { path, readonly: false, limits }
        }
    };
    mounted.mounts.push(Mount { target: PathBuf::from(target), source });
    Ok(())
}

/// A file or directory of a stage, shown from the stage's own layers.
fn of_stage(
    engine: &Engine<'_>,
    id: StageId,
    source: &str,
    readwrite: bool,
) -> Result<MountSource, StepError> {
    let layers = &engine.wait(id)?.layers;
    let lower = materialise::once(materialise::snapshots(layers, engine)?);
    let tree = materialise::tree(layers, engine)?;
    let path = Path::new("/").join(source);
    let real = tree.resolve(path.as_os_str().as_encoded_bytes())?;
    let node = tree.get(&real).filter(|it| !matches!(it.entry.kind, Kind::Directory { .. }));
    Ok(MountSource::Stack { lower, path, directory: node.is_none(), readonly: !readwrite })
}

/// A folder or file that holds what `source` names in `from`: a layer of its own, kept in the store.
pub(crate) fn bound(
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
    let packed = strake_layer::pack(made.changes, &options, dir)?;
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
