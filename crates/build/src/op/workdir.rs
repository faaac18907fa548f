//! WORKDIR: makes the directory and its parents.

use super::{Made, copy::found};
use crate::{
    ImageLayer, StepError,
    copy::{CopyError, shown},
    engine::Engine,
    materialise,
    state::State,
};
use std::collections::BTreeMap;
use strake_layer::{Body, Change, Entry, Kind, Tree};
use strake_plan::WorkdirOp;

pub(super) fn run(engine: &Engine<'_>, op: &WorkdirOp, state: &State) -> Result<Made, StepError> {
    let now = (engine.bench.clock)();
    let tree = materialise::tree(&state.layers, engine)?;
    let mut warnings = Vec::new();
    let owner = owner(&tree, &op.user, &state.layers, &mut warnings)?;
    let changes = missing_directories(&tree, &op.path, owner, now)?;
    Ok(Made { changes, snapshot: None, guard: None, window: (now, now), warnings })
}

/// BuildKit gives the directories that it makes to USER, read as `--chown` is.
fn owner(
    tree: &Tree,
    user: &str,
    layers: &[ImageLayer],
    warnings: &mut Vec<String>,
) -> Result<(u32, u32), StepError> {
    if user.is_empty() {
        return Ok((0, 0));
    }
    let (passwd, group) = crate::mounts::user_files(tree);
    found(strake_rootfs::lookup_chown(passwd, group, user)?, layers, warnings)
}

/// Entries for what is missing of `path`, and for the directory that it is made in.
fn missing_directories(
    tree: &Tree,
    path: &str,
    (uid, gid): (u32, u32),
    now: i64,
) -> Result<Vec<Change>, StepError> {
    let path = tree.resolve(path.as_bytes())?;
    let mut changes: Vec<Change> = Vec::new();
    let mut parent: &[u8] = b"";
    for end in ends(&path) {
        let here = &path[..end];
        if let Some(node) = tree.get(here) {
            if !matches!(node.entry.kind, Kind::Directory { .. }) {
                return Err(CopyError::NotADirectory { path: shown(here) }.into());
            }
            parent = here;
            continue;
        }
        if changes.is_empty()
            && let Some(node) = tree.get(parent)
            && !parent.is_empty()
        {
            let mut entry = node.entry.clone();
            entry.kind = Kind::Directory { opaque: false };
            entry.mtime = now;
            changes.extend(ancestors(tree, parent));
            changes.push(Change { entry, body: Body::Empty });
        }
        let entry = Entry {
            path: here.to_vec(),
            kind: Kind::Directory { opaque: false },
            mode: 0o755,
            uid,
            gid,
            mtime: now,
            xattrs: BTreeMap::new(),
        };
        changes.push(Change { entry, body: Body::Empty });
    }
    Ok(changes)
}

/// The directories above `path`, as they are: layers carry each parent with the base's mode and owner.
fn ancestors(tree: &Tree, path: &[u8]) -> Vec<Change> {
    let mut found = Vec::new();
    for end in ends(path) {
        let here = &path[..end];
        if end < path.len()
            && let Some(node) = tree.get(here)
        {
            let mut entry = node.entry.clone();
            entry.kind = Kind::Directory { opaque: false };
            found.push(Change { entry, body: Body::Empty });
        }
    }
    found
}

/// Where each component of `path` ends.
fn ends(path: &[u8]) -> impl Iterator<Item = usize> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let all: Vec<usize> = slashes.chain((!path.is_empty()).then_some(path.len())).collect();
    all.into_iter()
}
