//! The commands that are compared, and how they are measured.

use super::{
    Cell, Cost, Options, trees,
    workloads::{Kind, Workload},
};
use crate::shell::{output, say};
use fs_err as fs;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where everything is.
pub(super) struct Bench {
    pub(super) strake: PathBuf,
    folder: PathBuf,
    pub(super) runs: usize,
    divide: u64,
    pub(super) threads: String,
}

/// A run of which several are made.
struct Round<'a> {
    bench: &'a Bench,
    workload: &'a Workload,
    size: u64,
    context: PathBuf,
    costs: Vec<(&'static str, &'static str, Vec<Cost>)>,
}

impl Bench {
    pub(super) fn new(strake: PathBuf, options: &Options) -> Result<Bench, String> {
        fs::create_dir_all(&options.folder).map_err(|error| error.to_string())?;
        let folder = fs::canonicalize(&options.folder).map_err(|error| error.to_string())?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        Ok(Bench { strake, folder, runs: options.runs, divide: options.divide, threads })
    }

    /// All sizes of a workload.
    pub(super) fn workload(&self, workload: &Workload) -> Result<Vec<Cell>, String> {
        let mut cells = Vec::new();
        for size in workload.sizes(self.divide) {
            let context = self.folder.join(workload.name).join(size.to_string());
            let _ = fs::remove_dir_all(&context);
            trees::make(&context, workload.kind, size).map_err(|error| error.to_string())?;
            let mut round = Round { bench: self, workload, size, context, costs: Vec::new() };
            for number in 0..self.runs {
                round.strake(number)?;
                if workload.buildah {
                    round.buildah(number)?;
                }
                if workload.has_tar() {
                    round.compressors()?;
                }
            }
            fs::remove_dir_all(&round.context).map_err(|error| error.to_string())?;
            cells.extend(round.cells());
        }
        Ok(cells)
    }

    /// Runs one command to its end.
    fn measure(&self, program: &Path, args: &[&str]) -> Result<Cost, String> {
        let report = self.folder.join("time");
        let quiet = || Stdio::null();
        let status = Command::new("time")
            .args(["-f", "%e %U %S %M", "-o"])
            .arg(&report)
            .arg(program)
            .args(args)
            .stdin(quiet())
            .stdout(quiet())
            .stderr(quiet())
            .status()
            .map_err(|error| format!("time: {error}"))?;
        if !status.success() {
            return Err(format!("{} {} failed", program.display(), args.join(" ")));
        }
        let text = fs::read_to_string(&report).map_err(|error| error.to_string())?;
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        let &[wall, user, system, memory] = &numbers[..] else {
            return Err(format!("time says `{text}`"));
        };
        Ok(Cost { wall, processor: user + system, memory: memory / 1024.0 })
    }

    /// The versions of everything that was compared.
    pub(super) fn versions(&self) -> Vec<String> {
        let of = |program: &str, args: &[&str]| {
            let text = output(program, args).unwrap_or_default();
            text.lines().find(|it| !it.trim().is_empty()).unwrap_or("unknown").trim().to_owned()
        };
        let strake = self.strake.to_string_lossy();
        vec![
            of(&strake, &["--version"]),
            of("buildah", &["version"]),
            of("buildah", &["--version"]),
            of("pigz", &["--version"]),
            of("zstd", &["--version"]),
            of("sha256sum", &["--version"]),
            of("uname", &["-sr"]),
            format!("{} threads", self.threads),
        ]
    }
}

impl Round<'_> {
    fn add(&mut self, tool: &'static str, task: &'static str, cost: Cost) {
        let (workload, size) = (self.workload.name, self.size);
        say(&format!("{workload} {size}: {tool}, {task}: {:.2} s", cost.wall));
        match self.costs.iter_mut().find(|it| (it.0, it.1) == (tool, task)) {
            Some((_, _, costs)) => costs.push(cost),
            None => self.costs.push((tool, task, vec![cost])),
        }
    }

    fn path(&self, name: &str) -> String {
        self.bench.folder.join(name).to_string_lossy().into_owned()
    }

    fn strake(&mut self, number: usize) -> Result<(), String> {
        let (store, out) = (self.path("store"), self.path("strake.tar"));
        let (bench, context) = (self.bench, self.context.to_string_lossy().into_owned());
        let _ = fs::remove_dir_all(&store);
        let _ = fs::remove_file(&out);
        let dest = format!("type=oci,dest={out}");
        let args = ["build", "--store", &store, "-o", &dest, &context];
        let build = || bench.measure(&bench.strake, &args);
        self.add("strake", "cold", build()?);
        self.add("strake", "unchanged", build()?);
        if self.workload.kind == Kind::Files {
            for (which, task) in CHANGED.into_iter().enumerate() {
                trees::change(&self.context, which).map_err(|error| error.to_string())?;
                self.add("strake", task, build()?);
            }
        } else if number == 0 && self.workload.kind == Kind::Ignored {
            say("the files that are ignored are not walked");
        }
        fs::remove_dir_all(&store).map_err(|error| error.to_string())
    }

    fn buildah(&mut self, number: usize) -> Result<(), String> {
        // Slow, and hardly different from one run to the next.
        if number > 0 && self.size > self.workload.largest / 8 {
            return Ok(());
        }
        let (root, run, out) = (self.path("root"), self.path("run"), self.path("buildah.tar"));
        let clear = || {
            let _ = output("buildah", &["--root", &root, "--runroot", &run, "rmi", "-a", "-f"]);
        };
        clear();
        let (bench, context) = (self.bench, self.context.to_string_lossy().into_owned());
        let dest = format!("oci-archive:{out}");
        let build = || -> Result<Cost, String> {
            let base = ["--root", &root, "--runroot", &run];
            let bud = ["bud", "--layers", "--isolation", "chroot", "-t", "bench", &context];
            let made = bench.measure(Path::new("buildah"), &[&base[..], &bud].concat())?;
            let _ = fs::remove_file(&out);
            let push = ["push", "localhost/bench", &dest];
            let pushed = bench.measure(Path::new("buildah"), &[&base[..], &push].concat())?;
            Ok(Cost {
                wall: made.wall + pushed.wall,
                processor: made.processor + pushed.processor,
                memory: made.memory.max(pushed.memory),
            })
        };
        self.add("buildah", "cold", build()?);
        self.add("buildah", "unchanged", build()?);
        if self.workload.kind == Kind::Files {
            trees::change(&self.context, 1).map_err(|error| error.to_string())?;
            self.add("buildah", CHANGED[1], build()?);
        }
        clear();
        Ok(())
    }

    /// What packing alone takes: of a tar that is there, on all cores.
    fn compressors(&mut self) -> Result<(), String> {
        let (tar, out) = (self.path("raw.tar"), self.path("compressed"));
        let context = self.context.to_string_lossy().into_owned();
        output("tar", &["-C", &context, "-cf", &tar, "."])?;
        let threads = &self.bench.threads;
        let pigz = format!("pigz -6 -p {threads} -c {tar} > {out}");
        let zstd = format!("zstd -q -3 -T{threads} -c {tar} > {out}");
        let sum = format!("sha256sum {tar}");
        for (tool, command) in [("pigz -6", pigz), ("zstd -3", zstd), ("sha256sum", sum)] {
            let cost = self.bench.measure(Path::new("sh"), &["-c", &command])?;
            self.add(tool, "cold", cost);
        }
        Ok(())
    }

    fn cells(self) -> Vec<Cell> {
        let (workload, size) = (self.workload.name, self.size);
        let cell = |(tool, task, costs): (_, _, Vec<Cost>)| {
            let cost = median(costs);
            Cell { workload, size, task, tool, cost }
        };
        self.costs.into_iter().map(cell).collect()
    }
}

/// A byte more in the first, a middle or the last file.
const CHANGED: [&str; 3] = ["first file changed", "middle file changed", "last file changed"];

/// Each number by itself.
fn median(costs: Vec<Cost>) -> Cost {
    let middle = |part: fn(&Cost) -> f64| {
        let mut all: Vec<f64> = costs.iter().map(part).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Cost {
        wall: middle(|it| it.wall),
        processor: middle(|it| it.processor),
        memory: middle(|it| it.memory),
    }
}
