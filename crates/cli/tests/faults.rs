//! Builds that are killed, interrupted or starved: nothing stays behind, and the next one is right.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

use common::{
    Ended, Lab,
    registry::{Registry, SlowWay},
    with_mounts,
};
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Bytes that do not compress, the same each time.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = Random(seed);
    (0..length / 8).flat_map(|_| state.next().to_le_bytes()).collect()
}

/// xorshift: the same moments in each run of the tests.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A base of some megabytes in a registry, and a context that needs it.
fn site(lab: &Lab, registry: &Registry) {
    fs::create_dir_all(lab.path("context/data")).unwrap();
    fs::write(lab.path("context/data/large"), noise(1, 3 << 20)).unwrap();
    fs::write(lab.path("context/data/small"), "small\n").unwrap();
    lab.write("base-two/Dockerfile", "FROM base\nCOPY weight /weight\n");
    fs::write(lab.path("base-two/weight"), noise(2, 3 << 20)).unwrap();
    let base = format!("base=oci-layout://{}", lab.path("base").display());
    let (name, folder) = (registry.name("base:1"), lab.path("base-two").display().to_string());
    lab.strake(&["build", "--build-context", &base, "--push", "-t", &name, &folder]).ok();
    fs::remove_dir_all(lab.path("store")).unwrap();
}

/// Pull, pack, RUN, pack and push.
fn dockerfile(lab: &Lab, base: &str) {
    let text = format!(
        "FROM {base}\nCOPY data /data\n\
         RUN echo begun; sleep 0.2; cat /weight /data/large > /both; (sleep 31 &); sleep 0.2\n\
         RUN sha256sum < /both > /sum\n"
    );
    lab.write("context/Dockerfile", &text);
}

/// `sha256sum` of what the RUN puts together.
fn sum() -> String {
    let both = [noise(2, 3 << 20), noise(1, 3 << 20)].concat();
    format!("{}  -\n", strake_oci::Digest::of(&both).hex())
}

fn push_args(lab: &Lab, name: &str) -> Vec<String> {
    lab.build_args(&["--push", "-t", name])
}

fn start(lab: &Lab, args: &[String]) -> Child {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    lab.command(&args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

/// One more build: right in each file, and nothing is left of the one before.
fn build_again(lab: &Lab, registry: &Registry, repository: &str, what: &str) {
    let tree = lab.path("tree");
    let _ = fs::remove_dir_all(&tree);
    let local = format!("type=local,dest={}", tree.display());
    let name = registry.name(&format!("{repository}:1"));
    lab.build(&["--push", "-t", &name, "-o", &local]).ok();
    assert_eq!(fs::read_to_string(tree.join("sum")).unwrap(), sum(), "{what}");
    assert!(fs::read(tree.join("data/large")).unwrap() == noise(1, 3 << 20), "{what}");
    assert!(registry.has(repository, "1"), "{what}");
    lab.assert_tidy();
    lab.assert_nothing_runs();
}

#[expect(clippy::disallowed_methods, reason = "`cargo xtask faults` asks for more")]
fn kills() -> u64 {
    let said = std::env::var("STRAKE_TEST_KILLS").ok();
    said.map_or(10, |it| it.parse().expect("STRAKE_TEST_KILLS is a number"))
}

#[test]
fn killed_at_any_moment() {
    let mut random = Random(0x5eed);
    for (lab, share) in [(Lab::new(), kills().div_ceil(2)), (Lab::ordinary(), kills() / 2)] {
        let registry = Registry::start(&lab);
        site(&lab, &registry);
        let way = SlowWay::to(&registry);
        dockerfile(&lab, &way.name("base:1"));
        let began = Instant::now();
        let whole = start(&lab, &push_args(&lab, &way.name("whole:1"))).wait_with_output().unwrap();
        assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
        let length = u64::try_from(began.elapsed().as_micros()).unwrap();
        for number in 0..share {
            fs::remove_dir_all(lab.path("store")).unwrap();
            let moment = Duration::from_micros(random.next() % length);
            let repository = format!("app{number}");
            let mut child = start(&lab, &push_args(&lab, &way.name(&format!("{repository}:1"))));
            thread::sleep(moment);
            child.kill().unwrap();
            child.wait().unwrap();
            lab.assert_nothing_runs();
            let what = format!("killed after {moment:?} of {length} microseconds");
            build_again(&lab, &registry, &repository, &what);
        }
    }
}

/// Sends a signal once `ready` returns, and checks what comes of it.
fn interrupted(
    lab: &Lab,
    signal: &str,
    code: i32,
    mut child: Child,
    ready: impl FnOnce(&mut Child),
) {
    ready(&mut child);
    let began = Instant::now();
    let sent = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let ended = Ended::of(output);
    assert!(began.elapsed() < Duration::from_secs(30), "{}", ended.stderr);
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    assert!(ended.stderr.contains("cancelled"), "{}", ended.stderr);
    lab.assert_nothing_runs();
    lab.assert_tidy();
}

/// Reads on until a line with `word` was written.
fn until_says(child: &mut Child, word: &str) {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "no `{word}`");
    }
    child.stderr = Some(stderr.into_inner());
}

#[test]
fn interrupted_in_a_run() {
    for lab in [Lab::new(), Lab::ordinary()] {
        let text = "FROM base\nRUN trap '' INT TERM; (sleep 31 &); echo beg''un; sleep 31\n";
        lab.write("context/Dockerfile", text);
        for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
            let out = format!("type=oci,dest={}", lab.path("image.tar").display());
            let child = start(&lab, &lab.build_args(&["-t", "x:1", "-o", &out]));
            interrupted(&lab, signal, code, child, |it| until_says(it, " begun"));
            assert!(!lab.path("image.tar").exists());
            assert!(common::traces::names(&lab.path("store/images")).is_empty());
        }
    }
}

#[test]
fn interrupted_in_a_pull_and_in_a_push() {
    let lab = Lab::new();
    let registry = Registry::start(&lab);
    site(&lab, &registry);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let _ = fs::remove_dir_all(lab.path("store"));
        let way = SlowWay::stalling(&registry, 1 << 20);
        dockerfile(&lab, &way.name("base:1"));
        let child = start(&lab, &push_args(&lab, &registry.name("pulled:1")));
        interrupted(&lab, signal, code, child, |_| way.wait_until_stalled());
        assert!(!registry.has("pulled", "1"));

        let way = SlowWay::stalling(&registry, 0);
        dockerfile(&lab, &way.name("base:1"));
        let child = start(&lab, &push_args(&lab, &registry.name("pulled:1")));
        interrupted(&lab, signal, code, child, |_| way.wait_until_stalled());

        let way = SlowWay::stalling(&registry, 1 << 20);
        dockerfile(&lab, &registry.name("base:1"));
        let child = start(&lab, &push_args(&lab, &way.name("pushed:1")));
        interrupted(&lab, signal, code, child, |_| way.wait_until_stalled());
        assert!(!registry.has("pushed", "1"));
    }
    build_again(&lab, &registry, "pushed", "after signals");
}

#[test]
fn a_full_disk_is_said_and_the_next_build_is_right() {
    let lab = Lab::new();
    let registry = Registry::start(&lab);
    site(&lab, &registry);
    dockerfile(&lab, &registry.name("base:1"));
    fs::create_dir_all(lab.path("store")).unwrap();
    // In the middle of the pull, of unpacking, of packing and of a RUN.
    for (free, in_run) in [(1, false), (4, false), (8, false), (12, false), (16, true)] {
        let (size, taken) = (format!("{free}m"), 200 - free);
        let local = format!("type=local,dest={}", lab.path(&format!("tree{size}")).display());
        let mut args = vec![lab.program().display().to_string()];
        args.extend(lab.build_args(&["-o", &local]));
        let words: Vec<String> = args.iter().map(|it| format!("'{it}'")).collect();
        let (strake, store) = (words.join(" "), lab.path("store").display().to_string());
        let script = format!(
            "mount -t tmpfs -o size=200m tmpfs {store}; head -c {taken}m /dev/zero > {store}/full; \
             {strake} 2> first; echo first $?; ls -A {store}/tmp; rm {store}/full; {strake} 2> second; \
             echo second $?; ls -A {store}/tmp"
        );
        let mut command = with_mounts(&script);
        command.current_dir(lab.path(""));
        command.env("STRAKE_STORE", &store);
        let output = command.output().unwrap();
        let first = fs::read_to_string(lab.path("first")).unwrap();
        let second = fs::read_to_string(lab.path("second")).unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "first 1\nsecond 0\n", "{size}\n{first}\n{second}");
        assert!(first.to_lowercase().contains("no space left"), "{size}\n{first}");
        if !in_run || !first.contains("last output") {
            assert!(first.contains(&store), "{size}: no path:\n{first}");
            assert!(first.contains("strake prune"), "{size}: no hint:\n{first}");
        }
        let sum_file = lab.path(&format!("tree{size}")).join("sum");
        assert_eq!(fs::read_to_string(sum_file).unwrap(), sum(), "{size}");
    }
}

#[test]
fn eight_at_once_pull_run_and_push() {
    for lab in [Lab::new(), Lab::ordinary()] {
        let registry = Registry::start(&lab);
        site(&lab, &registry);
        dockerfile(&lab, &registry.name("base:1"));
        let names: Vec<String> = (0..8).map(|it| format!("app{}", it % 4)).collect();
        let children: Vec<Child> = names
            .iter()
            .map(|it| start(&lab, &push_args(&lab, &registry.name(&format!("{it}:1")))))
            .collect();
        let mut made = Vec::new();
        for child in children {
            let ended = Ended::of(child.wait_with_output().unwrap()).ok();
            made.extend(ended.steps().1);
        }
        assert_eq!(made.iter().filter(|it| it.starts_with("COPY")).count(), 1, "{made:?}");
        assert_eq!(made.iter().filter(|it| it.starts_with("RUN")).count(), 2, "{made:?}");
        lab.assert_tidy();
        build_again(&lab, &registry, "app4", "after eight builds");
    }
}

#[test]
fn a_full_disk_at_the_output() {
    let lab = Lab::new();
    lab.write("context/Dockerfile", "FROM base\nCOPY large /\n");
    fs::write(lab.path("context/large"), noise(3, 3 << 20)).unwrap();
    fs::create_dir(lab.path("small")).unwrap();
    for kind in
        ["type=oci,dest=small/x", "type=oci,tar=false,dest=small/x", "type=local,dest=small/x"]
    {
        let mut args = vec![lab.program().display().to_string()];
        args.extend(lab.build_args(&["-o", kind]));
        let words: Vec<String> = args.iter().map(|it| format!("'{it}'")).collect();
        let script = format!(
            "mount -t tmpfs -o size=1m tmpfs small; {}; code=$?; \
             find small -name '*.strake.tmp' -o -name index.json; exit $code",
            words.join(" ")
        );
        let mut command = with_mounts(&script);
        command.current_dir(lab.path(""));
        let ended = Ended::of(command.env("STRAKE_STORE", lab.path("store")).output().unwrap());
        assert_eq!(ended.stdout, "", "{kind}");
        ended.failed_with(&["small/", "No space left", "hint: the disk is full"]);
        lab.assert_tidy();
    }
}
