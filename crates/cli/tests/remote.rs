//! What comes from elsewhere, from servers that the tests start: ADD of URLs and repositories, contexts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod common;
#[expect(dead_code, reason = "each test file uses its part")]
#[path = "../../remote/tests/it/server.rs"]
mod server;

use common::Lab;
use server::{Server, response};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

/// A server of files: what a folder holds, as it is when it is asked for.
fn files(folder: &Path) -> Server {
    let folder = folder.to_owned();
    Server::new(move |asked| {
        let path = asked.path.split('?').next().unwrap().trim_start_matches('/');
        match fs::read(folder.join(path)) {
            Ok(body) => response("200 OK", &[], &body),
            Err(_) => response("404 Not Found", &[], b""),
        }
    })
}

#[test]
fn a_url_is_fetched_once_and_asked_for_again() {
    let (body, version) = (Arc::new(Mutex::new("one")), Arc::new(Mutex::new(1)));
    let served = (Arc::clone(&body), Arc::clone(&version));
    let server = Server::new(move |asked| {
        let (body, version) = (*served.0.lock().unwrap(), *served.1.lock().unwrap());
        let tag = format!("\"{body} {version}\"");
        match asked.header("if-none-match") == Some(&tag) {
            true => response("304 Not Modified", &[], b""),
            false => {
                let modified = "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT";
                response("200 OK", &[&format!("ETag: {tag}"), modified], body.as_bytes())
            }
        }
    });
    let lab = Lab::new();
    let url = server.url("/file.txt?x=y");
    let text = format!("FROM base\nRUN true\nADD --chown=1:2 {url} /dir/\n");
    lab.write("context/Dockerfile", &text);
    let (first, _) = lab.image(&[]);
    let listing = lab.top_layer(&first);
    assert!(
        listing.contains("-rw------- 1/2               3 2015-10-21 07:28 dir/file.txt"),
        "{listing}"
    );
    let (again, ended) = lab.image(&[]);
    assert_eq!(again, first);
    assert_eq!(ended.steps().1, [""; 0], "{}", ended.stderr);
    // The same file under another name of its version: fetched, and nothing is made again.
    *version.lock().unwrap() = 2;
    let (same, ended) = lab.image(&[]);
    assert_eq!(same, first);
    assert_eq!(ended.steps().1, [""; 0], "{}", ended.stderr);
    *body.lock().unwrap() = "another";
    let (changed, ended) = lab.image(&["-v"]);
    assert_ne!(changed, first);
    assert!(ended.stderr.contains("file.txt changed"), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_fetched_is_told_with_its_place() {
    let lab = Lab::new();
    fs::create_dir(lab.path("served")).unwrap();
    lab.write("served/here", "x");
    let server = files(&lab.path("served"));
    let refused = |line: &str, words: &[&str]| {
        lab.write("context/Dockerfile", &format!("FROM base\n{line}\n"));
        let ended = lab.build(&["-t", "never:1"]).failed_with(words);
        ended.failed_with(&["--> ", "Dockerfile:2:1"]);
    };
    let (here, none) = (server.url("/here"), server.url("/none"));
    refused(&format!("ADD {none} /"), &[&none, "404 Not Found", "hint: check the address"]);
    let wrong = format!("sha256:{}", "0".repeat(64));
    refused(&format!("ADD --checksum={wrong} {here} /"), &[&wrong, "write --checksum=sha256:2d71"]);
    refused("ADD http://localhost:1/x /", &["http://localhost:1/x", "Connection refused"]);
    refused("ADD git@localhost:x.git /", &["no SSH agent", "hint: give one with --ssh default"]);
    let repository = server.url("/x.git");
    refused(&format!("ADD {repository} /"), &[&repository, "not found", "GIT_AUTH_TOKEN"]);
}

#[test]
fn a_secret_is_sent_and_kept_nowhere() {
    let server = Server::new(|asked| match asked.header("authorization") {
        Some("Bearer geheim-4711") => response("200 OK", &[], b"hello"),
        _ => response("401 Unauthorized", &[], b""),
    });
    let lab = Lab::new();
    lab.write("context/Dockerfile", &format!("FROM base\nADD {} /\n", server.url("/a")));
    lab.build(&[]).failed_with(&["401 Unauthorized", "HTTP_AUTH_TOKEN_127.0.0.1"]);
    let mut command = lab.command(&["build", "--progress=rawjson", "-v"]);
    command.args(["--secret", "id=HTTP_AUTH_TOKEN_127.0.0.1,env=TOKEN"]);
    let base = format!("base=oci-layout://{}", lab.path("base").display());
    command.args(["--build-context", &base]).arg(lab.path("context"));
    let ended = common::Ended::of(command.env("TOKEN", "geheim-4711").output().unwrap()).ok();
    assert!(!ended.stderr.contains("geheim") && !ended.stdout.contains("geheim"));
    let found = Command::new("grep").args(["-r", "geheim-4711"]).arg(lab.path("store")).output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
}

/// Makes the repository `served/x.git` with two commits, for servers that only know files.
fn repository(lab: &Lab) {
    let script = "set -e; git init -q -b main work; cd work; mkdir sub; echo one > a.txt
        echo 'FROM scratch' > Dockerfile; echo 'COPY . /' >> Dockerfile
        cp Dockerfile sub; echo '*' > .dockerignore; git add -A; git commit -q -m one; git tag v1
        echo two > a.txt; git commit -q -a -m two; cd ..; mkdir served
        git clone -q --bare work served/x.git; git -C served/x.git update-server-info";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(lab.path(""));
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b");
        command.env(format!("GIT_{who}_DATE"), "1500000000 +0000");
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_repository_is_added_and_is_a_context() {
    let lab = Lab::new();
    repository(&lab);
    let server = files(&lab.path("served"));
    let url = server.url("/x.git");
    lab.write("context/Dockerfile", &format!("FROM base\nADD {url}#v1 /src/\n"));
    let (first, _) = lab.image(&[]);
    let listing = lab.top_layer(&first);
    assert!(listing.contains("-rw-r--r-- 0/0               4 "), "{listing}");
    assert!(!listing.contains(".git/"), "{listing}");
    let (_, ended) = lab.image(&[]);
    assert_eq!(ended.steps().1, [""; 0], "the same commit is the same step");

    let dest = lab.path("files");
    let build = |context: &str, more: &[&str]| {
        let _ = fs::remove_dir_all(&dest);
        let out = format!("type=local,dest={}", dest.display());
        lab.strake(&[&["build", "-o", &out], more, &[context]].concat())
    };
    let ended = build(&url, &[]).ok();
    assert_eq!(fs::read_to_string(dest.join("a.txt")).unwrap(), "two\n");
    assert!(ended.stderr.contains("warning: the .dockerignore"), "{}", ended.stderr);
    build(&format!("{url}#v1:sub"), &["-f", "Dockerfile"]).ok();
    assert_eq!(fs::read_dir(&dest).unwrap().count(), 1);
    build(&url, &["-f", "other"]).failed_with(&["no Dockerfile `other`", "hint:"]);
    build(&format!("{url}#nowhere"), &[]).failed_with(&["branch, tag or commit `nowhere`"]);
    let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=context", "-t", "dated:1"];
    let ended = lab.strake(&[&["build"], &epoch[..], &[&url]].concat()).ok();
    let created = fs::read_dir(lab.path("store/blobs/sha256")).unwrap();
    let dated = created.filter_map(|it| fs::read_to_string(it.unwrap().path()).ok());
    let is_dated = |it: String| it.contains(r#""created":"2017-07-14T02:40:00Z""#);
    assert!(dated.into_iter().any(is_dated), "{}", ended.stderr);
}

/// The four kinds of compression, and none.
const PACKED: [(&str, &[&str]); 5] = [
    ("tar", &["cat"]),
    ("tar.gz", &["gzip", "-c"]),
    ("tar.bz2", &["bzip2", "-c"]),
    ("tar.xz", &["xz", "-c"]),
    ("tar.zst", &["zstd", "-q", "-c"]),
];

/// Packs the lab's folder `source` as `served/x.<end>` with each of them.
fn pack(lab: &Lab) {
    fs::create_dir_all(lab.path("served")).unwrap();
    let tar = Command::new("tar")
        .args(["--owner=7", "--group=8", "--mtime=@1000000000", "-cf"])
        .args([lab.path("served/x.tar"), "-C".into(), lab.path("source"), ".".into()])
        .status();
    assert!(tar.unwrap().success());
    for (end, command) in &PACKED[1..] {
        let output = Command::new(command[0])
            .args(&command[1..])
            .stdin(fs::File::open(lab.path("served/x.tar")).unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command:?}");
        fs::write(lab.path(&format!("served/x.{end}")), output.stdout).unwrap();
    }
}

#[test]
fn archives_are_contexts_however_they_are_packed() {
    let lab = Lab::new();
    lab.write("source/Dockerfile", "FROM scratch\nCOPY . /\n");
    lab.write("source/other.Dockerfile", "FROM scratch\nCOPY d/f /g\n");
    lab.write("source/other.Dockerfile.dockerignore", "d\n");
    lab.write("source/.dockerignore", "*\n");
    lab.write("source/d/f", "content");
    pack(&lab);
    let server = files(&lab.path("served"));
    let dest = lab.path("files");
    let output = format!("type=local,dest={}", dest.display());
    for (end, _) in PACKED {
        let url = server.url(&format!("/x.{end}?token=geheim"));
        let stdin = fs::File::open(lab.path(&format!("served/x.{end}"))).unwrap();
        for (context, stdin) in [(&*url, Stdio::null()), ("-", Stdio::from(stdin))] {
            let _ = fs::remove_dir_all(&dest);
            let mut build = lab.command(&["build", "-o", &output, context]);
            let ended = common::Ended::of(build.stdin(stdin).output().unwrap()).ok();
            assert_eq!(fs::read_to_string(dest.join("d/f")).unwrap(), "content", "{end}");
            assert!(ended.stderr.contains("warning: the .dockerignore"), "{}", ended.stderr);
        }
        let _ = fs::remove_dir_all(&dest);
        lab.strake(&["build", "-f", "other.Dockerfile", "-o", &output, &url]).ok();
        assert_eq!(fs::read_to_string(dest.join("g")).unwrap(), "content", "{end}");
    }
}

#[test]
fn archives_of_servers_are_unpacked_on_request() {
    let lab = Lab::new();
    lab.write("source/d/f", "content");
    pack(&lab);
    let server = files(&lab.path("served"));
    let add = |line: &str| {
        lab.write("context/Dockerfile", &format!("FROM base\n{line}\n"));
        let (image, _) = lab.image(&[]);
        lab.top_layer(&image)
    };
    for (end, _) in PACKED {
        let url = server.url(&format!("/x.{end}"));
        let listing = add(&format!("ADD --unpack {url} /to/"));
        assert!(
            listing.contains("-rw-r--r-- 7/8               7 2001-09-09 01:46 to/d/f"),
            "{listing}"
        );
        let listing = add(&format!("ADD --unpack --chown=1:2 {url} /to/"));
        assert!(listing.contains("1/2               7 2001-09-09 01:46 to/d/f"), "{listing}");
        for flag in ["", "--unpack=false"] {
            let listing = add(&format!("ADD {flag} {url} /to/"));
            assert!(listing.contains(&format!(" to/x.{end}\n")), "{listing}");
        }
    }
    // What is no archive stays what it is.
    lab.write("served/plain", "plain");
    let listing = add(&format!("ADD --unpack {} /to/", server.url("/plain")));
    assert!(listing.contains(" to/plain\n"), "{listing}");
    lab.write("served/cut.tar.gz", "");
    let whole = fs::read(lab.path("served/x.tar.gz")).unwrap();
    fs::write(lab.path("served/cut.tar.gz"), &whole[..whole.len() - 20]).unwrap();
    let url = server.url("/cut.tar.gz");
    lab.write("context/Dockerfile", &format!("FROM base\nADD --unpack {url} /\n"));
    lab.build(&["-t", "never:1"]).failed_with(&["cannot unpack `cut.tar.gz`"]);
}

/// The ignore file of a Dockerfile is beside it, wherever the context is; a Dockerfile from elsewhere has
/// none of its own.
#[test]
fn a_dockerfile_has_its_own_ignore_file() {
    let lab = Lab::new();
    lab.write("source/a", "a");
    lab.write("source/b", "b");
    lab.write("source/.dockerignore", "a\n");
    lab.write("source/Dockerfile", "FROM scratch\nCOPY . /\n");
    lab.write("source/own.Dockerfile", "FROM scratch\nCOPY . /\n");
    lab.write("source/own.Dockerfile.dockerignore", "b\n*.Dockerfile*\n");
    lab.write("elsewhere/Df", "FROM scratch\nCOPY . /\n");
    lab.write("elsewhere/Df.dockerignore", "*\n!a\n!b\n");
    lab.write("elsewhere/.dockerignore", "*\n");
    let server = files(&lab.path("elsewhere"));
    let dest = lab.path("files");
    let output = format!("type=local,dest={}", dest.display());
    let source = lab.path("source").display().to_string();
    let copied = |args: &[&str]| {
        let _ = fs::remove_dir_all(&dest);
        let mut build = lab.command(&[&["build", "-o", &output], args, &[&source]].concat());
        let stdin = fs::File::open(lab.path("elsewhere/Df")).unwrap();
        common::Ended::of(build.stdin(stdin).output().unwrap()).ok();
        let has = |name| dest.join(name).exists();
        (has("a"), has("b"))
    };
    let beside = lab.path("source/own.Dockerfile").display().to_string();
    let elsewhere = lab.path("elsewhere/Df").display().to_string();
    assert_eq!(copied(&[]), (false, true));
    assert_eq!(copied(&["-f", &beside]), (true, false));
    assert_eq!(copied(&["-f", &elsewhere]), (true, true));
    assert_eq!(copied(&["-f", "-"]), (false, true));
    assert_eq!(copied(&["-f", &server.url("/Df")]), (false, true));
    // A link counts that stays within its folder, and no other.
    let ignore = lab.path("source/.dockerignore");
    let relink = |target: &str| {
        fs::remove_file(&ignore).unwrap();
        std::os::unix::fs::symlink(target, &ignore).unwrap();
    };
    lab.write("source/rules", "a\n");
    relink("/rules");
    assert_eq!(copied(&[]), (false, true));
    relink("../elsewhere/.dockerignore");
    assert_eq!(copied(&[]), (true, true));
    let ended = lab.strake(&["build", "-o", &output, &source]).ok();
    assert!(ended.stderr.contains(".dockerignore leads to no file"), "{}", ended.stderr);
}

#[test]
fn files_of_servers_are_contexts() {
    let lab = Lab::new();
    lab.write("source/Dockerfile", "FROM scratch\nCOPY --from=more context /more\nCOPY a.txt /\n");
    lab.write("source/a.txt", "a");
    lab.write("served/more.txt", "m");
    let pack = Command::new("tar")
        .args(["--owner=7", "--group=8", "-czf"])
        .args([lab.path("served/x.tgz"), "-C".into(), lab.path("source"), ".".into()])
        .status();
    assert!(pack.unwrap().success());
    let server = files(&lab.path("served"));
    let more = format!("more={}", server.url("/more.txt"));
    let layout = format!("type=oci,tar=false,dest={}", lab.path("out").display());
    lab.strake(&["build", "-o", &layout, "--build-context", &more, &server.url("/x.tgz")]).ok();
    let index = fs::read(lab.path("out/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let listing = lab.top_layer(index["manifests"][0]["digest"].as_str().unwrap());
    assert!(listing.contains("-rw-r--r-- 7/8               1 "), "{listing}");
    // A Dockerfile from a server, for a folder.
    lab.write("served/Df", "FROM scratch\nCOPY a.txt /b\n");
    let dest = format!("type=local,dest={}", lab.path("files").display());
    let source = lab.path("source").display().to_string();
    lab.strake(&["build", "-f", &server.url("/Df"), "-o", &dest, &source]).ok();
    assert_eq!(fs::read_to_string(lab.path("files/b")).unwrap(), "a");
    lab.strake(&["build", &server.url("/none")]).failed_with(&["404 Not Found"]);
}

#[test]
fn an_ordinary_user_fetches_too() {
    let lab = Lab::ordinary();
    repository(&lab);
    let server = files(&lab.path("served"));
    let url = server.url("/x.git");
    lab.write(
        "context/Dockerfile",
        &format!("FROM base\nADD {url}#v1 /src/\nRUN cat /src/a.txt\n"),
    );
    lab.build(&[]).ok();
    let dest = format!("type=local,dest={}", lab.path("context/out").display());
    let archive = Command::new("tar").args(["-c", "-C"]).arg(lab.path("work")).arg(".").output();
    fs::write(lab.path("x.tar"), archive.unwrap().stdout).unwrap();
    let mut command = lab.command(&["build", "-o", &dest, "-"]);
    command.stdin(Stdio::from(fs::File::open(lab.path("x.tar")).unwrap()));
    common::Ended::of(command.output().unwrap()).ok();
    assert_eq!(fs::read_to_string(lab.path("context/out/a.txt")).unwrap(), "two\n");
}
