//! What a sandbox costs: `cargo xtask ladder --speed --strake FILE`, with a release build.
//!
//! The same programs over the same tree, by chroot on the host, in each backend, and under Debian's
//! proot. The best of three runs counts; times are taken inside, so that they are the programs' own.

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
WORKDIR /srv/c
COPY Makefile measure.sh ..
RUN mv ../Makefile . && for i in $(seq 200); do printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint f%d(int x) { return x * %d + (int)strlen("a"); }\n' $i $i > f$i.c; done
"#;

const PACKAGE: &str = r#"{"name": "speed", "version": "1.0.0", "dependencies": {"express": "4.19.2",
  "webpack": "5.91.0", "typescript": "5.4.5", "eslint": "8.57.0"}}"#;

const MAKEFILE: &str = "all: $(patsubst %.c,%.o,$(wildcard *.c))\n%.o: %.c\n\tgcc -c -o $@ $<\n";

/// Prints the name and the milliseconds of each program, three times.
const MEASURE: &str = r#"
now() { date +%s%N; }
for i in 1 2 3; do
  cd /srv/app; rm -rf node_modules
  t=$(now); npm ci --offline --no-audit --no-fund > /dev/null || exit 1; echo "TIME npm-ci $((($(now) - t) / 1000000))"
  cd /srv/c; rm -f *.o
  t=$(now); make -s -j2 all || exit 1; echo "TIME make-j2 $((($(now) - t) / 1000000))"
  t=$(now); find /usr -type f -newer /etc/passwd > /dev/null; echo "TIME find $((($(now) - t) / 1000000))"
done
"#;

/// Milliseconds of each program.
type Times = BTreeMap<String, u64>;

pub(super) fn run(strake: &Path, kept: Option<&Path>) -> Result<(), String> {
    install(super::PROGRAMS)?;
    install(&[("proot", "proot")])?;
    ending::expect()?;
    lab::clean()?;
    let lab = Lab::start(Some(strake), false)?;
    let layout = prepare(&lab, kept.unwrap_or(&lab.out))?;
    let tree = lab.work.join("tree");
    export(&lab, &layout, &tree)?;
    let mut rows = vec![("host, chroot".to_owned(), on_host(&tree)?, None)];
    let backends = [
        ("namespaces, root", Place::Root, "namespaces"),
        ("namespaces, subuid", Place::User(GRANTED), "namespaces"),
        ("namespaces, one id", Place::User(USER), "namespaces"),
        ("chroot, root", Place::Root, "chroot"),
        ("emulated", Place::User(USER), "emulated"),
    ];
    for (name, place, backend) in backends {
        let (times, each) =
            in_strake(&lab, &layout, place, backend).map_err(|error| format!("{name}: {error}"))?;
        rows.push((name.to_owned(), times, Some(each)));
        say(&table(&rows));
        ending::check()?;
    }
    // Debian's proot does not start every program.
    let mut told = match under_proot(&tree) {
        Ok(times) => {
            rows.push(("proot -0".to_owned(), times, None));
            String::new()
        }
        Err(error) => format!("\n\nproot -0 fails:\n\n```text\n{}\n```", error.trim_end()),
    };
    told.insert_str(0, &table(&rows));
    say(&told);
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
    for (name, content) in [
        ("Dockerfile", BASE),
        ("package.json", PACKAGE),
        ("Makefile", MAKEFILE),
        ("measure.sh", MEASURE),
    ] {
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

fn times(told: &str) -> Result<Times, String> {
    let mut times = Times::new();
    for line in told.lines() {
        let Some(rest) = line.split("TIME ").nth(1) else { continue };
        let mut words = rest.split_whitespace();
        if let (Some(name), Some(Ok(taken))) = (words.next(), words.next().map(str::parse)) {
            let best = times.entry(name.to_owned()).or_insert(taken);
            *best = taken.min(*best);
        }
    }
    if times.len() == 3 { Ok(times) } else { Err(format!("not measured:\n{told}")) }
}

fn on_host(tree: &Path) -> Result<Times, String> {
    let script = format!(
        "mount -t proc proc {0}/proc && mount --rbind /dev {0}/dev && chroot {0} sh /srv/measure.sh",
        tree.display()
    );
    let words = ["--mount", "--pid", "--fork", "sh", "-c", &script];
    times(&output("unshare", &words)?)
}

fn under_proot(tree: &Path) -> Result<Times, String> {
    let words = ["-0", "-r", &text(tree), "-b", "/proc", "-b", "/dev", "-w", "/"];
    times(&output("proot", &[&words[..], &["sh", "/srv/measure.sh"]].concat())?)
}

/// Times of the programs, and of a RUN that does nothing.
fn in_strake(
    lab: &Lab,
    layout: &Path,
    place: Place,
    backend: &str,
) -> Result<(Times, u64), String> {
    let build = |runs: &str| build(lab, layout, (place, backend), runs);
    let told = build("RUN sh /srv/measure.sh\n")?.0;
    let times = times(&told)?;
    let none = |count: u32| -> Result<u128, String> {
        let runs: String = (0..count).map(|it| format!("RUN true {it}\n")).collect();
        Ok(build(&runs)?.1)
    };
    let (one, many) = (none(1)?, none(21)?);
    let each = u64::try_from(many.saturating_sub(one) / 20).map_err(|error| error.to_string())?;
    Ok((times, each))
}

/// What a build tells, and the milliseconds that it takes.
fn build(
    lab: &Lab,
    layout: &Path,
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
    build.arg("--store").arg(lab.store(place));
    let began = Instant::now();
    let told = build.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let taken = began.elapsed().as_millis();
    let said = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
    if told.status.success() { Ok((said, taken)) } else { Err(said) }
}

fn table(rows: &[(String, Times, Option<u64>)]) -> String {
    let host = &rows[0].1;
    let names: Vec<&String> = host.keys().collect();
    let mut lines = vec![
        format!(
            "| | {} | a RUN of `true` |",
            names.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(" | ")
        ),
        "|---|".to_owned() + &"---|".repeat(names.len() + 1),
    ];
    for (name, times, each) in rows {
        let mut cells = Vec::new();
        for program in &names {
            let (taken, native) = (times[*program], host[*program].max(1));
            let per_mille = taken * 1000 / native;
            let factor = format!("{}.{:02}", per_mille / 1000, per_mille % 1000 / 10);
            cells.push(format!("{taken} ms, x {factor}"));
        }
        cells.push(each.map_or_else(String::new, |it| format!("{it} ms")));
        lines.push(format!("| {name} | {} |", cells.join(" | ")));
    }
    lines.join("\n")
}
