//! What the engine relies on: hits after inserts, misses after damage, nothing taken from a running build.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};
use strake_cache::{
    LayerRecord, PruneOptions, StepResult, Store, StoreError, UsageKind, remove_tree,
};
use strake_layer::{Compression, Entry, Index, IndexEntry, Kind};
use strake_oci::{Descriptor, DiffId, Digest, media_type};
use strake_plan::{CacheSharing, ContentId, KeyRecord, RootId, StepKey};

const EVERYTHING: PruneOptions = PruneOptions { max_size: None, older_than: None, all: true };

struct Bench {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        Bench { _dir: dir, root }
    }

    fn open(&self) -> Store {
        Store::open(&self.root).unwrap()
    }

    /// Makes everything in the store look last used at `seconds`, save for leases.
    fn age(&self, seconds: u64) {
        fn each(path: &Path, time: SystemTime) {
            for entry in fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with("leases") && !path.ends_with("tmp") {
                    each(&path, time);
                }
                if !path.ends_with("leases") {
                    fs::File::open(&path).unwrap().set_modified(time).unwrap();
                }
            }
        }
        each(&self.root, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    }

    fn temps(&self) -> Vec<PathBuf> {
        fs::read_dir(self.root.join("tmp")).unwrap().map(|it| it.unwrap().path()).collect()
    }
}

fn add_layer(store: &Store, text: &str) -> LayerRecord {
    let digest = store.write_blob(text.as_bytes()).unwrap();
    let layer = LayerRecord {
        diff_id: DiffId(Digest::of(format!("tar of {text}").as_bytes())),
        descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, text.len() as u64),
        compression: Compression::Gzip(6),
        content: ContentId(Digest::of(format!("content of {text}").as_bytes())),
        created: 1,
    };
    store.insert_layer(&layer).unwrap();
    layer
}

fn add_step(store: &Store, name: &str, layer: Option<&LayerRecord>) -> StepKey {
    let record = KeyRecord { fields: vec![("run.argv".into(), name.into())] };
    let key = record.key();
    let (layer, content) = (layer.map(|it| it.diff_id), layer.map(|it| it.content));
    store.insert_step(&key, &StepResult { layer, content, record, millis: 7 }).unwrap();
    key
}

fn add_snapshot(store: &Store, layer: &LayerRecord) -> PathBuf {
    let dir = store.temp_dir("unpack").unwrap();
    fs::write(dir.join("file"), "content").unwrap();
    store.insert_snapshot("root", &layer.diff_id, &dir).unwrap()
}

fn index() -> Index {
    let entry = Entry {
        path: b"caf\xe9".to_vec(),
        kind: Kind::File { size: 3 },
        mode: 0o644,
        uid: 1,
        gid: 2,
        mtime: 3,
        xattrs: Default::default(),
    };
    Index {
        entries: vec![IndexEntry { entry, content: None }],
        files: [(b"etc/passwd".to_vec(), b"root:x:0:0".to_vec())].into(),
    }
}

#[test]
fn all_that_was_put_in_is_found_by_the_next_build() {
    let bench = Bench::new();
    let store = bench.open();
    let layer = add_layer(&store, "one");
    let key = add_step(&store, "make", Some(&layer));
    let empty = add_step(&store, "true", None);
    store.insert_index(&layer.diff_id, &index()).unwrap();
    store.insert_equal(RootId::scratch(), layer.content, layer.diff_id).unwrap();
    let record = KeyRecord { fields: vec![("a".into(), "b".into())] };
    store.insert_last("Dockerfile:3", &record).unwrap();
    store.tag_image("app:latest", &layer.descriptor.digest).unwrap();
    drop(store);

    let store = bench.open();
    assert_eq!(store.layer(&layer.diff_id, layer.compression), Some(layer.clone()));
    assert_eq!(store.layer(&layer.diff_id, Compression::Zstd(3)), None);
    assert_eq!(store.any_layer(&layer.diff_id), Some(layer.clone()));
    assert_eq!(store.step(&key).unwrap().layer, Some(layer.diff_id));
    assert_eq!(store.step(&key).unwrap().millis, 7);
    assert_eq!(store.step(&empty).unwrap().layer, None);
    assert_eq!(*store.index(&layer.diff_id).unwrap().unwrap(), index());
    assert_eq!(store.equal_layer(RootId::scratch(), layer.content), Some(layer.diff_id));
    assert_eq!(store.last_record("Dockerfile:3"), Some(record));
    assert_eq!(store.last_record("Dockerfile:4"), None);
    assert_eq!(store.image("app:latest"), Some(layer.descriptor.digest));
    assert_eq!(store.images().len(), 1);
    assert_eq!(fs::read(store.blob(&layer.descriptor.digest).unwrap()).unwrap(), b"one");
    assert_eq!(fs::metadata(&bench.root).unwrap().permissions().mode() & 0o777, 0o700);
    let tag = fs::read_to_string(bench.root.join("CACHEDIR.TAG")).unwrap();
    assert!(tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55"));
}

/// Whatever a crash cuts short is a miss, and can be put in again.
#[test]
fn a_file_cut_short_is_a_miss_wherever_it_is() {
    let bench = Bench::new();
    let store = bench.open();
    let fill = |store: &Store| {
        let layer = add_layer(store, "one");
        let key = add_step(store, "make", Some(&layer));
        store.insert_index(&layer.diff_id, &index()).unwrap();
        store.insert_equal(RootId::scratch(), layer.content, layer.diff_id).unwrap();
        store.insert_last("slot", &KeyRecord::default()).unwrap();
        store.tag_image("app", &layer.descriptor.digest).unwrap();
        (layer, key)
    };
    let (layer, key) = fill(&store);
    let answers = |store: &Store| {
        [
            store.any_layer(&layer.diff_id).is_some(),
            store.index(&layer.diff_id).unwrap().is_some(),
            store.equal_layer(RootId::scratch(), layer.content).is_some(),
            store.step(&key).is_some(),
            store.last_record("slot").is_some(),
            store.image("app").is_some(),
        ]
    };
    assert_eq!(answers(&store), [true; 6]);
    for folder in ["blobs", "layers", "indexes", "equal", "steps", "last", "images"] {
        for length in [0, 1] {
            for file in files_below(&bench.root.join(folder)) {
                fs::File::options().write(true).open(file).unwrap().set_len(length).unwrap();
            }
            let found = answers(&store);
            assert!(found.contains(&false), "{folder} cut to {length}: {found:?}");
            assert_eq!(fill(&store), (layer.clone(), key));
            assert_eq!(answers(&store), [true; 6], "{folder} put in again");
        }
    }
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn many_put_the_same_things_in_at_once() {
    let bench = Bench::new();
    let stores = [bench.open(), bench.open()];
    thread::scope(|scope| {
        for thread in 0..8 {
            let store = &stores[thread % 2];
            scope.spawn(move || {
                for round in 0..20 {
                    let layer = add_layer(store, &format!("layer {round}"));
                    let key = add_step(store, &format!("step {round}"), Some(&layer));
                    assert_eq!(store.step(&key).unwrap().layer, Some(layer.diff_id));
                    let path = add_snapshot(store, &layer);
                    assert_eq!(fs::read(path.join("file")).unwrap(), b"content");
                }
            });
        }
    });
    assert_eq!(files_below(&bench.root.join("blobs")).len(), 20);
    for temp in bench.temps() {
        assert_eq!(fs::read_dir(temp).unwrap().count(), 0, "temporary files stay behind");
    }
}

#[test]
fn a_lease_ends_with_its_store() {
    let bench = Bench::new();
    let (one, two) = (bench.open(), bench.open());
    let kept = one.temp_dir("run").unwrap().keep();
    let dropped = one.temp_dir("run").unwrap().path().to_owned();
    assert!(kept.exists() && !dropped.exists());
    assert_eq!(bench.temps().len(), 2);
    drop(bench.open());
    assert!(kept.exists(), "a live build keeps its files");
    drop(one);
    assert!(!kept.exists());
    drop(two);
    assert_eq!(bench.temps(), Vec::<PathBuf>::new());
    assert_eq!(fs::read_dir(bench.root.join("leases")).unwrap().count(), 0);
}

/// As SIGKILL leaves it: a lease that nobody has locked, an overlay work folder of mode 000 within.
#[test]
fn what_a_killed_build_left_is_cleared_at_the_next_opening() {
    let bench = Bench::new();
    drop(bench.open());
    let dead = bench.root.join("tmp/dead");
    for name in ["work/work/deep", "upper/closed/deep"] {
        fs::create_dir_all(dead.join(name)).unwrap();
        let parent = dead.join(name).parent().unwrap().to_owned();
        fs::set_permissions(parent, fs::Permissions::from_mode(0o000)).unwrap();
    }
    fs::write(bench.root.join("leases/dead"), "").unwrap();
    fs::create_dir_all(bench.root.join("tmp/no-lease/at-all")).unwrap();
    let store = bench.open();
    assert_eq!(bench.temps().len(), 1, "only the new store's own");
    assert!(!bench.root.join("leases/dead").exists());
    drop(store);
}

#[test]
fn links_are_not_followed_when_removing() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/file"), "").unwrap();
    fs::create_dir(dir.path().join("tree")).unwrap();
    std::os::unix::fs::symlink("../outside", dir.path().join("tree/link")).unwrap();
    remove_tree(&dir.path().join("tree")).unwrap();
    remove_tree(&dir.path().join("tree")).unwrap();
    assert!(dir.path().join("outside/file").exists());
}

#[test]
fn a_lock_excludes_threads_and_other_stores() {
    let bench = Bench::new();
    let (one, two) = (bench.open(), bench.open());
    let held = one.lock("pull sha256:aa").unwrap();
    assert!(two.try_lock("pull sha256:aa").unwrap().is_none());
    assert!(one.try_lock("pull sha256:aa").unwrap().is_none());
    assert!(two.try_lock("pull sha256:bb").unwrap().is_some());
    drop(held);
    assert!(two.try_lock("pull sha256:aa").unwrap().is_some());

    let (counter, most) = (std::sync::Mutex::new((0, 0)), 200);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (store, counter) = (if thread % 2 == 0 { &one } else { &two }, &counter);
            scope.spawn(move || {
                for _ in 0..most / 4 {
                    let _guard = store.lock("one").unwrap();
                    counter.lock().unwrap().0 += 1;
                    assert_eq!(counter.lock().unwrap().0, 1, "two hold the lock");
                    let mut inside = counter.lock().unwrap();
                    *inside = (0, inside.1 + 1);
                }
            });
        }
    });
    assert_eq!(counter.lock().unwrap().1, most);
    assert_eq!(fs::read_dir(bench.root.join("locks")).unwrap().count(), 0);
}

#[test]
fn cache_mounts_by_sharing() {
    let bench = Bench::new();
    let (one, two) = (bench.open(), bench.open());
    let first = one.cache_mount("npm", CacheSharing::Shared).unwrap();
    let second = two.cache_mount("npm", CacheSharing::Shared).unwrap();
    assert!(first.is_new && !second.is_new);
    assert_eq!(first.path, second.path);
    let private = two.cache_mount("npm", CacheSharing::Private).unwrap();
    assert_ne!(private.path, first.path);
    let other = private.path.clone();
    drop((first, second, private));

    let idle = one.cache_mount("npm", CacheSharing::Private).unwrap();
    let again = two.cache_mount("npm", CacheSharing::Private).unwrap();
    assert_eq!((again.path.clone(), again.is_new), (other, false), "the second is used again");
    let path = idle.path.clone();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| two.cache_mount("npm", CacheSharing::Locked).unwrap().path);
        drop(idle);
        assert_eq!(waiting.join().unwrap(), path);
    });
    let elsewhere = one.cache_mount("pip", CacheSharing::Locked).unwrap();
    assert!(elsewhere.is_new && elsewhere.path != path);
}

#[test]
fn the_snapshot_that_is_there_first_stays() {
    let bench = Bench::new();
    let store = bench.open();
    let layer = add_layer(&store, "one");
    assert_eq!(store.snapshot("root", &layer.diff_id), None);
    let path = add_snapshot(&store, &layer);
    fs::write(path.join("mark"), "").unwrap();
    assert_eq!(add_snapshot(&store, &layer), path);
    assert!(path.join("mark").exists());
    assert_eq!(store.snapshot("root", &layer.diff_id), Some(path));
    assert_eq!(store.snapshot("single", &layer.diff_id), None, "forms are apart");
    store.remove_snapshot("root", &layer.diff_id).unwrap();
    assert_eq!(store.snapshot("root", &layer.diff_id), None);
}

/// After another boot of the machine, which may have been a crash.
#[test]
fn a_snapshot_that_a_crash_cut_short_is_a_miss() {
    let bench = Bench::new();
    let store = bench.open();
    let layer = add_layer(&store, "one");
    let holder = bench.root.join("snapshots/root").join(layer.diff_id.0.hex());
    let reboot = || {
        let only = fs::read_dir(&holder).unwrap().next().unwrap().unwrap().path();
        fs::rename(only, holder.join("another")).unwrap();
    };
    let find = || store.snapshot("root", &layer.diff_id);

    let path = add_snapshot(&store, &layer);
    reboot();
    assert_eq!(find(), None, "there is nothing to compare it with");
    assert!(!holder.exists());

    let mut index = index();
    index.entries[0].entry.path = b"file".to_vec();
    index.entries[0].entry.kind = Kind::File { size: "content".len() as u64 };
    store.insert_index(&layer.diff_id, &index).unwrap();
    assert_eq!(add_snapshot(&store, &layer), path);
    reboot();
    assert_eq!(find(), Some(path.clone()));
    fs::write(path.join("file"), "").unwrap();
    assert_eq!(find(), Some(path), "compared once in a boot");
    reboot();
    assert_eq!(find(), None);
    assert!(!holder.exists());
}

#[test]
fn a_store_that_cannot_be_made_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("store")).unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().contains("file/store"), "{error}");
    assert!(error.hint().unwrap().contains("--store"));
}

#[test]
fn prune_takes_all_that_is_idle_and_leaves_no_promise() {
    let bench = Bench::new();
    let layer = {
        let store = bench.open();
        let layer = add_layer(&store, "one");
        add_snapshot(&store, &layer);
        add_step(&store, "make", Some(&layer));
        store.insert_index(&layer.diff_id, &index()).unwrap();
        store.insert_equal(RootId::scratch(), layer.content, layer.diff_id).unwrap();
        fs::write(store.cache_mount("npm", CacheSharing::Shared).unwrap().path.join("x"), "x")
            .unwrap();
        layer
    };
    bench.age(1000);
    let store = bench.open();
    let usage = store.usage().unwrap();
    assert!(usage.iter().all(|it| !it.in_use && it.last_used == 1000), "{usage:#?}");
    let report = store.prune(&EVERYTHING, 2000).unwrap();
    assert_eq!(report.left, 0);
    assert_eq!(report.removed.len(), usage.len());
    assert_eq!(report.freed, usage.iter().map(|it| it.size).sum::<u64>());
    assert_eq!(store.usage().unwrap(), vec![]);
    assert_eq!(store.any_layer(&layer.diff_id), None);
    assert_eq!(store.snapshot("root", &layer.diff_id), None);
    assert!(store.cache_mount("npm", CacheSharing::Shared).unwrap().is_new);
    assert_eq!(files_below(&bench.root.join("layers")), Vec::<PathBuf>::new());
}

#[test]
fn prune_leaves_what_a_running_build_used() {
    let bench = Bench::new();
    let (used, idle) = {
        let store = bench.open();
        let layers = (add_layer(&store, "used"), add_layer(&store, "idle"));
        add_step(&store, "used", Some(&layers.0));
        add_step(&store, "idle", Some(&layers.1));
        add_snapshot(&store, &layers.0);
        layers
    };
    bench.age(1000);
    let running = bench.open();
    let key = KeyRecord { fields: vec![("run.argv".into(), "used".into())] }.key();
    let mount = running.cache_mount("npm", CacheSharing::Locked).unwrap();
    assert!(running.step(&key).is_some());
    let snapshot = running.snapshot("root", &used.diff_id).unwrap();

    let pruning = bench.open();
    let report = pruning.prune(&EVERYTHING, 5000).unwrap();
    assert!(report.left > 0);
    assert!(running.blob(&used.descriptor.digest).is_some());
    assert!(running.step(&key).is_some());
    assert!(snapshot.join("file").exists());
    assert!(mount.path.exists());
    assert_eq!(running.any_layer(&idle.diff_id), None);
    let idle = KeyRecord { fields: vec![("run.argv".into(), "idle".into())] }.key();
    assert_eq!(running.step(&idle), None);
    assert!(pruning.usage().unwrap().iter().any(|it| it.in_use && it.kind == UsageKind::Mount));
}

#[test]
fn limits_take_the_oldest_first() {
    let bench = Bench::new();
    let store = bench.open();
    let layers: Vec<_> =
        (0..4).map(|it| add_layer(&store, &format!("{it}").repeat(1000))).collect();
    drop(store);
    bench.age(5000);
    for (layer, seconds) in layers.iter().zip([3000, 1000, 4000, 2000]) {
        let hex = layer.descriptor.digest.hex();
        let path = bench.root.join("blobs/sha256").join(hex);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    }
    let ids = |report: &strake_cache::PruneReport| -> Vec<String> {
        report.removed.iter().map(|it| it.id.clone()).collect()
    };
    let id = |at: usize| layers[at].descriptor.digest.to_string();

    let store = bench.open();
    let options = PruneOptions { max_size: Some(3500), older_than: None, all: false };
    let report = store.prune(&options, 6000).unwrap();
    assert_eq!(ids(&report), [id(1)]);
    assert_eq!((report.freed, report.left), (1000, 3000));

    let options = PruneOptions { max_size: None, older_than: Some(3000), all: false };
    assert_eq!(ids(&store.prune(&options, 6000).unwrap()), [id(3), id(0)]);
    assert!(store.any_layer(&layers[2].diff_id).is_some());
}

#[test]
fn a_snapshot_goes_before_its_blob() {
    let bench = Bench::new();
    let store = bench.open();
    let layer = add_layer(&store, "one");
    add_snapshot(&store, &layer);
    drop(store);
    bench.age(1000);
    // The snapshot alone was used later: the blob is still the dearer one.
    let holder = bench.root.join("snapshots/root").join(layer.diff_id.0.hex());
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(2000);
    fs::File::open(holder).unwrap().set_modified(time).unwrap();
    let report = bench.open().prune(&EVERYTHING, 5000).unwrap();
    let kinds: Vec<_> = report.removed.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [UsageKind::Snapshot, UsageKind::Blob]);
}

#[test]
fn an_image_with_a_name_stays_whole_or_goes_whole() {
    let bench = Bench::new();
    let store = bench.open();
    let layer = add_layer(&store, "one");
    add_layer(&store, "loose");
    let config = store.write_blob(b"{}").unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": Descriptor::new(media_type::OCI_CONFIG, config, 2),
        "layers": [layer.descriptor],
    });
    let manifest = store.write_blob(manifest.to_string().as_bytes()).unwrap();
    store.tag_image("app", &manifest).unwrap();
    drop(store);
    bench.age(1000);

    let store = bench.open();
    let report = store.prune(&PruneOptions { all: false, ..EVERYTHING }, 5000).unwrap();
    assert_eq!(report.removed.len(), 1);
    for digest in [manifest, config, layer.descriptor.digest] {
        assert!(store.usage().unwrap().iter().any(|it| it.id == digest.to_string()));
    }
    let report = store.prune(&EVERYTHING, 5000).unwrap();
    assert_eq!(report.removed.len(), 3);
    assert_eq!(report.untagged, ["app"]);
    assert_eq!(store.images(), vec![]);
}

/// Builds that look things up, use what they find and put in what they miss, while another prunes
/// all the time: what a build has found stays until it ends.
#[test]
fn pruning_beside_builds_takes_nothing_from_them() {
    let bench = Bench::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let builds: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let store = bench.open();
                        let mut used = Vec::new();
                        for step in 0..5 {
                            let name = format!("step {step}");
                            let key =
                                KeyRecord { fields: vec![("run.argv".into(), name.clone())] }.key();
                            let found = store.step(&key).and_then(|it| it.layer);
                            let diff_id = found.unwrap_or_else(|| {
                                let layer = add_layer(&store, &name);
                                add_step(&store, &name, Some(&layer));
                                layer.diff_id
                            });
                            let snapshot = store
                                .snapshot("root", &diff_id)
                                .unwrap_or_else(|| add_snapshot(&store, &add_layer(&store, &name)));
                            used.push((key, snapshot));
                        }
                        for (key, snapshot) in used {
                            assert!(store.step(&key).is_some());
                            assert_eq!(fs::read(snapshot.join("file")).unwrap(), b"content");
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                bench.open().prune(&EVERYTHING, 5_000_000_000).unwrap();
            }
        });
        for build in builds {
            let ended = build.join();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            ended.unwrap();
        }
    });
}
