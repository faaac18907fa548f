//! push, pull, copy, tag, inspect, login and logout against Debian's registry, as a person types them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;

#[expect(dead_code, reason = "shared with xtask and other tests")]
#[path = "../../../xtask/src/proxy.rs"]
mod proxy;

use common::{Lab, registry::Registry};
use std::{fs, io::Write, os::unix::fs::PermissionsExt, process::Stdio};

/// The last word of the first line: the digest behind the `@`.
fn digest(stdout: &str) -> &str {
    stdout.lines().next().unwrap().rsplit_once('@').unwrap().1
}

fn skopeo(args: &[&str]) -> String {
    let output = std::process::Command::new("skopeo").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_image_travels() {
    let lab = Lab::new();
    let registry = Registry::start(&lab);
    let layout = lab.path("base");
    let layout = layout.to_str().unwrap();
    let (one, two, three) =
        (registry.name("a/one:1"), registry.name("b/two:1"), registry.name("c/three:1"));

    let pushed = lab.strake(&["push", layout, &one, &two]).ok();
    assert_eq!(pushed.stdout.lines().count(), 2);
    let is = digest(&pushed.stdout).to_owned();
    assert!(pushed.stderr.contains("1 pushed") && pushed.stderr.contains("1 mounted"));
    let again = lab.strake(&["push", layout, &one]).ok();
    assert!(again.stderr.contains("1 blob: 1 there already"), "{}", again.stderr);

    let copied = lab.strake(&["copy", "-q", &one, &three]).ok();
    assert_eq!((digest(&copied.stdout), copied.stderr.as_str()), (is.as_str(), ""));
    lab.strake(&["tag", "--remote", &three, "v2", &registry.name("c/three:v3")]).ok();
    let inspected = skopeo(&[
        "inspect",
        "--tls-verify=false",
        &format!("docker://{}", registry.name("c/three:v3")),
    ]);
    assert!(inspected.contains(&is), "{inspected}");

    lab.strake(&["pull", &three]).ok();
    lab.strake(&["tag", &three, "mine:1"]).ok();
    let other = registry.name("d/four:1");
    let pushed = lab.strake(&["push", "mine:1", &other]).ok();
    assert_eq!(digest(&pushed.stdout), is);
    for image in [&three, "mine:1", layout] {
        let told = lab.strake(&["inspect", "--format", "{{.Digest}} {{json .Config.Env}}", image]);
        assert_eq!(told.ok().stdout, format!("{is} [\"PATH=/bin\"]\n"), "{image}");
    }
    let remote = lab.strake(&["inspect", "--remote", "--raw", &other]).ok().stdout;
    assert_eq!(strake_oci::Digest::of(remote.as_bytes()).to_string(), is);
    let config = lab.strake(&["inspect", "--raw-config", &other]).ok().stdout;
    let raw = skopeo(&[
        "inspect",
        "--tls-verify=false",
        "--config",
        "--raw",
        &format!("docker://{other}"),
    ]);
    assert_eq!(config, raw);
    lab.assert_tidy();
}

/// A RUN that ends only when the registry has layers of its image, and one that never ends well.
#[test]
fn layers_leave_before_the_build_ends() {
    let lab = Lab::new();
    let registry = Registry::start(&lab);
    let wait = |name: &str| {
        let repositories = format!("wget -q -O- http://127.0.0.1:{}/v2/_catalog", registry.port);
        format!(
            "RUN i=0; until {repositories} | grep {name}; do sleep 0.1; let i=i+1; [ $i -lt 200 ]; done"
        )
    };
    let file =
        format!("FROM base\nCOPY Dockerfile /early\n{}\nRUN echo late > /late\n", wait("good"));
    lab.write("context/Dockerfile", &file);
    let ended = lab.build(&["--push", "-t", &registry.name("good:1")]).ok();
    assert!(ended.stderr.contains("pushing layers"), "{}", ended.stderr);
    let inspected = lab.strake(&["inspect", "--remote", "--raw", &registry.name("good:1")]).ok();
    assert_eq!(inspected.stdout.matches("tar+gzip").count(), 4, "{}", inspected.stdout);

    // A build that fails after that leaves no name.
    lab.write("context/Dockerfile", &file.replace("good", "bad").replace("echo late", "false"));
    lab.build(&["--push", "-t", &registry.name("bad:1")]).failed_with(&["false > /late"]);
    assert!(registry.has("good", "1") && !registry.has("bad", "1"));

    // Nothing is asked for ahead where nothing is new.
    lab.write("context/Dockerfile", &file);
    let again = lab.build(&["--push", "-t", &registry.name("good:1")]).ok();
    assert!(!again.stderr.contains("pushing layers"), "{}", again.stderr);
    lab.assert_tidy();
}

#[test]
fn an_index_stays_whole() {
    let lab = Lab::new();
    let registry = Registry::start(&lab);
    lab.write("context/Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n");
    let out = format!("type=oci,tar=false,dest={}", lab.path("multi").display());
    lab.build(&["--platform", "linux/amd64,linux/arm64", "-o", &out]).ok();
    let (one, two) = (registry.name("multi:1"), registry.name("multi/copy:1"));
    let is = lab.strake(&["push", lab.path("multi").to_str().unwrap(), &one]).ok().stdout;
    let copied = lab.strake(&["copy", &one, &two]).ok().stdout;
    assert_eq!(digest(&is), digest(&copied));
    let platforms = lab.strake(&["inspect", "--format", r#"{{join .Platforms " "}}"#, &two]).ok();
    assert_eq!(platforms.stdout, "linux/amd64 linux/arm64\n");
    let arm = registry.name("multi/arm:1");
    lab.strake(&["copy", "--platform", "linux/arm64", &one, &arm]).ok();
    let told = lab.strake(&[
        "inspect",
        "--platform",
        "linux/arm64",
        "--format",
        "{{.Architecture}} {{.MediaType}}",
        &arm,
    ]);
    assert_eq!(told.ok().stdout, "arm64 application/vnd.oci.image.manifest.v1+json\n");
    lab.strake(&["pull", "--all-platforms", &two]).ok();
    let again = registry.name("multi/again:1");
    let pushed = lab.strake(&["tag", &two, &again]).ok();
    assert_eq!(digest(&pushed.stdout), digest(&is));
    lab.strake(&["push", &again]).ok();
    let told = lab.strake(&["inspect", "--remote", "--format", "{{.Digest}}", &again]).ok();
    assert_eq!(told.stdout.trim(), digest(&is));
}

#[test]
fn wrong_calls_say_what_to_do() {
    let lab = Lab::new();
    let base = lab.path("base").display().to_string();
    for (args, told) in [
        (&["push", "absent:1", "r.io/a:1"][..], "`strake copy absent:1 NAME`"),
        (&["push", &base, "r.io/a@sha256:00"], "digest"),
        (&["tag", "absent:1", "b:1"], "`strake pull`"),
        (&["tag", "--remote", "r.io/a:1", "r.io/b:1"], "`strake copy r.io/a:1 r.io/b:1`"),
        (&["inspect", "--format", "{{printf .}}", &base], "json, len, index, join"),
        (&["inspect", "--format", "{{.Digset}}", &base], "ConfigDigest"),
        (&["login", "r.io", "-p", "hunter2"], "--password-stdin"),
        (&["login", "r.io/a", "-u", "ann", "--password-stdin"], "host"),
    ] {
        let ended = lab.strake(args);
        assert!(ended.code != Some(0) && ended.stderr.contains(told), "{args:?} {}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"));
    }
}

#[test]
fn a_login_is_tried_kept_and_forgotten() {
    let lab = Lab::new();
    let registry = Registry::with_login(&lab);
    let host = format!("127.0.0.1:{}", registry.port);
    let config = lab.path("docker/config.json");
    let base = lab.path("base").display().to_string();
    let run = |args: &[&str], password: &str| {
        let mut command = lab.command(args);
        command.env("DOCKER_CONFIG", lab.path("docker")).stdin(Stdio::piped());
        let path = format!("{}:/usr/bin:/bin", lab.path("helpers").display());
        let mut child = command
            .env("PATH", path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let login = ["login", "-u", "ann", "--password-stdin", host.as_str()];
    let push = ["push", "-q", base.as_str(), &registry.name("private:1")];

    let (ok, told) = run(&login, "hunter2\n");
    assert!(!ok && told.contains("refused the credentials") && !told.contains("hunter2"), "{told}");
    assert!(!config.exists() && !run(&push, "").0);

    let (ok, told) = run(&login, "secret\n");
    assert!(ok && told.contains("not encrypted") && !told.contains("secret "), "{told}");
    let mode = fs::metadata(&config).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(run(&push, "").0);

    // A helper takes over, and the file forgets the password.
    let helper = lab.path("helpers/docker-credential-secretservice");
    lab.write(
        "helpers/docker-credential-secretservice",
        "#!/bin/sh\ncase $1 in store) cat > \"$0.kept\";; get) cat \"$0.kept\";; \
         erase) rm \"$0.kept\";; esac\n",
    );
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let (ok, told) = run(&login, "secret");
    assert!(ok && told.contains("docker-credential-secretservice keeps"), "{told}");
    let text = fs::read_to_string(&config).unwrap();
    assert!(!text.contains("\"auth\""), "{text}");
    assert!(run(&push, "").0);
    let (ok, told) = run(&["logout", &host], "");
    assert!(ok && told.contains("has forgotten"), "{told}");
    assert!(!lab.path("helpers/docker-credential-secretservice.kept").exists());
}

#[test]
fn flags_come_before_variables_and_those_before_the_file() {
    let lab = Lab::new();
    let registry = Registry::start(&lab);
    let base = lab.path("base").display().to_string();
    lab.strake(&["push", "-q", &base, &registry.name("hub/library/app:1")]).ok();
    let right = registry.name("hub");
    let inspect = |file: &str, variable: Option<&str>, flag: Option<&str>| {
        lab.write("home/.config/strake/config.toml", file);
        let mut args = vec!["inspect", "--remote", "--format", "{{.Os}}", "app:1"];
        args.extend(flag.map(|it| ["--registry-map", it]).into_iter().flatten());
        let mut command = lab.command(&args);
        command.env("HOME", lab.path("home"));
        command.envs(variable.map(|it| ("STRAKE_REGISTRY_MAP", it)));
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let map = |place: &str| format!("docker.io={place}");
    let file = |place: &str| format!("[registry.\"docker.io\"]\nmap = \"{place}\"\n");
    let (good, bad) = (map(&right), map("127.0.0.1:1"));
    for (file, variable, flag) in [
        (file(&right), None, None),
        (file("127.0.0.1:1"), Some(good.as_str()), None),
        (file("127.0.0.1:1"), Some(bad.as_str()), Some(good.as_str())),
        (String::new(), Some(good.as_str()), None),
    ] {
        let (ok, told) = inspect(&file, variable, flag);
        assert!(ok && told == "linux\n", "{file} {variable:?} {flag:?}: {told}");
    }
    let (ok, told) = inspect(&file(&right), None, Some(&bad));
    assert!(!ok && told.contains("127.0.0.1:1"), "{told}");
    let (ok, told) = inspect("[registry.\"a\"]\nmirror = []\n", None, None);
    assert!(!ok && told.contains("config.toml") && told.contains("unknown field"), "{told}");
}

#[test]
fn a_base_that_the_registry_has_moves_in_no_direction() {
    let lab = Lab::new();
    let registry = Registry::start(&lab);
    let way = proxy::Proxy::start(registry.port, |_, _| proxy::Fault::default());
    let base = lab.path("base").display().to_string();
    lab.strake(&["push", "-q", &base, &registry.name("base/app:1")]).ok();
    let name = way.name("base/app:1");
    let told = lab.strake(&["inspect", "--format", "{{index .Layers 0}}", &name]).ok().stdout;
    let hex = told.trim().trim_start_matches("sha256:");
    lab.write("context/file", "x");
    let build = |dockerfile: &str, to: &str| {
        lab.write("context/Dockerfile", &format!("FROM {name}\n{dockerfile}"));
        way.clear();
        lab.build(&["--push", "-t", &way.name(to)]).ok();
        let log = way.log();
        let moved = log.iter().filter(|it| it.head.target.contains(hex)).map(|it| it.up + it.down);
        let blobs = log.iter().filter(|it| it.head.target.contains("/blobs/"));
        (moved.sum::<u64>(), blobs.map(|it| it.up + it.down).sum::<u64>())
    };
    // Cold: nothing is known of the base but its manifest and config.
    let (moved, all) = build("LABEL a=b\nCOPY --link file /file\n", "cold/app:1");
    assert!(moved == 0 && all < 10_000, "{moved} {all}");
    // The store has the base's index: it made that base.
    let (moved, all) = build("COPY file /bin/file\n", "warm/app:1");
    assert!(moved == 0 && all < 10_000, "{moved} {all}");
    assert!(registry.has("cold/app", "1") && registry.has("warm/app", "1"));
}
