//! Making room, while builds run.
//!
//! The rule: nothing that was used since the oldest running build began is taken. Uses are marked
//! under a shared lock and things are taken under an exclusive one, held for one thing at a time,
//! so a build either marks a thing first, and it stays, or asks later, and it is a miss.

use crate::{
    Store,
    error::{Context, StoreError},
    files::{Touched, names, remove_tree},
    locks, record,
    usage::{Found, UsageItem, UsageKind},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};
use strake_oci::{DiffId, Digest};

/// What to remove. Without any limit: all that is not in use.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// Remove, least recently used first, until the store takes no more than this many bytes.
    pub max_size: Option<u64>,
    /// Remove what was not used for so many seconds.
    pub older_than: Option<u64>,
    /// Whether images that have a name may go, and the name with them.
    pub all: bool,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneReport {
    /// In the order of removal.
    pub removed: Vec<UsageItem>,
    /// Names of images that went.
    pub untagged: Vec<String>,
    /// Bytes that are free now.
    pub freed: u64,
    /// Bytes that the store still takes.
    pub left: u64,
}

impl Store {
    /// Removes what the options say and no running build holds. Waits for nobody.
    pub fn prune(&self, options: &PruneOptions, now: u64) -> Result<PruneReport, StoreError> {
        let mut all = self.find_all();
        let layers = self.layers_by_blob();
        let images = self.images_by_blob();
        // A layer counts as used when its snapshot is: so the snapshot, which can be made again
        // from the blob, goes first.
        let uses = Store::snapshot_uses(&all);
        let rank = |found: &Found| -> (Touched, UsageKind) {
            let blob = found.item.id.parse::<Digest>().ok();
            let layers = blob.and_then(|it| layers.get(&it)).into_iter().flatten();
            let used = layers.filter_map(|it| uses.get(&it.diff_id)).copied().max();
            (used.map_or(found.touched, |used| used.max(found.touched)), found.item.kind)
        };
        all.sort_by_cached_key(|it| (rank(it), it.item.id.clone()));
        let mut left: u64 = all.iter().map(|it| it.item.size).sum();
        let mut report =
            PruneReport { removed: Vec::new(), untagged: Vec::new(), freed: 0, left: 0 };
        for found in all {
            let used = rank(&found).0.unix();
            let too_old = options.older_than.is_some_and(|it| now.saturating_sub(used) >= it);
            let too_much = options.max_size.is_some_and(|it| left > it);
            let unlimited = options.older_than.is_none() && options.max_size.is_none();
            let tags = tags_of(&found, &images);
            let kept = found.item.in_use || (!options.all && !tags.is_empty());
            if kept || !(too_old || too_much || unlimited) {
                continue;
            }
            if self.take(&found, &tags)? {
                left = left.saturating_sub(found.item.size);
                report.freed += found.item.size;
                report.removed.push(found.item);
                report.untagged.extend(tags.into_iter().filter(|it| self.image(it).is_none()));
            }
        }
        report.untagged.sort();
        report.untagged.dedup();
        self.sweep()?;
        report.left = left;
        Ok(report)
    }

    /// Removes one thing, unless somebody used it since it was looked at.
    fn take(&self, found: &Found, tags: &BTreeSet<String>) -> Result<bool, StoreError> {
        let _idle = if found.item.kind == UsageKind::Mount {
            let file = locks::open(&found.mark)?;
            if file.try_lock().is_err() {
                return Ok(false);
            }
            Some(file)
        } else {
            None
        };
        let claimed = self.temp_path("pruned");
        {
            let _alone = self.exclude()?;
            if Touched::at(&found.mark) != Some(found.touched) {
                return Ok(false);
            }
            // First the names: an image without its blobs must not be found.
            for tag in tags {
                remove_file(&self.image_path(tag))?;
            }
            match fs::rename(&found.path, &claimed) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                other => other.context("rename", &found.path)?,
            }
        }
        // What cannot be removed now goes with the lease, or at the next opening.
        Ok(remove_tree(&claimed).is_ok())
    }

    /// Removes records that promise what is not there any more.
    fn sweep(&self) -> Result<(), StoreError> {
        let layers = self.path("layers");
        let mut whole = BTreeMap::new();
        for name in names(&layers) {
            let Ok(diff_id) = format!("sha256:{name}").parse().map(DiffId) else { continue };
            let _alone = self.exclude()?;
            whole.insert(diff_id, self.has_layer(&diff_id)?);
            // Fails where records are left in it.
            let _ = fs::remove_dir(layers.join(name));
        }
        let gone = |diff_id: &DiffId| !whole.get(diff_id).copied().unwrap_or(false);
        let steps = self.path("steps");
        for name in names(&steps) {
            let path = steps.join(name);
            let _alone = self.exclude()?;
            let step: Option<crate::StepResult> = record::read(&path);
            if let Some(diff_id) = step.and_then(|it| it.layer)
                && gone(&diff_id)
                && !self.has_layer(&diff_id)?
            {
                remove_file(&path)?;
            }
        }
        self.sweep_small(&gone)
    }

    fn sweep_small(&self, gone: &dyn Fn(&DiffId) -> bool) -> Result<(), StoreError> {
        let equal = self.path("equal");
        for name in names(&equal) {
            let path = equal.join(name);
            let _alone = self.exclude()?;
            if let Some(diff_id) = record::read::<DiffId>(&path)
                && gone(&diff_id)
                && !self.has_layer(&diff_id)?
            {
                remove_file(&path)?;
            }
        }
        let sizes = self.path("sizes");
        for name in names(&sizes) {
            let snapshot = name.rsplit_once('-').map(|(form, hex)| format!("{form}/{hex}"));
            if snapshot.is_none_or(|it| !self.path("snapshots").join(it).exists()) {
                remove_file(&sizes.join(name))?;
            }
        }
        Ok(())
    }

    /// Whether any record of the layer has its blob. Those that have not are removed. Unlike
    /// [`Store::any_layer`] this is no use of it.
    fn has_layer(&self, diff_id: &DiffId) -> Result<bool, StoreError> {
        let folder = self.layer_folder(diff_id);
        let mut any = false;
        for name in names(&folder) {
            let path = folder.join(name);
            let Some(layer) = record::read::<crate::LayerRecord>(&path) else { continue };
            if self.blob_path(&layer.descriptor.digest).exists() {
                any = true;
            } else {
                remove_file(&path)?;
            }
        }
        Ok(any)
    }
}

fn tags_of(found: &Found, images: &BTreeMap<Digest, BTreeSet<String>>) -> BTreeSet<String> {
    if found.item.kind != UsageKind::Blob {
        return BTreeSet::new();
    }
    let digest = found.item.id.parse::<Digest>().ok();
    digest.and_then(|it| images.get(&it)).cloned().unwrap_or_default()
}

fn remove_file(path: &std::path::Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.context("remove", path),
    }
}
