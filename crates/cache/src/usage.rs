//! What the store holds, how large it is and when it was last used.

use crate::{
    LayerRecord, StepResult, Store,
    error::StoreError,
    files::{Touched, disk_usage, names},
    locks, record,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, TryLockError},
    path::{Path, PathBuf},
};
use strake_oci::{DiffId, Digest};

/// One thing that can be removed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageItem {
    /// What it is.
    pub kind: UsageKind,
    /// Digest, diff id, key or name.
    pub id: String,
    /// In bytes.
    pub size: u64,
    /// Whole seconds since 1970.
    pub last_used: u64,
    /// Whether a running build has used it since it began.
    pub in_use: bool,
    /// For people.
    pub description: String,
}

/// What a [`UsageItem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsageKind {
    /// An unpacked layer.
    Snapshot,
    /// A cache mount's folder.
    Mount,
    /// A copy of a Git repository.
    Repository,
    /// A blob: layer, config, manifest or a fetched file.
    Blob,
    /// What a layer holds, without contents.
    Index,
    /// A finished step.
    Step,
    /// A small record: of an equal layer, or of the last build of a place.
    Record,
}

/// An item and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) item: UsageItem,
    pub(crate) path: PathBuf,
    /// What is touched when the item is used; for most the item itself.
    pub(crate) mark: PathBuf,
    pub(crate) touched: Touched,
}

impl Store {
    /// All that the store holds, least recently used first.
    pub fn usage(&self) -> Result<Vec<UsageItem>, StoreError> {
        let mut items: Vec<_> = self.find_all().into_iter().map(|it| it.item).collect();
        items.sort_by(|a, b| (a.last_used, a.kind, &a.id).cmp(&(b.last_used, b.kind, &b.id)));
        Ok(items)
    }

    pub(crate) fn find_all(&self) -> Vec<Found> {
        let mut all = self.find_blobs();
        all.extend(self.find_snapshots());
        all.extend(self.find_mounts());
        all.extend(self.find_repositories());
        all.extend(self.find_records());
        if let Some(oldest) = self.oldest_lease() {
            for found in &mut all {
                found.item.in_use |= found.touched >= oldest;
            }
        }
        all
    }

    /// The layers of each blob.
    pub(crate) fn layers_by_blob(&self) -> BTreeMap<Digest, Vec<LayerRecord>> {
        let mut layers: BTreeMap<_, Vec<LayerRecord>> = BTreeMap::new();
        let folder = self.path("layers");
        for diff_id in names(&folder) {
            for name in names(&folder.join(&diff_id)) {
                let layer: Option<LayerRecord> = record::read(&folder.join(&diff_id).join(name));
                if let Some(layer) = layer {
                    layers.entry(layer.descriptor.digest).or_default().push(layer);
                }
            }
        }
        layers
    }

    fn find_blobs(&self) -> Vec<Found> {
        let layers = self.layers_by_blob();
        let folder = self.path("blobs/sha256");
        let mut blobs = Vec::new();
        for hex in names(&folder) {
            let path = folder.join(&hex);
            let Ok(digest) = format!("sha256:{hex}").parse::<Digest>() else { continue };
            let description = match layers.get(&digest).and_then(|it| it.first()) {
                Some(layer) => format!("layer {}", layer.diff_id.0.short()),
                None => "image data".to_owned(),
            };
            blobs.extend(found(UsageKind::Blob, digest.to_string(), &path, description));
        }
        blobs
    }

    fn find_snapshots(&self) -> Vec<Found> {
        let folder = self.path("snapshots");
        let mut snapshots = Vec::new();
        for form in names(&folder) {
            for hex in names(&folder.join(&form)) {
                let path = folder.join(&form).join(&hex);
                let description = format!("unpacked layer ({form})");
                let id = format!("sha256:{hex}");
                let Some(mut it) = found(UsageKind::Snapshot, id, &path, description) else {
                    continue;
                };
                it.item.size = self.snapshot_size(&form, &hex, &path);
                snapshots.push(it);
            }
        }
        snapshots
    }

    /// Snapshots do not change, so each is measured once.
    fn snapshot_size(&self, form: &str, hex: &str, path: &Path) -> u64 {
        let noted = self.path("sizes").join(format!("{form}-{hex}"));
        if let Some(size) = record::read(&noted) {
            return size;
        }
        let size = names(path).iter().map(|it| disk_usage(&path.join(it))).sum();
        // Where it cannot be noted it is measured again.
        let _ = record::write(self, &noted, &size);
        size
    }

    fn find_mounts(&self) -> Vec<Found> {
        let folder = self.path("mounts");
        let mut mounts = Vec::new();
        for hex in names(&folder) {
            let holder = folder.join(&hex);
            let id = fs::read_to_string(holder.join("id")).unwrap_or(hex);
            for name in names(&holder).into_iter().filter(|it| it.parse::<u32>().is_ok()) {
                let mark = holder.join(format!("{name}.lock"));
                let path = holder.join(&name);
                let Some(mut it) =
                    found(UsageKind::Mount, id.clone(), &mark, "cache mount".to_owned())
                else {
                    continue;
                };
                it.item.size = disk_usage(&path);
                it.item.in_use = is_busy(&mark);
                it.path = path;
                mounts.push(it);
            }
        }
        mounts
    }

    fn find_repositories(&self) -> Vec<Found> {
        let folder = self.path("git");
        let of = |hex: String| {
            let path = folder.join(&hex);
            let mut it =
                found(UsageKind::Repository, hex, &path, "copy of a Git repository".to_owned())?;
            it.item.size = disk_usage(&path);
            Some(it)
        };
        names(&folder).into_iter().filter_map(of).collect()
    }

    fn find_records(&self) -> Vec<Found> {
        let mut records = Vec::new();
        let steps = self.path("steps");
        for hex in names(&steps) {
            let path = steps.join(&hex);
            let Some(step) = record::read::<StepResult>(&path) else { continue };
            records.extend(found(UsageKind::Step, hex, &path, step_text(&step)));
        }
        let kinds = [
            ("indexes", UsageKind::Index, "contents of a layer, by name"),
            ("equal", UsageKind::Record, "equal layer"),
            ("last", UsageKind::Record, "last build of a step"),
            ("earlier", UsageKind::Record, "blocks of a step's last layer"),
            ("fetched", UsageKind::Record, "file of a web server, as last seen"),
        ];
        for (folder, kind, description) in kinds {
            for hex in names(&self.path(folder)) {
                let path = self.path(folder).join(&hex);
                records.extend(found(kind, hex, &path, description.to_owned()));
            }
        }
        records
    }

    /// Of each tagged image, what it consists of; and the name of its record.
    pub(crate) fn images_by_blob(&self) -> BTreeMap<Digest, BTreeSet<String>> {
        let mut users: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        for image in self.images() {
            let mut parts = BTreeSet::new();
            self.collect_parts(image.manifest, &mut parts);
            for part in parts {
                users.entry(part).or_default().insert(image.name.clone());
            }
        }
        users
    }

    /// The blob and all digests that it names, if it is a manifest or an index.
    fn collect_parts(&self, blob: Digest, parts: &mut BTreeSet<Digest>) {
        if !parts.insert(blob) {
            return;
        }
        let Ok(bytes) = fs::read(self.blob_path(&blob)) else { return };
        let Ok(document) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return };
        let named = |value: &serde_json::Value| -> Option<Digest> {
            value.get("digest")?.as_str()?.parse().ok()
        };
        let list = |key: &str| document.get(key).and_then(|it| it.as_array()).into_iter().flatten();
        parts.extend(document.get("config").and_then(named));
        parts.extend(list("layers").filter_map(named));
        for manifest in list("manifests").filter_map(named).collect::<Vec<_>>() {
            self.collect_parts(manifest, parts);
        }
    }

    /// The diff ids that have a snapshot, with the latest use of any.
    pub(crate) fn snapshot_uses(found: &[Found]) -> BTreeMap<DiffId, Touched> {
        let mut uses = BTreeMap::new();
        for it in found.iter().filter(|it| it.item.kind == UsageKind::Snapshot) {
            if let Ok(digest) = it.item.id.parse() {
                let latest = uses.entry(DiffId(digest)).or_insert(it.touched);
                *latest = it.touched.max(*latest);
            }
        }
        uses
    }
}

fn found(kind: UsageKind, id: String, path: &Path, description: String) -> Option<Found> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let touched = Touched::of(&metadata);
    let item = UsageItem {
        kind,
        id,
        size: metadata.len(),
        last_used: touched.unix(),
        in_use: false,
        description,
    };
    Some(Found { item, path: path.to_owned(), mark: path.to_owned(), touched })
}

fn is_busy(lock: &Path) -> bool {
    locks::open_existing(lock)
        .is_ok_and(|it| matches!(it.try_lock(), Err(TryLockError::WouldBlock)))
}

/// What the step did, from its key record.
fn step_text(step: &StepResult) -> String {
    let all = |name: &str| -> Vec<&str> {
        let fields = step.record.fields.iter();
        fields.filter(|(it, _)| it == name).map(|(_, value)| value.as_str()).collect()
    };
    let argv = all("run.argv");
    if !argv.is_empty() {
        return format!("RUN {}", argv.join(" "));
    }
    if let [path] = all("workdir.path")[..] {
        return format!("WORKDIR {path}");
    }
    let remote = [all("copy.url"), all("copy.git")].concat();
    if !remote.is_empty() {
        return format!("ADD {}", remote.join(" "));
    }
    match all("copy.dest")[..] {
        [dest] => format!("COPY {} {dest}", all("copy.path").join(" ")),
        _ => "step".to_owned(),
    }
}
