//! What a sandbox costs: `cargo xtask ladder --speed --strake FILE`, with a release build.
//!
//! The same programs over the same tree, in each backend and under Debian's proot, taking turns with the
//! host, where they run by chroot: machines get slower when they have worked for a while. In each of two
//! turns each program runs twice, and the best counts. Times are taken inside, so that they are the programs'
//! own. All is on one ext4 with a journal, made for it: without one, new files take the longer the more were
//! removed lately.

use super::{
    GRANTED, Place, USER, ending,
    lab::{self, Lab, quiet, text},
    page,
};
use crate::{
    packages::install,
    shell::{output, say},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

const BASE: &str = r#"FROM debian:bookworm-slim
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make nodejs npm > /dev/null
WORKDIR /srv/app
COPY package.json .
RUN npm install --no-audit --no-fund > /dev/null && npm ci --no-audit --no-fund > /dev/null && rm -rf node_modules
RUN sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > /etc/apt/sources.list.d/source.list && apt-get update && cd /tmp && apt-get source --download-only lua5.4 && mkdir /srv/lua && tar xzf lua5.4_*.orig.tar.gz -C /srv/lua --strip-components=1 && rm lua5.4_*
WORKDIR /srv/c
COPY Makefile .
RUN for i in $(seq 200); do printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint f%d(int x) { return x * %d + (int)strlen("a"); }\n' $i $i > f$i.c; done
"#;

const PACKAGE: &str = r#"{"name": "speed", "version": "1.0.0", "dependencies": {"express": "4.19.2",
  "webpack": "5.91.0", "typescript": "5.4.5", "eslint": "8.57.0"}}"#;

const MAKEFILE: &str = "all: $(patsubst %.c,%.o,$(wildcard *.c))\n%.o: %.c\n\tgcc -c -o $@ $<\n";

/// Prints the name and the milliseconds of each program, twice.
const MEASURE: &str = r#"
now() { date +%s%N; }
# Copies of the tree that are still being written are nobody's here.
sync
for i in 1 2; do
  cd /srv/app; rm -rf node_modules
  t=$(now); npm ci --offline --no-audit --no-fund > /dev/null && echo "TIME npm-ci $((($(now) - t) / 1000000))"
  cd /srv/lua; make -s clean > /dev/null
  t=$(now); make -s -j2 posix > /dev/null 2>&1 && echo "TIME make-lua $((($(now) - t) / 1000000))"
  cd /srv/c; rm -f *.o
  t=$(now); make -s -j2 all && echo "TIME make-small $((($(now) - t) / 1000000))"
  t=$(now); find /usr -type f -newer /etc/passwd > /dev/null; echo "TIME find $((($(now) - t) / 1000000))"
done
"#;

/// Milliseconds of each program.
type Times = BTreeMap<String, u64>;

const PROGRAMS: [&str; 4] = ["make-lua", "npm-ci", "make-small", "find"];

/// What was measured so far.
struct Row {
    name: String,
    /// Of each program, and of the same on the host in between.
    times: Times,
    host: Times,
    /// Milliseconds of a RUN that does nothing.
    each: Option<u64>,
}

/// How often a backend is measured, each time after the host.
const TURNS: usize = 2;

impl Row {
    /// Keeps the better times.
    fn add(&mut self, host: Times, times: Times) {
        for (kept, new) in [(&mut self.host, host), (&mut self.times, times)] {
            new.into_iter().for_each(|(name, taken)| better(kept, name, taken));
        }
    }

    fn new(name: &str) -> Row {
        Row { name: name.to_owned(), times: Times::new(), host: Times::new(), each: None }
    }
}

/// An ext4 of its own in a file, until it is dropped.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    fn mount(parent: &Path) -> Result<Disk, String> {
        let (file, folder) = (text(&parent.join("disk.img")), parent.join("disk"));
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        output("truncate", &["-s", "12G", &file])?;
        output("mkfs.ext4", &["-q", "-F", &file])?;
        output("mount", &["-o", "loop", &file, &text(&folder)])?;
        let disk = Disk { folder };
        // Each user makes a store of its own.
        output("chmod", &["1777", &text(&disk.folder)])?;
        Ok(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = output("umount", &[&text(&self.folder)]) {
            say(&format!("cleaning up: {error}"));
        }
    }
}

pub(super) fn run(strake: &Path, kept: Option<&Path>) -> Result<(), String> {
    install(super::PROGRAMS)?;
    install(&[("proot", "proot")])?;
    ending::expect()?;
    lab::clean()?;
    let lab = Lab::start(Some(strake), false)?;
    let layout = prepare(&lab, kept.unwrap_or(&lab.out))?;
    let disk = Disk::mount(&lab.work)?;
    let tree = disk.folder.join("tree");
    export(&lab, &layout, &tree)?;
    let backends = [
        ("namespaces, root", Place::Root, "namespaces"),
        ("namespaces, subuid", Place::User(GRANTED), "namespaces"),
        ("namespaces, one id", Place::User(USER), "namespaces"),
        ("chroot, root", Place::Root, "chroot"),
        ("emulated", Place::User(USER), "emulated"),
    ];
    let host = || all(&on_host(&tree, "")?);
    let mut alone = Row::new("host, overlayfs alone");
    for turn in 0..TURNS {
        alone.add(host()?, all(&on_overlay(&tree, turn)?)?);
    }
    let mut rows = vec![alone];
    for (name, place, backend) in backends {
        let store = disk.folder.join(format!("store-{}", name.replace([' ', ','], "")));
        let build = |runs: &str| {
            build(&lab, &layout, &store, (place, backend), runs)
                .map_err(|error| format!("{name}: {error}"))
        };
        let mut row = Row::new(name);
        for _ in 0..TURNS {
            row.add(host()?, all(&build(&format!("RUN <<'END'\n{MEASURE}\nEND\n"))?.0)?);
        }
        row.each = Some(of_each(build)?);
        rows.push(row);
        ending::check()?;
    }
    // Debian's proot does not start every program.
    let host = host()?;
    let said = under_proot(&tree)?;
    rows.push(Row { times: times(&said), host, ..Row::new("proot -0") });
    let line = said.lines().find(|it| it.contains("rror"));
    let mut told =
        line.map_or_else(String::new, |it| format!("\n\nOf what proot said: `{}`", it.trim()));
    told.insert_str(0, &table(&rows));
    page::write_speed(&told)
}

/// Builds the base as a layout, where it is not there already.
fn prepare(lab: &Lab, kept: &Path) -> Result<PathBuf, String> {
    let layout = kept.join("speed");
    if layout.join("index.json").exists() {
        return Ok(layout);
    }
    let context = lab.work.join("speed");
    let made = fs::create_dir_all(&context).and_then(|()| fs::create_dir_all(kept));
    made.map_err(|error| error.to_string())?;
    for (name, content) in [("Dockerfile", BASE), ("package.json", PACKAGE), ("Makefile", MAKEFILE)]
    {
        fs::write(context.join(name), content).map_err(|error| error.to_string())?;
    }
    let mut build = Command::new(&lab.strake);
    build.arg("build").args(lab.names()).args(["-t", "speed:latest", "-o"]);
    build.arg(format!("type=oci,tar=false,dest={}", layout.display())).arg(&context);
    quiet(build.arg("--store").arg(lab.work.join("store-speed")))?;
    Ok(layout)
}

/// Writes the base's tree.
fn export(lab: &Lab, layout: &Path, tree: &Path) -> Result<(), String> {
    let context = lab.work.join("tree-context");
    let made = fs::create_dir_all(&context)
        .and_then(|()| fs::write(context.join("Dockerfile"), "FROM speed\n"));
    made.map_err(|error| error.to_string())?;
    let mut build = Command::new(&lab.strake);
    build.args(["build", "--build-context", &base(layout), "-o"]);
    build.arg(format!("type=local,dest={}", tree.display())).arg(&context);
    quiet(build.arg("--store").arg(lab.work.join("store-speed")))
}

/// The base under its name.
fn base(layout: &Path) -> String {
    format!("speed=oci-layout://{}:latest", layout.display())
}

/// Keeps the better time of a program.
fn better(times: &mut Times, name: String, taken: u64) {
    let best = times.entry(name).or_insert(taken);
    *best = taken.min(*best);
}

/// The better time of each program that succeeded.
fn times(told: &str) -> Times {
    let mut times = Times::new();
    for line in told.lines() {
        let Some(rest) = line.split("TIME ").nth(1) else { continue };
        let mut words = rest.split_whitespace();
        if let (Some(name), Some(Ok(taken))) = (words.next(), words.next().map(str::parse)) {
            better(&mut times, name.to_owned(), taken);
        }
    }
    times
}

/// As [`times`], of programs that must all succeed.
fn all(told: &str) -> Result<Times, String> {
    let times = times(told);
    if times.len() == PROGRAMS.len() { Ok(times) } else { Err(format!("not measured:\n{told}")) }
}

/// In the tree itself, once `first` has been done.
fn on_host(tree: &Path, first: &str) -> Result<String, String> {
    let script = format!(
        "{first} mount -t proc proc {0}/proc && mount --rbind /dev {0}/dev && exec chroot {0} sh -c \"$0\"",
        tree.display()
    );
    output("unshare", &["--mount", "--pid", "--fork", "sh", "-c", &script, MEASURE])
}

/// In an overlay of the tree, as Docker would have it: what this costs is nobody's sandbox.
fn on_overlay(tree: &Path, turn: usize) -> Result<String, String> {
    let folder = |name: &str| -> Result<PathBuf, String> {
        let folder = tree.with_file_name(format!("overlay-{turn}-{name}"));
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        Ok(folder)
    };
    let (upper, work, merged) = (folder("upper")?, folder("work")?, folder("merged")?);
    let mount = format!(
        "mount -t overlay -o lowerdir={},upperdir={},workdir={} overlay {} &&",
        tree.display(),
        upper.display(),
        work.display(),
        merged.display()
    );
    on_host(&merged, &mount)
}

fn under_proot(tree: &Path) -> Result<String, String> {
    let words = ["-0", "-r", &text(tree), "-b", "/proc", "-b", "/dev", "-w", "/", "sh", "-c"];
    // Whatever fails, what follows is measured.
    let script = format!("exec 2>&1\n{MEASURE}\ntrue");
    output("proot", &[&words[..], &[&script]].concat())
}

/// The milliseconds of a RUN that does nothing.
fn of_each(build: impl Fn(&str) -> Result<(String, u128), String>) -> Result<u64, String> {
    let none = |count: u32| -> Result<u128, String> {
        let runs: String = (0..count).map(|it| format!("RUN true {it}\n")).collect();
        Ok(build(&runs)?.1)
    };
    let (one, many) = (none(1)?, none(21)?);
    u64::try_from(many.saturating_sub(one) / 20).map_err(|error| error.to_string())
}

/// What a build tells, and the milliseconds that it takes.
fn build(
    lab: &Lab,
    layout: &Path,
    store: &Path,
    (place, backend): (Place, &str),
    runs: &str,
) -> Result<(String, u128), String> {
    let context = lab.out.join("context");
    fs::create_dir_all(&context).map_err(|error| error.to_string())?;
    fs::write(context.join("Dockerfile"), format!("FROM speed\n{runs}"))
        .map_err(|error| error.to_string())?;
    let mut build = lab.strake(place);
    build.args(["build", "--no-cache", "--progress", "plain", "--sandbox", backend]);
    build.args(["--build-context", &base(layout), "-o", "type=cacheonly"]).arg(&context);
    build.arg("--store").arg(store);
    let began = Instant::now();
    let told = build.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let taken = began.elapsed().as_millis();
    let said = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
    if told.status.success() { Ok((said, taken)) } else { Err(said) }
}

fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        format!("| | {} | a RUN of `true` |", PROGRAMS.join(" | ")),
        "|---|".to_owned() + &"---|".repeat(PROGRAMS.len() + 1),
    ];
    for row in rows {
        let mut cells = Vec::new();
        for program in PROGRAMS {
            let cell = row.times.get(program).zip(row.host.get(program)).map(|(taken, host)| {
                let percent = (taken * 100 + host / 2) / (*host).max(1);
                format!("{taken} : {host} ms, x {}.{:02}", percent / 100, percent % 100)
            });
            cells.push(cell.unwrap_or_else(|| "fails".to_owned()));
        }
        cells.push(row.each.map_or_else(String::new, |it| format!("{it} ms")));
        lines.push(format!("| {} | {} |", row.name, cells.join(" | ")));
    }
    lines.join("\n")
}
