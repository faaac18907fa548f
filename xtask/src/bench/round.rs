//! One workload at one size: all tools take turns, several times over.

use super::{
    Cell,
    lab::{CLIENT, Engine, Registry},
    measure::{Cost, Meter, median},
    trees,
    workloads::{Kind, Peer, Workload},
};
use crate::shell::{output, say};
use fs_err as fs;
use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Where everything is.
pub(super) struct Bench {
    pub(super) strake: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) runs: usize,
    pub(super) threads: String,
    pub(super) registry: Registry,
    pub(super) engine: RefCell<Engine>,
    pub(super) meter: Meter,
    /// Trees that are removed when the workload is measured.
    pub(super) discarded: AtomicUsize,
}

impl Bench {
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Puts a tree out of the way, where it stays until the workload is measured: where ext4 has no journal,
    /// new files are made the slower the more were removed in the last minute.
    fn discard(&self, path: &Path) -> Result<(), String> {
        if !path.exists() {
            return Ok(());
        }
        let old = self.folder.join("old");
        fs::create_dir_all(&old).map_err(|error| error.to_string())?;
        let number = self.discarded.fetch_add(1, Ordering::Relaxed);
        fs::rename(path, old.join(number.to_string())).map_err(|error| error.to_string())
    }

    /// All sizes of a workload.
    pub(super) fn workload(&self, workload: &Workload, divide: u64) -> Result<Vec<Cell>, String> {
        let mut cells = Vec::new();
        let mut level = None;
        for size in workload.sizes(divide) {
            let context = self.folder.join(workload.name);
            self.discard(&context)?;
            trees::make(&context, workload.kind, size).map_err(|error| error.to_string())?;
            let mut round =
                Round { bench: self, workload, size, context, level, costs: Vec::new() };
            let done = round.all(divide);
            level = round.level;
            self.discard(&round.context)?;
            done?;
            cells.extend(round.cells());
        }
        match fs::remove_dir_all(self.folder.join("old")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(cells),
        }
    }
}

/// Runs of which medians are taken.
pub(super) struct Round<'a> {
    pub(super) bench: &'a Bench,
    pub(super) workload: &'a Workload,
    pub(super) size: u64,
    pub(super) context: PathBuf,
    /// pigz's, at which it makes as little of the tar as strake does.
    pub(super) level: Option<u32>,
    costs: Vec<(&'static str, &'static str, Vec<Cost>)>,
}

/// A byte more in the first, a middle or the last file.
const CHANGED: [&str; 3] = ["first file changed", "middle file changed", "last file changed"];

impl Round<'_> {
    fn all(&mut self, divide: u64) -> Result<(), String> {
        let slow = self.size > self.workload.largest / divide / 8;
        for number in 0..self.bench.runs {
            match self.workload.kind {
                Kind::Base => self.strake_base()?,
                Kind::Push => self.strake_push()?,
                _ => self.strake()?,
            }
            // Slow, and hardly different from one run to the next.
            let again = number == 0 || !slow;
            if self.workload.has(Peer::Buildah) && again {
                self.insist(Round::buildah)?;
            }
            if self.workload.has(Peer::Docker) {
                self.insist(Round::docker)?;
            }
            if self.workload.has(Peer::Compressors) {
                self.compressors()?;
            }
            if self.workload.has(Peer::Curl) {
                self.curl()?;
            }
        }
        self.new_store()?;
        for name in ["strake.tar", "buildah.tar", "raw.tar", "compressed", "blob"] {
            let path = self.bench.folder.join(name);
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        }
        self.bench.registry.clear()
    }

    /// Peers fail at times; once is told and forgiven.
    fn insist(&mut self, peer: fn(&mut Self) -> Result<(), String>) -> Result<(), String> {
        peer(self).or_else(|error| {
            say(&format!("{error}\nonce more:"));
            peer(self)
        })
    }

    pub(super) fn add(&mut self, tool: &'static str, task: &'static str, cost: Cost) {
        let (workload, size) = (self.workload.name, self.size);
        say(&format!("{workload} {size}: {tool}, {task}: {:.3} s", cost.wall));
        match self.costs.iter_mut().find(|it| (it.0, it.1) == (tool, task)) {
            Some((_, _, costs)) => costs.push(cost),
            None => self.costs.push((tool, task, vec![cost])),
        }
    }

    fn context(&self) -> String {
        self.context.to_string_lossy().into_owned()
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.bench.registry.host)
    }

    fn strake_build(&self, words: &[&str]) -> Result<Cost, String> {
        let (strake, store) = (self.bench.strake.to_string_lossy(), self.bench.path("store"));
        let host = &self.bench.registry.host;
        let base = [&*strake, "build", "--store", &store, "--plain-http", host];
        self.bench.meter.run(&[&base[..], words].concat(), &[])
    }

    fn new_store(&self) -> Result<(), String> {
        self.bench.discard(&self.bench.folder.join("store"))
    }

    fn strake(&mut self) -> Result<(), String> {
        self.new_store()?;
        let (context, out) = (self.context(), self.bench.path("strake.tar"));
        let _ = fs::remove_file(&out);
        let (image, dest) = (self.image("app:1"), format!("type=oci,dest={out}"));
        let pushed = ["--push", "-t", &image, &context];
        let written = ["-o", &dest, &context];
        let words = if self.workload.kind == Kind::App { &pushed[..] } else { &written[..] };
        let cost = self.strake_build(words)?;
        self.add("strake", "cold", cost);
        // Short, so that chance is large.
        for _ in 0..if cost.wall < 2.0 { 5 } else { 1 } {
            let cost = self.strake_build(words)?;
            self.add("strake", "unchanged", cost);
        }
        if self.workload.kind == Kind::Files {
            for (which, task) in CHANGED.into_iter().enumerate() {
                trees::change(&self.context, which).map_err(|error| error.to_string())?;
                let cost = self.strake_build(words)?;
                self.add("strake", task, cost);
            }
        }
        Ok(())
    }

    /// A base in the registry, and a Dockerfile upon it.
    fn prepare_base(&self) -> Result<PathBuf, String> {
        self.new_store()?;
        self.bench.registry.clear()?;
        self.strake_build(&["--push", "-t", &self.image("base:1"), &self.context()])?;
        self.new_store()?;
        let above = self.context.join("above");
        fs::create_dir_all(&above).map_err(|error| error.to_string())?;
        let text =
            format!("FROM {}\nRUN [\"/bin/busybox\", \"touch\", \"/a\"]\n", self.image("base:1"));
        fs::write(above.join("Dockerfile"), text).map_err(|error| error.to_string())?;
        Ok(above)
    }

    fn strake_base(&mut self) -> Result<(), String> {
        let above = self.prepare_base()?;
        let above = above.to_string_lossy();
        let cost = self.strake_build(&["-t", "above:1", &above])?;
        self.add("strake", "cold", cost);
        let cost = self.strake_build(&["-t", "above:1", &above])?;
        self.add("strake", "unchanged", cost);
        Ok(())
    }

    fn strake_push(&mut self) -> Result<(), String> {
        self.new_store()?;
        let (context, image) = (self.context(), self.image("pushed:1"));
        self.strake_build(&["-t", "pushed:1", &context])?;
        self.bench.registry.clear()?;
        let cost = self.strake_build(&["--push", "-t", &image, &context])?;
        self.add("strake", "cold", cost);
        Ok(())
    }

    fn buildah(&mut self) -> Result<(), String> {
        let (root, run) = (self.bench.path("root"), self.bench.path("run"));
        let out = self.bench.path("buildah.tar");
        let base = ["buildah", "--root", &root, "--runroot", &run];
        let _nothing_yet = self.clear_buildah(&base[1..]);
        let is_base = self.workload.kind == Kind::Base;
        let context = if is_base { self.context() + "/above" } else { self.context() };
        let dest = format!("oci-archive:{out}");
        let bud = ["bud", "--layers", "--isolation", "chroot", "--tls-verify=false"];
        let made = [&base[..], &bud, &["-t", "bench", &context]].concat();
        let pushed = [&base[..], &["push", "localhost/bench", &dest]].concat();
        let build = || -> Result<Cost, String> {
            let cost = self.bench.meter.run(&made, &[])?;
            if is_base {
                return Ok(cost);
            }
            let _ = fs::remove_file(&out);
            Ok(cost.then(self.bench.meter.run(&pushed, &[])?))
        };
        let (cold, unchanged) = (build()?, build()?);
        let changed = if self.workload.kind == Kind::Files {
            trees::change(&self.context, 1).map_err(|error| error.to_string())?;
            Some(build()?)
        } else {
            None
        };
        self.add("buildah", "cold", cold);
        self.add("buildah", "unchanged", unchanged);
        if let Some(cost) = changed {
            self.add("buildah", CHANGED[1], cost);
        }
        self.clear_buildah(&base[1..])
    }

    /// Forgets all images and steps. Those of `runs` stay for the time being, see [`Bench::discard`].
    fn clear_buildah(&self, base: &[&str]) -> Result<(), String> {
        let (root, run) = (self.bench.path("root"), self.bench.path("run"));
        if self.workload.kind == Kind::Runs {
            self.bench.discard(Path::new(&root))?;
            return self.bench.discard(Path::new(&run));
        }
        let removed = output("buildah", &[base, &["rmi", "-a", "-f"]].concat());
        let _ = fs::remove_dir_all(&root).and(fs::remove_dir_all(&run));
        removed.map(drop)
    }

    fn docker(&mut self) -> Result<(), String> {
        let mut engine = self.bench.engine.borrow_mut();
        let keeps = self.workload.kind == Kind::Runs;
        if keeps {
            engine.renew()?;
        } else {
            engine.clear()?;
        }
        let is_base = self.workload.kind == Kind::Base;
        let context = if is_base { self.context() + "/above" } else { self.context() };
        let words =
            [CLIENT, "-H", &engine.host, "build", "--network", "host", "-t", "bench", &context];
        let build = || self.bench.meter.run(&words, &[("DOCKER_BUILDKIT", "1")]);
        let (cold, unchanged) = (build()?, build()?);
        if !keeps {
            engine.clear()?;
        }
        drop(engine);
        self.add("docker.io", "cold", cold.of_client());
        self.add("docker.io", "unchanged", unchanged.of_client());
        Ok(())
    }

    /// What packing alone takes: of a tar that is there, on all cores.
    fn compressors(&mut self) -> Result<(), String> {
        let (tar, out) = (self.bench.path("raw.tar"), self.bench.path("compressed"));
        output("tar", &["-C", &self.context(), "-cf", &tar, "."])?;
        let threads = &self.bench.threads;
        let level = match self.level {
            Some(level) => level,
            None => self.same_size(&tar)?,
        };
        self.level = Some(level);
        let pigz = format!("pigz -{level} -p {threads} -c {tar} > {out}");
        let zstd = format!("zstd -q -3 -T{threads} -c {tar} > {out}");
        let sum = format!("sha256sum {tar}");
        for (tool, command) in [(PIGZ[level as usize], pigz), ("zstd -3", zstd), ("sha256sum", sum)]
        {
            let cost = self.bench.meter.run(&["sh", "-c", &command], &[])?;
            self.add(tool, "cold", cost);
        }
        Ok(())
    }

    /// The fastest level of pigz that makes the tar no larger than strake does, within a hundredth.
    fn same_size(&self, tar: &str) -> Result<u32, String> {
        let ours = fs::metadata(self.bench.path("strake.tar")).map_err(|it| it.to_string())?.len();
        let threads = &self.bench.threads;
        for level in 1..9 {
            let command = format!("pigz -{level} -p {threads} -c {tar} | wc -c");
            let size = output("sh", &["-c", &command])?;
            let size: u64 = size.trim().parse().map_err(|_| format!("wc says `{size}`"))?;
            say(&format!("pigz -{level} makes {size} bytes, strake {ours}"));
            if size <= ours + ours / 100 {
                return Ok(level);
            }
        }
        Ok(9)
    }

    /// The same blob as one request, once for the session and once for the bytes.
    fn curl(&mut self) -> Result<(), String> {
        let blob = largest(Path::new(&self.bench.path("store")))?;
        let blob = blob.to_string_lossy();
        let sum = output("sha256sum", &[&*blob])?;
        let sum = sum.split_whitespace().next().ok_or("sha256sum says nothing")?;
        self.bench.registry.clear()?;
        let uploads = format!("http://{}/v2/curl/blobs/uploads/", self.bench.registry.host);
        let command = format!(
            "curl -sf -T {blob} -H 'Content-Type: application/octet-stream' \
             \"$(curl -sfi -X POST {uploads} | sed -n 's/\\r$//; s/^Location: //p')&digest=sha256:{sum}\""
        );
        let cost = self.bench.meter.run(&["sh", "-c", &command], &[("NO_PROXY", "*")])?;
        self.add("curl", "cold", cost);
        Ok(())
    }

    fn cells(self) -> Vec<Cell> {
        let (workload, size) = (self.workload.name, self.size);
        let cell = |(tool, task, costs): (_, _, Vec<Cost>)| Cell {
            workload,
            size,
            task,
            tool,
            cost: median(&costs),
        };
        self.costs.into_iter().map(cell).collect()
    }
}

/// By level.
const PIGZ: [&str; 10] = [
    "pigz", "pigz -1", "pigz -2", "pigz -3", "pigz -4", "pigz -5", "pigz -6", "pigz -7", "pigz -8",
    "pigz -9",
];

/// The largest file below a folder: of a store with one layer, its blob.
fn largest(folder: &Path) -> Result<PathBuf, String> {
    let listed = output("find", &[&*folder.to_string_lossy(), "-type", "f", "-printf", "%s %p\n"])?;
    let files = listed.lines().filter_map(|line| line.split_once(' '));
    let sized = files.filter_map(|(size, path)| Some((size.parse::<u64>().ok()?, path)));
    sized.max().map(|it| PathBuf::from(it.1)).ok_or_else(|| "the store is empty".to_owned())
}
