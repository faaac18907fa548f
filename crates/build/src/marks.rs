//! Files whose names begin with `.wh.`: in a layer such a name is no file but a mark, so that what a
//! step makes under one is a deletion for everybody who reads the image, as with BuildKit, which packs
//! such files as they are ([layers](https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts)).

use std::collections::BTreeSet;
use strake_layer::{Body, Change, Kind, join, split};

const MARK: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What the marks among the changes mean, and what the author of the Dockerfile should know of them.
///
/// A directory called like a mark stays as it is: no layer can hold it, and packing says so.
pub(crate) fn read(changes: Vec<Change>) -> (Vec<Change>, Vec<String>) {
    if !changes.iter().any(is_mark) {
        return (changes, Vec::new());
    }
    let made: BTreeSet<Vec<u8>> = changes
        .iter()
        .filter(|it| it.entry.kind != Kind::Whiteout)
        .map(|it| it.entry.path.clone())
        .collect();
    let mut emptied = BTreeSet::new();
    let mut warnings = Vec::new();
    let mut read = Vec::with_capacity(changes.len());
    for change in changes {
        if !is_mark(&change) {
            read.extend((!is_below_ignored(&change.entry.path)).then_some(change));
            continue;
        }
        let path = change.entry.path.clone();
        let (parent, name) = split(&path);
        let deleted = &name[MARK.len()..];
        let meant = join(parent, deleted);
        let told = match () {
            () if name == OPAQUE => {
                emptied.insert(parent.to_vec());
                format!("hides what was in /{} before", shown(parent))
            }
            () if deleted.is_empty() || deleted.starts_with(MARK) => "means nothing".to_owned(),
            () if made.contains(&meant) => {
                emptied.insert(meant.clone());
                format!("hides what was in /{} before", shown(&meant))
            }
            () => {
                let mut change = change;
                change.entry.path.clone_from(&meant);
                change.entry.kind = Kind::Whiteout;
                change.body = Body::Empty;
                read.push(change);
                format!("deletes /{}", shown(&meant))
            }
        };
        warnings.push(format!("/{} is no file in an image, as in Docker: it {told}", shown(&path)));
    }
    for change in &mut read {
        if let Kind::Directory { opaque } = &mut change.entry.kind {
            *opaque |= emptied.contains(&change.entry.path);
        }
    }
    (read, warnings)
}

fn is_mark(change: &Change) -> bool {
    let entry = &change.entry;
    let is_made = entry.kind != Kind::Whiteout;
    let name = split(&entry.path).1;
    // What old drivers kept for themselves may be a directory.
    let can_be = !matches!(entry.kind, Kind::Directory { .. }) || name.starts_with(b".wh..wh.");
    is_made && can_be && name.starts_with(MARK) && !matches!(name, b".wh.." | b".wh...")
}

/// Readers of layers leave out what is below `.wh..wh.NAME`.
fn is_below_ignored(path: &[u8]) -> bool {
    split(path).0.split(|it| *it == b'/').any(|it| it.starts_with(b".wh..wh."))
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
